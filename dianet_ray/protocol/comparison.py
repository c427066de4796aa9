"""Scores and comparisons of configurations inside a ladder, from held-out answers alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from dianet_ray.protocol.droppers import DROPPERS, Pair
from dianet_ray.protocol.ladder import Ladder
from dianet_ray.protocol.predictions import classify, pooled_score
from dianet_ray.protocol.study import Fold
from dianet_ray.settings import derive_seed

Answers = Callable[[int, int, int], np.ndarray]
"""Number, rung and fold to the held-out probabilities, (clips of the fold, classes)."""


class Judging(Protocol):
    """What the race asks of a judge; a rung's folds count from its first."""

    def score(self, number: int, rung: int, n_folds: int) -> float:
        """Pool the first folds of a rung and score them."""
        ...

    def is_hopeless(self, number: int, rung: int, n_folds: int, rival: int) -> bool:
        """Compare two configurations on the first folds of a rung."""
        ...


class Judge:
    """Judges by pooled objective; what it has found it remembers in `memo`.

    A remembered value belongs to the arrays it was computed from, and keeps them, so a memo can
    be shared by judges of a study that grows.
    """

    def __init__(  # noqa: PLR0913 - clips, people and rules of a whole study
        self,
        ladder: Ladder,
        rungs: Sequence[Sequence[Fold]],
        *,
        labels: np.ndarray,
        subjects: Sequence[str],
        n_classes: int,
        objective: str,
        seed: int,
        answers: Answers,
        names: Callable[[int], str],
        memo: dict[Any, Any] | None = None,
    ) -> None:
        """Judge the configurations of a study.

        Args:
            ladder: whose rungs say how to drop.
            rungs: the folds of each of them.
            labels: true classes, (N,) integers.
            subjects: who is seen in each clip.
            n_classes: the number of classes that count.
            objective: one of METRICS.
            seed: the study seed.
            answers: what finished trainings answered.
            names: a configuration's number to its config_id, which seeds comparisons.
            memo: what another judge of the same study found.
        """
        self._ladder, self._rungs = ladder, rungs
        self._labels, self._n_classes, self._objective = labels, n_classes, objective
        self._subjects = np.unique(np.array(subjects), return_inverse=True)[1]
        self._seed, self._answers, self._names = seed, answers, names
        self._memo = {} if memo is None else memo

    def score(self, number: int, rung: int, n_folds: int) -> float:
        """Score the pooled answers of a rung's first folds: 0..1."""
        found = self._found(number, rung, n_folds)
        key = ("score", rung, n_folds, *map(id, found))
        if key not in self._memo:
            clips = self._clips(rung, n_folds)
            value = pooled_score(
                self._labels[clips],
                np.concatenate(found),
                n_classes=self._n_classes,
                objective=self._objective,
            )
            self._memo[key] = value, found
        return float(self._memo[key][0])

    def is_hopeless(self, number: int, rung: int, n_folds: int, rival: int) -> bool:
        """Ask the rung's dropper whether a configuration is hopeless against a rival."""
        rule = self._ladder[rung].drop
        if rule == "none":
            return False
        mine, other = (self._found(one, rung, n_folds) for one in (number, rival))
        lead = sum(
            self.score(number, below, len(folds)) - self.score(rival, below, len(folds))
            for below, folds in enumerate(self._rungs[:rung])
        )
        key = ("drop", number, rung, n_folds, lead, *map(id, (*mine, *other)))
        if key not in self._memo:
            clips = self._clips(rung, n_folds)
            people, subjects = np.unique(self._subjects[clips], return_inverse=True)
            pair = Pair(
                mine=classify(np.concatenate(mine)),
                rival=classify(np.concatenate(other)),
                labels=self._labels[clips],
                subjects=subjects,
                n_left=int(self._subjects.max()) + 1 - len(people),
                lead=lead,
            )
            verdict = DROPPERS[rule](
                pair,
                n_classes=self._n_classes,
                objective=self._objective,
                confidence=self._ladder[rung].confidence,
                seed=derive_seed(self._seed, self._names(number), rung, n_folds),
            )
            self._memo[key] = verdict, (*mine, *other)
        return bool(self._memo[key][0])

    def _found(self, number: int, rung: int, n_folds: int) -> list[np.ndarray]:
        return [self._answers(number, rung, fold) for fold in range(n_folds)]

    def _clips(self, rung: int, n_folds: int) -> list[int]:
        return [clip for fold in self._rungs[rung][:n_folds] for clip in fold.test_clips]
