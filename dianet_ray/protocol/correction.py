"""The champion, and what its score is worth once the search that found it is discounted.

The best of many scores on the same people is optimistic. BBC-CV repeats the choice on resampled
people and scores it on the people left out, from predictions alone, without another training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np

from dianet_ray.artefacts import METRICS
from dianet_ray.protocol.metrics import scores
from dianet_ray.protocol.predictions import quantiles
from dianet_ray.protocol.standing import standing
from dianet_ray.protocol.study import Configuration, Study
from dianet_ray.settings import derive_seed


def champion(study: Study) -> Configuration | None:
    """Choose among the configurations that finished LOSO.

    Returns:
        The one with the largest sum of pooled objective over its rungs, ties to the lower number;
        None while no configuration is complete.
    """
    return standing(study).champion()


def corrected(
    rungs: Sequence[Mapping[int, np.ndarray]], objective: str, *, seed: int, n: int = 1000
) -> dict[str, dict[str, float | list[float]]]:
    """Estimate what the chosen configuration scores on new people (BBC-CV over subjects).

    Each replicate draws subjects with replacement, chooses the best configuration on them by its
    scores of all rungs (ties to the lower number) and scores it, in LOSO, on the subjects that
    were not drawn. Replicates that drew everybody are skipped. Reference: Tsamardinos, Greasidou
    and Borboudakis 2018, https://doi.org/10.1007/s10994-018-5714-4.

    Under a ladder only those that climbed have LOSO answers, and they climbed by what they
    answered on everybody, the subjects left out included: `_flattery` takes off what that is
    worth. Dropped ones are not chosen from, as a replicate would hardly find the best among those
    that all people together found hopeless.

    Args:
        rungs: for each rung the configurations that finished it, in number order, to (S, C, C)
            counts per subject; the last one is LOSO, and has at least one and two subjects.
        objective: the metric that chooses, one of METRICS.
        seed: the study seed.
        n: number of replicates.

    Returns:
        For each of METRICS: `estimate`, the mean, and `ci95`, [low, high], of the replicates'
        scores.
    """
    n_subjects = len(next(iter(rungs[-1].values())))
    generator = np.random.default_rng(derive_seed(seed, "corrected"))
    drawn = generator.multinomial(n_subjects, np.full(n_subjects, 1 / n_subjects), size=n)
    drawn = drawn[(drawn == 0).any(axis=1)]
    bagged = [_Bagged.of(found, drawn) for found in rungs]
    means = list(accumulate(bagged, _Bagged.joined))
    winners = means[-1].best(objective)
    estimates: dict[str, dict[str, float | list[float]]] = {}
    for metric in METRICS:
        values = bagged[-1].at(winners, metric)
        for mean, above in pairwise(means):
            values = values - _flattery(mean, above.numbers, bagged[-1], objective, metric)
        values = values.clip(0.0, 1.0)
        ci95 = list(quantiles(values))
        estimates[metric] = {"estimate": float(values.mean()), "ci95": ci95}
    return estimates


@dataclass(frozen=True, slots=True)
class _Bagged:
    """Scores of K configurations by metric: `whole` (K,) on everybody, `inside` and `outside`.

    Those are (B, K): of B replicates on the subjects drawn, and on those that were not.
    """

    numbers: tuple[int, ...]
    whole: dict[str, np.ndarray]
    inside: dict[str, np.ndarray]
    outside: dict[str, np.ndarray]
    n_rungs: int = 1

    @classmethod
    def of(cls, found: Mapping[int, np.ndarray], drawn: np.ndarray) -> _Bagged:
        """Score the configurations of a rung, (S, C, C) counts each, on (B, S) replicates."""
        weights = (np.ones((1, drawn.shape[1])), drawn, drawn == 0)
        whole, inside, outside = (_weighted(list(found.values()), one) for one in weights)
        return cls(tuple(found), {m: whole[m][0] for m in METRICS}, inside, outside)

    def places(self, numbers: Sequence[int]) -> list[int]:
        """Find the columns of some of the configurations."""
        return [self.numbers.index(number) for number in numbers]

    def joined(self, above: _Bagged) -> _Bagged:
        """Average with the next rung, for those that finished it."""
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
        """Choose, in each replicate, the best on the subjects drawn: (B,) places."""
        places = np.array(self.places(self.numbers if among is None else among))
        return np.asarray(places[np.argmax(self.inside[objective][:, places], axis=1)])

    def at(self, places: np.ndarray, metric: str) -> np.ndarray:
        """Look up a score on the subjects left out, for one place per replicate."""
        return np.asarray(self.outside[metric][np.arange(len(places)), places])


def _weighted(counts: Sequence[np.ndarray], weights: np.ndarray) -> dict[str, np.ndarray]:
    """Score every configuration with its subjects weighted: (B, S) weights to (B, K)."""
    flat = [one.reshape(len(one), -1) for one in counts]
    shape = (len(weights), *counts[0].shape[1:])
    scored = [scores((weights @ one).reshape(shape), present_only=True) for one in flat]
    return {metric: np.stack([one[metric] for one in scored], axis=1) for metric in METRICS}


def _flattery(
    mean: _Bagged, climbed: Sequence[int], loso: _Bagged, objective: str, metric: str
) -> np.ndarray:
    """Estimate by how much climbing past a rung flatters LOSO scores on subjects left out: (B,).

    The rung itself shows how much it flatters its own scores: the best of those that climbed, set
    against the best of all that finished it. Only a share of it concerns LOSO, whose models are
    others: the slope of the finalists' deviations in LOSO on their deviations here, as people are
    drawn again, less what is common to all configurations. (A control variate: the score that is
    missing for most is corrected by one that is known of all.)
    """
    here = mean.at(mean.best(objective, climbed), metric)
    everybody = mean.at(mean.best(objective), metric)
    moved = mean.inside[metric] - mean.whole[metric]
    common = moved.mean(axis=1, keepdims=True)
    own = moved[:, mean.places(loso.numbers)] - common
    own_in_loso = loso.inside[metric] - loso.whole[metric] - common
    spread = float((own**2).sum())
    slope = float((own * own_in_loso).sum()) / spread if spread else 1.0
    return np.asarray(min(max(slope, 0.0), 1.0) * (here - everybody))
