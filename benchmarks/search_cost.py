"""Replay search strategies on recorded fold matrices: what each costs, and how well it chooses.

    python -m benchmarks.search_cost [MATRIX.npz ...] [--json] [--orders 100] [--configs 64]
        [--subjects N] [--generated N] [--explore | --utilisation]

Each repetition draws the recorded configurations in another order (a subset when fewer are asked
for) and plays every strategy on simulated clusters of 1, 4, 16 and 64 workers. When more subjects
or configurations are asked for than are recorded, matrices are generated. Generated matrices also
tell luck with one matrix from skill: `--generated 50` draws that many per recorded one. Regret is
in points of UF1, against the drawn configuration that is best on about a thousand fresh clips. A
winner is kept when the chosen configuration is within half a point of what the exhaustive search
chooses.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from threadpoolctl import threadpool_limits

from benchmarks.replay.generator import calibrate, generate, likeness, mean_likeness
from benchmarks.replay.margins import Fitted, fit
from benchmarks.replay.matrix import Matrix, load
from benchmarks.replay.measure import Found, join, orders, repeat, rows
from benchmarks.replay.predictions import Recorded
from benchmarks.replay.strategies import Start, ceiling, scheduled, strategies
from benchmarks.replay.tables import tables
from dianet_ray.progress import Progress
from dianet_ray.protocol.ladder import EXHAUSTIVE, Drop, Ladder, Rung, parse_keep

MATRICES = Path(__file__).parent / "replay" / "matrices"
N_GENERATED = 20
N_GROUPS = 3

KEEPS = ("1/8", "1/12", "1/16", "1/24", "1/32")
STEPS = (1.0, 0.5, 0.25)
DROPS: tuple[Drop, ...] = ("bootstrap", "none")

BUSY = ((64, 16, 16), (256, 64, 64))
"""Configurations, workers and wave size for which utilisation is asked."""

BUSY_LOG_STD = 0.5
N_BUSY, N_LIKE = 10, 12
"""Matrices that are generated for it, and to compare with the recorded one."""


def main() -> None:
    """Replay and print."""
    asked = _arguments()
    paths = asked.matrices or sorted(MATRICES.glob("*.npz"))
    if not paths:
        raise SystemExit(f"no matrices in {MATRICES}: record one with benchmarks.replay.record")
    view = _explore if asked.explore else _utilisation if asked.utilisation else _compare
    with threadpool_limits(1):  # small products: more threads only wait for each other
        found = view(asked, [matrix for path in paths for matrix in load(path)])
    if asked.json:
        print(json.dumps(found, indent=1))
        return
    console = Console(width=None if Console().is_terminal else 130)
    for table in tables(found):
        console.print(table)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("matrices", type=Path, nargs="*", help="recorded matrices")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--orders", type=int, default=100, help="repetitions per recorded matrix")
    parser.add_argument("--configs", type=int, default=64)
    parser.add_argument("--subjects", type=int, help="default: as recorded")
    parser.add_argument(
        "--generated",
        type=int,
        help=f"matrices to generate per recorded one ({N_GENERATED} for sizes not recorded)",
    )
    parser.add_argument("--workers", type=int, nargs="+", default=[4, 16, 64])
    parser.add_argument("--wave-size", type=int, default=8)
    parser.add_argument("--keep", default="1/16")
    parser.add_argument("--group-steps", type=float, default=0.5, choices=STEPS)
    parser.add_argument("--drop", default="bootstrap", choices=DROPS)
    parser.add_argument("--seed", type=int, default=0)
    views = parser.add_mutually_exclusive_group()
    views.add_argument("--explore", action="store_true", help="compare keeps, steps and drops")
    views.add_argument("--utilisation", action="store_true", help="how busy workers are")
    return parser.parse_args()


def _compare(asked: argparse.Namespace, recorded: list[Matrix]) -> dict[str, Any]:
    """Compare all strategies; one list over all matrices, and one for each."""
    ladder = _ladder(asked.keep, asked.group_steps, asked.drop)
    sizes = sorted({1, *asked.workers})
    shown = asked.workers[len(asked.workers) // 2]
    fits = {matrix.name: _fitted(asked, matrix) for matrix in recorded}

    def starts(pool: Recorded) -> dict[str, Start]:
        return strategies(pool, ladder, asked.wave_size)

    parts, n_folds = _replay(asked, recorded, fits, starts, sizes)
    best = ceiling(ladder, [N_GROUPS, n_folds], asked.configs, asked.wave_size)
    return {
        "strategies": rows(join(list(parts.values())), shown),
        "matrices": {name: rows(part, shown) for name, part in parts.items()},
        "generated": {name: _likeness(one) for name, one in fits.items() if one is not None},
        "ceiling": {"trainings": best, "saved": asked.configs * n_folds / best},
        "configurations": asked.configs,
        "folds": n_folds,
        "wave_size": asked.wave_size,
        "utilisation_of_workers": shown,
    }


def _explore(asked: argparse.Namespace, recorded: list[Matrix]) -> dict[str, Any]:
    """Compare ladders on one worker: keeps, shares of the steps, rules of dropping."""
    variants = {
        f"keep {keep}, steps {steps:g}, drop {drop}": _ladder(keep, steps, drop)
        for steps in STEPS
        for drop in DROPS
        for keep in KEEPS
    }
    fits = {matrix.name: _fitted(asked, matrix) for matrix in recorded}

    def starts(pool: Recorded) -> dict[str, Start]:
        ladders = {"exhaustive": EXHAUSTIVE, **variants}
        return {name: scheduled(ladder, asked.wave_size) for name, ladder in ladders.items()}

    parts, n_folds = _replay(asked, recorded, fits, starts, [1])
    return {
        "strategies": rows(join(list(parts.values())), 1),
        "matrices": {name: rows(part, 1) for name, part in parts.items()},
        "configurations": asked.configs,
        "folds": n_folds,
        "wave_size": asked.wave_size,
    }


def _replay(
    asked: argparse.Namespace,
    recorded: list[Matrix],
    fits: dict[str, Fitted | None],
    starts: Callable[[Recorded], dict[str, Start]],
    sizes: list[int],
) -> tuple[dict[str, Found], int]:
    """Repeat strategies on every matrix; return results by matrix, and the number of folds."""
    parts, n_folds = {}, 0
    with Progress("replay", asked.orders * len(recorded), unit="repetitions") as progress:
        for matrix in recorded:
            found = []
            for pool, n in _pools(asked, matrix, fits[matrix.name]):
                drawn = orders(pool, asked.configs, n, asked.seed)
                found.append(repeat(starts(pool), drawn, sizes, progress.advance))
                n_folds = pool.n_folds
            parts[matrix.name] = join(found)
    return parts, n_folds


def _utilisation(asked: argparse.Namespace, recorded: list[Matrix]) -> dict[str, Any]:
    """Measure how busy the ladder keeps workers, for recorded and for more varied durations."""
    described = []
    for matrix in recorded:
        fitted = calibrate(fit(matrix))
        for n_configs, n_workers, wave_size in BUSY:
            for log_std in (fitted.times.log_std, BUSY_LOG_STD):
                about = {
                    "matrix": matrix.name,
                    "configurations": n_configs,
                    "n_workers": n_workers,
                    "wave_size": wave_size,
                    "log_std": log_std,
                }
                described += [{**about, **row} for row in _busy(asked, fitted, about)]
    return {"busy": described}


def _busy(asked: argparse.Namespace, fitted: Fitted, about: dict[str, Any]) -> list[Any]:
    """Replay generated matrices on one size of cluster."""
    ladder = _ladder(asked.keep, asked.group_steps, asked.drop)
    found = []
    for seed in range(N_BUSY):
        made = generate(
            fitted,
            n_subjects=asked.subjects or _n_subjects(fitted.recorded),
            n_configs=about["configurations"],
            seed=seed,
            log_std=about["log_std"],
        )
        pool = Recorded(made)
        every = strategies(pool, ladder, about["wave_size"])
        starts = {name: every[name] for name in ("exhaustive", "ladder", "ladder-async")}
        drawn = orders(pool, about["configurations"], 1, asked.seed)
        found.append(repeat(starts, drawn, [1, about["n_workers"]], lambda: None))
    return rows(join(found), about["n_workers"])


def _likeness(fitted: Fitted) -> dict[str, Any]:
    """Compare the recorded matrix with as large generated ones."""
    recorded = fitted.recorded
    was = likeness(recorded)
    made = mean_likeness(fitted, recorded.n_configs, range(100, 100 + N_LIKE))
    return {
        "rungs": [
            {
                "rung": name,
                "correlation": [float(one.correlations[-1, place]) for one in (was, made)],
                "spread": [float(one.spreads[place]) for one in (was, made)],
            }
            for place, name in enumerate([*recorded.rungs, "truth"])
        ]
    }


def _ladder(keep: str, steps: float, drop: Drop) -> Ladder:
    return (Rung(N_GROUPS, steps, parse_keep(keep, "--keep"), drop), Rung(drop=drop))


def _n_subjects(matrix: Matrix) -> int:
    return len(matrix.rungs["loso"].folds)


def _fitted(asked: argparse.Namespace, matrix: Matrix) -> Fitted | None:
    """Fit a matrix when more is asked for than is recorded."""
    n_subjects = asked.subjects or _n_subjects(matrix)
    is_recorded = asked.configs <= matrix.n_configs and n_subjects == _n_subjects(matrix)
    return None if is_recorded and not asked.generated else calibrate(fit(matrix))


def _pools(
    asked: argparse.Namespace, matrix: Matrix, fitted: Fitted | None
) -> Iterator[tuple[Recorded, int]]:
    """Give the matrices to draw from, each with its share of the repetitions."""
    if fitted is None:
        yield Recorded(matrix), asked.orders
        return
    n_matrices = min(asked.generated or N_GENERATED, asked.orders)
    for seed in range(n_matrices):
        made = generate(
            fitted,
            n_subjects=asked.subjects or _n_subjects(matrix),
            n_configs=max(asked.configs, matrix.n_configs),
            seed=asked.seed + seed,
        )
        yield Recorded(made), (asked.orders + n_matrices - 1 - seed) // n_matrices


if __name__ == "__main__":
    main()
