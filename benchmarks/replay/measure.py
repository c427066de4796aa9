"""Repetitions of strategies on recorded matrices: what was trained, when, and what won."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.replay.cluster import Run, simulate
from benchmarks.replay.predictions import Drawn, Recorded
from benchmarks.replay.strategies import Start, Strategy

NEAR = 0.005
"""A champion is as good as the exhaustive winner when its truth is at most this much below."""

MEANS = ("trainings", "seconds", "regret", "winner_kept", "wall", "utilisation", "surplus")
POINTS = 100


@dataclass(frozen=True, slots=True)
class Result:
    """One strategy once on one cluster; `surplus` is a share of the trainings."""

    trainings: int
    seconds: float
    regret: float
    winner_kept: bool
    wall: float
    utilisation: float
    surplus: float


Found = dict[str, dict[int, list[Result]]]
"""Results by strategy and number of workers."""


def play(start: Start, drawn: Drawn, n_workers: int) -> Result:
    """Play a strategy once."""
    strategy = start(drawn)
    run = simulate(strategy, drawn.seconds(strategy.ladder), n_workers)
    return _result(strategy, run, drawn)


def _result(strategy: Strategy, run: Run, drawn: Drawn) -> Result:
    champion, truth = strategy.champion(), drawn.truth()
    assert champion is not None  # nothing fails, so one finishes every fold
    return Result(
        trainings=len(run.trained),
        seconds=run.seconds,
        regret=POINTS * float(truth.max() - truth[champion]),
        winner_kept=bool(truth[champion] >= truth[drawn.winner()] - NEAR),
        wall=run.wall,
        utilisation=run.utilisation,
        surplus=strategy.n_surplus() / len(run.trained),
    )


def orders(recorded: Recorded, n_configs: int, n: int, seed: int) -> list[Drawn]:
    """Draw configurations n times: subsets of the recorded ones in random orders."""
    generator = np.random.default_rng([seed, n_configs])
    n_recorded = recorded.matrix.n_configs
    return [
        Drawn(recorded, tuple(generator.permutation(n_recorded)[:n_configs].tolist()))
        for _ in range(n)
    ]


def repeat(
    starts: dict[str, Start],
    repetitions: Sequence[Drawn],
    workers: Iterable[int],
    tick: Callable[[], None],
) -> Found:
    """Play every strategy on every repetition and every size of cluster."""
    found: Found = {name: {n_workers: [] for n_workers in workers} for name in starts}
    for drawn in repetitions:
        for name, start in starts.items():
            for n_workers, results in found[name].items():
                results.append(play(start, drawn, n_workers))
        tick()
    return found


def join(
    parts: Sequence[Found],
) -> Found:
    """Put the repetitions of several matrices together."""
    return {
        name: {n: [one for part in parts for one in part[name][n]] for n in by_workers}
        for name, by_workers in parts[0].items()
    }


def summary(results: Sequence[Result]) -> dict[str, dict[str, float]]:
    """Average repetitions: `mean`, and `se`, its standard error over them."""
    columns = {key: np.array([getattr(one, key) for one in results], float) for key in MEANS}
    spread = {
        key: values.std(ddof=1) if len(values) > 1 else 0.0 for key, values in columns.items()
    }
    return {
        "mean": {key: float(values.mean()) for key, values in columns.items()},
        "se": {key: float(spread[key] / np.sqrt(len(results))) for key in MEANS},
    }


def rows(found: Found, shown: int) -> list[dict[str, Any]]:
    """Describe strategies for JSON.

    The figures of one worker say what decisions alone cost, without speculation: `trainings`,
    `seconds`, `regret`, `winner_kept`; `saved` is their ratio to exhaustive's. `utilisation` is
    that of `shown` workers; `workers` holds everything for every size of cluster.
    """
    described: list[dict[str, Any]] = []
    for name, by_workers in found.items():
        sizes = {str(n): summary(results) for n, results in by_workers.items()}
        alone = sizes["1"]
        described.append(
            {
                "strategy": name,
                **{key: alone["mean"][key] for key in MEANS[:4]},
                "utilisation": sizes[str(shown)]["mean"]["utilisation"],
                "se": {key: alone["se"][key] for key in MEANS[:4]},
                "workers": sizes,
            }
        )
    whole = next(row for row in described if row["strategy"] == "exhaustive")
    for row in described:
        row["saved"] = {key: whole[key] / row[key] for key in ("trainings", "seconds")}
    return described
