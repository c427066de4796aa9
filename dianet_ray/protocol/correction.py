"""Correct the champion's score for having been chosen.

The best of many scores on the same subjects is optimistic. BBC-CV (bootstrap bias corrected
cross-validation) repeats the choice on resampled subjects and scores the chosen configuration on
the subjects left out. It needs predictions alone, no further training.
docs/decisions.md: Correcting for the search.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np

from dianet_ray.artefacts import METRICS, Record
from dianet_ray.protocol.metrics import scores
from dianet_ray.protocol.predictions import Interval, quantiles
from dianet_ray.settings import derive_seed


@dataclass(frozen=True, slots=True)
class Corrected(Record):
    """A score, or a difference of scores, without the optimism of choosing the best.

    `ci95` is its 95 % interval.
    """

    estimate: float
    ci95: Interval


class Choices:
    """The choice, repeated on resampled subjects (BBC-CV over subjects).

    Each replicate draws subjects with replacement, chooses the configuration with the best mean
    score over all rungs on them (ties to the lower number), each rung read at the point that is
    best on them, and scores it, in LOSO, on the subjects that were not drawn. Replicates that
    drew every subject are skipped. Reference: Tsamardinos, Greasidou and Borboudakis 2018,
    https://doi.org/10.1007/s10994-018-5714-4.

    Under a ladder only promoted configurations have LOSO predictions. They were promoted for
    their predictions on all subjects, those left out included. `_optimism` estimates what that
    adds to a score, and is subtracted. Dropped configurations cannot be chosen.
    docs/decisions.md: Correction under the ladder.

    Args:
        rungs: for each rung, the configurations that finished it, in number order, with
            (points, S, C, C) counts per subject. The last rung is LOSO. It has at least one
            configuration and two subjects.
        objective: the metric that chooses, one of METRICS.
        seed: the study seed.
        n: number of replicates.
    """

    def __init__(
        self,
        rungs: Sequence[Mapping[int, np.ndarray]],
        objective: str,
        *,
        seed: int,
        n: int = 1000,
    ) -> None:
        n_subjects = next(iter(rungs[-1].values())).shape[1]
        generator = np.random.default_rng(derive_seed(seed, "corrected"))
        drawn = generator.multinomial(n_subjects, np.full(n_subjects, 1 / n_subjects), size=n)
        drawn = drawn[(drawn == 0).any(axis=1)]  # else no subject is left out to score on
        bagged = [_Bagged.of(found, drawn, objective) for found in rungs]
        means = list(accumulate(bagged, _Bagged.joined))
        winners = means[-1].best(objective)
        self._loso = bagged[-1]
        self._scores = {}  # of the chosen ones on the subjects left out, by metric: (B,)
        for metric in METRICS:
            values = self._loso.at(winners, metric)
            for mean, above in pairwise(means):
                values = values - _optimism(mean, above.numbers, self._loso, objective, metric)
            self._scores[metric] = values

    def score(self) -> dict[str, Corrected]:
        """Return, for each of METRICS, the mean of the replicates' scores and their interval."""
        # A difference of estimates may leave the range of a score.
        return {m: _summed_up(values.clip(0.0, 1.0)) for m, values in self._scores.items()}

    def gain(self, reference: int) -> dict[str, Corrected]:
        """Do the same for the scores less those of a configuration that finished LOSO.

        Both are scored on the same subjects left out. The reference was chosen by nothing.
        """
        (place,) = self._loso.places([reference])
        return {
            metric: _summed_up((values - self._loso.outside[metric][:, place]).clip(-1.0, 1.0))
            for metric, values in self._scores.items()
        }


def _summed_up(values: np.ndarray) -> Corrected:
    return Corrected(float(values.mean()), quantiles(values))


@dataclass(frozen=True, slots=True)
class _Bagged:
    """Scores of K configurations, by metric, averaged over `n_rungs` rungs.

    `whole` (K,): on all subjects. `inside` (B, K): on the subjects that each of B replicates drew.
    `outside` (B, K): on the subjects that it did not draw.
    """

    numbers: tuple[int, ...]
    whole: dict[str, np.ndarray]
    inside: dict[str, np.ndarray]
    outside: dict[str, np.ndarray]
    n_rungs: int = 1

    @classmethod
    def of(cls, found: Mapping[int, np.ndarray], drawn: np.ndarray, objective: str) -> _Bagged:
        """Score a rung's configurations, (P, S, C, C) counts each, on (B, S) drawn subjects.

        Each is read at its best point on the subjects drawn: the points are a choice as well.
        """
        everyone = np.ones((1, drawn.shape[1]))
        columns = []
        for counts in found.values():
            whole, inside, outside = (
                _weighted(counts, weights) for weights in (everyone, drawn, drawn == 0)
            )
            best = inside[objective].argmax(axis=1)
            column = _at(whole, whole[objective].argmax(axis=1))
            columns.append((column, _at(inside, best), _at(outside, best)))
        whole, inside, outside = (
            {m: np.stack([one[m] for one in part], axis=1) for m in METRICS}
            for part in zip(*columns, strict=True)
        )
        return cls(tuple(found), {m: whole[m][0] for m in METRICS}, inside, outside)

    def places(self, numbers: Sequence[int]) -> list[int]:
        """Return the columns of some configurations."""
        return [self.numbers.index(number) for number in numbers]

    def joined(self, above: _Bagged) -> _Bagged:
        """Average with the next rung, for the configurations that finished it."""
        places, n = self.places(above.numbers), self.n_rungs

        def mean(
            mine: dict[str, np.ndarray], others: dict[str, np.ndarray]
        ) -> dict[str, np.ndarray]:
            return {m: (n * mine[m][..., places] + others[m]) / (n + 1) for m in METRICS}

        return _Bagged(
            above.numbers,
            mean(self.whole, above.whole),
            mean(self.inside, above.inside),
            mean(self.outside, above.outside),
            n + 1,
        )

    def best(self, objective: str, among: Sequence[int] | None = None) -> np.ndarray:
        """Return each replicate's best configuration on the subjects drawn: (B,) columns."""
        places = np.array(self.places(self.numbers if among is None else among))
        return np.asarray(places[np.argmax(self.inside[objective][:, places], axis=1)])

    def at(self, places: np.ndarray, metric: str) -> np.ndarray:
        """Return scores on the subjects left out, for one column per replicate: (B,)."""
        return np.asarray(self.outside[metric][np.arange(len(places)), places])


def _weighted(counts: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Score P points with weighted subjects: (P, S, C, C) counts, (B, S) weights to (B, P)."""
    n_points, n_subjects, n_classes, _ = counts.shape
    flat = counts.transpose(1, 0, 2, 3).reshape(n_subjects, -1)
    return scores(
        (weights @ flat).reshape(len(weights), n_points, n_classes, n_classes), present_only=True
    )


def _at(scored: Mapping[str, np.ndarray], points: np.ndarray) -> dict[str, np.ndarray]:
    """Take one of (B, P) scores in each of B rows."""
    return {metric: values[np.arange(len(points)), points] for metric, values in scored.items()}


def _optimism(
    mean: _Bagged, promoted: Sequence[int], loso: _Bagged, objective: str, metric: str
) -> np.ndarray:
    """Estimate the optimism that promotion past a rung adds to LOSO scores outside: (B,).

    In the rung's own scores it is seen directly: a replicate's best promoted configuration scores
    more on the subjects left out than its best configuration of all. Let d be that difference.

    LOSO trains other models, so only a share b of d carries over. b is the regression slope of a
    finalist's deviations in LOSO on its deviations in this rung, clipped to 0..1. A deviation is
    the score on the subjects drawn, less the score on all subjects, less the mean deviation of
    all configurations in this rung. The optimism is b x d: a control variate with coefficient b
    (Lavenberg and Welch 1981, https://doi.org/10.1287/mnsc.27.3.322).
    docs/decisions.md: Correction under the ladder.
    """
    best_promoted = mean.at(mean.best(objective, promoted), metric)
    best_of_all = mean.at(mean.best(objective), metric)
    moved = mean.inside[metric] - mean.whole[metric]
    common = moved.mean(axis=1, keepdims=True)
    own = moved[:, mean.places(loso.numbers)] - common
    own_in_loso = loso.inside[metric] - loso.whole[metric] - common
    spread = float((own**2).sum())
    # Without any deviation nothing says how much carries over: subtract all, to be safe.
    slope = float((own * own_in_loso).sum()) / spread if spread else 1.0
    return np.asarray(min(max(slope, 0.0), 1.0) * (best_promoted - best_of_all))
