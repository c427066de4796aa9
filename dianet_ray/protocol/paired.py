"""Compare two configurations on the same subjects.

What makes a subject easy or hard is common to both, so their difference is surer than the two
scores by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dianet_ray.artefacts import METRICS, Record
from dianet_ray.protocol.metrics import scores
from dianet_ray.protocol.predictions import Interval, by_content, draw_subjects, quantiles
from dianet_ray.settings import derive_seed


@dataclass(frozen=True, slots=True)
class Difference(Record):
    """One score less another, -1..1, with its 95 % interval.

    `p` is two-sided: how often a difference at least as large comes up where both are alike.
    """

    value: float
    ci95: Interval
    p: float


def differences(
    one: np.ndarray, other: np.ndarray, seed: int, *, n: int = 2000
) -> dict[str, Difference]:
    """Compare two configurations' held-out predictions over the same S subjects.

    The interval is that of a bootstrap which draws the same subjects for both. For `p` the
    predictions of each subject change sides at random, by which nothing changes where both are
    alike (Good 2005, Permutation, Parametric and Bootstrap Tests of Hypotheses, chapter 3).

    Args:
        one: (S, C, C) counts per subject by true and predicted class.
        other: the same for what is subtracted.
        seed: the study seed.
        n: number of replicates, and of permutations.

    Returns:
        The difference in each of METRICS.
    """
    n_subjects, n_classes = one.shape[:2]
    generator = np.random.default_rng(derive_seed(seed, "paired"))
    order = by_content([one, other])
    weights = draw_subjects(generator, order, n)
    swaps = np.empty_like(weights)
    swaps[:, order] = generator.integers(2, size=(n, n_subjects))
    pair = np.stack([one, other]).reshape(2, n_subjects, -1)

    def less(mine: np.ndarray, theirs: np.ndarray, *, present: bool) -> dict[str, np.ndarray]:
        scored = [
            scores(counts.reshape(-1, n_classes, n_classes), present_only=present)
            for counts in (mine, theirs)
        ]
        return {metric: scored[0][metric] - scored[1][metric] for metric in METRICS}

    found = less(*pair.sum(axis=1), present=False)
    drawn = less(*(weights @ pair), present=True)
    swapped = swaps @ (pair[1] - pair[0])
    moved = less(pair[0].sum(axis=0) + swapped, pair[1].sum(axis=0) - swapped, present=False)
    return {
        metric: Difference(
            float(found[metric][0]),
            quantiles(drawn[metric]),
            _share(moved[metric], float(found[metric][0])),
        )
        for metric in METRICS
    }


def holm(chances: Sequence[float]) -> list[float]:
    """Adjust the p of several comparisons, in their order, so that any of them may be believed.

    The chance that any is wrongly called significant stays that of one. Reference: Holm 1979, A
    simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(chances)), key=chances.__getitem__)
    adjusted, largest = [0.0] * len(chances), 0.0
    for n_before, place in enumerate(order):
        largest = max(largest, min(1.0, chances[place] * (len(chances) - n_before)))
        adjusted[place] = largest
    return adjusted


def _share(moved: np.ndarray, value: float) -> float:
    """Return the share of permutations with as large a difference; the one found is one more."""
    # Sums in another order round differently: what is equal must count as equal.
    n_as_large = int((np.abs(moved) >= abs(value) - 1e-12).sum())
    return (n_as_large + 1) / (len(moved) + 1)
