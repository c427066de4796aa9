"""Run one driver of `benchmarks.scale` in a process of its own: a whole search, or Tune alone.

python -m benchmarks.scale_driver search|tune IMAGES FOLDER N_ACTORS N_CONFIGS

Trainings are empty. The first one of each actor waits until every actor is there, so that the
measurement begins with all of them. The command prints one JSON document.
"""

from __future__ import annotations

import json
import os
import resource
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from dianet_ray.artefacts import WEIGHTS_FOLDER
from dianet_ray.cluster.connection import connected
from dianet_ray.cluster.nodes import Nodes
from dianet_ray.options import SearchOptions
from dianet_ray.prepare.images import Images, load_images
from dianet_ray.search.events import Member, Order, Results, TrainingEnded, answer_of
from dianet_ray.search.ledger import read_events
from dianet_ray.search.plan import Plan, make_plan
from dianet_ray.search.workers import Workers, make_workers, resources
from dianet_ray.settings import Settings, config_id
from dianet_ray.storage import files
from dianet_ray.tracking import store
from tests.support.fake_search import SPACE, FakeTrial
from tests.support.run_fake import tracked_search

WAVE_SIZE = 32
LONGEST_WAIT_S = 900.0
SILENCE_S = 600.0
WRITES = ("create_run", "log_batch", "log_artifact", "log_text", "set_tag", "set_terminated")
ROWS = ("runs", "metrics", "params", "tags")


class WaitingTrial(FakeTrial):
    """Waits in its first training until as many actors as SCALE_ACTORS have come."""

    look_every_s = 0.2

    def setup(self, config: dict[str, Any], material: Any = None) -> None:
        """Say that this actor is there."""
        super().setup(config, material)
        self._folder = Path(os.environ["SCALE_FOLDER"]) / "there"
        (self._folder / str(os.getpid())).touch()
        self._is_first = True

    def step(self) -> dict[str, Any]:
        """Train as the fake does, once every actor is there."""
        deadline = time.monotonic() + LONGEST_WAIT_S
        while self._is_first and n_there(self._folder) < int(os.environ["SCALE_ACTORS"]):
            if time.monotonic() > deadline:
                raise TimeoutError(f"not every actor came within {LONGEST_WAIT_S:.0f} s")
            time.sleep(self.look_every_s)
        self._is_first = False
        return super().step()


def n_there(folder: Path) -> int:
    """Count the actors that have come."""
    return len(os.listdir(folder))


class Samples(threading.Thread):
    """Notes this process's memory and CPU time every so often, from when every actor is there."""

    def __init__(self, folder: Path, n_actors: int, *, every_s: float = 0.5) -> None:
        super().__init__(daemon=True)
        self._folder, self._n_actors, self._every_s = folder, n_actors, every_s
        self.values: list[tuple[float, float, float]] = []  # time, MB, CPU seconds

    def run(self) -> None:
        """Note until the process ends."""
        while n_there(self._folder) < self._n_actors:
            time.sleep(min(0.1, self._every_s))
        while True:
            self.values.append((time.time(), rss_mb(), cpu_s()))
            time.sleep(self._every_s)

    def between(self, ends_at: float) -> dict[str, float]:
        """Say how much CPU and memory the time until `ends_at` took."""
        kept = [value for value in self.values if value[0] <= ends_at] or self.values[:1]
        (first_at, first_mb, first_cpu), (last_at, last_mb, last_cpu) = kept[0], kept[-1]
        cores = (last_cpu - first_cpu) / max(last_at - first_at, 1e-9)
        return {
            "driver_cores": round(cores, 2),
            "driver_mb_first": round(first_mb),
            "driver_mb_last": round(last_mb),
        }


def rss_mb() -> float:
    """Read how much memory this process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def cpu_s() -> float:
    """Read this process's CPU time, its threads included."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def count_requests() -> dict[str, float]:
    """Count MLflow's writes, and the seconds that they take, from now on."""
    from mlflow import MlflowClient

    counted = {"n_requests": 0, "request_s": 0.0}

    def counting(method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def call(*words: Any, **named: Any) -> Any:
            started_at = time.monotonic()
            try:
                return method(*words, **named)
            finally:
                counted["n_requests"] += 1
                counted["request_s"] += time.monotonic() - started_at

        return call

    for name in WRITES:
        setattr(MlflowClient, name, counting(getattr(MlflowClient, name)))
    return counted


def n_rows(database: Path) -> int:
    """Count the rows that the search wrote to MLflow."""
    with sqlite3.connect(database) as connection:
        return sum(connection.execute(f"SELECT COUNT(*) FROM {t}").fetchone()[0] for t in ROWS)


def arrivals(folder: Path) -> list[float]:
    """List when actors came, in order."""
    return sorted(path.stat().st_mtime for path in folder.iterdir())


def rate(times: list[float], folder: Path, n_actors: int) -> dict[str, Any]:
    """Say how many trainings ended in a second, once every actor was there."""
    came = arrivals(folder)
    released_at = came[n_actors - 1]
    after = sorted(at for at in times if at >= released_at)
    seconds = after[-1] - released_at
    return {
        "n_trainings": len(after),
        "seconds": round(seconds, 2),
        "trainings_per_s": round(len(after) / seconds, 1),
        "n_actors_more": len(came) - n_actors,  # started for others that Tune had ended
        "ends_at": after[-1],
    }


def ends(study: Path) -> list[float]:
    """List when the trainings of a study ended."""
    return [event.at for event in read_events(study) if isinstance(event, TrainingEnded)]


def plan_of(images: Images, folder: Path, n_configs: int) -> Plan:
    """Plan the search."""
    options = SearchOptions(
        configs=n_configs, wave_size=WAVE_SIZE, strategy="exhaustive", repeats=0
    )
    return make_plan(images, folder / "study", space=SPACE, options=options)


def whole_search(images: Images, folder: Path, n_actors: int, n_configs: int) -> dict[str, Any]:
    """Search with everything on; MLflow is SQLite."""
    database = folder / "mlflow.db"
    uri = f"sqlite:///{database}"
    store.connect(uri).search_experiments()  # makes its tables
    n_before, counted = n_rows(database), count_requests()
    samples = Samples(folder / "there", n_actors)
    samples.start()
    tracked_search(images, lambda: plan_of(images, folder, n_configs), uri, trial=WaitingTrial)
    ended_at = time.time()
    times = ends(folder / "study")
    parts = [path.stat().st_size for path in (folder / "study" / "ledger").iterdir()]
    found = rate(times, folder / "there", n_actors)
    written = n_rows(database) - n_before
    whole_s = ended_at - found["ends_at"] + found["seconds"]
    return {
        **found,
        **samples.between(found["ends_at"]),
        "ledger_bytes_per_training": round(sum(parts) / len(times)),
        "n_ledger_parts": len(parts),
        "mlflow_rows": written,
        "mlflow_requests": counted["n_requests"],
        "mlflow_rows_per_busy_s": round(written / counted["request_s"]),
        "mlflow_busy": round(counted["request_s"] / whole_s, 2),
        "after_s": round(ended_at - found["ends_at"], 1),
    }


class BareSearcher(Searcher):  # type: ignore[misc]
    """Names every training of as many configurations, in a row, and notes when each ended."""

    def __init__(self, n_configs: int, n_folds: int, *, rung: int = 0) -> None:
        super().__init__()
        self._left = [(n, fold) for n in range(n_configs) for fold in range(n_folds)][::-1]
        self._id, self._rung = config_id(Settings()), rung
        self.times: list[float] = []

    def suggest(self, trial_id: str) -> dict[str, Any] | str:
        """Name the next training."""
        if not self._left:
            return str(Searcher.FINISHED)
        number, fold = self._left.pop()
        return Order(
            rung=self._rung,
            members=(Member(number, f"{self._id}-{number}", Settings(), fold),),
            steps=1.0,
            attempt=1,
            silence_s=SILENCE_S,
        ).config()

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Note when it ended."""
        answer = answer_of(result)
        assert isinstance(answer, Results), answer
        self.times += [one.finished_at for one in answer.results]

    def save(self, checkpoint_path: str) -> None:
        """Save nothing."""

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Searcher, ()


def fit_bare(
    workers: Workers,
    searcher: BareSearcher,
    folder: Path,
    n_actors: int,
    scheduler: TrialScheduler | None = None,
) -> None:
    """Run what the searcher names on the kind of actors that a search has, by Tune alone."""
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
    os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = str(10**9)
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    tune.Tuner(
        workers.trainable,
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=scheduler,
            num_samples=10**9,
            max_concurrent_trials=n_actors,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name="bare",
            storage_path=str(folder / "scratch"),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            verbose=0,
        ),
    ).fit()


def bare_tune(images: Images, folder: Path, n_actors: int, n_configs: int) -> dict[str, Any]:
    """Run as many trainings on the same kind of actors with nothing around Tune."""
    plan = plan_of(images, folder, n_configs)
    files.make_folder(plan.path / WEIGHTS_FOLDER)
    samples = Samples(folder / "there", n_actors)
    samples.start()
    with connected(None) as cluster:
        needs, nodes = resources(plan, cluster), Nodes(None)
        nodes.look()
        searcher = BareSearcher(n_configs, len(plan.study.folds))
        workers = make_workers(plan, images.images, nodes, needs, trial=WaitingTrial)
        fit_bare(workers, searcher, folder, n_actors)
    found = rate(searcher.times, folder / "there", n_actors)
    return {**found, **samples.between(found["ends_at"])}


def main() -> None:
    """Measure what the command line names."""
    way, images, folder, n_actors, n_configs = sys.argv[1:]
    place = Path(folder)
    (place / "there").mkdir(parents=True)
    measure = {"search": whole_search, "tune": bare_tune}[way]
    print(json.dumps(measure(load_images(Path(images)), place, int(n_actors), int(n_configs))))


if __name__ == "__main__":
    main()
