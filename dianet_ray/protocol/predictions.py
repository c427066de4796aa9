"""Scores, intervals and chance levels of predictions pooled over folds.

Clips of one subject resemble each other, so intervals resample subjects, not clips. Every random
number comes from the study seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dianet_ray.artefacts import METRICS, Record
from dianet_ray.protocol.folds import Clip, Fold
from dianet_ray.protocol.metrics import confusion, scores, soft_confusion
from dianet_ray.settings import derive_seed

PARTS = 10**6
"""A prediction is shared among the classes in whole parts, so that sums know no order."""
SHARPNESS = 2
"""Shares are the probabilities to this power. docs/decisions.md: Soft scores choose"""
COVERAGE = (0.025, 0.975)
"""Quantiles of a 95 % interval."""
N_TOLD_APART = 8
"""Tables of the best configurations that tell subjects apart, besides the sum of all."""

Interval = tuple[float, float]
"""The lower and the upper end."""


@dataclass(frozen=True, slots=True)
class Chance(Record):
    """What guessing scores in one metric, 0..1; `level` is the larger of the two ways to guess.

    `majority`: every fold predicts the commonest class of its training clips. `shuffled`: the
    champion's predictions against shuffled labels, on average; None without a champion. `p` is
    that of `permutation.p_values`, None where it cannot be had.
    """

    majority: float
    shuffled: float | None
    level: float
    p: float | None = None


def classify(probabilities: np.ndarray) -> np.ndarray:
    """Return the most probable class, ties to the lower index: (N, C) floats to (N,) int64."""
    return np.asarray(probabilities.argmax(axis=-1), dtype=np.int64)


def shares(probabilities: np.ndarray) -> np.ndarray:
    """Share each prediction among the classes: (..., C) floats to (..., C) int64, of `PARTS`.

    >>> shares(np.array([0.8, 0.4, 0.0])).tolist()
    [800000, 200000, 0]
    """
    sharp = np.asarray(probabilities, dtype=np.float64) ** SHARPNESS
    whole: np.ndarray = sharp.sum(axis=-1, keepdims=True)
    return np.asarray(np.rint(PARTS * sharp / whole), dtype=np.int64)


def soft_score(labels: np.ndarray, probabilities: np.ndarray, *, objective: str) -> float:
    """Score pooled held-out probabilities by the shares of their predictions: 0..1.

    Near a boundary between classes a small change of a network moves a whole prediction, but only
    little of its shares. So a soft score owes less to luck than the metric itself, and is what
    chooses.

    Args:
        labels: true classes, (N,) integers.
        probabilities: (N, C), rows in the order of `labels`; all C classes count.
        objective: one of METRICS.
    """
    return float(scores(soft_confusion(labels, shares(probabilities)))[objective])


def subject_confusions(
    clips: Sequence[Clip], predicted: np.ndarray, n_classes: int
) -> tuple[tuple[str, ...], np.ndarray]:
    """Count each subject's clips by true class (rows) and predicted class.

    Args:
        clips: N of them.
        predicted: classes, (N,) integers, or the shares of each class, (N, n_classes) integers.
        n_classes: the number of classes that count.

    Returns:
        The subjects in sorted order, and (subjects, n_classes, n_classes) int64.
    """
    subjects, place = np.unique([clip.subject for clip in clips], return_inverse=True)
    labels = np.array([clip.label for clip in clips])
    if predicted.ndim == 1:
        predicted = np.eye(n_classes, dtype=np.int64)[predicted]
    counts = np.zeros((len(subjects), n_classes, n_classes), dtype=np.int64)
    np.add.at(counts, (place, labels), predicted)
    return tuple(subjects.tolist()), counts


def interval(confusions: np.ndarray, seed: int, *, n: int = 2000) -> dict[str, Interval]:
    """Compute 95 % percentile bootstrap intervals over subjects.

    Reference: Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13.

    Args:
        confusions: (S, C, C) counts per subject.
        seed: the study seed.
        n: number of replicates; each averages over the classes that have clips in it.

    Returns:
        An interval for each of METRICS.
    """
    n_subjects, n_classes = confusions.shape[:2]
    generator = np.random.default_rng(derive_seed(seed, "interval"))
    weights = draw_subjects(generator, by_content([confusions]), n)
    replicates = weights @ confusions.reshape(n_subjects, -1)
    scored = scores(replicates.reshape(n, n_classes, n_classes), present_only=True)
    return {metric: quantiles(scored[metric]) for metric in METRICS}


def draw_subjects(generator: np.random.Generator, order: np.ndarray, n: int) -> np.ndarray:
    """Draw as many subjects as there are, n times: how often each is drawn, (n, S).

    Args:
        generator: draws for the subjects in the order of `order`.
        order: (S,) places of the subjects, as of `by_content`.
        n: number of draws.
    """
    n_subjects = len(order)
    drawn = np.empty((n, n_subjects), dtype=np.int64)
    drawn[:, order] = generator.multinomial(
        n_subjects, np.full(n_subjects, 1 / n_subjects), size=n
    )
    return drawn


def by_content(tables: Sequence[np.ndarray]) -> np.ndarray:
    """Order S subjects by what is counted of them, so that random draws know no names.

    Neither other names of subjects or classes, nor another order or copies of the tables change
    which subject a draw is for. Only what all these counts cannot tell apart may change places.

    Args:
        tables: (S, C, C) integers each, of one or several configurations.

    Returns:
        (S,) places of the subjects.
    """
    distinct = sorted({one.tobytes(): one for one in tables}.values(), key=_table_key)
    total = np.sum(distinct, axis=0)
    classes = sorted(range(total.shape[-1]), key=lambda label: _class_key(total, label))
    told = [total, *distinct[-N_TOLD_APART:]]
    cells = [one[:, classes][:, :, classes].reshape(len(one), -1) for one in told]
    return np.lexsort(np.concatenate(cells, axis=1).T)


def _table_key(table: np.ndarray) -> tuple[int, bytes, bytes]:
    """Tell tables apart whatever the order of their subjects; a better one has a larger key."""
    hits = np.trace(table, axis1=1, axis2=2)
    return int(hits.sum()), _in_order(hits), _in_order(table)


def _class_key(table: np.ndarray, label: int) -> tuple[bytes, ...]:
    """Tell classes apart whatever their numbers and the order of the subjects."""
    mine, taken_for_it = table[:, label], table[:, :, label]
    parts = mine.sum(axis=1), taken_for_it.sum(axis=1), mine[:, label]
    return tuple(map(_in_order, parts))


def _in_order(counts: np.ndarray) -> bytes:
    """Sort counts over subjects. Big-endian bytes compare as the numbers do, in any unit."""
    return np.sort(counts, axis=0).astype(">i8").tobytes()


def without_each(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Score (..., S, C, C) counts without each subject: (..., S) for each of METRICS."""
    return scores(counts.sum(axis=-3, keepdims=True) - counts, present_only=True)


def jackknife_error(without_each: np.ndarray) -> np.ndarray:
    """Return standard errors of scores, (...,), from those without each subject, (..., S).

    Reference: Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 11.
    """
    return np.asarray(np.sqrt((without_each.shape[-1] - 1) * without_each.var(axis=-1)))


def quantiles(values: np.ndarray) -> Interval:
    """Return the 2.5 % and the 97.5 % quantile."""
    low, high = np.quantile(values, COVERAGE)
    return float(low), float(high)


def majority_predictions(labels: np.ndarray, folds: Sequence[Fold], n_classes: int) -> np.ndarray:
    """Predict each fold's commonest training class, ties to the lower class: (N,) int64."""
    total = np.bincount(labels, minlength=n_classes)
    predicted = np.empty(len(labels), dtype=np.int64)
    for fold in folds:
        held_out = list(fold.test_clips)
        # The rest of the clips trains the fold: its own labels must not count.
        predicted[held_out] = (total - np.bincount(labels[held_out], minlength=n_classes)).argmax()
    return predicted


def chance(
    labels: np.ndarray,
    predicted: np.ndarray | None,
    *,
    folds: Sequence[Fold],
    n_classes: int,
) -> dict[str, Chance]:
    """Compute what guessing scores.

    Args:
        labels: true classes, (N,) integers.
        predicted: the champion's predictions, (N,) integers; None when there is no champion.
        folds: the partition that made the predictions.
        n_classes: the number of classes that count.

    Returns:
        The chance level for each of METRICS.
    """
    guessed = scores(confusion(labels, majority_predictions(labels, folds, n_classes), n_classes))
    majority = {metric: float(guessed[metric]) for metric in METRICS}
    if predicted is None:
        return {metric: Chance(value, None, value) for metric, value in majority.items()}
    n_true, n_predicted = (np.bincount(one, minlength=n_classes) for one in (labels, predicted))
    # How often labels and predictions meet on average, in all orders of the labels. Every metric
    # is linear in the hits, so its mean is that of the mean counts.
    met = scores(np.outer(n_true, n_predicted) / len(labels))
    shuffled = {metric: float(met[metric]) for metric in METRICS}
    return {
        metric: Chance(value, shuffled[metric], max(value, shuffled[metric]))
        for metric, value in majority.items()
    }
