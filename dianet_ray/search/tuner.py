"""Run a planned search on Ray Tune: start, progress, interruptions, stop.

The only place that builds a Tuner. Tune's storage is scratch in STUDY and deleted at the end.
"""

from __future__ import annotations

import logging
import os
import platform
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import optuna
import ray
import torch
from ray import tune

from dianet_ray import __version__
from dianet_ray.cluster import Cluster
from dianet_ray.errors import Stopped, StudyFailed
from dianet_ray.progress import Progress
from dianet_ray.protocol.race import Race
from dianet_ray.search.ledger import write_study
from dianet_ray.search.plan import Plan
from dianet_ray.search.searcher import StudySearcher
from dianet_ray.search.study_view import study_content
from dianet_ray.search.trial import FoldTrial, Material
from dianet_ray.search.weights import damaged_weights

logger = logging.getLogger(__name__)

SCRATCH = ".tune"
AUTO_GPUS = 0.25
_NO_LIMIT = 10**9


@dataclass(frozen=True, slots=True)
class Resources:
    """What a trial occupies, and how many run at once."""

    cpus: float
    gpus: float
    n_workers: int


def resources(plan: Plan, cluster: Cluster) -> Resources:
    """Decide what a trial occupies.

    Raises:
        InputError: the cluster cannot run even one trial.
    """
    asked = plan.options.gpus_per_trial
    gpus = (AUTO_GPUS if cluster.n_gpus else 0.0) if asked == "auto" else float(asked)
    cpus = plan.cpus_per_trial
    n_workers = cluster.n_workers(cpus=cpus, gpus=gpus, limit=plan.options.max_workers)
    return Resources(cpus, gpus, n_workers)


def make_searcher(plan: Plan) -> StudySearcher:
    """Build the searcher of a plan, ready to resume; the caller holds the driver's lock."""
    if plan.is_new:
        write_study(plan.path, study_content(plan.study))
    searcher = StudySearcher(
        plan.path,
        plan.study,
        space=plan.space,
        race=Race(
            n_configs=plan.n_configs,
            wave_size=plan.study.identity["wave_size"],
            n_folds=len(plan.study.folds),
        ),
        n_kept=plan.n_kept,
    )
    damaged = damaged_weights(plan.path, plan.study, plan.n_kept)
    if damaged:
        logger.warning("%d weights files are missing or damaged: trained again", len(damaged))
    searcher.repair(damaged)
    return searcher


def is_done(plan: Plan) -> bool:
    """Say whether nothing is left to train, the weights that are kept included."""
    return plan.is_done and not damaged_weights(plan.path, plan.study, plan.n_kept)


def run(
    searcher: StudySearcher,
    plan: Plan,
    needs: Resources,
    *,
    trainable: type[tune.Trainable],
    started_at: float,
) -> None:
    """Run the search to its end or to an interruption; the searcher then holds what is known.

    Args:
        searcher: of `make_searcher`.
        plan: what to run.
        needs: what a trial occupies; the caller is connected to Ray.
        trainable: of `bind`.
        started_at: when the command was started, in seconds since the epoch.

    Raises:
        StudyFailed: with the reason.
        Stopped: at once, by a second SIGINT or a SIGTERM.
    """
    searcher.ledger.append(_start_record(plan, needs, started_at))
    searcher.flush()
    reason = "error"
    try:
        if searcher.has_work():
            _tune(searcher, needs, plan=plan, trainable=trainable)
        reason = "interrupted" if searcher.is_stopping else "done"
    except Stopped:
        reason = "stopped"
        raise
    finally:
        searcher.ledger.append({"kind": "stop", "at": time.time(), "reason": reason})
        searcher.flush()
    if searcher.failure:
        raise StudyFailed(searcher.failure)


def _start_record(plan: Plan, needs: Resources, started_at: float) -> dict[str, Any]:
    return {
        "kind": "start",
        "at": started_at,
        "n_workers": needs.n_workers,
        "with": {
            "n_configs": plan.n_configs,
            "dianet_ray": __version__,
            "python": platform.python_version(),
            "ray": ray.__version__,
            "torch": torch.__version__,
            "optuna": optuna.__version__,
            "host": socket.gethostname(),
            "cpus_per_trial": needs.cpus,
            "gpus_per_trial": needs.gpus,
            "options": plan.options.model_dump(exclude_none=True),
        },
    }


def bind(
    plan: Plan, images: np.ndarray, needs: Resources, *, trial: type[tune.Trainable] = FoldTrial
) -> type[tune.Trainable]:
    """Bind the images to the trial through the object store: once per node, not per trial.

    Args:
        plan: what to run.
        images: (clips of IMAGES, 3, H, W, 3) float16, all of them.
        needs: what a trial occupies.
        trial: what trains; benchmarks and tests of the search alone pass an empty one.
    """
    study = plan.study
    material = Material(
        images=np.ascontiguousarray(images[plan.rows]),
        labels=study.labels(),
        n_classes=len(study.classes),
        folds=study.folds,
        study_path=plan.path,
        seed=study.identity["seed"],
        threads=plan.threads,
    )
    return tune.with_resources(  # type: ignore[no-any-return]
        tune.with_parameters(trial, material=material), {"cpu": needs.cpus, "gpu": needs.gpus}
    )


def _tune(searcher: StudySearcher, needs: Resources, *, plan: Plan, trainable: Any) -> None:
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
    os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = str(_NO_LIMIT)
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"  # its table of errors goes to stdout
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # the driver says what was lost
    scratch = plan.path / SCRATCH
    progress = Progress(
        "search", plan.n_trainings, unit="trainings", status=lambda: _status(searcher, needs)
    )
    driver = _Driver(searcher, progress)
    tuner = tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            num_samples=_NO_LIMIT,
            max_concurrent_trials=needs.n_workers,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name=plan.path.name,
            storage_path=str(scratch),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            callbacks=[driver],
            verbose=0,
        ),
    )
    progress.skip(len(plan.study.trainings))
    try:
        with interrupts(driver), progress:
            tuner.fit()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


class _Driver(tune.Callback):  # type: ignore[misc]
    """What the driver does at every step of Tune's loop, about ten times a second."""

    def __init__(self, searcher: StudySearcher, progress: Progress) -> None:
        self._searcher, self._progress = searcher, progress
        self.is_stopped = False

    def interrupt(self, signum: int, frame: FrameType | None) -> None:
        """Handle a signal: the first SIGINT lets trainings finish, anything more stops now."""
        if signum == signal.SIGTERM or self._searcher.is_stopping:
            self.is_stopped = True
        self._searcher.is_stopping = True

    def __reduce__(self) -> tuple[Any, ...]:
        return tune.Callback, ()  # as the searcher: nothing of it belongs in Tune's scratch

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Say why a worker was lost, as Tune wrote it down."""
        error = Path(trial.error_file or "none")
        lines = error.read_text().split("\n") if error.is_file() else []
        reason = next((line.strip() for line in reversed(lines) if line.strip()), "unknown")
        logger.warning("the worker's end: %s", reason)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Flush what is due, show progress, and leave when asked to."""
        self._searcher.tick()
        if self.is_stopped:
            self._searcher.flush()
        self._progress.set(len(self._searcher.study.trainings))
        if self.is_stopped:
            raise Stopped("stopped at once; the same command resumes")


@contextmanager
def interrupts(driver: _Driver) -> Iterator[None]:
    """Route SIGINT and SIGTERM to the driver for the time of the search."""
    before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, driver.interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _status(searcher: StudySearcher, needs: Resources) -> str:
    """Say what the progress line adds: configurations, workers, best so far."""
    line = f"{len(searcher.scores)} configurations complete"
    line += f", {len(searcher.live)}/{needs.n_workers} busy"
    line += f", {searcher.best}" if searcher.best else ""
    return f"{line}; stopping" if searcher.is_stopping else line
