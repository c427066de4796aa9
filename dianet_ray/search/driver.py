"""STUDY/driver.json: who writes the ledger now, kept fresh by a heartbeat.

A second driver is refused while the first one lives; a driver that was killed is replaced at once
on its own machine, and on another one when its heartbeat is stale. A file that names nobody
(damaged, incomplete) is replaced too. The ledger's exclusive parts are the last guard.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import socket
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from dianet_ray.errors import InputError
from dianet_ray.options import submitted_job
from dianet_ray.schemas import DRIVER_JSON
from dianet_ray.search.ledger import write_exclusively

BEAT_EVERY_S = 5.0
STALE_AFTER_S = 60.0

logger = logging.getLogger(__name__)


class DriverLock:
    """Held for as long as a driver works on a study, as a context manager."""

    def __init__(self, study: Path) -> None:
        self._path = study / DRIVER_JSON
        self._token = uuid.uuid4().hex
        self._beside = self._path.with_name(f".{DRIVER_JSON}.{self._token}")
        self._is_released = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True, name="heartbeat")

    def __enter__(self) -> DriverLock:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._take(self._path)
        self._thread.start()
        return self

    def _take(self, path: Path) -> None:
        """Write our name at `path`, where nobody's or a stale one is.

        Who replaces a stale file first takes, in the same way, a claim named after the stale
        content, and then moves the claim there: of those who saw the same stale file one wins.
        """
        content = _read(path)
        if content is None:
            try:
                write_exclusively(path, self._text())
            except FileExistsError:
                raise self._raced() from None
            return
        holder = _parse(content)
        if holder is not None and is_alive(holder):
            raise InputError(
                f"a study has one driver: process {holder['pid']} on {holder['host']} works "
                f"on {self._path.parent}, seen {_age(holder):.0f} s ago"
            )
        named = hashlib.sha256(path.name.encode() + content).hexdigest()[:16]
        claim = self._path.with_name(f".{DRIVER_JSON}.{named}")
        self._take(claim)
        if _read(path) == content:
            with suppress(FileNotFoundError):  # the claim was taken from us as stale
                claim.replace(path)
        else:
            claim.unlink(missing_ok=True)
        if not self._is_ours(path):
            raise self._raced()

    def _raced(self) -> InputError:
        return InputError(
            f"a study has one driver: another one just started on {self._path.parent}"
        )

    def _is_ours(self, path: Path) -> bool:
        holder = _parse(_read(path))
        return holder is not None and holder["token"] == self._token

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_released.set()
        self._thread.join()
        self._beside.unlink(missing_ok=True)
        if self._is_ours(self._path):
            self._path.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._is_released.wait(BEAT_EVERY_S):
            try:
                if not self._is_ours(self._path):
                    logger.warning("another driver took over %s", self._path.parent)
                    return
                with self._beside.open("w", encoding="utf-8") as file:
                    file.write(self._text())
                    file.flush()
                    os.fsync(file.fileno())
                self._beside.replace(self._path)
            except OSError:  # storage away for a while: the heartbeat goes stale, no more
                continue

    def _text(self) -> str:
        return json.dumps(
            {
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "job": submitted_job(),
                "token": self._token,
                "at": time.time(),
            }
        )


def read_driver(study: Path) -> dict[str, Any] | None:
    """Read who drives a study; None when nobody does, or the file does not say who."""
    return _parse(_read(study / DRIVER_JSON))


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _parse(content: bytes | None) -> dict[str, Any] | None:
    """Read a holder that is complete, every value of its type; None for anything else."""
    try:
        holder = json.loads(content or b"")
        pid, at = holder["pid"], holder["at"]
        is_complete = (
            isinstance(holder["host"], str)
            and isinstance(holder["token"], str)
            and isinstance(pid, int)
            and 0 < pid < 2**31
            and isinstance(at, int | float)
            and math.isfinite(at)
        )
    except (ValueError, KeyError, TypeError, OverflowError):
        return None
    return holder if is_complete else None


def is_alive(holder: dict[str, Any]) -> bool:
    """Judge a driver by its heartbeat, on this machine by its process too."""
    if _age(holder) >= STALE_AFTER_S:
        return False
    if holder["host"] != socket.gethostname():
        return True
    try:
        os.kill(holder["pid"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _age(holder: dict[str, Any]) -> float:
    return time.time() - float(holder["at"])
