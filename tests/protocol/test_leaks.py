"""A study is refused when a training saw what it must not see."""

import dataclasses

import pytest

from dianet_ray.errors import InputError
from dianet_ray.protocol import leaks
from tests.support.studies import laddered, make_study, with_result


def test_every_training_of_a_clean_study_saw_what_it_should():
    leaks.check(make_study())
    leaks.check(laddered())
    leaks.check(dataclasses.replace(make_study(), trainings={}))


def prints_of(study, fold):
    prints, held_out = study.origin.image_hashes, study.folds[fold].test_clips
    trained = [one for index, one in enumerate(prints) if index not in held_out]
    return trained, [prints[index] for index in held_out]


@pytest.mark.parametrize(
    "change",
    [
        lambda trained, tested: (trained + tested[:1], tested),  # a clip of the test subject
        lambda trained, tested: (trained + tested[:1], tested[1:]),
        lambda trained, tested: (trained[1:], tested),
        lambda trained, tested: (["another image", *trained[1:]], tested),
        lambda trained, tested: (trained, tested[::-1]),  # predictions of other clips
        lambda trained, tested: (tested, trained),
    ],
)
def test_a_training_that_saw_other_clips_is_named(change):
    study = make_study()
    seen = leaks.seen(*change(*prints_of(study, 3)))
    changed = with_result(study.trainings[2, 0, 3], seen=seen)
    broken = dataclasses.replace(study, trainings={**study.trainings, (2, 0, 3): changed})
    with pytest.raises(
        InputError, match="configuration 2 saw others in fold 3 of rung 1"
    ) as found:
        leaks.check(broken)
    assert "\n" not in str(found.value)


def test_a_training_that_does_not_say_what_it_saw_is_refused_unless_it_failed():
    study = make_study()
    for outcome in ("failed", "ok"):
        changed = with_result(study.trainings[2, 0, 3], outcome=outcome, seen=None)
        broken = dataclasses.replace(study, trainings={**study.trainings, (2, 0, 3): changed})
        if outcome == "failed":
            leaks.check(broken)
    with pytest.raises(InputError, match="sees every clip but those"):
        leaks.check(broken)


def test_the_order_of_the_training_clips_does_not_matter():
    study = make_study()
    trained, tested = prints_of(study, 0)
    assert leaks.seen(trained[::-1], tested) == leaks.expected(study, 0, 0)


def test_a_ledger_of_another_study_is_one_line():
    study = make_study()
    alien = dataclasses.replace(study.trainings[2, 0, 3], fold=99)
    broken = dataclasses.replace(study, trainings={**study.trainings, (2, 0, 99): alien})
    with pytest.raises(InputError, match="names folds of its study: got fold 99"):
        leaks.check(broken)
    short = dataclasses.replace(study.origin, image_hashes=study.origin.image_hashes[1:])
    with pytest.raises(InputError, match="a study has a hash for each clip"):
        leaks.check(dataclasses.replace(study, origin=short))


@pytest.mark.parametrize("n", [0, 2])
def test_a_clip_that_is_held_out_twice_or_never_is_named(n):
    study = laddered()
    first, second, *others = study.rungs[0]
    clips = first.test_clips[1:] if n == 0 else (*first.test_clips, second.test_clips[0])
    broken = dataclasses.replace(
        study, rungs=((dataclasses.replace(first, test_clips=clips), second, *others), study.folds)
    )
    with pytest.raises(InputError, match=f"is held out {n} times in rung 1 of"):
        leaks.check(broken)
