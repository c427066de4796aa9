"""What it is worth to keep the first settings unless another configuration is clearly ahead.

    python -m benchmarks.first_settings [MATRIX.npz ...] [--resamples 200] [--configs 32]
        [--finalists 3]

Searches of recorded configurations, one of which is near the defaults and comes first. The best
of the group rung finish LOSO, and the first. The subjects are drawn anew each time. A
champion must be ahead of the first settings in LOSO by so many standard errors of the difference,
paired over subjects; its gain is over them, on about 1,000 fresh clips of other people.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from benchmarks.replay.matrix import LOSO, Matrix, load, rung_name
from benchmarks.search_cost import MATRICES, N_GROUPS
from dianet_ray.protocol.choosing import point_read
from dianet_ray.protocol.metrics import scores
from dianet_ray.protocol.predictions import (
    draw_subjects,
    jackknife_error,
    shares,
    subject_confusions,
    without_each,
)
from dianet_ray.settings import Settings

ERRORS = (0.0, 0.5, 1.0, 1.5, 2.0)
N_FIRST = 4
POINTS = 100


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("matrices", type=Path, nargs="*")
    parser.add_argument("--resamples", type=int, default=200)
    parser.add_argument("--configs", type=int, default=32)
    parser.add_argument("--finalists", type=int, default=3)
    asked = parser.parse_args()
    paths = asked.matrices or sorted(MATRICES.glob("*.npz"))
    matrices = [matrix for path in paths for matrix in load(path)]
    table = Table(
        "standard errors",
        *(matrix.name for matrix in matrices),
        title="Gain over the first settings in points, and how often they are displaced",
    )
    with threadpool_limits(1):
        columns = [_gains(matrix, asked) for matrix in matrices]
    for place, errors in enumerate(ERRORS):
        found = [column[:, place] for column in columns]
        cells = (f"{POINTS * one[:, 0].mean():+.1f}, {one[:, 1].mean():.2f}" for one in found)
        table.add_row(f"{errors:g}", *cells)
    Console(width=110).print(table)


@dataclass(frozen=True)
class _Rung:
    """Shares of a rung by subject, (K, P, S, C, C)."""

    shared: np.ndarray

    @classmethod
    def of(cls, matrix: Matrix, name: str) -> _Rung:
        n_classes = len(matrix.classes)
        return cls(
            np.array(
                [
                    [subject_confusions(matrix.clips, one, n_classes)[1] for one in shares(points)]
                    for points in matrix.rungs[name].probabilities
                ]
            )
        )

    def drawn(self, subjects: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Read every configuration by drawn subjects, (S,): points (K,), shares (K, S, C, C)."""
        shared = self.shared[:, :, subjects]
        points = np.array([point_read(one, "uf1") for one in shared])
        return points, shared[np.arange(len(shared)), points]


def _gains(matrix: Matrix, asked: argparse.Namespace) -> np.ndarray:
    """Search on subjects drawn anew: (resamples, errors, 2), gain and whether displaced."""
    rungs = _Rung.of(matrix, rung_name(N_GROUPS, 0.5)), _Rung.of(matrix, LOSO)
    generator = np.random.default_rng(0)
    near, n_subjects = _near_defaults(matrix), rungs[0].shared.shape[2]
    found = []
    for weights in draw_subjects(generator, np.arange(n_subjects), asked.resamples):
        drawn_subjects = np.repeat(np.arange(n_subjects), weights)
        (_, in_groups), (points, in_loso) = (rung.drawn(drawn_subjects) for rung in rungs)
        group, loso = (scores(one.sum(axis=1))["uf1"] for one in (in_groups, in_loso))
        first = int(generator.choice(near))
        others = np.delete(np.arange(matrix.n_configs), first)
        drawn = generator.choice(others, asked.configs - 1, replace=False)
        finalists = drawn[np.argsort(-group[drawn])[: asked.finalists]]
        champion = int(finalists[np.argmax((group + loso)[finalists])])
        lead = loso[champion] - loso[first]
        left = without_each(in_loso[[champion, first]])["uf1"]
        error = jackknife_error(left[0] - left[1])
        truth = matrix.fresh[np.arange(matrix.n_configs), points]
        row = [
            (truth[champion] - truth[first], 1.0) if lead > k * error else (0.0, 0.0)
            for k in ERRORS
        ]
        found.append(row)
    return np.array(found)


def _near_defaults(matrix: Matrix) -> np.ndarray:
    """List the configurations in which fewest settings differ from what draws lie around."""
    centre = Settings().model_dump() | {"width": 8, "batch_size": 16}
    n_moved = [
        sum(value != centre.get(name, value) for name, value in one.items())
        for one in matrix.about["settings"]
    ]
    return np.argsort(n_moved, kind="stable")[:N_FIRST]


if __name__ == "__main__":
    main()
