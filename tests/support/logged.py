"""A fake trial that writes down when it starts and ends, beside the study that it works for.

FAKE_LOG names a folder of a local disk; each worker appends to a file of its own there, one JSON
object a line: event (start, end or error), number, rung, fold, attempt, pid, node, at.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

from dianet_ray.search.events import order_of
from tests.support.clusters import MARK
from tests.support.fake_search import FakeTrial


class LoggedTrial(FakeTrial):
    """Writes what it does where a test reads it, even if its driver is dead."""

    def step(self) -> dict[str, Any]:
        if self._made is None:
            self._log("start")
        try:
            result = super().step()
        except BaseException:
            self._log("error")
            raise
        if self._made is None:  # else it waits for the storage
            self._log("end")
        return result

    def _log(self, event: str) -> None:
        order, pid = order_of(self.config), os.getpid()
        assert order is not None
        line = {
            "event": event,
            "number": order.only.number,
            "rung": order.rung,
            "fold": order.only.fold,
            "attempt": order.attempt,
            "pid": pid,
            "node": os.environ.get(MARK, ""),
            "at": time.time(),
        }
        with (Path(os.environ["FAKE_LOG"]) / f"{pid}.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
