"""Correct the champion's score for having been chosen.

The best of many scores on the same subjects is optimistic. Here the choice is repeated on subjects
that are weighed anew. What is chosen is scored on subjects that are weighed the other way, as if
others had been asked. It needs predictions alone, no further training.
docs/decisions.md: Correcting for the search.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np

from dianet_ray.artefacts import METRICS, Record
from dianet_ray.protocol.choosing import first_rule, point_read, point_rule
from dianet_ray.protocol.metrics import scores
from dianet_ray.protocol.predictions import (
    COVERAGE,
    Interval,
    by_content,
    draw_subjects,
    jackknife_error,
    without_each,
)
from dianet_ray.settings import derive_seed

WEIGHT_VARIANCE = 0.5
"""The variance of the subjects' weights, in parts of that of a bootstrap."""


@dataclass(frozen=True, slots=True)
class Corrected(Record):
    """A score, or a difference of scores, without the optimism of choosing the best.

    `ci95` is its 95 % interval.
    """

    estimate: float
    ci95: Interval


class Tally(NamedTuple):
    """Predictions of a configuration in a rung, counted by subject at each of its points.

    `hard` are (points, S, C, C) counts, which are scored; `soft` are the same of shares, which
    choose.
    """

    hard: np.ndarray
    soft: np.ndarray


class Choices:
    """The choice, repeated on subjects that are weighed at random: a coupled bootstrap.

    Each replicate weighs the subjects anew, chooses the configuration with the best mean soft
    score over all rungs (ties to the lower number; the first settings, unless it is clearly ahead
    of them in LOSO), each rung read at its end unless another point is clearly ahead, and scores
    it, in LOSO, by the mirrored weights. Let d be how much the weights raise a score, less what
    they raise it by on average. The mirrored score is the score on all subjects less d N / (N - 1)
    / `WEIGHT_VARIANCE`. Its error is not correlated with what chose (Oliveira, Lei and Tibshirani
    2021, Unbiased risk estimation in the normal means problem via coupled bootstrap techniques,
    https://arxiv.org/abs/2111.09447).

    Under a ladder only promoted configurations have LOSO predictions. They were promoted by
    unweighed scores, from which mirrored ones are not free. `_optimism` estimates what that adds
    to a score, and is subtracted, but not from the first settings, which always take LOSO. Dropped
    configurations cannot be chosen.
    docs/decisions.md: Correction under the ladder.

    Args:
        rungs: for each rung, the configurations that finished it, in number order. The last rung
            is LOSO. It has at least one configuration and two subjects.
        objective: the metric that chooses, one of METRICS.
        first: the number of the first settings, if they finished LOSO.
        seed: the study seed.
        n: number of replicates.
    """

    def __init__(
        self,
        rungs: Sequence[Mapping[int, Tally]],
        objective: str,
        *,
        first: int | None = None,
        seed: int,
        n: int = 1000,
    ) -> None:
        generator = np.random.default_rng(derive_seed(seed, "corrected"))
        order = by_content([one for tally in rungs[-1].values() for one in tally.soft])
        drawn = draw_subjects(generator, order, n)
        weights = 1 + np.sqrt(WEIGHT_VARIANCE) * (drawn - 1)
        weighed = [_Weighed.of(found, weights, objective) for found in rungs]
        means = list(accumulate(weighed, _Weighed.joined))
        self._loso = weighed[-1]
        read = {number: _read(tally, objective) for number, tally in rungs[-1].items()}
        kept = None if first is None else self._loso.numbers.index(first)
        rule = first_rule(np.stack([one.soft for one in read.values()]), objective, kept)
        winners = rule.choose(means[-1].tilted_soft, self._loso.tilted_soft)
        # The first settings take LOSO whatever their score below: nothing promoted them.
        is_promoted = winners != (-1 if kept is None else kept)
        self._as_read = {number: one.hard for number, one in read.items()}
        (place,) = rule.choose(means[-1].soft[None], self._loso.soft[None])
        self._champion = self._loso.numbers[place]
        self._winners = winners
        self._estimates = {}  # by metric
        for metric in METRICS:
            values = self._loso.at(winners, metric)
            for mean, above in pairwise(means):
                optimism = _optimism(mean, above.numbers, self._loso, metric)
                values = values - np.where(is_promoted, optimism, 0.0)
            self._estimates[metric] = float(values.mean())

    def score(self) -> dict[str, Corrected]:
        """Return, for each of METRICS, the corrected score of the champion."""
        mine = without_each(self._as_read[self._champion])
        return {
            metric: _around(estimate, mine[metric], self._chosen(metric), least=0.0)
            for metric, estimate in self._estimates.items()
        }

    def gain(self, reference: int) -> dict[str, Corrected]:
        """Do the same for the champion's score less that of a configuration that finished LOSO.

        Of the reference only the point was chosen. Nothing is gained where it is the champion.
        """
        if reference == self._champion:
            return dict.fromkeys(METRICS, Corrected(0.0, (0.0, 0.0)))
        (place,) = self._loso.places([reference])
        mine, other = (without_each(self._as_read[k]) for k in (self._champion, reference))
        return {
            metric: _around(
                estimate - float(self._loso.mirrored[metric][:, place].mean()),
                mine[metric] - other[metric],
                self._chosen(metric) - self._loso.chosen[metric][:, place],
                least=-1.0,
            )
            for metric, estimate in self._estimates.items()
        }

    def _chosen(self, metric: str) -> np.ndarray:
        """Return the scores on all subjects of what replicates choose: (B,)."""
        return _column(self._loso.chosen[metric], self._winners)


def _read(tally: Tally, objective: str) -> Tally:
    """Return the counts at the point that is read, (S, C, C) each."""
    place = point_read(tally.soft, objective)
    return Tally(tally.hard[place], tally.soft[place])


def _around(
    estimate: float, without_each: np.ndarray, chosen: np.ndarray, *, least: float
) -> Corrected:
    """Put an interval around an estimate: Student's t times its standard error.

    The variance is that of the champion's score, by the jackknife, and that of the scores on all
    subjects of what replicates choose: another sample would have another champion. Reference:
    Buckland, Burnham and Augustin 1997, Model selection: an integral part of inference, Biometrics
    53. Quantiles of the replicates would be too wide: mirrored weights double the noise.
    docs/decisions.md: The interval of a corrected score
    """
    from scipy.special import stdtrit  # takes a moment, which `--help` need not wait for

    quantile = float(stdtrit(len(without_each) - 1, COVERAGE[1]))
    half = quantile * float(np.hypot(jackknife_error(without_each), chosen.std()))
    low, middle, high = np.clip([estimate - half, estimate, estimate + half], least, 1.0).tolist()
    return Corrected(middle, (low, high))


@dataclass(frozen=True, slots=True)
class _Weighed:
    """Scores of K configurations, averaged over `n_rungs` rungs.

    By metric, `whole` (K,): on all subjects. `tilted` (B, K): by the weights of each of B
    replicates. `mirrored` (B, K): by the mirrored weights. `chosen` (B, K): on all subjects, at
    the points that the weights choose. What chooses is the soft objective, `soft` (K,) and
    `tilted_soft` (B, K).
    """

    numbers: tuple[int, ...]
    whole: dict[str, np.ndarray]
    tilted: dict[str, np.ndarray]
    mirrored: dict[str, np.ndarray]
    chosen: dict[str, np.ndarray]
    soft: np.ndarray
    tilted_soft: np.ndarray
    n_rungs: int = 1

    @classmethod
    def of(
        cls,
        found: Mapping[int, Tally],
        weights: np.ndarray,
        objective: str,
    ) -> _Weighed:
        """Score a rung's configurations by (B, S) weights.

        Each is read at a point that the weights choose: the points are a choice as well.
        """
        n_subjects = weights.shape[1]
        everyone = np.ones((1, n_subjects))
        scale = n_subjects / (n_subjects - 1) / WEIGHT_VARIANCE
        columns, soft = [], []
        for tally in found.values():
            whole, tilted = (_weighted(tally.hard, one) for one in (everyone, weights))
            mirrored = {m: whole[m] - scale * (of - of.mean(axis=0)) for m, of in tilted.items()}
            judged = [_weighted(tally.soft, one) for one in (everyone, weights)]
            rule = point_rule(tally.soft, objective)
            on_all, best = (rule.choose(one[objective]) for one in judged)
            chosen = {m: np.broadcast_to(of, tilted[m].shape) for m, of in whole.items()}
            columns.append(
                (_at(whole, on_all), *(_at(one, best) for one in (tilted, mirrored, chosen)))
            )
            pairs = zip(judged, (on_all, best), strict=True)
            soft.append([_at(one, points)[objective] for one, points in pairs])
        whole, tilted, mirrored, chosen = (
            {m: np.stack([one[m] for one in part], axis=1) for m in METRICS}
            for part in zip(*columns, strict=True)
        )
        of_all, tilted_soft = (np.stack(one, axis=1) for one in zip(*soft, strict=True))
        whole = {m: whole[m][0] for m in METRICS}
        return cls(tuple(found), whole, tilted, mirrored, chosen, of_all[0], tilted_soft)

    def places(self, numbers: Sequence[int]) -> list[int]:
        """Return the columns of some configurations."""
        return [self.numbers.index(number) for number in numbers]

    def joined(self, above: _Weighed) -> _Weighed:
        """Average with the next rung, for the configurations that finished it."""
        places, n = self.places(above.numbers), self.n_rungs

        def mean(mine: np.ndarray, other: np.ndarray) -> np.ndarray:
            joined: np.ndarray = (n * mine[..., places] + other) / (n + 1)
            return joined

        def means(
            mine: dict[str, np.ndarray], others: dict[str, np.ndarray]
        ) -> dict[str, np.ndarray]:
            return {m: mean(mine[m], others[m]) for m in METRICS}

        return _Weighed(
            above.numbers,
            means(self.whole, above.whole),
            means(self.tilted, above.tilted),
            means(self.mirrored, above.mirrored),
            means(self.chosen, above.chosen),
            mean(self.soft, above.soft),
            mean(self.tilted_soft, above.tilted_soft),
            n + 1,
        )

    def best(self, among: Sequence[int] | None = None) -> np.ndarray:
        """Return each replicate's best configuration: (B,) columns."""
        places = np.array(self.places(self.numbers if among is None else among))
        return np.asarray(places[np.argmax(self.tilted_soft[:, places], axis=1)])

    def at(self, places: np.ndarray, metric: str) -> np.ndarray:
        """Return mirrored scores, for one column per replicate: (B,)."""
        return _column(self.mirrored[metric], places)


def _weighted(counts: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Score P points with weighted subjects: (P, S, C, C) counts, (B, S) weights to (B, P)."""
    n_points, n_subjects, n_classes, _ = counts.shape
    flat = counts.transpose(1, 0, 2, 3).reshape(n_subjects, -1)
    return scores(
        (weights @ flat).reshape(len(weights), n_points, n_classes, n_classes), present_only=True
    )


def _at(scored: Mapping[str, np.ndarray], points: np.ndarray) -> dict[str, np.ndarray]:
    """Take one of (B, P) scores in each of B rows."""
    return {metric: _column(values, points) for metric, values in scored.items()}


def _column(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Take one of (B, K) values in each of B rows."""
    return np.asarray(values[np.arange(len(places)), places])


def _optimism(mean: _Weighed, promoted: Sequence[int], loso: _Weighed, metric: str) -> np.ndarray:
    """Estimate the optimism that promotion past a rung adds to mirrored LOSO scores: (B,).

    In the rung's own scores it is seen directly: a replicate's best promoted configuration has a
    higher mirrored score than its best configuration of all. Let d be that difference.

    LOSO trains other models, so only a share b of d carries over. b is the regression slope of a
    finalist's deviations in LOSO on its deviations in this rung, clipped to 0..1. A deviation is
    the score by a replicate's weights, less the score on all subjects, less the mean deviation of
    all configurations in this rung. The optimism is b x d: a control variate with coefficient b
    (Lavenberg and Welch 1981, https://doi.org/10.1287/mnsc.27.3.322).
    docs/decisions.md: Correction under the ladder.
    """
    best_promoted = mean.at(mean.best(promoted), metric)
    best_of_all = mean.at(mean.best(), metric)
    moved = mean.tilted[metric] - mean.whole[metric]
    common = moved.mean(axis=1, keepdims=True)
    own = moved[:, mean.places(loso.numbers)] - common
    own_in_loso = loso.tilted[metric] - loso.whole[metric] - common
    spread = float((own**2).sum())
    # Without any deviation nothing says how much carries over: subtract all, to be safe.
    slope = float((own * own_in_loso).sum()) / spread if spread else 1.0
    return np.asarray(min(max(slope, 0.0), 1.0) * (best_promoted - best_of_all))
