"""The record of every draw and every finished training: the truth of a study.

STUDY/ledger is a folder of small immutable numbered parts (JSON lines), each created whole and
exclusively. `events.py` says what a line holds, `study_file.py` adds the lines up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from dianet_ray.artefacts import LEDGER_FOLDER, from_json, to_json
from dianet_ray.errors import InputError
from dianet_ray.search.events import Event, EventLine
from dianet_ray.storage import files

FLUSH_AFTER_S = 2.0
FLUSH_AFTER_N = 100
PARTS_AT_ONCE = 64  # read together, so that an object store's latency is paid once for them


class Ledger:
    """Appends events; one writer at a time, guarded by the driver's lock.

    While the storage is away or full a flush waits; `on_wait` hears of it and may raise.
    """

    def __init__(self, study: Path) -> None:
        self._folder = study / LEDGER_FOLDER
        files.make_folder(self._folder)
        parts = _parts(self._folder)
        self._next = int(parts[-1].stem) + 1 if parts else 1
        self.on_wait: Callable[[Exception], None] = lambda error: None
        self._tried: list[Event] = []  # of a part that may be written already
        self._waiting: list[Event] = []
        self._due_at = 0.0

    def append(self, event: Event, *, is_urgent: bool = False) -> None:
        """Keep an event for the next flush, which an urgent one makes due at once."""
        now = time.monotonic()
        if not self._waiting:
            self._due_at = now + FLUSH_AFTER_S
        if is_urgent:
            self._due_at = now
        self._waiting.append(event)

    @property
    def is_due(self) -> bool:
        """Events wait that must not wait longer."""
        return bool(self._waiting) and (
            len(self._waiting) >= FLUSH_AFTER_N or time.monotonic() >= self._due_at
        )

    def flush(self) -> list[Event]:
        """Make what waits durable, and return it: one part, two after a flush that was given up.

        Raises:
            InputError: the part exists, so another driver writes this study.
            StorageAway: the storage stayed away for too long.
        """
        written: list[Event] = []
        while self._tried or self._waiting:
            if not self._tried:
                self._tried, self._waiting = self._waiting, []
            self._write()
            written += self._tried
            self._tried = []
        return written

    def _write(self) -> None:
        """Create the next part of what is tried: always the same, as it may be there already."""
        content = "".join(to_json(EventLine(event)) + "\n" for event in self._tried).encode()
        path = self._folder / f"{self._next:06d}.jsonl"
        try:
            files.patiently(lambda: files.create(path, content), self.on_wait)
        except FileExistsError:
            raise InputError(f"a study has one driver: another one wrote {path}") from None
        self._next += 1


def read_events(study: Path) -> Iterator[Event]:
    """Read every event in the order of writing.

    Raises:
        InputError: a part that is damaged, or a gap between the parts.
    """
    with files.answering(study):
        parts = _parts(study / LEDGER_FOLDER)
    for i, part in enumerate(parts, start=1):
        if int(part.stem) != i:
            raise InputError(
                f"the ledger's parts are numbered without gaps: no {i:06d} before {part}"
            )
    for first in range(0, len(parts), PARTS_AT_ONCE):
        some = parts[first : first + PARTS_AT_ONCE]
        for part, content in zip(some, _contents(some), strict=True):
            for number, line in enumerate(content.splitlines(), start=1):
                yield from_json(EventLine, line, f"line {number} of the ledger part {part}").event


def _contents(parts: list[Path]) -> list[bytes]:
    try:
        return files.read_files(parts)
    except files.failures() as error:
        raise InputError(f"the ledger cannot be read: {parts[0].parent}: {error}") from None


def _parts(folder: Path) -> list[Path]:
    found = [folder / name for name in files.names(folder) if name.endswith(".jsonl")]
    return [path for path in found if path.stem.isdecimal()]
