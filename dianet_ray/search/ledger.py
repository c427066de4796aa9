"""The record of every draw and every finished training: the truth of a study.

STUDY/ledger is a folder of small immutable numbered parts (JSON lines), each created whole and
exclusively. STUDY/study.json holds what makes it this study. `study_view.py` reads both.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dianet_ray.artefacts import LEDGER_FOLDER, STUDY_FORMAT, STUDY_JSON
from dianet_ray.errors import InputError, one_line
from dianet_ray.storage import files

FLUSH_AFTER_S = 2.0
FLUSH_AFTER_N = 100
PARTS_AT_ONCE = 64  # read together, so that an object store's latency is paid once for them

Record = dict[str, Any]


class Ledger:
    """Appends records; one writer at a time, guarded by the driver's lock.

    While the storage is away or full a flush waits; `on_wait` hears of it and may raise.
    """

    def __init__(self, study: Path) -> None:
        self._folder = study / LEDGER_FOLDER
        files.make_folder(self._folder)
        parts = _parts(self._folder)
        self._next = int(parts[-1].stem) + 1 if parts else 1
        self.on_wait: Callable[[Exception], None] = lambda error: None
        self._tried: list[Record] = []  # of a part that may be written already
        self._waiting: list[Record] = []
        self._due_at = 0.0

    def append(self, record: Record, *, is_urgent: bool = False) -> None:
        """Keep a record for the next flush, which an urgent one makes due at once."""
        now = time.monotonic()
        if not self._waiting:
            self._due_at = now + FLUSH_AFTER_S
        if is_urgent:
            self._due_at = now
        self._waiting.append(record)

    @property
    def is_due(self) -> bool:
        """Records wait that must not wait longer."""
        return bool(self._waiting) and (
            len(self._waiting) >= FLUSH_AFTER_N or time.monotonic() >= self._due_at
        )

    def flush(self) -> list[Record]:
        """Make what waits durable, and return it: one part, two after a flush that was given up.

        Raises:
            InputError: the part exists, so another driver writes this study.
            StorageAway: when patience ends.
        """
        written: list[Record] = []
        while self._tried or self._waiting:
            if not self._tried:
                self._tried, self._waiting = self._waiting, []
            self._write()
            written += self._tried
            self._tried = []
        return written

    def _write(self) -> None:
        """Create the next part of what is tried: always the same, as it may be there already."""
        content = "".join(json.dumps(record) + "\n" for record in self._tried).encode()
        path = self._folder / f"{self._next:06d}.jsonl"
        try:
            files.patiently(lambda: files.create(path, content), self.on_wait)
        except FileExistsError:
            raise InputError(f"a study has one driver: another one wrote {path}") from None
        self._next += 1


def read_records(study: Path) -> Iterator[Record]:
    """Read every record in the order of writing.

    Raises:
        InputError: a part that is not whole, or a gap between the parts.
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
            try:
                for line in content.decode().splitlines():
                    yield json.loads(line)
            except ValueError as error:
                raise InputError(f"a ledger part is damaged: {part}: {one_line(error)}") from None


def _contents(parts: list[Path]) -> list[bytes]:
    try:
        return files.read_files(parts)
    except files.failures() as error:
        raise InputError(
            f"the ledger cannot be read: {parts[0].parent}: {one_line(error)}"
        ) from None


def write_study(study: Path, content: Record) -> None:
    """Write study.json once, when the study is made."""
    files.make_folder(study)
    text = json.dumps({"format": STUDY_FORMAT, **content}, indent=1) + "\n"
    files.create(study / STUDY_JSON, text.encode())


def read_study(study: Path) -> Record:
    """Read study.json.

    Raises:
        InputError: the folder is no study, or of another format.
    """
    path = study / STUDY_JSON
    try:
        content: Record = json.loads(files.read(path))
    except FileNotFoundError:
        raise InputError(f"a study holds {STUDY_JSON}: none in {study}") from None
    except files.failures(ValueError) as error:
        raise InputError(f"{path} cannot be read: {one_line(error)}") from None
    if not isinstance(content, dict) or content.get("format") != STUDY_FORMAT:
        raise InputError(f"{path}: this version reads studies of format {STUDY_FORMAT}")
    return content


def _parts(folder: Path) -> list[Path]:
    found = [folder / name for name in files.names(folder) if name.endswith(".jsonl")]
    return [path for path in found if path.stem.isdecimal()]
