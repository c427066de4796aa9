"""Scores and comparisons inside a ladder."""

import numpy as np
import pytest
from scipy.special import softmax

from dianet_ray.protocol.comparison import Basis, Comparison
from dianet_ray.protocol.ladder import Rung
from dianet_ray.protocol.predictions import soft_score
from tests.support.studies import CLASSES, make_clips

LADDER = (Rung(3, keep=0.5, drop="bootstrap"), Rung())


class Case:
    """Three configurations on made-up clips; number 0 predicts best, 2 at random."""

    def __init__(self, memory=None, seed=0, ladder=LADDER):
        self.clips = make_clips(9)
        self.labels = np.array([clip.label for clip in self.clips])
        self.rungs = [rung.folds(self.clips, CLASSES, 0) for rung in LADDER]
        rng = np.random.default_rng(1)
        noise = rng.normal(size=(3, 2, len(self.clips), len(CLASSES)))
        truth = np.eye(len(CLASSES))[self.labels]
        logits = noise + np.array([6.0, 1.0, 0.0])[:, None, None, None] * truth
        self.predictions = softmax(logits, axis=-1)
        self.found = {
            (n, r, f.index): self.predictions[n, r][list(f.test_clips)]
            for n in range(3)
            for r in range(2)
            for f in self.rungs[r]
        }
        self.n_asked = 0
        self.basis = Basis(ladder, tuple(self.rungs), self.clips, "uf1", seed)
        self.comparison = Comparison(
            self.basis, predictions=lambda *key: (self.found[key],), names=str, memory=memory
        )


def test_a_score_pools_the_first_folds_in_their_order():
    case = Case()
    for rung, folds in enumerate(case.rungs):
        for n in range(1, len(folds) + 1):
            clips = [clip for fold in folds[:n] for clip in fold.test_clips]
            expected = soft_score(
                case.labels[clips], case.predictions[1, rung][clips], objective="uf1"
            )
            assert case.comparison.score(1, rung, n) == expected


def test_a_configuration_is_read_at_the_point_that_is_best_over_all_folds():
    """No fold chooses a point for itself: on the first one another point is best."""
    case = Case()
    points = {
        (n, r, f): (found if f == 0 else 1 - found, found, 1 - found)
        for (n, r, f), found in case.found.items()
    }
    comparison = Comparison(case.basis, predictions=lambda *key: points[key], names=str)
    assert comparison.point_read(0, 0, 3) == 1
    assert comparison.score(0, 0, 3) == case.comparison.score(0, 0, 3)
    assert comparison.curve(0, 0, 3)[1] == comparison.score(0, 0, 3)
    # Of equal points the earliest counts: the shorter training.
    assert comparison.point_read(0, 0, 1) == 0


def test_the_worst_is_hopeless_against_the_best_and_not_the_other_way_round():
    comparison = Case().comparison
    assert comparison.is_behind(2, 0, 2, rival=0)
    assert not comparison.is_behind(0, 0, 2, rival=2)


def test_a_rung_without_a_rule_drops_nobody():
    assert not Case().comparison.is_behind(2, 1, 9, rival=0)


def test_in_loso_what_the_rungs_below_gave_counts():
    ladder = (LADDER[0], Rung(drop="bootstrap"))
    assert Case(ladder=ladder).comparison.is_behind(2, 1, 6, rival=0)
    swapped = Case(ladder=ladder)
    for fold in swapped.rungs[0]:
        best, worst = (0, 0, fold.index), (2, 0, fold.index)
        swapped.found[best], swapped.found[worst] = swapped.found[worst], swapped.found[best]
    assert not swapped.comparison.is_behind(2, 1, 6, rival=0)


def test_what_is_remembered_is_not_computed_again():
    memory = {}
    first, second = Case(memory), Case(memory)
    second.found = first.found
    verdict = first.comparison.is_behind(2, 0, 2, rival=0)
    n_known = len(memory)
    assert second.comparison.is_behind(2, 0, 2, rival=0) == verdict
    assert len(memory) == n_known


@pytest.mark.parametrize("changed", [0, 2])
def test_what_is_remembered_belongs_to_the_predictions_it_came_from(changed):
    memory = {}
    case = Case(memory)
    assert case.comparison.is_behind(2, 0, 1, rival=0)
    before = case.comparison.score(changed, 0, 1)
    swapped = Case(memory)
    first = swapped.rungs[0][0]
    swapped.found[changed, 0, 0] = case.predictions[2 - changed, 0][list(first.test_clips)]
    assert swapped.comparison.score(changed, 0, 1) != before
    assert not swapped.comparison.is_behind(2, 0, 1, rival=0)


def test_who_is_ahead_is_decided_by_loso_alone():
    case = Case()
    for fold in case.rungs[0]:
        best, worst = (0, 0, fold.index), (2, 0, fold.index)
        case.found[best], case.found[worst] = case.found[worst], case.found[best]
    assert case.comparison.is_ahead(0, 2)
    assert not case.comparison.is_ahead(2, 0)
    assert not case.comparison.is_ahead(0, 0)
