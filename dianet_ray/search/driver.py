"""The driver's work at every step of Tune's loop: flushing, progress, nodes, interruptions."""

from __future__ import annotations

import logging
import signal
import time
from pathlib import Path
from types import FrameType
from typing import Any

from ray import tune

from dianet_ray.cluster.deaths import Death, death_of
from dianet_ray.errors import Stopped, StudyFailed, one_line
from dianet_ray.progress import Progress
from dianet_ray.search.events import WorkersChanged
from dianet_ray.search.searcher import StudySearcher
from dianet_ray.search.storage_wait import StorageWait
from dianet_ray.search.workers import Workers

logger = logging.getLogger(__name__)

HOPELESS_S = 600.0
"""How long no node may be usable. An administrator, or the next probe, may bring one back."""

STOPPED = "stopped at once; the same command resumes"


class NothingRuns(Exception):
    """An interrupted search has no training in flight; only queued ones are left."""


class Driver(tune.Callback):  # type: ignore[misc]
    """The driver's work at every step of Tune's loop, about ten times a second."""

    def __init__(
        self,
        searcher: StudySearcher,
        progress: Progress,
        workers: Workers,
        storage: StorageWait,
    ) -> None:
        self._searcher, self._progress, self._workers = searcher, progress, workers
        self._storage = storage
        self.is_stopped = False
        self._n_workers = workers.n_workers()
        self._trials: list[Any] = []
        self._last: set[str] | None = None  # ids of the trials that ran at the interruption
        self._hopeless_since: float | None = None
        searcher.ledger.on_wait = self.wait
        searcher.on_refused = workers.nodes.refuse
        searcher.death_of = self.death_of
        self._follow_nodes()

    def interrupt(self, signum: int, frame: FrameType | None) -> None:
        """Handle a signal: the first SIGINT lets trainings finish, anything more stops now."""
        if signum == signal.SIGTERM or self._searcher.is_stopping:
            self.is_stopped = True
        self._searcher.is_stopping = True

    def __reduce__(self) -> tuple[Any, ...]:
        return tune.Callback, ()  # like the searcher, it stays out of Tune's scratch

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Note that the first worker has started."""
        self._searcher.has_started = True

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Keep Tune's list of trials, in which the searcher finds one whose worker died."""
        self._trials = trials

    def death_of(self, trial_id: str) -> Death:
        """Read how a trial's worker died, from the file that Tune wrote."""
        trial = next((t for t in self._trials if t.trial_id == trial_id), None)
        error = Path((trial and trial.error_file) or "none")
        return death_of(error.read_text() if error.is_file() else "")

    # The ledger is flushed here and not in `on_trial_complete`, whose exceptions Tune swallows.
    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Flush what is due, show progress, follow the nodes, and leave when asked to."""
        self._follow_storage()
        self._searcher.tick()
        if self.is_stopped:
            self._searcher.flush()
        self._progress.set(self._searcher.n_done, self._searcher.n_most)
        if self.is_stopped:
            raise Stopped(STOPPED)
        if self._workers.nodes.look():
            self._follow_nodes()
        self._check_nodes()
        if self._searcher.is_stopping:
            self._leave_when_idle({t.trial_id for t in trials if t.status == "RUNNING"})

    def _leave_when_idle(self, running: set[str]) -> None:
        """End when the trainings that ran at the interruption have ended.

        A worker that becomes free may begin a queued training meanwhile. Nothing waits for it.
        """
        self._last = running if self._last is None else self._last & running
        if not self._last:
            self._searcher.flush()
            raise NothingRuns

    def _check_nodes(self) -> None:
        """End the search when no node has been usable for `HOPELESS_S`."""
        nodes = self._workers.nodes
        if not nodes.is_hopeless:
            self._hopeless_since = None
            return
        now = time.monotonic()
        self._hopeless_since = self._hopeless_since or now
        patience_s = (
            HOPELESS_S if nodes.probe else 0.0
        )  # on this machine alone there is no other node to wait for
        if now - self._hopeless_since >= patience_s:
            raise StudyFailed(f"no node can take part: {nodes.problems[0]}")

    def wait(self, error: Exception) -> None:
        """Say that the ledger waits for the storage; stop waiting when the user interrupts."""
        if self.is_stopped:
            raise Stopped(STOPPED)
        self._storage.goes_on("the driver waits", one_line(error))
        self._progress.tick()

    def _follow_storage(self) -> None:
        """Say that workers wait for the storage, or that nothing does any more."""
        waiting = [*self._searcher.waiting.values()]
        if waiting:
            n_waiting = "1 worker waits" if len(waiting) == 1 else f"{len(waiting)} workers wait"
            self._storage.goes_on(n_waiting, f"{waiting[0].host}: {waiting[0].reason}")
        else:
            self._storage.is_over()

    def _follow_nodes(self) -> None:
        """Tell the searcher how many trials fit now, and which nodes must get none."""
        searcher, workers = self._searcher, self._workers
        searcher.avoided = workers.nodes.avoided
        searcher.n_workers = workers.n_asked_for()
        now = workers.n_workers()
        if now != self._n_workers:
            self._n_workers = now
            searcher.ledger.append(WorkersChanged(time.time(), now))
            logger.warning("%d workers now", now)
