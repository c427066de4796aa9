import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dianet_ray.errors import InputError
from dianet_ray.protocol.folds import Clip, check_pairs, groups, loso
from tests.support.studies import CLASSES, make_clips


def two_subjects():
    return (
        Clip("casme2/sub01/a", "casme2/sub01", 0),
        Clip("casme2/sub01/b", "casme2/sub01", 1),
        Clip("casme2/sub02/a", "casme2/sub02", 0),
        Clip("casme2/sub02/b", "casme2/sub02", 1),
    )


@st.composite
def clip_lists(draw):
    clips = make_clips(draw(st.integers(2, 12)), seed=draw(st.integers(0, 1000)))
    return draw(st.permutations(clips))


@given(clip_lists(), st.integers(0, 2**40))
def test_every_clip_is_tested_once_and_no_subject_is_on_both_sides(clips, seed):
    folds = loso(clips, CLASSES, seed)
    assert sorted(clip for fold in folds for clip in fold.test_clips) == list(range(len(clips)))
    assert [fold.index for fold in folds] == list(range(len({clip.subject for clip in clips})))
    for fold in folds:
        trained = {c.subject for i, c in enumerate(clips) if i not in fold.test_clips}
        assert trained.isdisjoint(fold.test_subjects)
        assert {clips[i].subject for i in fold.test_clips} == set(fold.test_subjects)


@given(clip_lists(), st.randoms(use_true_random=False), st.integers(0, 10))
def test_which_clips_a_fold_holds_does_not_depend_on_the_order_of_the_rows(clips, random, seed):
    shuffled = list(clips)
    random.shuffle(shuffled)

    def named(rows):
        return [
            (fold.index, fold.test_subjects, {rows[i].clip_id for i in fold.test_clips})
            for fold in loso(rows, CLASSES, seed)
        ]

    assert named(clips) == named(shuffled)


@given(clip_lists(), st.integers(0, 10))
def test_a_fold_lists_its_clips_in_the_order_of_the_rows(clips, seed):
    for fold in loso(clips, CLASSES, seed):
        assert list(fold.test_clips) == sorted(fold.test_clips)


def test_the_seed_decides_the_order_of_the_subjects():
    clips = make_clips(12)
    orders = {tuple(f.test_subjects for f in loso(clips, CLASSES, seed)) for seed in range(5)}
    assert len(orders) == 5
    assert loso(clips, CLASSES, 3) == loso(clips, CLASSES, 3)


def test_labels_do_not_change_the_folds():
    clips = make_clips(8)
    others = [dataclasses.replace(c, label=(c.label + 1) % len(CLASSES)) for c in clips]
    assert loso(clips, CLASSES, 0) == loso(others, CLASSES, 0)


@pytest.mark.parametrize(
    ("drop", "found"),
    [
        ({"casme2/sub02/b"}, r"sad has 1 \(casme2/sub01\)"),
        ({"casme2/sub01/b", "casme2/sub02/b"}, r"sad has 0 \(none\)"),
    ],
)
def test_a_class_of_one_subject_in_loso_is_refused_by_name(drop, found):
    clips = [clip for clip in two_subjects() if clip.clip_id not in drop]
    with pytest.raises(InputError, match=f"at least 2 subjects: {found}"):
        loso(clips, ("glad", "sad"), 0)


@st.composite
def crowds(draw):
    clips = make_clips(draw(st.integers(6, 30)), seed=draw(st.integers(0, 1000)))
    return draw(st.permutations(clips)), draw(st.integers(2, 5)), draw(st.integers(0, 2**40))


@settings(max_examples=40)
@given(crowds())
def test_groups_test_every_clip_once_and_split_no_subject(crowd):
    clips, n, seed = crowd
    folds = groups(clips, CLASSES, seed, n)
    assert [fold.index for fold in folds] == list(range(n))
    assert sorted(clip for fold in folds for clip in fold.test_clips) == list(range(len(clips)))
    held_out = [subject for fold in folds for subject in fold.test_subjects]
    assert sorted(held_out) == sorted({clip.subject for clip in clips})
    for fold in folds:
        assert {clips[i].subject for i in fold.test_clips} == set(fold.test_subjects)
        assert list(fold.test_clips) == sorted(fold.test_clips)


@settings(max_examples=40)
@given(crowds(), st.randoms(use_true_random=False))
def test_groups_do_not_depend_on_the_order_of_the_rows(crowd, random):
    clips, n, seed = crowd
    shuffled = list(clips)
    random.shuffle(shuffled)
    before, after = (
        [fold.test_subjects for fold in groups(rows, CLASSES, seed, n)]
        for rows in (clips, shuffled)
    )
    assert before == after


@settings(max_examples=40)
@given(crowds())
def test_every_class_is_in_two_groups_and_groups_are_balanced(crowd):
    clips, n, seed = crowd
    folds = groups(clips, CLASSES, seed, n)
    sizes = [len(fold.test_clips) for fold in folds]
    largest = max(sum(c.subject == name for c in clips) for name in {c.subject for c in clips})
    assert max(sizes) - min(sizes) <= largest
    for label in range(len(CLASSES)):
        assert sum(any(clips[i].label == label for i in f.test_clips) for f in folds) >= 2


def test_the_seed_decides_who_is_in_a_group():
    clips = make_clips(12)
    found = {tuple(f.test_subjects for f in groups(clips, CLASSES, s, 3)) for s in range(5)}
    assert len(found) > 1


def test_more_groups_than_subjects_are_refused():
    with pytest.raises(InputError, match="9 groups of subjects need 9 subjects: got 8"):
        groups(make_clips(8), CLASSES, 0, 9)


def test_a_class_of_one_subject_is_refused_by_name():
    clips = [c for c in make_clips(8) if c.label != 2 or c.subject == "casme2/sub03"]
    with pytest.raises(InputError, match="surprise has 1"):
        groups(clips, CLASSES, 0, 3)


def test_a_class_that_no_deal_puts_into_two_groups_is_refused_by_name():
    """Three subjects in two groups: the second one, who shows both classes, joins another."""
    counts = [(0, 3), (1, 1), (3, 0)]  # clips of each class, by subject
    clips = [
        Clip(f"{subject}-{label}-{n}", str(subject), label)
        for subject, of_class in enumerate(counts)
        for label in range(2)
        for n in range(of_class[label])
    ]
    with pytest.raises(InputError, match="at least two of 2 groups: glad"):
        groups(clips, ("glad", "sad"), 0, 2)


def test_pairs_need_a_third_subject_of_every_class():
    clips = [Clip(f"{s}{c}", f"s{s}", c) for s in range(3) for c in range(2)]
    check_pairs(clips, ("a", "b"))
    with pytest.raises(
        InputError, match=r"a class of a nested study needs at least 3 subjects: b"
    ):
        check_pairs(
            [clip for clip in clips if (clip.subject, clip.label) != ("s2", 1)], ("a", "b")
        )
