"""STUDY/driver.json: who writes the ledger now, kept fresh by a heartbeat.

A second driver is refused while the first one lives; a driver that was killed is replaced at once
on its own machine, and on another one when its heartbeat is stale.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any

from dianet_ray.errors import InputError
from dianet_ray.schemas import DRIVER_JSON
from dianet_ray.search.ledger import write_exclusively

BEAT_EVERY_S = 5.0
STALE_AFTER_S = 60.0


class DriverLock:
    """Held for as long as a driver works on a study, as a context manager."""

    def __init__(self, study: Path) -> None:
        self._path = study / DRIVER_JSON
        self._token = uuid.uuid4().hex
        self._is_released = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True, name="heartbeat")

    def __enter__(self) -> DriverLock:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        holder = read_driver(self._path.parent)
        if holder is not None:
            if is_alive(holder):
                raise InputError(
                    f"a study has one driver: process {holder['pid']} on {holder['host']} works "
                    f"on {self._path.parent}, seen {_age(holder):.0f} s ago"
                )
            self._path.unlink(missing_ok=True)
        try:
            write_exclusively(self._path, self._text())
        except FileExistsError:
            raise InputError(
                f"a study has one driver: another one just started on {self._path.parent}"
            ) from None
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_released.set()
        self._thread.join()
        holder = read_driver(self._path.parent)
        if holder is not None and holder["token"] == self._token:
            self._path.unlink(missing_ok=True)

    def _beat(self) -> None:
        beside = self._path.with_name(f".{self._path.name}.{self._token}")
        while not self._is_released.wait(BEAT_EVERY_S):
            try:
                beside.write_text(self._text(), encoding="utf-8")
                beside.replace(self._path)
            except OSError:  # storage away for a while: the heartbeat goes stale, no more
                continue

    def _text(self) -> str:
        return json.dumps(
            {
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "token": self._token,
                "at": time.time(),
            }
        )


def read_driver(study: Path) -> dict[str, Any] | None:
    """Read who drives a study; None when nobody does."""
    try:
        holder = json.loads((study / DRIVER_JSON).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return holder if isinstance(holder, dict) else None


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
