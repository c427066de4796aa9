"""A lock on a folder: numbered files, of which the highest names the holder, with a heartbeat.

To take the lock, a process creates the file after the highest one; of several that try, one
succeeds. The holder keeps the lock as long as it lives: on its own machine as long as its process
does, on any other one as long as its heartbeat is fresh. A file that names no process (damaged,
incomplete) holds nothing. Exclusive creation is all this needs, and object stores have it too.
docs/decisions.md: A lock that needs only exclusive creation
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Annotated

from pydantic import ConfigDict, Field

from dianet_ray.artefacts import Record, from_json, to_json
from dianet_ray.errors import InputError, one_line
from dianet_ray.storage import files
from dianet_ray.storage.outputs import submitted_job

BEAT_EVERY_S = 5.0
# Twelve missed beats: a slow storage must not look like a dead process.
STALE_AFTER_S = 60.0
"""The clocks of machines that share an output must agree to well within this."""

# `ray job stop` kills a driver three seconds after SIGTERM.
RELEASE_S = 2.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Holder(Record):
    """The process that holds, or held, a lock.

    Attributes:
        host: the machine's name.
        pid: the process id, which means something only in its `processes` on its `host`.
        token: tells two locks of one process apart.
        at: the last heartbeat, in seconds since the epoch by the holder's clock.
        processes: the process-id namespace; empty where the system has none.
        job: the submitted Ray job that the process drives; empty outside a job.
    """

    # Another version may write more keys, and its heartbeat must count all the same.
    __pydantic_config__ = ConfigDict(extra="ignore")

    host: str
    pid: Annotated[int, Field(strict=True, gt=0, lt=2**31)]
    token: str
    at: Annotated[float, Field(strict=True, allow_inf_nan=False)]
    processes: str = ""
    job: str = ""

    @property
    def age_s(self) -> float:
        """Seconds since the last heartbeat; negative where clocks differ."""
        return time.time() - self.at


class Lock:
    """Held while a command writes an output, as a context manager."""

    def __init__(self, folder: Path, what: str) -> None:
        """Name the folder of the lock's files, and what the lock guards (for messages)."""
        self._folder, self._what = folder, what
        self._path = folder
        self._token = uuid.uuid4().hex
        self._is_released = threading.Event()
        self._is_away = False
        # A daemon, so that a storage that hangs cannot keep the process from ending.
        self._thread = threading.Thread(target=self._beat, daemon=True, name="heartbeat")

    def __enter__(self) -> Lock:
        files.make_folder(self._folder)
        number, found = _last(self._folder)
        if found is not None and is_alive(found):
            raise InputError(
                f"{self._what} is in use by process {found.pid} on {found.host} "
                f"(last heartbeat {found.age_s:.0f} s ago)"
            )
        self._path = self._folder / f"{number + 1:06d}.json"
        try:
            # The race is decided here: of those that see the same highest number, one wins.
            files.create(self._path, self._content())
        except FileExistsError:
            raise self._lost_race() from None
        self._tidy()
        self._thread.start()
        return self

    def _tidy(self) -> None:
        """Delete the files of former holders; give way to one that turns out to be alive."""
        for name in files.names(self._folder):
            path = self._folder / name
            if path == self._path or not _number(name):
                continue
            found = _read(path)
            if found is not None and is_alive(found):
                files.remove(self._path)
                raise self._lost_race()
            files.remove(path)

    def _lost_race(self) -> InputError:
        return InputError(f"{self._what} is in use by another command that has just started")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_released.set()
        self._thread.join(RELEASE_S)
        if not self._thread.is_alive():  # else the storage hangs, and the heartbeat goes stale
            files.remove(self._path)

    def _beat(self) -> None:
        n_foreign = 0
        while not self._is_released.wait(BEAT_EVERY_S):
            try:
                number, found = _last(self._folder)
                if not number:
                    # The storage was unmounted, or a successor has come and gone.
                    self._report_away("the lock's folder is empty")
                    continue
                is_ours = found is not None and found.token == self._token
                n_foreign = 0 if is_ours else n_foreign + 1
                if n_foreign > 1:  # a first one may be about to give way
                    logger.warning("another command took over %s", self._what)
                    return
                if is_ours:
                    files.put(self._path, self._content())
                    self._report_back()
            except files.failures() as error:  # the heartbeat goes stale, nothing worse
                self._report_away(one_line(error))

    def _report_away(self, why: str) -> None:
        """Warn once that the command waits for the storage."""
        if not self._is_away:
            self._is_away = True
            logger.warning(
                "the storage of %s is unavailable or full, waiting for it: %s", self._what, why
            )

    def _report_back(self) -> None:
        if self._is_away:
            self._is_away = False
            logger.warning("the storage of %s is available again", self._what)

    def _content(self) -> bytes:
        holder = Holder(
            host=socket.gethostname(),
            pid=os.getpid(),
            token=self._token,
            at=time.time(),
            processes=_process_namespace(),
            job=submitted_job(),
        )
        return to_json(holder).encode()


def holder(folder: Path) -> Holder | None:
    """Read who holds, or held, the lock; None without a lock file that can be read."""
    return _last(folder)[1]


def _last(folder: Path) -> tuple[int, Holder | None]:
    number = max((_number(name) for name in files.names(folder)), default=0)
    if not number:
        return 0, None
    return number, _read(folder / f"{number:06d}.json")


def _number(name: str) -> int:
    stem = name.removesuffix(".json")
    return int(stem) if name.endswith(".json") and stem.isdecimal() and stem.isascii() else 0


def _read(path: Path) -> Holder | None:
    """Read a complete holder; None for a file that is damaged or was released just now."""
    try:
        return from_json(Holder, files.read(path), str(path))
    except (FileNotFoundError, InputError):
        return None


def is_alive(found: Holder) -> bool:
    """Judge a holder by its heartbeat, and on this machine by its process too."""
    # abs, because a holder whose clock is ahead has a negative age, and may be long dead too.
    if abs(found.age_s) >= STALE_AFTER_S:
        return False
    if (found.host, found.processes) != (socket.gethostname(), _process_namespace()):
        return True
    # Here the process itself can be looked up, so a killed holder need not become stale first.
    try:
        os.kill(found.pid, 0)  # signal 0 is never delivered; it only asks whether the id exists
    except ProcessLookupError:
        return False
    except PermissionError:  # the process exists and belongs to another user
        pass
    return True


def _process_namespace() -> str:
    """Tell containers apart that share a host name: a process id is valid in one of them."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:  # not Linux
        return ""
