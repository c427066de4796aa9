"""What a study's ladder has decided, from its records."""

import dataclasses

from hypothesis import given, settings
from hypothesis import strategies as st

from dianet_ray.protocol.predictions import pooled_score
from dianet_ray.protocol.standing import standing
from dianet_ray.protocol.study import Study
from tests.support.studies import CLASSES, laddered


def score(study: Study, number, rung):
    return pooled_score(
        study.labels(), study.pooled(number, rung), n_classes=len(CLASSES), objective="uf1"
    )


def test_the_best_of_the_first_rung_climb_and_the_best_sum_is_champion():
    study = laddered()
    found = standing(study)
    first = sorted(range(8), key=lambda n: (-score(study, n, 0), n))
    assert [c.number for c in found.complete()] == sorted(first[:2])
    best = max(first[:2], key=lambda n: (score(study, n, 0) + score(study, n, 1), -n))
    assert found.champion().number == best
    assert sorted(set(found.states())) == ["complete", "screened"]


def test_trainings_of_configurations_that_did_not_climb_are_surplus():
    study = laddered()
    found = standing(study)
    climbed = {c.number for c in found.complete()}
    surplus = {key for key, t in study.trainings.items() if found.is_surplus(t)}
    assert surplus == {key for key in study.trainings if key[1] == 1 and key[0] not in climbed}
    assert all(not found.is_surplus(t) for number in range(8) for t in found.needed(number))


def test_what_may_still_climb_is_waiting():
    study = dataclasses.replace(laddered(), n_configs=16)
    assert "screened" not in standing(study).states()
    assert standing(study).champion() is None


FINISHED = laddered()


@settings(max_examples=30)
@given(st.permutations(range(8 * 12)), st.integers(0, 96))
def test_the_order_of_the_records_changes_nothing(order, n_kept):
    study = FINISHED
    items = list(study.trainings.items())
    part = dict(items[i] for i in sorted(order[:n_kept]))
    shuffled = dict(items[i] for i in order[:n_kept])
    one, other = (
        standing(dataclasses.replace(study, trainings=found)) for found in (part, shuffled)
    )
    assert one.states() == other.states()
    assert one.champion() == other.champion()
