"""Scores and comparisons of configurations inside a ladder, from held-out predictions alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from dianet_ray.protocol.folds import Clip, Fold
from dianet_ray.protocol.ladder import Ladder
from dianet_ray.protocol.metrics import scores
from dianet_ray.protocol.predictions import classify, pooled_score
from dianet_ray.settings import derive_seed

N_REPLICATES = 1000

Predictions = Callable[[int, int, int], np.ndarray]
"""Number, rung and fold to the held-out probabilities, (clips of the fold, classes)."""

Memory = dict[Any, Any]
"""What comparisons have found. A value is kept under the identities of the arrays that it was
computed from, and keeps them alive, so one memory serves a study as it grows."""


class Comparing(Protocol):
    """What decisions ask for; a rung's folds count from its first."""

    def score(self, number: int, rung: int, n_folds: int) -> float:
        """Pool the first folds of a rung and score them."""
        ...

    def is_behind(self, number: int, rung: int, n_folds: int, rival: int) -> bool:
        """Compare two configurations on the first folds of a rung."""
        ...


@dataclass(frozen=True, slots=True)
class Pair:
    """Two configurations' predictions on the same N clips.

    `mine`, `rival` and `labels` are (N,) classes, `subjects` (N,) integers from 0. `n_left`
    subjects will still be tested in this rung. `lead` is by how much the first scored more in the
    rungs below.
    """

    mine: np.ndarray
    rival: np.ndarray
    labels: np.ndarray
    subjects: np.ndarray
    n_left: int
    lead: float = 0.0


@dataclass(frozen=True, slots=True)
class Basis:
    """What the configurations of a study are compared on.

    `rungs` are the folds of each rung of `ladder`; `seed` is the study's.
    """

    ladder: Ladder
    rungs: tuple[tuple[Fold, ...], ...]
    clips: tuple[Clip, ...]
    n_classes: int
    objective: str
    seed: int


class Comparison:
    """Compares configurations by pooled objective, and remembers what it has found."""

    def __init__(
        self,
        basis: Basis,
        *,
        predictions: Predictions,
        names: Callable[[int], str],
        memory: Memory | None = None,
    ) -> None:
        """Compare the configurations of a study.

        Args:
            basis: clips, folds and rules.
            predictions: what finished trainings predicted.
            names: a configuration's number to its config_id, which seeds the bootstrap.
            memory: what another comparison of the same study has found.
        """
        self._basis, self._predictions, self._names = basis, predictions, names
        self._labels = np.array([clip.label for clip in basis.clips], dtype=np.int64)
        subjects = np.array([clip.subject for clip in basis.clips])
        self._subjects = np.unique(subjects, return_inverse=True)[1]
        self._memory = {} if memory is None else memory

    def score(self, number: int, rung: int, n_folds: int) -> float:
        """Score the pooled predictions of a rung's first folds: 0..1."""
        found = self._found(number, rung, n_folds)
        key = ("score", rung, n_folds, *map(id, found))
        if key not in self._memory:
            value = pooled_score(
                self._labels[self._clips(rung, n_folds)],
                np.concatenate(found),
                n_classes=self._basis.n_classes,
                objective=self._basis.objective,
            )
            self._memory[key] = value, found
        return float(self._memory[key][0])

    def is_behind(self, number: int, rung: int, n_folds: int, rival: int) -> bool:
        """Say whether a configuration ends a rung behind a rival, as surely as the rung asks."""
        basis = self._basis
        if basis.ladder[rung].drop == "none":
            return False
        mine, other = (self._found(one, rung, n_folds) for one in (number, rival))
        lead = sum(
            self.score(number, below, len(folds)) - self.score(rival, below, len(folds))
            for below, folds in enumerate(basis.rungs[:rung])
        )
        key = ("drop", number, rung, n_folds, lead, *map(id, (*mine, *other)))
        if key not in self._memory:
            verdict = ends_behind(
                self._pair(mine, other, self._clips(rung, n_folds), lead),
                n_classes=basis.n_classes,
                objective=basis.objective,
                confidence=basis.ladder[rung].confidence,
                seed=derive_seed(basis.seed, self._names(number), rung, n_folds),
            )
            self._memory[key] = verdict, (*mine, *other)
        return bool(self._memory[key][0])

    def _pair(
        self, mine: list[np.ndarray], rival: list[np.ndarray], clips: list[int], lead: float
    ) -> Pair:
        tested, subjects = np.unique(self._subjects[clips], return_inverse=True)
        return Pair(
            mine=classify(np.concatenate(mine)),
            rival=classify(np.concatenate(rival)),
            labels=self._labels[clips],
            subjects=subjects,
            n_left=int(self._subjects.max()) + 1 - len(tested),
            lead=lead,
        )

    def _found(self, number: int, rung: int, n_folds: int) -> list[np.ndarray]:
        return [self._predictions(number, rung, fold) for fold in range(n_folds)]

    def _clips(self, rung: int, n_folds: int) -> list[int]:
        folds = self._basis.rungs[rung][:n_folds]
        return [clip for fold in folds for clip in fold.test_clips]


def ends_behind(
    pair: Pair, *, n_classes: int, objective: str, confidence: float, seed: int
) -> bool:
    """Say whether the first of a pair ends the rung behind in most replicates of a bootstrap.

    What is finished stays as it is. A replicate draws the subjects still to be tested from those
    that were. Another model will test them and would predict some clips otherwise, so every clip
    drawn gets a Poisson weight, the same for both configurations. A replicate averages over the
    classes that have clips in it.

    Args:
        pair: the configuration, and the one that it is compared with.
        n_classes: the number of classes that count.
        objective: one of METRICS.
        confidence: the share of replicates that is enough, 0..1.
        seed: of the replicates.
    """
    generator = np.random.default_rng(seed)
    n_subjects = int(pair.subjects.max()) + 1
    drawn = generator.multinomial(
        pair.n_left, np.full(n_subjects, 1 / n_subjects), size=N_REPLICATES
    )
    weights = 1 + drawn[:, pair.subjects] * generator.poisson(
        1.0, size=(N_REPLICATES, len(pair.labels))
    )
    mine_scored, rival_scored = (
        scores(_confusions(pair.labels, predicted, weights, n_classes), present_only=True)[
            objective
        ]
        for predicted in (pair.mine, pair.rival)
    )
    return bool((mine_scored + pair.lead < rival_scored).mean() >= confidence)


def _confusions(
    labels: np.ndarray, predicted: np.ndarray, weights: np.ndarray, n_classes: int
) -> np.ndarray:
    """Weight every clip: (B, N) weights to (B, C, C)."""
    cells = np.zeros((len(labels), n_classes * n_classes))
    cells[np.arange(len(labels)), labels * n_classes + predicted] = 1.0
    return (weights.astype(np.float64) @ cells).reshape(-1, n_classes, n_classes)
