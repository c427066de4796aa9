import dataclasses

import pytest

from dianet_ray.protocol.standing import standing_of
from dianet_ray.report.savings import flow
from tests.support.studies import SECONDS, ending, laddered, make_study, with_result


def test_every_rung_counts_who_reached_it_and_who_was_promoted():
    found = flow(standing_of(laddered(n_configs=8)))
    groups, loso = found.rungs
    assert (groups.partition, groups.folds, groups.reached) == ("groups-3", 3, 8)
    assert (loso.partition, loso.folds, loso.reached) == ("loso", 9, groups.promoted)
    assert sum(groups.states.values()) == groups.reached
    assert loso.promoted == 0
    assert groups.trainings == 8 * 3


def test_exhaustive_search_saves_nothing():
    found = flow(standing_of(make_study(n_subjects=6, n_configs=4)))
    assert [rung.reached for rung in found.rungs] == [4]
    assert found.saved.trainings == 0
    assert found.saved.seconds == pytest.approx(0)


def test_what_was_not_trained_is_priced_by_the_mean_of_the_loso_trainings():
    study = make_study(n_subjects=6, n_configs=4)
    some = {key: t for key, t in study.trainings.items() if key[0] < 3}
    saved = flow(standing_of(dataclasses.replace(study, trainings=some))).saved
    assert saved.trainings == 6
    assert saved.seconds == pytest.approx(6 * SECONDS)


def test_a_training_that_crashed_at_once_makes_no_other_cheaper():
    study = make_study(n_subjects=6, n_configs=4)
    some = {key: t for key, t in study.trainings.items() if key[0] < 3}
    crashed = ending(some[0, 0, 0], "failed", "loss is nan")
    at_once = with_result(crashed, finished_at=crashed.result.started_at)
    saved = flow(standing_of(dataclasses.replace(study, trainings=some | {(0, 0, 0): at_once})))
    assert saved.saved.seconds == pytest.approx(24 * SECONDS - 17 * SECONDS)


def test_before_the_first_loso_training_the_seconds_are_unknown():
    study = laddered()
    lower = {key: t for key, t in study.trainings.items() if key[1] == 0}
    saved = flow(standing_of(dataclasses.replace(study, trainings=lower))).saved
    assert saved.trainings == 8 * 9 - 8 * 3
    assert saved.seconds is None
