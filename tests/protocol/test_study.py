"""Records of a study that compute something."""

from dataclasses import replace

import numpy as np

from tests.support.studies import make_study

SPAN = replace(
    make_study().spans[0],
    started_at=100.0,
    stopped_at=200.0,
    n_workers=2,
    changes=((120.0, 4), (150.0, 1)),
)


def test_worker_seconds_follow_the_changes_of_the_cluster():
    assert SPAN.worker_seconds(100.0, 200.0) == 20 * 2 + 30 * 4 + 50 * 1
    assert SPAN.worker_seconds(110.0, 130.0) == 10 * 2 + 10 * 4


def test_worker_seconds_of_two_halves_add_up():
    for moment in (110.0, 120.0, 140.0, 180.0):
        halves = SPAN.worker_seconds(100.0, moment), SPAN.worker_seconds(moment, 200.0)
        assert sum(halves) == SPAN.worker_seconds(100.0, 200.0)


def test_the_clips_of_a_fold_that_is_not_trained_have_no_probabilities():
    study = make_study()
    trainings = {key: t for key, t in study.trainings.items() if key != (1, 0, 2)}
    pooled = replace(study, trainings=trainings).pooled(1)
    missing = np.flatnonzero(np.isnan(pooled).any(axis=1))
    assert missing.tolist() == sorted(study.folds[2].test_clips)
