"""What choosing by shared predictions is worth: the regret of choices on recorded matrices.

    python -m benchmarks.soft_scores [MATRIX.npz ...] [--resamples 300]

All LOSO scores of a matrix are known, at every point. The subjects are drawn anew, as many as
there are, the best configuration and point are chosen by a score, and about 1,000 fresh clips of
other people say what that choice loses against the best one. A score shares each prediction by its
probabilities to a power; hard ones are the metric itself. Log loss and Brier score weigh classes
equally.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from benchmarks.replay.matrix import LOSO, Matrix, load
from benchmarks.search_cost import MATRICES
from dianet_ray.protocol.metrics import scores
from dianet_ray.protocol.predictions import classify, draw_subjects

POWERS = (1.0, 1.5, 2.0, 3.0, 6.0)
LEAST = 1e-3
"""Probabilities below count as this in the log loss."""
POINTS = 100

Weighed = Callable[[np.ndarray], np.ndarray]
"""From (B, N) weights of clips to (B, configurations, points) scores."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("matrices", type=Path, nargs="*")
    parser.add_argument("--resamples", type=int, default=300)
    asked = parser.parse_args()
    # The partitions into groups of one file share their LOSO.
    paths = asked.matrices or sorted(MATRICES.glob("*.npz"))
    matrices = [load(path)[0] for path in paths]
    table = Table(
        "chosen by",
        *(f"{matrix.name.partition('-')[0]}: regret" for matrix in matrices),
        title="Regret in points, on the recorded subjects, and the mean over subjects drawn anew",
    )
    with threadpool_limits(1):
        columns = [_regrets(matrix, asked.resamples) for matrix in matrices]
    for name in columns[0]:
        table.add_row(
            name, *(f"{column[name][0]:.1f}, {column[name][1]:.1f}" for column in columns)
        )
    Console(width=100).print(table)


def _regrets(matrix: Matrix, n_resamples: int) -> dict[str, tuple[float, float]]:
    """Return the regret of each way to choose: on everybody, and on average over resamples."""
    subjects = np.unique([clip.subject for clip in matrix.clips], return_inverse=True)[1]
    n_subjects = int(subjects.max()) + 1
    drawn = draw_subjects(np.random.default_rng(0), np.arange(n_subjects), n_resamples)
    weights = np.concatenate([np.ones((1, n_subjects), dtype=np.int64), drawn])[:, subjects]
    truth = matrix.fresh.ravel()
    found = {}
    for name, score in _ways(matrix).items():
        chosen = score(weights).reshape(len(weights), -1).argmax(axis=1)
        regret = POINTS * (truth.max() - truth[chosen])
        found[name] = float(regret[0]), float(regret[1:].mean())
    return found


def _ways(matrix: Matrix) -> dict[str, Weighed]:
    """Name the scores that may choose."""
    labels = np.array([clip.label for clip in matrix.clips])
    probabilities = matrix.rungs[LOSO].probabilities.astype(np.float64)  # (K, P, N, C)
    truth = np.eye(len(matrix.classes))[labels]
    of_true = (probabilities * truth).sum(axis=-1)
    ways = {"UF1": _f1(labels, np.eye(len(matrix.classes))[classify(probabilities)])}
    for power in POWERS:
        shared = probabilities**power
        shared /= shared.sum(axis=-1, keepdims=True)
        ways[f"soft UF1, power {power:g}"] = _f1(labels, shared)
    ways["log loss"] = _mean(labels, np.log(of_true.clip(LEAST)))
    ways["Brier score"] = _mean(labels, -((probabilities - truth) ** 2).sum(axis=-1))
    return ways


def _f1(labels: np.ndarray, shared: np.ndarray) -> Weighed:
    def score(weights: np.ndarray) -> np.ndarray:
        rows = [
            np.einsum("bn,kpnc->bkpc", weights[:, labels == label], shared[:, :, labels == label])
            for label in range(shared.shape[-1])
        ]
        return scores(np.stack(rows, axis=-2), present_only=True)["uf1"]

    return score


def _mean(labels: np.ndarray, values: np.ndarray) -> Weighed:
    """Average values of clips, (K, P, N), over the clips of a class, then over classes."""

    def score(weights: np.ndarray) -> np.ndarray:
        means = []
        for label in np.unique(labels):
            mine = weights[:, labels == label]
            total = np.einsum("bn,kpn->bkp", mine, values[:, :, labels == label])
            means.append(total / np.maximum(mine.sum(axis=1), 1)[:, None, None])
        return np.asarray(np.mean(means, axis=0))

    return score


if __name__ == "__main__":
    main()
