"""What the loaders share: reading a table out of a workbook, and choosing among candidates.

A loader knows one data set's layout and turns it into `Annotated` clips and frame folders;
`manifest` judges them by rules that hold for every data set.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openpyxl

from dianet_ray.errors import InputError


@dataclass(frozen=True, slots=True)
class Annotated:
    """One row of a sheet: what was written, read as numbers where it is numbers."""

    subject: str
    clip: str
    label: str
    onset: int | None
    apex: int | None
    offset: int | None
    apex_text: str


@dataclass(frozen=True, slots=True)
class Sheet:
    """The table of annotations that was read; `sha256` is of the whole file."""

    path: Path
    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Source:
    """What a loader found: the sheet, its rows, and the frame folders by (subject, clip).

    The frame folders lie below `frames_root`.
    """

    sheet: Sheet
    annotated: tuple[Annotated, ...]
    frames_root: Path
    folders: dict[tuple[str, str], Path]


def choose(candidates: Sequence[Path], *, what: str, flag: str, root: Path) -> Path:
    """Take the only candidate.

    Raises:
        InputError: there is none, or several: they are listed with the flag that chooses.
    """
    if not candidates:
        raise InputError(f"{what}: none found under {root}; name it with {flag}")
    if len(candidates) > 1:
        listed = ", ".join(str(path) for path in sorted(candidates))
        raise InputError(f"{what}: {len(candidates)} found, choose one with {flag}: {listed}")
    return candidates[0]


def given_path(path: Path, *, root: Path, flag: str) -> Path:
    """Resolve a path given on the command line, relative to here or to the data set.

    Raises:
        InputError: it is at neither place, or at both and they differ.
    """
    found = [place.absolute() for place in (path, root / path) if place.exists()]
    if not found:
        raise InputError(f"{flag}: no such file or folder: {path} (nor below {root})")
    if len(found) > 1 and not found[0].samefile(found[1]):
        raise InputError(f"{flag}: {path} is {found[0]} or {found[1]}; name it absolutely")
    return found[0]


def read_table(
    path: Path, columns: Mapping[str, tuple[str, ...]]
) -> tuple[Sheet, list[dict[str, Any]]]:
    """Read the first sheet of a workbook, whose header is its first row.

    Args:
        path: An .xlsx file.
        columns: Our name of each column, and the names it has in released sheets; spaces, case
            and punctuation do not matter, other columns are ignored.

    Returns:
        The sheet, and its rows (blank ones dropped) by our names.

    Raises:
        InputError: not a workbook, or columns are missing: file, sheet and columns are named.
    """
    try:
        encoded = path.read_bytes()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # openpyxl warns of styles and extensions
            book = openpyxl.load_workbook(path, data_only=True)
    except Exception as error:  # openpyxl lets through whatever the damage makes its parts raise
        kind = type(error).__name__
        raise InputError(f"not a readable workbook (.xlsx): {path} ({kind})") from error
    table = book.worksheets[0]
    header, *cells = list(table.iter_rows(values_only=True)) or [()]
    place = {_plain(title): k for k, title in reversed(list(enumerate(header)))}
    found = {
        name: place[_plain(title)]
        for name, titles in columns.items()
        for title in titles
        if _plain(title) in place
    }
    missing = [titles[0] for name, titles in columns.items() if name not in found]
    if missing:
        raise InputError(
            f"the sheet lacks columns {', '.join(missing)}: sheet {table.title} of {path} has "
            f"{', '.join(str(title) for title in header if title is not None) or 'none'}"
        )
    rows = [{name: row[k] for name, k in found.items()} for row in cells]
    sheet = Sheet(path, table.title, hashlib.sha256(encoded).hexdigest())
    return sheet, [row for row in rows if any(value is not None for value in row.values())]


def _plain(title: object) -> str:
    return "".join(c for c in str(title).casefold() if c.isalnum())


def as_text(value: object) -> str:
    """Read a cell as text: empty for an empty cell, whole numbers without a decimal point."""
    whole = as_frame(value)
    if whole is not None and not isinstance(value, str):
        return str(whole)
    return "" if value is None else str(value).strip()


def as_frame(value: object) -> int | None:
    """Read a cell as a frame number; None when it holds none, such as `/`."""
    if isinstance(value, str):
        text = value.strip()
        return int(text) if text.isdecimal() else None
    if isinstance(value, (int, float)) and value == int(value):
        return int(value)
    return None
