"""Says that a search waits for its storage: when that begins, each minute, and when it ends."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from dianet_ray.progress import duration
from dianet_ray.storage import files

AGAIN_S = 60.0
"""How often a wait that goes on is told again."""

logger = logging.getLogger(__name__)


class StorageWait:
    """A wait for the storage of a study, as its driver sees it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._since = self._told_at = 0.0
        self.status = ""
        """What the progress line adds; empty unless something waits."""

    def goes_on(self, what: str, reason: str) -> None:
        """Note that something waits, and why; call it as long as it does."""
        now = time.monotonic()
        is_new = not self.status
        self.status = f"{what} for the storage ({reason})"
        if is_new:
            self._since = now
        elif now - self._told_at < AGAIN_S:
            return
        self._told_at = now
        logger.warning(
            "%s cannot be written: %s; %s since %s, up to %s",
            self._path,
            reason,
            what,
            duration(now - self._since),
            duration(files.PATIENCE_S),
        )

    def is_over(self) -> None:
        """Note that nothing waits; say so if something did."""
        if self.status:
            self.status = ""
            logger.warning("%s can be written again", self._path)
