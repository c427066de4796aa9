"""Measure what the search itself costs: a whole search of empty trainings, against bare Tune.

Both ways train the same empty class on the same number of reused actors of a local Ray, with the
same environment and scheduler. The search adds its searcher (schedule, draws, ledger, deletion of
weights) and its work at each step of Tune's loop; MLflow is left out. Every measurement runs in a
process of its own, so that its memory is clean, and the two ways take turns. Time counts from when
every actor is there until the last training ends. With fewer than a thousand trainings, a tenth of
them is so short that one draw or one write decides the figure. `--json` prints one document.

    python -m benchmarks.scheduling [--sizes 100 1000 3000] [--repeats 3] [--workers 2] [--json]
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.scale_driver import (
    BareSearcher,
    Samples,
    WaitingTrial,
    arrivals,
    ends,
    fit_bare,
    rate,
)
from dianet_ray.artefacts import WEIGHTS_FOLDER
from dianet_ray.cluster.connection import LOCAL, connected
from dianet_ray.cluster.nodes import Nodes
from dianet_ray.search.events import Order
from dianet_ray.search.plan import Plan
from dianet_ray.search.trial import Made
from dianet_ray.search.tuner import _AsQueued, run
from dianet_ray.search.workers import Workers, make_workers, resources
from dianet_ray.storage import files
from tests.support import fake_search
from tests.support.clusters import ROOT

SIZES = (100, 1_000, 3_000)
N_FOLDS, WAVE_SIZE = 26, 8
WAYS = ("search", "tune")
STRATEGIES: dict[str, dict[str, Any]] = {"exhaustive": {}}
"""What a plan of each strategy is made with."""

MOST_SLOWER = 1.5
"""The last tenth of the trainings may take this much longer than the first tenth."""

MOST_GROWTH = 1.5
"""The driver's memory may grow in the second half by this much more than in the first half."""

NOISE_MB = 1.0  # what an allocator may keep or give back between two runs
SAMPLE_EVERY_S = 0.05
COLUMNS = {
    "n_trainings": "trainings",
    "trainings_per_s": "per s",
    "first_tenth_ms": "first tenth, ms",
    "last_tenth_ms": "last tenth, ms",
    "last_over_first": "last / first",
    "mb_first": "MB first",
    "mb_last": "MB last",
    "kb_per_training": "kB per training",
    "mb_first_half": "MB 1st half",
    "mb_second_half": "MB 2nd half",
    "driver_cores": "cores",
}


class EmptyTrial(WaitingTrial):
    """Trains nothing; its weights are a file that does not wait for the disk."""

    look_every_s = 0.005  # the first tenth of a small run is a tenth of a second

    def train_block(self, order: Order) -> Made:
        """Write weights as cheaply as possible, because the search has to delete some."""
        made = super().train_block(order)
        for file in made.files:
            file.path.parent.mkdir(exist_ok=True)
            file.path.write_bytes(file.content)
        return Made(made.results)


def plan_of(folder: Path, strategy: str, size: int) -> Plan:
    """Plan a study of at least as many trainings as `size`."""
    return fake_search.fake_plan(
        folder / "study",
        n_subjects=N_FOLDS,
        n_configs=math.ceil(size / N_FOLDS),
        wave_size=WAVE_SIZE,
        **STRATEGIES[strategy],
    )


def search(plan: Plan, workers: Workers, folder: Path) -> list[float]:
    """Search; list when trainings ended."""
    run(fake_search.searcher_of(plan), plan, workers, started_at=time.time())
    return ends(plan.path)


def bare(plan: Plan, workers: Workers, folder: Path) -> list[float]:
    """Run as many trainings with nothing around Tune; list when they ended."""
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    files.make_folder(plan.path / WEIGHTS_FOLDER)
    searcher = BareSearcher(plan.n_configs, len(plan.study.folds), rung=plan.study.loso_rung)
    fit_bare(workers, searcher, folder, workers.n_workers(), _AsQueued())
    return searcher.times


def drive(way: str, folder: Path, strategy: str, size: int, n_workers: int) -> dict[str, Any]:
    """Measure one way in this process."""
    there = folder / "there"
    there.mkdir(parents=True)
    os.environ |= {"SCALE_FOLDER": str(folder), "SCALE_ACTORS": str(n_workers)}
    os.environ |= {"FAKE_SECONDS": "0"}
    plan = plan_of(folder, strategy, size)
    train: Callable[[Plan, Workers, Path], list[float]] = {"search": search, "tune": bare}[way]
    samples = Samples(there, n_workers, every_s=SAMPLE_EVERY_S)
    samples.start()
    with connected(LOCAL, n_cpus=n_workers) as cluster:
        needs, nodes = resources(plan, cluster), Nodes(None)
        nodes.look()
        images = fake_search.fake_images(plan)
        times = train(plan, make_workers(plan, images, nodes, needs, trial=EmptyTrial), folder)
        ended_at = time.time()
    found = rate(times, there, n_workers)
    moments = sorted([arrivals(there)[n_workers - 1], *times])[-found["n_trainings"] - 1 :]
    return {
        **found,
        **tenths(moments),
        **growth(samples, moments),
        "driver_cores": samples.between(found["ends_at"])["driver_cores"],
        "after_s": round(ended_at - found["ends_at"], 1),
    }


def tenths(moments: list[float]) -> dict[str, float]:
    """Compare the time per training over the first and the last tenth of them.

    `moments` are the beginning, then the end of every training.
    """
    n = max(1, (len(moments) - 1) // 10)
    first, last = (moments[n] - moments[0]) / n, (moments[-1] - moments[-1 - n]) / n
    return {
        "first_tenth_ms": round(first * 1e3, 2),
        "last_tenth_ms": round(last * 1e3, 2),
        "last_over_first": round(last / first, 2),
    }


def growth(samples: Samples, moments: list[float]) -> dict[str, float]:
    """Say how the driver's memory grew over the trainings, and over each half of them."""
    middle = moments[len(moments) // 2]
    at = [memory(samples, moment) for moment in (moments[0], middle, moments[-1])]
    return {
        "mb_first": round(at[0], 1),
        "mb_last": round(at[2], 1),
        "mb_first_half": round(at[1] - at[0], 2),
        "mb_second_half": round(at[2] - at[1], 2),
        "kb_per_training": round((at[2] - at[0]) * 1e3 / (len(moments) - 1), 2),
    }


def memory(samples: Samples, moment: float) -> float:
    """Read the sample that is nearest to a moment, in MB."""
    return min(samples.values, key=lambda value: abs(value[0] - moment))[1]


def in_own_process(way: str, folder: Path, words: argparse.Namespace, size: int) -> dict[str, Any]:
    """Measure one way in a fresh process, whose stderr is shown only when it fails."""
    command = [sys.executable, "-m", "benchmarks.scheduling", "--way", way, "--folder", folder]
    command += ["--sizes", size, "--workers", words.workers, "--strategy", words.strategy]
    done = subprocess.run(
        [str(word) for word in command],
        env={**os.environ, "PYTHONPATH": str(ROOT)},  # workers import benchmarks and tests
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"{way}, {size} trainings:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare(folder: Path, words: argparse.Namespace, size: int) -> dict[str, Any]:
    """Measure both ways in pairs, each pair in the other order than the one before."""
    pairs = []
    for i in range(words.repeats):
        order = WAYS if i % 2 == 0 else WAYS[::-1]
        pair = {w: in_own_process(w, folder / f"{size}-{i}-{w}", words, size) for w in order}
        print(json.dumps(pair), file=sys.stderr, flush=True)
        pairs.append(pair)
    ratios = [p["search"]["trainings_per_s"] / p["tune"]["trainings_per_s"] for p in pairs]
    typical = {w: {k: median(p[w][k] for p in pairs) for k in COLUMNS} for w in WAYS}
    mine = typical["search"]
    return {
        "size": size,
        **typical,
        "search_over_tune": round(median(ratios), 3),
        "search_over_tune_range": [round(min(ratios), 3), round(max(ratios), 3)],
        "is_steady": mine["last_over_first"] <= MOST_SLOWER,
        "memory_is_linear": (
            mine["mb_second_half"] <= MOST_GROWTH * mine["mb_first_half"] + NOISE_MB
        ),
        "pairs": pairs,
    }


def show(results: list[dict[str, Any]]) -> Table:
    """Lay results out: medians, a row each for the search and for bare Tune."""
    table = Table("way", *COLUMNS.values(), "over bare Tune", "steady", "linear")
    for found in results:
        low, high = found["search_over_tune_range"]
        said = [f"{found['search_over_tune']:.2f} ({low:.2f}..{high:.2f})"]
        said += ["yes" if found[name] else "NO" for name in ("is_steady", "memory_is_linear")]
        for way in WAYS:
            values = [f"{found[way][name]:g}" for name in COLUMNS]
            table.add_row(way, *values, *(said if way == "search" else []))
    return table


def parsed() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", type=int, default=list(SIZES))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--strategy", choices=list(STRATEGIES), default="exhaustive")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)  # in a process of its own
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Measure, and print a table or JSON."""
    words = parsed()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that nothing is left running
    if words.way:
        found = drive(words.way, words.folder, words.strategy, words.sizes[0], words.workers)
        print(json.dumps(found))
        return
    with tempfile.TemporaryDirectory(prefix="scheduling-") as name:
        results = [compare(Path(name), words, size) for size in words.sizes]
    if words.json:
        about = {"strategy": words.strategy, "n_workers": words.workers}
        print(json.dumps({**about, "sizes": results}, indent=1))
    else:
        Console(width=200).print(show(results))


if __name__ == "__main__":
    main()
