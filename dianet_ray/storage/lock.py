"""Who writes a folder now: a lock of numbered files, kept fresh by a heartbeat.

Whoever wants to write creates the file after the highest one, so of several one wins. The holder
of the highest number has the lock while it lives: on its own machine while its process does, on
another one while its heartbeat is fresh. A file that names nobody (damaged, incomplete) holds
nothing. Only exclusive creation is needed, which object stores have too.
"""

from __future__ import annotations

import json
import logging
import math
import os
import socket
import threading
import time
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any

from dianet_ray.errors import InputError
from dianet_ray.options import submitted_job
from dianet_ray.storage import files

BEAT_EVERY_S = 5.0
STALE_AFTER_S = 60.0
"""Clocks of machines that share an output must agree to well within this."""

RELEASE_S = 2.0

logger = logging.getLogger(__name__)

Holder = dict[str, Any]


class Lock:
    """Held for as long as a command writes an output, as a context manager."""

    def __init__(self, folder: Path, what: str) -> None:
        """Name the folder of the lock's files, and `what` it guards, for messages."""
        self._folder, self._what = folder, what
        self._path = folder
        self._token = uuid.uuid4().hex
        self._is_released = threading.Event()
        self._is_away = False
        self._thread = threading.Thread(target=self._beat, daemon=True, name="heartbeat")

    def __enter__(self) -> Lock:
        files.make_folder(self._folder)
        number, found = _last(self._folder)
        if found is not None and is_alive(found):
            raise InputError(
                f"one command at a time writes {self._what}: process {found['pid']} on "
                f"{found['host']} does, seen {_age(found):.0f} s ago"
            )
        self._path = self._folder / f"{number + 1:06d}.json"
        try:
            files.create(self._path, self._content())
        except FileExistsError:
            raise self._raced() from None
        self._tidy()
        self._thread.start()
        return self

    def _tidy(self) -> None:
        """Delete the files of former holders, unless one of them came to life meanwhile."""
        for name in files.names(self._folder):
            path = self._folder / name
            if path == self._path or not _number(name):
                continue
            found = _read(path)
            if found is not None and is_alive(found):
                files.remove(self._path)
                raise self._raced()
            files.remove(path)

    def _raced(self) -> InputError:
        return InputError(f"one command at a time writes {self._what}: another one just started")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_released.set()
        self._thread.join(RELEASE_S)
        if not self._thread.is_alive():  # else the storage hangs: the heartbeat goes stale
            files.remove(self._path)

    def _beat(self) -> None:
        n_foreign = 0
        while not self._is_released.wait(BEAT_EVERY_S):
            try:
                number, found = _last(self._folder)
                if not number:
                    self._say_away("nothing is there")  # unmounted, or taken over and done
                    continue
                is_ours = found is not None and found["token"] == self._token
                n_foreign = 0 if is_ours else n_foreign + 1
                if n_foreign > 1:  # once may be one that is about to give way
                    logger.warning("another command took over %s", self._what)
                    return
                if is_ours:
                    files.put(self._path, self._content())
                    self._say_back()
            except files.failures() as error:  # the heartbeat goes stale, no more
                self._say_away(files.reason(error))

    def _say_away(self, why: str) -> None:
        """Say once what the command then waits for."""
        if not self._is_away:
            self._is_away = True
            logger.warning("the storage of %s is away or full, waiting: %s", self._what, why)

    def _say_back(self) -> None:
        if self._is_away:
            self._is_away = False
            logger.warning("the storage of %s is back", self._what)

    def _content(self) -> bytes:
        return json.dumps(
            {
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "processes": _process_space(),
                "job": submitted_job(),
                "token": self._token,
                "at": time.time(),
            }
        ).encode()


def holder(folder: Path) -> Holder | None:
    """Read who holds, or held, the lock; None when nobody does, or the file does not say who."""
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
    """Read a holder that is complete, every value of its type; None for anything else."""
    try:
        found = json.loads(files.read(path))
        pid, at = found["pid"], found["at"]
        is_complete = (
            isinstance(found["host"], str)
            and isinstance(found["token"], str)
            and isinstance(pid, int)
            and 0 < pid < 2**31
            and isinstance(at, int | float)
            and math.isfinite(at)
        )
    except FileNotFoundError:  # released just now
        return None
    except (ValueError, KeyError, TypeError, OverflowError):
        return None
    return found if is_complete else None


def is_alive(found: Holder) -> bool:
    """Judge a holder by its heartbeat, on this machine by its process too."""
    if abs(_age(found)) >= STALE_AFTER_S:
        return False
    here = (socket.gethostname(), _process_space())
    if (found["host"], found.get("processes")) != here:
        return True
    try:
        os.kill(found["pid"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _process_space() -> str:
    """Tell containers apart that share a host name: a process number means nothing outside."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:  # not Linux
        return ""


def _age(found: Holder) -> float:
    return time.time() - float(found["at"])
