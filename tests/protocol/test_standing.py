"""What a study's ladder has decided, from its records."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dianet_ray.artefacts import METRICS
from dianet_ray.protocol.metrics import scores
from dianet_ray.protocol.predictions import soft_score
from dianet_ray.protocol.results import TrainingResult
from dianet_ray.protocol.standing import standing_of
from dianet_ray.protocol.study import Study
from tests.support.studies import begun, laddered, make_study, shown_early


def score(study: Study, number, rung):
    return soft_score(study.labels(), study.pooled(number, rung), objective="uf1")


def test_the_best_of_the_first_rung_are_promoted_and_the_best_sum_is_champion():
    study = laddered()
    found = standing_of(study)
    first = sorted(range(8), key=lambda n: (-score(study, n, 0), n))
    assert [c.number for c in found.complete()] == sorted(first[:2])
    best = max(first[:2], key=lambda n: (score(study, n, 0) + score(study, n, 1), -n))
    assert found.champion().number == best
    assert sorted(set(found.states())) == ["complete", "screened"]


def test_trainings_of_configurations_that_were_not_promoted_are_surplus():
    study = laddered()
    found = standing_of(study)
    promoted = {c.number for c in found.complete()}
    surplus = {key for key, t in study.trainings.items() if found.is_surplus(t)}
    assert surplus == {key for key in study.trainings if key[1] == 1 and key[0] not in promoted}
    assert all(not found.is_surplus(t) for number in range(8) for t in found.needed(number))


def test_what_may_still_be_promoted_is_waiting():
    study = dataclasses.replace(laddered(), n_configs=16)
    assert "screened" not in standing_of(study).states()
    assert standing_of(study).champion() is None


FINISHED = laddered()


@settings(max_examples=30)
@given(st.permutations(range(8 * 12)), st.integers(0, 96))
def test_the_order_of_the_records_changes_nothing(order, n_kept):
    study = FINISHED
    items = list(study.trainings.items())
    part = dict(items[i] for i in sorted(order[:n_kept]))
    shuffled = dict(items[i] for i in order[:n_kept])
    one, other = (
        standing_of(dataclasses.replace(study, trainings=found)) for found in (part, shuffled)
    )
    assert one.states() == other.states()
    assert one.champion() == other.champion()


def test_the_champion_has_the_largest_soft_score():
    for objective in METRICS:
        study = make_study(n_configs=6)
        study = dataclasses.replace(
            study, identity=dataclasses.replace(study.identity, objective=objective)
        )
        ranked = [
            soft_score(study.labels(), study.pooled(n), objective=objective) for n in range(6)
        ]
        assert standing_of(study).champion().number == ranked.index(max(ranked))


def test_ties_go_to_the_lower_number():
    study = make_study(n_configs=3)
    same = {
        (number, rung, fold): dataclasses.replace(
            training, result=study.trainings[2, rung, fold].result
        )
        for (number, rung, fold), training in study.trainings.items()
    }
    assert standing_of(dataclasses.replace(study, trainings=same)).champion().number == 0


@pytest.mark.parametrize("outcome", ["failed", "lost", None])
def test_a_configuration_that_is_not_complete_is_never_champion(outcome):
    study = make_study(n_configs=4)
    best = standing_of(study).champion().number
    trainings = dict(study.trainings)
    if outcome is None:
        del trainings[best, 0, 0]
    else:
        ended = TrainingResult(outcome, 0.0, 1.0, error="ValueError: bad")
        trainings[best, 0, 0] = dataclasses.replace(trainings[best, 0, 0], result=ended)
    assert standing_of(dataclasses.replace(study, trainings=trainings)).champion().number != best


def test_without_a_complete_configuration_there_is_no_champion():
    assert standing_of(dataclasses.replace(make_study(), trainings={})).champion() is None


def test_a_score_lies_in_its_interval():
    study = make_study(n_subjects=12)
    found = standing_of(study)
    for number in range(len(study.configurations)):
        one = found.score(number)
        assert one.low < one.value < one.high
        assert str(one) == f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]"


def ended(study, outcomes, error="ValueError: bad\nTraceback"):
    """The study in which every configuration ended in its first fold, with these outcomes."""
    return dataclasses.replace(
        study,
        trainings={
            (number, 0, 0): dataclasses.replace(
                study.trainings[number, 0, 0],
                result=TrainingResult(outcome, 0.0, 1.0, error=error),
            )
            for number, outcome in outcomes.items()
        },
    )


def test_a_study_whose_first_wave_failed_says_why_in_one_line():
    study = make_study(n_configs=3)
    assert {configuration.wave for configuration in study.configurations} == {0}
    found = standing_of(ended(study, {0: "failed", 1: "lost", 2: "failed"}))
    assert found.first_wave_failure().endswith("failed: ValueError: bad")


@pytest.mark.parametrize("outcomes", [{}, {0: "failed", 1: "failed"}], ids=["none", "some"])
def test_a_study_whose_first_wave_still_runs_has_not_failed(outcomes):
    assert standing_of(ended(make_study(n_configs=3), outcomes)).first_wave_failure() == ""


def test_one_training_that_succeeds_keeps_a_study_going():
    study = make_study(n_configs=3)
    failed = ended(study, {0: "failed", 1: "failed", 2: "failed"}).trainings
    trainings = failed | {(2, 0, 1): study.trainings[2, 0, 1]}
    assert standing_of(dataclasses.replace(study, trainings=trainings)).first_wave_failure() == ""


@pytest.mark.parametrize("make", [make_study, laddered])
def test_a_configuration_is_ranked_at_its_best_point(make):
    study = make()
    found = standing_of(shown_early(study, good=1))
    assert found.champion().number == 1
    assert found.steps_read(1) == 10
    assert found.score(1).value == 1.0
    for other in (c.number for c in found.complete() if c.number != 1):
        assert found.steps_read(other) == 20
        assert found.score(other) == standing_of(study).score(other)


# The settings that a space names to begin with


def lead(study, number, rival):
    """How far a configuration is ahead in LOSO, and the jackknife's standard error of that."""
    leads = np.zeros(1 + len({clip.subject for clip in study.clips}))
    for sign, one in ((1, number), (-1, rival)):
        counts = standing_of(study).shared(one, study.loso_rung, study.points(one)[-1])
        left = [np.delete(counts, place, axis=0).sum(axis=0) for place in range(len(counts))]
        scored = scores(np.stack([counts.sum(axis=0), *left]), present_only=True)
        leads += sign * scored[study.objective]
    n, deviations = len(leads) - 1, leads[1:] - leads[1:].mean()
    return leads[0], ((n - 1) / n * (deviations**2).sum()) ** 0.5


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("objective", METRICS)
@pytest.mark.parametrize("make", [make_study, laddered])
def test_others_come_before_the_first_settings_only_where_they_lead_by_a_standard_error(
    make, objective, seed
):
    study = make(seed=seed)
    study = dataclasses.replace(
        study, identity=dataclasses.replace(study.identity, objective=objective)
    )
    by_total = [c.number for c in standing_of(study).ranking]
    first = by_total[-1] if seed % 2 else by_total[len(by_total) // 2]
    known = begun(study, first)
    by_total = [{0: first, first: 0}.get(k, k) for k in by_total]  # they change places
    ahead = [k for k in by_total if k and lead(known, k, 0)[0] > lead(known, k, 0)[1]]
    rest = [k for k in by_total if k and k not in ahead]
    assert [c.number for c in standing_of(known).ranking] == [*ahead, 0, *rest]


def test_only_a_clear_lead_displaces_the_first_settings():
    weak, strong = make_study(20, 2, signal=0), make_study(20, 2, signal=4)
    for first, champion in ((weak, 1), (strong, 0)):
        other = strong if first is weak else weak
        trainings = {
            key: (first if key[0] == 0 else other).trainings[key] for key in strong.trainings
        }
        study = begun(dataclasses.replace(strong, trainings=trainings), 0)
        assert standing_of(study).champion().number == champion
