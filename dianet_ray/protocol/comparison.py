"""Score and compare configurations inside a ladder, from their held-out predictions alone.

All scores here are soft: docs/decisions.md: Soft scores choose.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from dianet_ray.protocol.choosing import first_rule, point_read
from dianet_ray.protocol.folds import Clip, Fold
from dianet_ray.protocol.ladder import Ladder
from dianet_ray.protocol.metrics import scores
from dianet_ray.protocol.predictions import shares, soft_score
from dianet_ray.settings import derive_seed

N_REPLICATES = 1000
CHUNK = 100
"""Replicates between two checks whether those that are left can change the verdict."""

Predictions = Callable[[int, int, int], tuple[np.ndarray, ...]]
"""From number, rung and fold to the held-out probabilities at each point of the training, in
order, each (clips of the fold, classes). All trainings of a configuration in a rung have the same
points."""

Memory = dict[Any, Any]
"""Results by the identities of the arrays that they were computed from. A result keeps its arrays
alive, so that identities stay unique. One memory may serve a study as it grows."""


class Comparing(Protocol):
    """What decisions ask of predictions: scores and comparisons on the first folds of a rung."""

    def score(self, number: int, rung: int, n_folds: int) -> float:
        """Score a configuration on the first folds of a rung, pooled, where it is read: 0..1."""
        ...

    def point_read(self, number: int, rung: int, n_folds: int) -> int:
        """Return the place of the point at which it is read: the last, unless one is better."""
        ...

    def is_behind(self, number: int, rung: int, n_folds: int, rival: int) -> bool:
        """Say whether a configuration is expected to end a rung behind a rival."""
        ...

    def is_ahead(self, number: int, rival: int) -> bool:
        """Say whether a configuration ended LOSO clearly ahead of a rival."""
        ...


@dataclass(frozen=True, slots=True)
class Pair:
    """Predictions of a configuration (`mine`) and of its rival on the same N clips.

    `mine` and `rival` are (N, C) shares, `labels` (N,) classes, `subjects` (N,) integers from 0.
    `n_left` subjects will still be tested in this rung. `lead` is the configuration's total score
    in the rungs below, less the rival's.
    """

    mine: np.ndarray
    rival: np.ndarray
    labels: np.ndarray
    subjects: np.ndarray
    n_left: int
    lead: float = 0.0


@dataclass(frozen=True, slots=True)
class Basis:
    """Everything but predictions that comparisons in a study depend on.

    `rungs` holds the folds of each rung of `ladder`; `seed` is the study's.
    """

    ladder: Ladder
    rungs: tuple[tuple[Fold, ...], ...]
    clips: tuple[Clip, ...]
    objective: str
    seed: int


class Comparison:
    """Compares configurations by their soft pooled objective, each pair of predictions once."""

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
            predictions: gives the probabilities of a finished training, the same array each time.
            names: gives a configuration's config_id, which seeds the bootstrap.
            memory: results that other comparisons of the same study share.
        """
        self._basis, self._predictions, self._names = basis, predictions, names
        self._labels = np.array([clip.label for clip in basis.clips], dtype=np.int64)
        subjects = np.array([clip.subject for clip in basis.clips])
        self._subjects = np.unique(subjects, return_inverse=True)[1]
        self._memory = {} if memory is None else memory

    def score(self, number: int, rung: int, n_folds: int) -> float:
        """Score a configuration on the first folds of a rung, pooled, where it is read: 0..1."""
        return self._score(self._read(number, rung, n_folds), rung)

    def point_read(self, number: int, rung: int, n_folds: int) -> int:
        """Return the place of the point at which it is read: the last, unless one is better."""
        points = self._found(number, rung, n_folds)
        if len(points) == 1:
            return 0
        key = ("point", rung, *(id(one) for point in points for one in point))
        if key not in self._memory:
            counts = self._counts(points, rung)
            self._memory[key] = point_read(counts, self._basis.objective), points
        return int(self._memory[key][0])

    def curve(self, number: int, rung: int, n_folds: int) -> tuple[float, ...]:
        """Score a configuration on the first folds of a rung, pooled, at each of its points."""
        return tuple(self._score(found, rung) for found in self._found(number, rung, n_folds))

    def _score(self, found: Sequence[np.ndarray], rung: int) -> float:
        # Arrays have no hash. The value holds them, so no other array can take their ids.
        key = ("score", rung, *map(id, found))
        if key not in self._memory:
            value = soft_score(
                self._labels[self._clips(rung, len(found))],
                np.concatenate(found),
                objective=self._basis.objective,
            )
            self._memory[key] = value, found
        return float(self._memory[key][0])

    def is_behind(self, number: int, rung: int, n_folds: int, rival: int) -> bool:
        """Say whether a configuration ends a rung behind a rival, by the rung's confidence."""
        basis = self._basis
        if basis.ladder[rung].drop == "none":
            return False
        mine, other = (self._read(one, rung, n_folds) for one in (number, rival))
        lead = sum(
            self.score(number, below, len(folds)) - self.score(rival, below, len(folds))
            for below, folds in enumerate(basis.rungs[:rung])
        )
        key = ("drop", number, rung, n_folds, lead, *map(id, (*mine, *other)))
        if key not in self._memory:
            verdict = ends_behind(
                self._pair(mine, other, self._clips(rung, n_folds), lead),
                objective=basis.objective,
                confidence=basis.ladder[rung].confidence,
                seed=derive_seed(basis.seed, self._names(number), rung, n_folds),
            )
            self._memory[key] = verdict, (*mine, *other)
        return bool(self._memory[key][0])

    def is_ahead(self, number: int, rival: int) -> bool:
        """Say whether a configuration is clearly ahead of a rival, as of the first settings.

        Both have finished the last rung, and it alone counts: with fewer steps, or other subjects
        to learn from, fast learners lead.
        """
        rung = len(self._basis.rungs) - 1
        n_folds = len(self._basis.rungs[rung])
        mine, other = (self._read(one, rung, n_folds) for one in (number, rival))
        key = ("ahead", *map(id, (*mine, *other)))
        if key not in self._memory:
            counts = self._counts((mine, other), rung)
            objective = self._basis.objective
            scored = scores(counts.sum(axis=1), present_only=True)[objective]
            (chosen,) = first_rule(counts, objective, 1).choose(scored[None])
            self._memory[key] = chosen == 0, (*mine, *other)
        return bool(self._memory[key][0])

    def _counts(self, several: Sequence[Sequence[np.ndarray]], rung: int) -> np.ndarray:
        """Sum the shares of K predictions of the first folds by subject, (K, tested, C, C)."""
        clips = self._clips(rung, len(several[0]))
        tested, places = np.unique(self._subjects[clips], return_inverse=True)
        shared = shares(np.stack([np.concatenate(found) for found in several]))
        n_classes = shared.shape[-1]
        counts = np.zeros((len(several), len(tested), n_classes, n_classes), dtype=np.int64)
        rows = np.arange(len(several))[:, None]
        np.add.at(counts, (rows, places, self._labels[clips]), shared)
        return counts

    def _read(self, number: int, rung: int, n_folds: int) -> tuple[np.ndarray, ...]:
        """Return the predictions of the first folds at the point that they are read at."""
        return self._found(number, rung, n_folds)[self.point_read(number, rung, n_folds)]

    def _pair(
        self,
        mine: Sequence[np.ndarray],
        rival: Sequence[np.ndarray],
        clips: list[int],
        lead: float,
    ) -> Pair:
        # Numbered anew from 0, because replicates draw from the tested subjects alone.
        tested, subjects = np.unique(self._subjects[clips], return_inverse=True)
        return Pair(
            mine=shares(np.concatenate(mine)),
            rival=shares(np.concatenate(rival)),
            labels=self._labels[clips],
            subjects=subjects,
            n_left=int(self._subjects.max()) + 1 - len(tested),
            lead=lead,
        )

    def _found(self, number: int, rung: int, n_folds: int) -> list[tuple[np.ndarray, ...]]:
        """Return the predictions of the first folds, for each point."""
        folds = [self._predictions(number, rung, fold) for fold in range(n_folds)]
        return list(zip(*folds, strict=True))

    def _clips(self, rung: int, n_folds: int) -> list[int]:
        folds = self._basis.rungs[rung][:n_folds]
        return [clip for fold in folds for clip in fold.test_clips]


def ends_behind(pair: Pair, *, objective: str, confidence: float, seed: int) -> bool:
    """Say whether the first of a pair ends the rung behind in most replicates of a bootstrap.

    A replicate keeps the subjects that are tested and draws those that are not from them, with
    replacement. Other models will test those, and will predict some clips differently: every drawn
    clip therefore gets a Poisson(1) weight, the same for both configurations. The scores of a
    replicate average over the classes that have clips in it. Few subjects tell little of how much
    subjects differ: replicates spread as Student's t with one degree of freedom less than there
    are tested subjects, and one subject alone shows nothing.
    docs/decisions.md: Drop confidence, First look in LOSO.

    Args:
        pair: the configuration and its rival.
        objective: one of METRICS.
        confidence: the share of replicates that is enough, 0..1.
        seed: seeds the replicates.
    """
    generator = np.random.default_rng(seed)
    n_subjects = int(pair.subjects.max()) + 1
    if n_subjects < 2:
        return False
    so_far = _ahead(pair, np.ones((1, len(pair.labels)), dtype=np.int64), objective)
    drawn = generator.multinomial(
        pair.n_left, np.full(n_subjects, 1 / n_subjects), size=N_REPLICATES
    )
    # A bootstrap's variance is (n - 1) / n of the unbiased one, whose estimate is chi-squared.
    spread = np.sqrt(n_subjects / generator.chisquare(n_subjects - 1, size=N_REPLICATES))
    n_behind = 0
    # Weights come row by row from one stream, so stopping early changes no replicate before it.
    for first in range(0, N_REPLICATES, CHUNK):
        rows = drawn[first : first + CHUNK, pair.subjects]
        weights = 1 + rows * generator.poisson(1.0, size=rows.shape)
        ahead = _ahead(pair, weights, objective)
        n_behind += int((so_far + spread[first : first + CHUNK] * (ahead - so_far) < 0).sum())
        most = n_behind + N_REPLICATES - first - len(rows)
        if n_behind / N_REPLICATES >= confidence or most / N_REPLICATES < confidence:
            break
    return n_behind / N_REPLICATES >= confidence


def _ahead(pair: Pair, weights: np.ndarray, objective: str) -> np.ndarray:
    """Return how far the first of a pair is ahead in each row of weights (B, N): (B,)."""
    scored = scores(_confusions(pair, weights), present_only=True)[objective]
    ahead: np.ndarray = scored[:, 0] + pair.lead - scored[:, 1]
    return ahead


def _confusions(pair: Pair, weights: np.ndarray) -> np.ndarray:
    """Sum weighted shares: (B, N) integers to (B, 2, C, C), for the first and its rival."""
    n_classes = pair.mine.shape[1]
    # Sorted by label, a row of the matrix is a stretch of clips. A matrix product would count as
    # fast, but its threads get in the way of the trainings.
    order = np.argsort(pair.labels, kind="stable")
    present, starts = np.unique(pair.labels[order], return_index=True)
    both = np.stack([pair.mine, pair.rival], axis=1)[order]  # (N, 2, C)
    counts = np.zeros((len(weights), 2, n_classes, n_classes), dtype=np.int64)
    weighted = weights[:, order, None, None] * both
    counts[:, :, present] = np.add.reduceat(weighted, starts, axis=1).swapaxes(1, 2)
    return counts
