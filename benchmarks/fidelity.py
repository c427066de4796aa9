"""How well the group rung ranks, by the share of the steps that it gets and by how it is read.

    python -m benchmarks.fidelity [MATRIX.npz ...] [--orders 100] [--configs 48]

A rung is read by the rule for points, or at the end of every training. Correlations are
Spearman's, of the rung's scores with the truth: among all configurations, and among the quarter
that is best in truth, from which a search has to choose. Trainings, seconds and regret are those
of the whole ladder, replayed on one worker.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from benchmarks.replay.matrix import SHARES, Matrix, load, rung_name
from benchmarks.replay.measure import join, orders, repeat, rows
from benchmarks.replay.predictions import Recorded
from benchmarks.replay.strategies import Start, scheduled
from benchmarks.search_cost import MATRICES, N_GROUPS
from dianet_ray.progress import Progress
from dianet_ray.protocol.ladder import EXHAUSTIVE, KEEP, Ladder, Rung
from dianet_ray.report.fidelity import rank_correlation

READINGS = ("by the rule", "end")
BEST_SHARE = 0.25
WAVE_SIZE = 8


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("matrices", type=Path, nargs="*")
    parser.add_argument("--orders", type=int, default=100)
    parser.add_argument("--configs", type=int, default=48)
    asked = parser.parse_args()
    paths = asked.matrices or sorted(MATRICES.glob("*.npz"))
    matrices = [matrix for path in paths for matrix in load(path)]
    with threadpool_limits(1):
        table = _table(matrices, n_orders=asked.orders, n_configs=asked.configs)
    Console(width=130).print(table)


def _table(matrices: list[Matrix], *, n_orders: int, n_configs: int) -> Table:
    columns = ("read at", "all", "best quarter", "trainings", "saved", "saved s", "regret")
    table = Table("steps", *columns, title="The group rung against the truth")
    for reading in READINGS:
        read = [_read(matrix, reading) for matrix in matrices]
        found = _replayed(read, n_orders=n_orders, n_configs=n_configs)
        for share in SHARES:
            row = found[f"{share:g}"]
            every, best = np.mean([_correlations(matrix, share) for matrix in read], axis=0)
            table.add_row(
                *(f"{share:g}", reading, f"{every:.2f}", f"{best:.2f}"),
                f"{row['trainings']:.0f}",
                *(f"{row['saved'][key]:.1f}x" for key in ("trainings", "seconds")),
                f"{row['regret']:.2f} ± {row['se']['regret']:.2f}",
            )
    whole = found["exhaustive"]
    table.add_row(
        *("exhaustive", "by the rule", "", "", f"{whole['trainings']:.0f}", "1.0x", "1.0x"),
        f"{whole['regret']:.2f} ± {whole['se']['regret']:.2f}",
    )
    return table


def _read(matrix: Matrix, reading: str) -> Matrix:
    """Read the groups at their end alone, or leave them; LOSO keeps all its points."""
    if reading == "by the rule":
        return matrix
    rungs = {
        name: rung if name == rung_name(None, 1.0) else rung.at_end()
        for name, rung in matrix.rungs.items()
    }
    return replace(matrix, rungs=rungs)


def _correlations(matrix: Matrix, share: float) -> tuple[float, float]:
    """Correlate a rung's scores with the truth, among all and among the best in truth."""
    scores, truth = Recorded(matrix).scores[rung_name(N_GROUPS, share)], matrix.truth
    best = np.argsort(-truth)[: round(BEST_SHARE * len(truth))]
    found = [
        rank_correlation(scores[some].tolist(), truth[some].tolist())
        for some in (slice(None), best)
    ]
    return found[0] or 0.0, found[1] or 0.0


def _replayed(
    matrices: list[Matrix], *, n_orders: int, n_configs: int
) -> dict[str, dict[str, Any]]:
    """Replay the ladder with each share of the steps, and the exhaustive search."""
    ladders: dict[str, Ladder] = {
        f"{share:g}": (Rung(N_GROUPS, share, KEEP, "bootstrap"), Rung(drop="bootstrap"))
        for share in SHARES
    }
    ladders["exhaustive"] = EXHAUSTIVE
    starts: dict[str, Start] = {
        name: scheduled(ladder, WAVE_SIZE) for name, ladder in ladders.items()
    }
    parts = []
    with Progress("fidelity", n_orders * len(matrices), unit="repetitions") as progress:
        for matrix in matrices:
            pool = Recorded(matrix)
            drawn = orders(pool, n_configs, n_orders, 0)
            parts.append(repeat(starts, drawn, [1], progress.advance))
    return {row["strategy"]: row for row in rows(join(parts), 1)}


if __name__ == "__main__":
    main()
