"""Test the best of many configurations against labels that mean nothing.

docs/decisions.md: What a permutation repeats
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from dianet_ray.artefacts import METRICS
from dianet_ray.protocol.metrics import confusion, scores
from dianet_ray.protocol.predictions import classify, shares
from dianet_ray.settings import derive_seed

N_PERMUTATIONS = 200
ALPHA = 0.05
"""The largest p that is above chance."""
_CELLS = 4 * 10**6  # cells of soft confusion matrices at once, so that memory stays small


def p_values(
    probabilities: Sequence[np.ndarray],
    labels: np.ndarray,
    subjects: np.ndarray,
    *,
    objective: str,
    seed: int,
) -> dict[str, float] | None:
    """Deal the labels of each subject anew among its clips, and repeat the choice.

    A subject keeps its labels, so what a network knows of how often a subject shows a class is no
    evidence. The choice is that of the best configuration and point by its soft score, and p is
    the share of permutations, with the labels as they are as one of them, in which what is chosen
    scores as high. Reference: Ojala and Garriga 2010, Permutation tests for studying classifier
    performance, https://www.jmlr.org/papers/v11/ojala10a.html (their first test).

    Args:
        probabilities: of K configurations, at least one, (points, N, C) each.
        labels: true classes, (N,) integers.
        subjects: (N,) integers.
        objective: the metric that chooses, one of METRICS.
        seed: the study seed.

    Returns:
        For each of METRICS p, from 1 / (N_PERMUTATIONS + 1) to 1. None where labels can be dealt
        in so few ways that p could not be ALPHA, as where hardly a subject shows two classes.
    """
    if _n_deals(labels, subjects) < 1 / ALPHA:
        return None
    generator = np.random.default_rng(derive_seed(seed, "permutations"))
    stacked = np.concatenate(list(probabilities))  # (M, N, C)
    # Draws must not depend on names: clips come in the order of what is predicted of them.
    of_true = stacked[:, np.arange(len(labels)), labels]
    order = np.lexsort((of_true.min(axis=0), of_true.max(axis=0)))
    labels, subjects, stacked = labels[order], subjects[order], stacked[:, order]
    dealt = np.concatenate([labels[None], _dealt(labels, subjects, generator)])
    best = _best(shares(stacked), dealt, objective)
    predicted = classify(stacked)[best]  # (permutations, N)
    found = scores(confusion(dealt, predicted, stacked.shape[-1]))
    return {metric: float(np.mean(found[metric] >= found[metric][0])) for metric in METRICS}


def _n_deals(labels: np.ndarray, subjects: np.ndarray) -> float:
    """Count the ways to deal the labels of each subject among its clips."""
    log_n = 0.0
    for subject in np.unique(subjects):
        counts = np.bincount(labels[subjects == subject])
        log_n += math.lgamma(counts.sum() + 1) - sum(math.lgamma(n + 1) for n in counts)
    return math.exp(min(log_n, 700))


def _dealt(labels: np.ndarray, subjects: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Permute labels within subjects: (N_PERMUTATIONS, N)."""
    keys = subjects + generator.random((N_PERMUTATIONS, len(labels)))
    out = np.empty(keys.shape, dtype=np.int64)
    out[:, np.argsort(subjects, kind="stable")] = labels[np.argsort(keys, axis=1)]
    return out


def _best(shared: np.ndarray, dealt: np.ndarray, objective: str) -> np.ndarray:
    """Choose, by the soft score on each row of labels (B, N), one of M predictions: (B,)."""
    n_predictions, n_clips, n_classes = shared.shape
    columns = shared.transpose(1, 0, 2).reshape(n_clips, -1).astype(np.float64)  # (N, M C)
    n_rows = max(1, _CELLS // (n_classes * columns.shape[1]))
    found = []
    for first in range(0, len(dealt), n_rows):
        some = dealt[first : first + n_rows]
        is_class = (some[:, None] == np.arange(n_classes)[:, None]).astype(np.float64)
        counts = (is_class.reshape(-1, n_clips) @ columns).reshape(
            len(some), n_classes, n_predictions, n_classes
        )
        found.append(scores(counts.swapaxes(1, 2))[objective].argmax(axis=1))
    return np.concatenate(found)
