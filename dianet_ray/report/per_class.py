"""How well the champion knows each class, and how far its probabilities can be trusted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dianet_ray.protocol.predictions import Interval, by_content, draw_subjects, quantiles
from dianet_ray.report.records import Calibration, ClassScore, ConfidenceBin
from dianet_ray.settings import derive_seed

N_BINS = 10


def class_scores(
    counts: np.ndarray, classes: Sequence[str], seed: int, *, n: int = 2000
) -> dict[str, ClassScore]:
    """Score each class by itself, with 95 % intervals from a bootstrap over subjects.

    Args:
        counts: (S, C, C) clips per subject by true class (rows) and predicted class.
        classes: their names.
        seed: the study seed.
        n: number of replicates; a class is scored in those that have a clip of it.
    """
    n_subjects, n_classes = counts.shape[:2]
    generator = np.random.default_rng(derive_seed(seed, "per class"))
    weights = draw_subjects(generator, by_content([counts]), n)
    drawn = (weights @ counts.reshape(n_subjects, -1)).reshape(n, n_classes, n_classes)
    total = counts.sum(axis=0)
    of_all, replicates = _by_class(total), _by_class(drawn)
    has_clips = drawn.sum(axis=-1) > 0
    return {
        name: ClassScore(
            clips=int(total[label].sum()),
            **{part: float(values[label]) for part, values in of_all.items()},
            ci95={
                part: quantiles(values[has_clips[:, label], label])
                for part, values in replicates.items()
            },
        )
        for label, name in enumerate(classes)
    }


def _by_class(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Score each class: (..., C, C) counts to (..., C); 0 where nothing is predicted as it."""
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    n_true, n_predicted = counts.sum(axis=-1), counts.sum(axis=-2)
    return {
        "recall": hits / np.maximum(n_true, 1),
        "precision": hits / np.maximum(n_predicted, 1),
        "f1": 2 * hits / np.maximum(n_true + n_predicted, 1),
    }


def calibration(probabilities: np.ndarray, labels: np.ndarray) -> Calibration:
    """Compare how sure predictions are with how often they are right.

    The expected calibration error is the mean over clips of |accuracy - mean probability| of the
    bin that a clip is in: Guo et al. 2017, On Calibration of Modern Neural Networks,
    https://arxiv.org/abs/1706.04599.

    Args:
        probabilities: held out, (N, C), rows add up to 1.
        labels: true classes, (N,).
    """
    sure, predicted = probabilities.max(axis=1).astype(np.float64), probabilities.argmax(axis=1)
    is_right = predicted == labels
    edges = np.linspace(0, 1, N_BINS + 1)
    # A probability of exactly 1 belongs to the last bin.
    places = np.minimum((sure * N_BINS).astype(int), N_BINS - 1)
    bins = []
    for place in range(N_BINS):
        inside = places == place
        if inside.any():
            bins.append(
                ConfidenceBin(
                    range=_rounded(edges[place], edges[place + 1]),
                    clips=int(inside.sum()),
                    probability=float(sure[inside].mean()),
                    accuracy=float(is_right[inside].mean()),
                )
            )
    gaps = (one.clips * abs(one.accuracy - one.probability) for one in bins)
    return Calibration(error=sum(gaps) / len(labels), bins=tuple(bins))


def _rounded(low: float, high: float) -> Interval:
    return round(float(low), 6), round(float(high), 6)
