"""Does a lower rung rank as LOSO does: said by the study itself."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from dianet_ray.protocol.results import Point
from dianet_ray.report import wording
from dianet_ray.report.fidelity import rank_correlation
from tests.support.reports import report_of
from tests.support.studies import CLASSES, laddered, make_study, with_result

SCORES = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=12)


@given(SCORES)
def test_the_rank_correlation_is_that_of_scipy(pairs):
    one, other = zip(*pairs, strict=True)
    found = rank_correlation(one, other)
    if len(set(one)) == 1 or len(set(other)) == 1:
        assert found is None
    else:
        assert found == pytest.approx(spearmanr(one, other).statistic)


def in_groups(study, share_right):
    """The study, with half of the steps in groups, shown at a quarter and at half.

    `share_right(number)` gives the shares of clips that are predicted right at both points.
    """
    trainings = dict(study.trainings)
    for (number, rung, fold), training in study.trainings.items():
        if rung:
            continue
        clips = study.rungs[0][fold].test_clips
        truth = np.array([study.clips[clip].label for clip in clips])
        points = []
        for steps, share in zip((5, 10), share_right(number), strict=True):
            is_right = (np.array(clips) * 7) % 20 < 20 * share
            predicted = np.where(is_right, truth, (truth + 1) % len(CLASSES))
            points.append(Point(steps, np.eye(len(CLASSES), dtype=np.float32)[predicted]))
        trainings[number, rung, fold] = with_result(training, points=tuple(points))
    return dataclasses.replace(study, trainings=trainings)


def test_a_configuration_that_was_still_rising_is_named():
    study = laddered()
    rising = in_groups(study, lambda n: (0.1, 0.6) if n == 2 else (0.8, 0.8 + 0.02 * (n > 3)))
    report = report_of(rising)
    assert report.champion.number != 2
    assert report.fidelity[0].rising == (2,)
    assert any("(number 2) would pass the champion" in line for line in wording.fidelity(report))
    steady = report_of(in_groups(study, lambda n: (0.6, 0.6) if n == 2 else (0.8, 0.82)))
    assert steady.fidelity[0].rising == ()


def test_the_correlation_counts_what_finished_both_rungs():
    study = laddered(n_configs=12)
    report = report_of(study)
    (found,) = report.fidelity
    both = [c for c in report.configs if all(r.scores for r in c.rungs) and len(c.rungs) == 2]
    assert found.n == len(both) >= 3
    ranks = [[c.rungs[rung].scores.uf1 for c in both] for rung in (0, 1)]
    assert found.correlation == pytest.approx(spearmanr(*ranks).statistic)


def test_under_one_rung_nothing_is_compared():
    assert report_of(make_study()).fidelity == ()


def test_a_configuration_that_may_still_be_promoted_is_not_called_left_behind():
    study = in_groups(
        laddered(16), lambda n: (0.1, 0.6) if n == 9 else (0.8, 0.8 + 0.02 * (n in (3, 5)))
    )
    # Of the second wave one configuration has finished the first rung, the others have not begun.
    begun = {k: one for k, one in study.trainings.items() if k[0] < 8 or k[:2] == (9, 0)}
    report = report_of(dataclasses.replace(study, trainings=begun, n_configs=16))
    assert report.configs[9].state == "waiting"
    assert report.fidelity[0].rising == ()
