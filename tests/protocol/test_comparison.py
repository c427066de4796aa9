"""Scores and comparisons inside a ladder."""

import numpy as np
import pytest

from dianet_ray.protocol.comparison import Judge
from dianet_ray.protocol.ladder import Rung
from dianet_ray.protocol.predictions import pooled_score
from tests.support.studies import CLASSES, make_clips

LADDER = (Rung(3, keep=0.5, drop="bootstrap"), Rung())


class Case:
    """Three configurations on made-up clips; number 0 answers best, 2 at random."""

    def __init__(self, memo=None, seed=0, ladder=LADDER):
        self.clips = make_clips(9)
        self.labels = np.array([clip.label for clip in self.clips])
        self.rungs = [rung.folds(self.clips, CLASSES, 0) for rung in LADDER]
        rng = np.random.default_rng(1)
        noise = rng.normal(size=(3, 2, len(self.clips), len(CLASSES)))
        truth = np.eye(len(CLASSES))[self.labels]
        self.answers = noise + np.array([6.0, 1.0, 0.0])[:, None, None, None] * truth
        self.found = {
            (n, r, f.index): self.answers[n, r][list(f.test_clips)]
            for n in range(3)
            for r in range(2)
            for f in self.rungs[r]
        }
        self.n_asked = 0
        self.judge = Judge(
            ladder,
            self.rungs,
            labels=self.labels,
            subjects=[clip.subject for clip in self.clips],
            n_classes=len(CLASSES),
            objective="uf1",
            seed=seed,
            answers=lambda *key: self.found[key],
            names=str,
            memo=memo,
        )


def test_a_score_pools_the_first_folds_in_their_order():
    case = Case()
    for rung, folds in enumerate(case.rungs):
        for n in range(1, len(folds) + 1):
            clips = [clip for fold in folds[:n] for clip in fold.test_clips]
            expected = pooled_score(
                case.labels[clips],
                case.answers[1, rung][clips],
                n_classes=len(CLASSES),
                objective="uf1",
            )
            assert case.judge.score(1, rung, n) == expected


def test_the_worst_is_hopeless_against_the_best_and_not_the_other_way_round():
    judge = Case().judge
    assert judge.is_hopeless(2, 0, 2, rival=0)
    assert not judge.is_hopeless(0, 0, 2, rival=2)


def test_a_rung_without_a_rule_drops_nobody():
    assert not Case().judge.is_hopeless(2, 1, 9, rival=0)


def test_in_loso_what_the_rungs_below_gave_counts():
    ladder = (LADDER[0], Rung(drop="bootstrap"))
    assert Case(ladder=ladder).judge.is_hopeless(2, 1, 6, rival=0)
    swapped = Case(ladder=ladder)
    for fold in swapped.rungs[0]:
        best, worst = (0, 0, fold.index), (2, 0, fold.index)
        swapped.found[best], swapped.found[worst] = swapped.found[worst], swapped.found[best]
    assert not swapped.judge.is_hopeless(2, 1, 6, rival=0)


@pytest.mark.parametrize("changed", [0, 2])
def test_what_is_remembered_belongs_to_the_answers_it_came_from(changed):
    memo = {}
    case = Case(memo)
    assert case.judge.is_hopeless(2, 0, 1, rival=0)
    before = case.judge.score(changed, 0, 1)
    swapped = Case(memo)
    first = swapped.rungs[0][0]
    swapped.found[changed, 0, 0] = case.answers[2 - changed, 0][list(first.test_clips)]
    assert swapped.judge.score(changed, 0, 1) != before
    assert not swapped.judge.is_hopeless(2, 0, 1, rival=0)
