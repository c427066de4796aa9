"""The record of every draw and every finished training: the truth of a study.

STUDY/ledger is a folder of small immutable numbered parts (JSON lines), each created whole and
exclusively. STUDY/study.json holds what makes it this study. `study_view.py` reads both.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dianet_ray.errors import InputError
from dianet_ray.schemas import FORMAT, LEDGER_FOLDER, STUDY_JSON

FLUSH_AFTER_S = 2.0
FLUSH_AFTER_N = 100

Record = dict[str, Any]


class Ledger:
    """Appends records; one writer at a time, guarded by the driver's lock."""

    def __init__(self, study: Path) -> None:
        self._folder = study / LEDGER_FOLDER
        self._folder.mkdir(parents=True, exist_ok=True)
        parts = _parts(self._folder)
        self._next = int(parts[-1].stem) + 1 if parts else 1
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
        """Make what waits durable, as one part, and return it.

        Raises:
            InputError: the part exists, so another driver writes this study.
        """
        if not self._waiting:
            return []
        text = "".join(json.dumps(record) + "\n" for record in self._waiting)
        path = self._folder / f"{self._next:06d}.jsonl"
        try:
            write_exclusively(path, text)
        except FileExistsError:
            raise InputError(f"a study has one driver: another one wrote {path}") from None
        self._next += 1
        written, self._waiting = self._waiting, []
        return written


def read_records(study: Path) -> Iterator[Record]:
    """Read every record in the order of writing.

    Raises:
        InputError: a part that is not whole, or a gap between the parts.
    """
    for i, part in enumerate(_parts(study / LEDGER_FOLDER), start=1):
        if int(part.stem) != i:
            raise InputError(
                f"the ledger's parts are numbered without gaps: no {i:06d} before {part}"
            )
        try:
            for line in part.read_text(encoding="utf-8").splitlines():
                yield json.loads(line)
        except (OSError, ValueError) as error:
            raise InputError(f"a ledger part is damaged: {part}: {error}") from None


def write_study(study: Path, content: Record) -> None:
    """Write study.json once, when the study is made."""
    study.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"format": FORMAT, **content}, indent=1) + "\n"
    write_exclusively(study / STUDY_JSON, text)


def read_study(study: Path) -> Record:
    """Read study.json.

    Raises:
        InputError: the folder is no study, or of another format.
    """
    path = study / STUDY_JSON
    try:
        content: Record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"a study holds {STUDY_JSON}: none in {study}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f"{path}: this version reads studies of format {FORMAT}")
    return content


def write_exclusively(path: Path, text: str) -> None:
    """Create a file whole or not at all, and only when it does not exist.

    Raises:
        FileExistsError: the file exists.
    """
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    with beside.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(beside, path)  # unlike a rename it never replaces
    except PermissionError:
        raise InputError(f"a study needs a file system with hard links: {path.parent}") from None
    finally:
        beside.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _parts(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.jsonl") if path.stem.isdigit())
