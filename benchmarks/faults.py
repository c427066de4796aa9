"""Measure what faults cost: searches on a real cluster, disturbed at random moments.

The cluster is a head and two workers on this machine, separate processes with a token. Each search
is submitted as a job. Its trainings train nothing (0.3 s each, 14 configurations x 4 folds). Each
kind of fault meets it at random moments. Then the search ends by itself, or its command is given
again where the fault ended its driver. The laws count trainings that are lost beyond those in
flight, ledger events that are wrong or doubled, and weights that are missing; and the MLflow tree
must be the undisturbed one. The exit status is 1 when a law is broken. Kinds with a mount need
root; without it, run the command inside `unshare -rm`.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.injection.kinds import GAP_S, KINDS, Kind
from benchmarks.injection.runs import N_CONFIGS, N_FOLDS, Bench, Run
from benchmarks.injection.services import can_mount

N_TRAININGS = N_CONFIGS * N_FOLDS
FIRST, LAST = 3, N_TRAININGS - 8
LAWS = ("n_lost", "n_wrong", "n_doubled", "n_weights_bad")
COLUMNS = (
    *("moment", "fault_s", "n_resumes", "recovered_s", "n_repeated", *LAWS),
    *("is_tree_equal", "seconds"),
)


def disturb(run: Run, kind: Kind, moment: int) -> float:
    """Run a search into its faults, and to its end; return how long the faults lasted."""
    run.start()
    run.wait_for_trainings(moment)
    started_at = time.monotonic()
    with ExitStack() as faults:
        for i, fault in enumerate(kind.faults):
            if i:
                time.sleep(run.rng.uniform(0, GAP_S))
            faults.enter_context(fault(run))
    lasted_s = time.monotonic() - started_at
    run.finish()
    return lasted_s


def measure(bench: Bench, name: str, index: int, seed: int) -> dict[str, Any]:
    """Disturb one search at one random moment, and judge what is left."""
    kind, rng = KINDS[name], random.Random(f"{seed} {name} {index}")
    folder = bench.folder / f"{name}-{index}"
    moment = rng.randint(FIRST, LAST)
    run = Run(bench, folder, rng, kind.where, kind.store, index % 2 == 1, kind.away_s)
    started_at = time.monotonic()
    found: dict[str, Any] = {"kind": name, "moment": moment, "broken": []}
    try:
        found["fault_s"] = round(disturb(run, kind, moment), 1)
        found |= run.judge()
        found["broken"] += [law for law in LAWS if found[law]]
        found["broken"] += [] if found["is_tree_equal"] else ["tree"]
        found["broken"] += [] if run.n_resumes == kind.n_resumes else ["n_resumes"]
    except Exception as error:
        found["broken"].append("ended")
        found["error"] = f"{error}\n{traceback.format_exc()}"
        bench.drop_cluster()
    finally:
        run.close()
    found["seconds"] = round(time.monotonic() - started_at, 1)
    return found


def show(results: Iterable[dict[str, Any]]) -> Table:
    """Lay results out, a row each."""
    table = Table("kind", *COLUMNS, "broken")
    for found in results:
        values = [str(found.get(name, "")) for name in COLUMNS]
        table.add_row(found["kind"], *values, " ".join(found["broken"]))
    return table


def totals(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Sum up what the laws say."""
    return {
        "n_runs": len(results),
        "n_kinds": len({found["kind"] for found in results}),
        **{law: sum(found.get(law, 0) for found in results) for law in LAWS},
        "n_trees_unequal": sum(not found.get("is_tree_equal", False) for found in results),
        "n_broken": sum(bool(found["broken"]) for found in results),
    }


def chosen(names: list[str] | None, folder: Path) -> list[str]:
    """Choose the kinds: those named, else all, without those that this process may not do."""
    found = names or list(KINDS)
    if any(KINDS[name].where == "mount" for name in found) and not can_mount(folder):
        print("no right to mount: without the kinds that need one", file=sys.stderr)
        found = [name for name in found if KINDS[name].where != "mount"]
    return found


def main() -> int:
    """Measure, show, write, and say by the status whether every law held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS))
    parser.add_argument("--moments", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--keep", action="store_true", help="keep the folder of the runs")
    words = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that nothing is left running
    folder, results = Path(tempfile.mkdtemp(prefix="faults-")), []
    kinds = chosen(words.kinds, folder)
    bench = Bench(folder)
    try:
        if any(KINDS[name].where == "s3" for name in kinds):  # workers must know its address
            bench.start_s3()
        _ = bench.truth
        for name in kinds:
            for index in range(words.moments):
                results.append(measure(bench, name, index, words.seed))
                print(json.dumps(results[-1]), file=sys.stderr, flush=True)
    finally:
        bench.close()
        if words.keep:
            print(folder, file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    document = {"totals": totals(results), "seed": words.seed, "runs": results}
    Console(width=200).print(show(results), document["totals"])
    if words.out:
        words.out.write_text(json.dumps(document, indent=1) + "\n")
    return int(document["totals"]["n_broken"] > 0)


if __name__ == "__main__":
    sys.exit(main())
