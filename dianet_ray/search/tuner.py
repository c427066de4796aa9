"""Run a planned search on Ray Tune: start, progress, interruptions, stop.

The only place that builds a Tuner. Tune's storage is scratch in STUDY and deleted at the end.
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import optuna
import ray
import torch
from ray import tune
from ray.tune.schedulers import FIFOScheduler

from dianet_ray import __version__
from dianet_ray.artefacts import WEIGHTS_FOLDER
from dianet_ray.errors import Stopped, StorageAway, StudyFailed, one_line
from dianet_ray.progress import Progress, count
from dianet_ray.protocol.study import DriverEnvironment
from dianet_ray.search.block_size import block_size
from dianet_ray.search.driver import Driver, NothingRuns
from dianet_ray.search.events import Ended, Reason, Started
from dianet_ray.search.plan import Plan
from dianet_ray.search.searcher import StudySearcher
from dianet_ray.search.storage_wait import StorageWait
from dianet_ray.search.study_file import write_study
from dianet_ray.search.workers import Workers
from dianet_ray.storage import files

logger = logging.getLogger(__name__)

_NO_LIMIT = 10**9


def make_searcher(plan: Plan, damaged: list[tuple[int, int]]) -> StudySearcher:
    """Build the searcher of a plan, ready to resume; the caller holds the driver's lock.

    Args:
        plan: what to run.
        damaged: of `damaged_weights`.
    """
    if plan.is_new:
        write_study(plan.path, plan.study)
    files.make_folder(plan.path / WEIGHTS_FOLDER)
    searcher = StudySearcher(
        plan.path,
        plan.study,
        space=plan.space,
        extent=plan.extent,
    )
    if damaged:
        n_damaged = count(len(damaged), "weights file")
        logger.warning("%s missing or damaged: training again", n_damaged)
    searcher.repair(damaged)
    return searcher


def run(searcher: StudySearcher, plan: Plan, workers: Workers, *, started_at: float) -> None:
    """Run the search to its end or to an interruption; the searcher then holds what is known.

    Args:
        searcher: of `make_searcher`.
        plan: what to run.
        workers: where trainings run; the caller is connected to Ray.
        started_at: when the command was started, in seconds since the epoch.

    Raises:
        StudyFailed: with the reason, also when the storage stayed away for too long.
        Stopped: at once, by a second SIGINT or a SIGTERM.
    """
    searcher.ledger.append(_started(plan, workers, started_at))
    searcher.n_workers = workers.n_workers()
    reason: Reason = "error"
    try:
        searcher.flush()
        searcher.stack(block_size(plan, workers))
        if searcher.has_work():
            _tune(searcher, plan, workers)
        reason = "interrupted" if searcher.is_stopping else "done"
    except Stopped:
        reason = "stopped"
        raise
    except StorageAway as error:
        raise StudyFailed(
            f"the storage was unreachable or full for {files.PATIENCE_S / 60:.0f} min: "
            f"{plan.path}: "
            f"{error}; what is recorded stays, and the same command resumes"
        ) from None
    finally:
        _stop(searcher, reason)
    if searcher.failure:
        raise StudyFailed(searcher.failure)


def _stop(searcher: StudySearcher, reason: Reason) -> None:
    """Record the end. A storage that is away is not waited for again."""
    searcher.ledger.append(Ended(time.time(), reason))
    searcher.ledger.on_wait = _give_up
    with contextlib.suppress(StorageAway):
        searcher.flush()


def _give_up(error: Exception) -> None:
    raise StorageAway(one_line(error))


def _started(plan: Plan, workers: Workers, started_at: float) -> Started:
    needs = workers.needs
    environment = DriverEnvironment(
        n_configs=plan.n_asked,
        dianet_ray=__version__,
        python=platform.python_version(),
        ray=ray.__version__,
        torch=torch.__version__,
        optuna=optuna.__version__,
        host=socket.gethostname(),
        cpus_per_trial=needs.cpus,
        gpus_per_trial=needs.gpus,
        options=plan.options,
    )
    return Started(started_at, workers.n_workers(), plan.n_configs, environment)


def _configure_tune() -> None:
    """Set what Tune reads from the environment."""
    # The CSV, JSON and TensorBoard writers of Tune cap a search at about 100 results a second.
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    # Tune's own handler ends the run without finishing what is in flight.
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
    # docs/decisions.md: No checkpoints by Ray Tune
    os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = str(_NO_LIMIT)
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"  # its table of errors goes to stdout
    # The driver itself says what was lost.
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)


def _tune(searcher: StudySearcher, plan: Plan, workers: Workers) -> None:
    _configure_tune()
    storage = StorageWait(plan.path)
    progress = Progress(
        "search",
        plan.most_trainings() + plan.most_after(),
        unit="trainings",
        status=lambda: _status(searcher, workers, storage),
    )
    driver = Driver(searcher, progress, workers, storage)
    progress.skip(searcher.n_done)
    with tempfile.TemporaryDirectory(prefix="dianet-tune-") as scratch:
        tuner = tune.Tuner(
            workers.trainable,
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=_AsQueued(),
                num_samples=_NO_LIMIT,
                # With a searcher of one's own Tune keeps one trial pending unless this is set
                # (ray-project/ray issue 46965). The searcher knows how many fit.
                max_concurrent_trials=_NO_LIMIT,
                # A new actor takes 1.3 s, a reused one 0.05 s.
                # docs/decisions.md: An actor for every trial
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name=plan.path.name,
                storage_path=scratch,
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                callbacks=[driver],
                verbose=0,
            ),
        )
        with interrupts(driver), progress, contextlib.suppress(NothingRuns):
            tuner.fit()
    searcher.live.clear()  # queued trainings leave no record


class _AsQueued(FIFOScheduler):  # type: ignore[misc]
    """Starts trials in the order in which the searcher gave them.

    The base class chooses the oldest pending trial, whose actor is still starting. Tune then
    gives it the actor of a finished trial and kills the starting one, so no new worker ever comes
    up while trainings are shorter than its start.
    """

    def choose_trial_to_run(self, tune_controller: Any) -> None:
        """Choose none, so that Tune takes them in order."""


@contextlib.contextmanager
def interrupts(driver: Driver) -> Iterator[None]:
    """Route SIGINT and SIGTERM to the driver for the time of the search."""
    before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, driver.interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _status(searcher: StudySearcher, workers: Workers, storage: StorageWait) -> str:
    """Compose what the progress line adds: configurations, workers, best score so far."""
    n_workers = workers.n_workers()
    busy = f"{min(len(searcher.live), n_workers)}/{n_workers} busy"
    now = busy if searcher.has_started else f"starting {count(n_workers, 'worker')}"
    line = f"{count(searcher.n_complete, 'configuration')} complete, {now}"
    line += f", {searcher.best}" if searcher.best else ""
    line += f"; {storage.status}" if storage.status else ""
    return f"{line}; stopping" if searcher.is_stopping else line
