"""A recorded matrix prepared for many repetitions: what strategies look up is worked out once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from benchmarks.replay.matrix import Matrix, rung_name
from dianet_ray.protocol.comparison import Basis, Comparison
from dianet_ray.protocol.ladder import EXHAUSTIVE, Ladder
from dianet_ray.protocol.predictions import classify
from dianet_ray.protocol.schedule import Key

OBJECTIVE = "uf1"


@dataclass(frozen=True)
class Recorded:
    """Scores, times and comparisons of a matrix; a row is a configuration in its order."""

    matrix: Matrix
    _comparisons: dict[Ladder, Remembering] = field(default_factory=dict)

    @cached_property
    def labels(self) -> np.ndarray:
        """The true class of every clip, (N,)."""
        return np.array([clip.label for clip in self.matrix.clips])

    @property
    def n_folds(self) -> int:
        """How many subjects are held out one by one."""
        return len(self.matrix.rungs["loso"].folds)

    @cached_property
    def correct(self) -> np.ndarray:
        """Which clips LOSO predicts right at the end of a training, (K, N) bool."""
        ends = self.matrix.rungs["loso"].probabilities[:, -1]
        return np.asarray(classify(ends) == self.labels)

    @cached_property
    def accuracy(self) -> np.ndarray:
        """The accuracy of every LOSO fold, (K, folds).

        The rivals' score of a fold: most folds lack classes, so UF1 says nothing there.
        """
        folds = self.matrix.rungs["loso"].folds
        means = [self.correct[:, list(fold.test_clips)].mean(axis=1) for fold in folds]
        return np.stack(means, axis=1)

    @cached_property
    def prefix_scores(self) -> np.ndarray:
        """The soft pooled objective of the first 1, 2, ... folds, (K, folds)."""
        return self._scores("loso")

    @cached_property
    def scores(self) -> dict[str, np.ndarray]:
        """The soft pooled objective of every recorded rung, by its name, (K,)."""
        return {name: self._scores(name)[:, -1] for name in self.matrix.rungs}

    def _scores(self, name: str) -> np.ndarray:
        """Score the first 1, 2, ... folds of a rung, (K, folds)."""
        comparison = self._comparison_of([name], EXHAUSTIVE)
        n_folds = len(self.matrix.rungs[name].folds)
        return np.array(
            [
                [comparison.score(row, 0, n) for n in range(1, n_folds + 1)]
                for row in range(self.matrix.n_configs)
            ]
        )

    def comparison(self, ladder: Ladder) -> Remembering:
        """Find the comparison of a ladder; repetitions share what it has found."""
        if ladder not in self._comparisons:
            self._comparisons[ladder] = Remembering(
                self._comparison_of(rung_names(ladder), ladder)
            )
        return self._comparisons[ladder]

    def _comparison_of(self, names: Sequence[str], ladder: Ladder) -> Comparison:
        recorded = [self.matrix.rungs[name] for name in names]
        held = [
            [
                [tuple(points) for points in rung.probabilities[:, :, list(fold.test_clips)]]
                for fold in rung.folds
            ]
            for rung in recorded
        ]
        basis = Basis(
            ladder,
            tuple(rung.folds for rung in recorded),
            tuple(self.matrix.clips),
            objective=OBJECTIVE,
            seed=0,
        )
        return Comparison(
            basis, predictions=lambda row, rung, fold: held[rung][fold][row], names=str
        )


@dataclass(frozen=True)
class Remembering:
    """A comparison that remembers what it was asked before."""

    comparison: Comparison
    _found: dict[tuple[int, ...], float | bool] = field(default_factory=dict)

    def score(self, row: int, rung: int, n_folds: int) -> float:
        """Score the first folds of a rung."""
        key = row, rung, n_folds
        if key not in self._found:
            self._found[key] = self.comparison.score(row, rung, n_folds)
        return self._found[key]

    def point_read(self, row: int, rung: int, n_folds: int) -> int:
        """Return the place of the point that is read."""
        return self.comparison.point_read(row, rung, n_folds)

    def is_ahead(self, row: int, rival: int) -> bool:
        """Compare two rows that finished all rungs."""
        return self.comparison.is_ahead(row, rival)

    def is_behind(self, row: int, rung: int, n_folds: int, rival: int) -> bool:
        """Compare two rows on the first folds of a rung."""
        key = row, rung, n_folds, rival
        if key not in self._found:
            self._found[key] = self.comparison.is_behind(row, rung, n_folds, rival)
        return bool(self._found[key])


@dataclass(frozen=True, slots=True)
class Drawn:
    """The configurations of one repetition: number i is row `rows[i]` of the matrix.

    A comparison of these numbers, and the source of their training seconds.
    """

    recorded: Recorded
    rows: Sequence[int]

    def comparison(self, ladder: Ladder) -> DrawnComparison:
        """Compare the drawn configurations by a ladder's rules."""
        return DrawnComparison(self.recorded.comparison(ladder), self.rows)

    def seconds(self, ladder: Ladder) -> SecondsOf:
        """Look up training seconds in the rungs of a ladder."""
        rungs = [self.recorded.matrix.rungs[name].seconds for name in rung_names(ladder)]
        return SecondsOf(rungs, self.rows)

    def winner(self) -> int:
        """Return the number that the exhaustive search chooses."""
        return int(np.argmax(self.recorded.prefix_scores[list(self.rows), -1]))

    def truth(self) -> np.ndarray:
        """Return how good each drawn configuration really is."""
        return self.recorded.matrix.truth[list(self.rows)]


@dataclass(frozen=True, slots=True)
class DrawnComparison:
    """A comparison of the numbers of one repetition."""

    shared: Remembering
    rows: Sequence[int]

    def score(self, number: int, rung: int, n_folds: int) -> float:
        """Score the first folds of a rung."""
        return self.shared.score(self.rows[number], rung, n_folds)

    def point_read(self, number: int, rung: int, n_folds: int) -> int:
        """Return the place of the point that is read."""
        return self.shared.point_read(self.rows[number], rung, n_folds)

    def is_ahead(self, number: int, rival: int) -> bool:
        """Compare two configurations that finished all rungs."""
        return self.shared.is_ahead(self.rows[number], self.rows[rival])

    def is_behind(self, number: int, rung: int, n_folds: int, rival: int) -> bool:
        """Compare two configurations on the first folds of a rung."""
        return self.shared.is_behind(self.rows[number], rung, n_folds, self.rows[rival])


@dataclass(frozen=True, slots=True)
class SecondsOf:
    """The recorded duration of a training."""

    rungs: Sequence[np.ndarray]
    rows: Sequence[int]

    def __call__(self, key: Key) -> float:
        """Look a duration up."""
        number, rung, fold = key
        return float(self.rungs[rung][self.rows[number], fold])


def rung_names(ladder: Ladder) -> list[str]:
    """Name the recorded partitions of a ladder's rungs."""
    return [rung_name(rung.groups, rung.steps) for rung in ladder]
