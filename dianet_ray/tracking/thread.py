"""Write the projection in a thread of its own, so that the search never waits for MLflow.

A store that goes away costs one warning. What is missing is written when it is back, on the next
resume, or by `track`. MLflow takes more than a second to import, so only the thread imports it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

from dianet_ray.errors import one_line
from dianet_ray.protocol.comparison import Memory
from dianet_ray.protocol.standing import Standing, standing_of
from dianet_ray.protocol.study import Study

_log = logging.getLogger(__name__)
EVERY_S = 1.0
"""Trainings that end within this time of one another are written together."""

FIRST_WAIT_S = 5.0
"""The wait after a failure, doubled after each further one."""

MAX_WAIT_S = 300.0  # a server that restarts is noticed within five minutes


class Writer(Protocol):
    """The part of a Projection that the thread uses."""

    def update(self, standing: Standing) -> None:
        """Write the study's runs and its configurations'."""


class ProjectionThread:
    """Writes the newest study that was submitted, and skips older ones that still wait.

    `make` connects and makes the Projection. It runs in the thread, and again after a failure.
    """

    def __init__(self, make: Callable[[], Writer]) -> None:
        self._make = make
        self._changed = threading.Condition()
        self._study: Study | None = None
        self._is_closing = False
        self._is_whole = True
        self._has_warned = False
        self._writer: Writer | None = None
        self._memory: Memory = {}
        # A daemon: a request that hangs must not keep a finished search from ending.
        self._thread = threading.Thread(target=self._run, daemon=True, name="tracking")
        self._thread.start()

    def submit(self, study: Study) -> None:
        """Take a study to be written soon, and return at once."""
        with self._changed:
            self._study, self._is_whole = study, False
            self._changed.notify()

    def close(self, study: Study, *, timeout_s: float = 60.0) -> bool:
        """Write what is left, and end.

        Args:
            study: the study as it is now.
            timeout_s: how long to wait for the thread, in seconds.

        Returns:
            Whether MLflow now holds the whole study, but for the champion's models.
        """
        with self._changed:
            self._study, self._is_whole, self._is_closing = study, False, True
            self._changed.notify()
        self._thread.join(timeout_s)
        if not self._is_whole:
            self._warn(f"not done within {timeout_s:g} s")
        return self._is_whole

    def _run(self) -> None:
        wait_s = FIRST_WAIT_S
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._study is not None or self._is_closing)
                # Only the newest: each study holds everything that the older ones held.
                study, self._study = self._study, None
                is_last = self._is_closing
            if study is not None and self._write(study):
                wait_s = FIRST_WAIT_S
                self._sleep(EVERY_S)
            elif study is not None and not is_last:
                self._keep(study)
                self._sleep(wait_s)
                wait_s = min(2 * wait_s, MAX_WAIT_S)
            if is_last:
                return

    def _write(self, study: Study) -> bool:
        try:
            if self._writer is None:
                self._writer = self._make()
            # Worked out here, so that the driver's thread does not spend time on it.
            self._writer.update(standing_of(study, self._memory))
        except Exception as error:  # whatever MLflow raises, the search goes on
            # What was sent may or may not have arrived: a new projection reads what did.
            self._writer = None
            self._warn(one_line(error))
            return False
        with self._changed:
            self._is_whole = self._study is None
        return True

    def _keep(self, study: Study) -> None:
        """Put back a study that could not be written, unless a newer one has come."""
        with self._changed:
            self._study = self._study or study

    def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        with self._changed:
            while not self._is_closing and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)

    def _warn(self, reason: str) -> None:
        # Once: a store that is away for a night must not fill the log.
        if not self._has_warned:
            self._has_warned = True
            _log.warning(
                "MLflow does not accept the results: %s; what is missing is written when it "
                "answers again, on resume, or by dianet-ray track",
                reason,
            )
