"""Rivals of the ladder: rules that stop configurations over LOSO folds, and successive halving.

They take the folds of LOSO in the recorded order. A fold's score is its accuracy, because most
folds lack classes. The incumbent and the champion have the best pooled objective among the
configurations that finished every fold; the ladder is measured by the same choice.
"""

from __future__ import annotations

import heapq
import math
import warnings
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from scipy.stats import rankdata, wilcoxon

from benchmarks.replay.predictions import Drawn, Recorded
from dianet_ray.protocol.ladder import EXHAUSTIVE
from dianet_ray.protocol.schedule import Key

Stops = Callable[[int, int, int], bool]
"""Row, number of finished folds, row of the incumbent: is the first to stop?"""

P_THRESHOLD = 0.1
MIN_INSTANCES = 2
"""The defaults of Optuna's WilcoxonPruner."""

MAX_PERMUTED = 13
TIE = 1e-9

HALVING_FACTOR = 3
FIRST_PREFIX = 3


class OneByOne:
    """Each worker trains one configuration, fold after fold, until a rule stops it.

    This is how trials with a pruner run: with many workers, many start before anything is known.
    """

    ladder = EXHAUSTIVE

    def __init__(self, drawn: Drawn, stops: Stops) -> None:
        self._drawn, self._stops = drawn, stops
        self._n_folds = drawn.recorded.n_folds
        self._begun: list[tuple[int, int]] = []  # heap of number and next fold
        self._n_started = 0
        self._best: int | None = None

    def take(self) -> Key | None:
        """Go on with a configuration, or start the next one."""
        if self._begun:
            number, fold = heapq.heappop(self._begun)
            return number, 0, fold
        if self._n_started == len(self._drawn.rows):
            return None
        self._n_started += 1
        return self._n_started - 1, 0, 0

    def finished(self, key: Key) -> None:
        """Stop a configuration, take it as complete, or let it go on."""
        number, _, fold = key
        if fold + 1 == self._n_folds:
            if self._best is None or self._rank(number) < self._rank(self._best):
                self._best = number
        elif self._best is None or not self._is_stopped(number, fold + 1, self._best):
            heapq.heappush(self._begun, (number, fold + 1))

    def champion(self) -> int | None:
        """Choose the best that finished every fold."""
        return self._best

    def n_surplus(self) -> int:
        """Count trainings that nothing reads."""
        return 0

    def _rank(self, number: int) -> tuple[float, int]:
        return -self._drawn.recorded.prefix_scores[self._drawn.rows[number], -1], number

    def _is_stopped(self, number: int, n_folds: int, best: int) -> bool:
        return self._stops(self._drawn.rows[number], n_folds, self._drawn.rows[best])


@dataclass(frozen=True)
class Aggressive:
    """Stop what is on average worse than the incumbent on average over all its folds.

    Bergman, Purucker and Hutter, "Don't Waste Your Time: Early Stopping Cross-Validation",
    AutoML 2024, https://arxiv.org/abs/2405.03389.
    """

    recorded: Recorded

    def __call__(self, row: int, n_folds: int, best: int) -> bool:
        """Compare means."""
        accuracy = self.recorded.accuracy
        return bool(accuracy[row, :n_folds].mean() < accuracy[best].mean())


@dataclass(frozen=True)
class Forgiving:
    """Stop what is on average worse than the incumbent's worst fold (the same paper)."""

    recorded: Recorded

    def __call__(self, row: int, n_folds: int, best: int) -> bool:
        """Compare a mean with a minimum."""
        accuracy = self.recorded.accuracy
        return bool(accuracy[row, :n_folds].mean() < accuracy[best].min())


@dataclass(frozen=True)
class Wilcoxon:
    """The rule of Optuna's WilcoxonPruner, asked after each fold.

    Stop what a one-sided signed-rank test finds worse than the incumbent on the same instances,
    unless its average so far is no worse than the incumbent's over everything. An instance is a
    fold with its accuracy, or with `per_clip` a clip that is predicted right or wrong.
    """

    recorded: Recorded
    per_clip: bool
    _verdicts: dict[tuple[int, int, int], bool] = field(default_factory=dict)

    def __call__(self, row: int, n_folds: int, best: int) -> bool:
        """Test, or remember."""
        key = row, n_folds, best
        if key not in self._verdicts:
            mine, other = self._values(row, n_folds), self._values(best, self.recorded.n_folds)
            self._verdicts[key] = is_worse(mine, other)
        return self._verdicts[key]

    def _values(self, row: int, n_folds: int) -> np.ndarray:
        if not self.per_clip:
            return np.asarray(self.recorded.accuracy[row, :n_folds])
        folds = self.recorded.matrix.rungs["loso"].folds[:n_folds]
        clips = [clip for fold in folds for clip in fold.test_clips]
        return self.recorded.correct[row, clips].astype(float)


def is_worse(mine: np.ndarray, best: np.ndarray) -> bool:
    """Decide as Optuna's WilcoxonPruner does, for values of which more is better.

    Args:
        mine: the values so far, one per instance, (n,).
        best: the incumbent's, of the same instances and then of others, (m >= n,).
    """
    if len(mine) < MIN_INSTANCES or best.mean() <= mine.mean():
        return False
    return _p_value(mine - best[: len(mine)]) < P_THRESHOLD


def _p_value(differences: np.ndarray) -> float:
    """Return scipy's p-value of a signed-rank test for values below zero, zeros split.

    With ties scipy goes through all signs of up to 13 instances, and takes seconds for it.
    """
    sizes, n = np.abs(differences), len(differences)
    if n > MAX_PERMUTED or (sizes.all() and len(np.unique(sizes)) == n):
        with warnings.catch_warnings(action="ignore"):  # all zeros: no spread, p is not a number
            test = wilcoxon(differences, alternative="less", zero_method="zsplit")
        return float(test.pvalue)
    ranks = rankdata(sizes)
    signed = np.where(sizes > 0, ranks, 0.0)
    signs = np.arange(2**n)[:, None] >> np.arange(n) & 1
    return float((signs @ signed <= signed[differences > 0].sum() + TIE).mean())


class Halving:
    """Successive halving: all on a prefix of the folds, the best third on a longer one.

    A stage begins when the one before has ended; its prefixes are 3, 9, 27, ... folds, then all.
    """

    ladder = EXHAUSTIVE

    def __init__(self, drawn: Drawn) -> None:
        self._drawn = drawn
        self._prefixes = prefixes(drawn.recorded.n_folds)
        self._alive = list(range(len(drawn.rows)))
        self._stage, self._n_missing = -1, 0
        self._ready: deque[Key] = deque()
        self._begin()

    def take(self) -> Key | None:
        """Hand out the stage, fold by fold across its configurations."""
        return self._ready.popleft() if self._ready else None

    def finished(self, key: Key) -> None:
        """Begin the next stage after the last training of this one."""
        self._n_missing -= 1
        if self._n_missing == 0 and self._stage + 1 < len(self._prefixes):
            n_kept = max(1, math.floor(len(self._alive) / HALVING_FACTOR))
            self._alive = sorted(self._ranked()[:n_kept])
            self._begin()

    def champion(self) -> int | None:
        """Choose the best of the last stage."""
        return self._ranked()[0]

    def n_surplus(self) -> int:
        """Count trainings that nothing reads."""
        return 0

    def _begin(self) -> None:
        known = self._prefixes[self._stage] if self._stage >= 0 else 0
        self._stage += 1
        folds = range(known, self._prefixes[self._stage])
        self._ready.extend((number, 0, fold) for fold in folds for number in self._alive)
        self._n_missing = len(self._ready)

    def _ranked(self) -> list[int]:
        rows = np.array(self._drawn.rows)[self._alive]
        found = self._drawn.recorded.prefix_scores[rows, self._prefixes[self._stage] - 1]
        return [self._alive[place] for place in np.argsort(-found, kind="stable")]


def prefixes(n_folds: int) -> list[int]:
    """List the folds that each stage of halving has finished.

    >>> prefixes(26)
    [3, 9, 26]
    """
    return [*_powers(n_folds), n_folds]


def _powers(below: int) -> Iterable[int]:
    n = FIRST_PREFIX
    while n < below:
        yield n
        n *= HALVING_FACTOR
