"""Accuracy, UF1 and UAR from confusion matrices.

Confusion matrices add up, so pooled predictions are scored by the sum of the folds' matrices.
Every function takes many matrices at once: leading axes are replicates, subjects, configurations.
"""

from __future__ import annotations

import numpy as np


def confusion(labels: np.ndarray, predictions: np.ndarray, n_classes: int) -> np.ndarray:
    """Count clips by true class (rows) and predicted class (columns).

    Args:
        labels: true classes, (..., N) integers in 0..n_classes-1.
        predictions: predicted classes, shape and range of `labels` (or broadcast to it).
        n_classes: the number of classes that count, present or not.

    Returns:
        (..., n_classes, n_classes) int64.

    >>> confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist()
    [[1, 1], [0, 1]]
    """
    cells = np.asarray(labels, dtype=np.int64) * n_classes + predictions
    lead = cells.shape[:-1]
    n_matrices, n_cells = int(np.prod(lead)), n_classes * n_classes
    # One count for all matrices: each has its own range of cells.
    flat = cells.reshape(n_matrices, -1) + n_cells * np.arange(n_matrices)[:, None]
    counts = np.bincount(flat.ravel(), minlength=n_matrices * n_cells)
    return counts.reshape(*lead, n_classes, n_classes)


def soft_confusion(labels: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Sum the shares of predicted classes (columns) by true class (rows).

    Args:
        labels: true classes, (N,) integers.
        shares: (N, C) integers.

    Returns:
        (C, C) int64.
    """
    n_classes = shares.shape[-1]
    counts = np.zeros((n_classes, n_classes), dtype=np.int64)
    np.add.at(counts, labels, shares)
    return counts


def scores(confusions: np.ndarray, *, present_only: bool = False) -> dict[str, np.ndarray]:
    """Score confusion matrices.

    Let TP, FP and FN be a class's true positives, false positives and false negatives. UF1 is the
    mean over classes of 2 TP / (2 TP + FP + FN), UAR the mean of TP / (TP + FN): See et al., MEGC
    2019, https://doi.org/10.1109/FG.2019.8756611. A class without clips and predictions scores 0.

    Args:
        confusions: (..., C, C) counts, weighted or shared, rows are true classes.
        present_only: average over the classes that have clips, not over all: for bootstrap
            replicates, which may miss a rare class by chance.

    Returns:
        For each of METRICS an array of the leading shape: float64 in 0..1, 0 without clips.
    """
    counts = np.asarray(confusions, dtype=np.float64)
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    n_true, n_predicted = counts.sum(-1), counts.sum(-2)
    counted = n_true > 0 if present_only else np.ones_like(n_true, dtype=bool)
    n_counted = counted.sum(-1)
    f1 = _ratio(2 * hits, n_true + n_predicted)
    recall = _ratio(hits, n_true)
    return {
        "accuracy": _ratio(hits.sum(-1), n_true.sum(-1)),
        "uf1": _ratio((f1 * counted).sum(-1), n_counted),
        "uar": _ratio((recall * counted).sum(-1), n_counted),
    }


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    ratio = np.zeros(np.shape(part))
    np.divide(part, whole, out=ratio, where=whole > 0)
    return ratio
