"""Measure how a search scales: many actors at once, empty trainings, the whole driver.

For each number of actors the benchmark starts a Ray node with that many logical CPUs on this
machine. It runs a whole search (draws, schedule, ledger, MLflow in SQLite), and then the same
number of trainings with bare Tune on the same kind of actors. Time counts from when every actor is
there. Few cores carry all the actors here, so trainings per second are a lower bound for the
driver. `driver_cores` says how much of a core the driver took; 1.0 is all that one Python process
has. `--json` prints one document.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.support.clusters import ROOT, RealCluster
from tests.support.images import write_images

N_ACTORS = (10, 25, 50)
N_FOLDS, N_CONFIGS = 16, 128
COLUMNS = (
    *("trainings_per_s", "driver_cores", "driver_mb_first", "driver_mb_last"),
    *("ledger_bytes_per_training", "mlflow_rows_per_busy_s", "mlflow_busy", "after_s"),
)
PATIENT = {"RAY_worker_register_timeout_seconds": "600"}


def measure(images: Path, folder: Path, n_actors: int, n_configs: int) -> dict[str, Any]:
    """Measure a whole search and bare Tune, one after the other, on a cluster of its own."""
    found: dict[str, Any] = {"n_actors": n_actors}
    for way in ("search", "tune"):
        place = folder / f"{way}-{n_actors}"
        environment = {**PATIENT, "SCALE_FOLDER": str(place), "SCALE_ACTORS": str(n_actors)}
        environment |= {"FAKE_SECONDS": "0", "PYTHONPATH": str(ROOT)}
        started_at = time.monotonic()
        with RealCluster(environment=environment, head_cpus=n_actors) as cluster:
            words = [sys.executable, "-m", "benchmarks.scale_driver", way, images, place]
            done = subprocess.run(
                [str(word) for word in [*words, n_actors, n_configs]],
                env={**cluster.environment, "RAY_ADDRESS": cluster.address},
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=None if os.environ.get("SCALE_LOUD") else subprocess.DEVNULL,
                check=True,
            )
        found[way] = json.loads(done.stdout.splitlines()[-1])
        found[way]["whole_s"] = round(time.monotonic() - started_at, 1)
    over = found["search"]["trainings_per_s"] / found["tune"]["trainings_per_s"]
    return {**found, "search_over_tune": round(over, 2)}


def show(results: list[dict[str, Any]]) -> Table:
    """Lay results out: a row each for the search and for bare Tune."""
    table = Table("actors", "way", *COLUMNS, "over bare Tune")
    for found in results:
        for way, ratio in (("search", str(found["search_over_tune"])), ("tune", "")):
            values = [str(found[way].get(name, "")) for name in COLUMNS]
            table.add_row(str(found["n_actors"]), way, *values, ratio)
    return table


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--actors", nargs="+", type=int, default=list(N_ACTORS))
    parser.add_argument("--configs", type=int, default=N_CONFIGS)
    parser.add_argument("--json", action="store_true")
    words = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that nothing is left running
    results = []
    with tempfile.TemporaryDirectory(prefix="scale-") as name:
        images = write_images(Path(name) / "images", n_subjects=N_FOLDS)
        for n_actors in words.actors:
            results.append(measure(images, Path(name), n_actors, words.configs))
            print(json.dumps(results[-1]), file=sys.stderr, flush=True)
    if words.json:
        print(json.dumps({"n_trainings": words.configs * N_FOLDS, "runs": results}, indent=1))
    else:
        Console(width=200).print(show(results))


if __name__ == "__main__":
    main()
