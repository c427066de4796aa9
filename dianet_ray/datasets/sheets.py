"""Reading a table of annotations out of a workbook, a CSV or a parquet file."""

from __future__ import annotations

import csv
import hashlib
import io
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openpyxl
from openpyxl.cell.cell import ERROR_CODES

from dianet_ray.errors import InputError, one_line
from dianet_ray.storage.parquet import read_parquet

Cells = Sequence[Sequence[Any]]
Columns = Mapping[str, tuple[str, ...]]

_HEADER_WITHIN = 40  # rows: SAMM's sheet has 13 banner rows above its titles
_DIGITS = 16  # of a frame number in text; int() refuses thousands of them
MERGED = "merged"
"""Our name of what a row says of merged cells among those that count; empty when none are."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """The table of annotations that was read; `sha256` is of the whole file."""

    path: Path
    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class _Table:
    name: str
    cells: Cells
    merged: tuple[tuple[int, int, int, int], ...] = ()  # first and last row, first and last column


def read_table(
    path: Path, columns: Columns, *, sheet: str | None = None
) -> tuple[Sheet, list[dict[str, Any]]]:
    """Read the rows below the first row that holds all the titles.

    Args:
        path: An .xlsx, .csv or .parquet file.
        columns: Our name of each column, and the titles it has in released sheets; spaces, case
            and punctuation do not matter, other columns are ignored.
        sheet: The name of the workbook's sheet, when it holds several; another one is taken
            when none has that name and it alone has the columns.

    Returns:
        The sheet, and its rows (blank ones dropped) by our names.

    Raises:
        InputError: not a table, or columns are missing: file, sheet and columns are named.
    """
    try:
        encoded = path.read_bytes()
    except OSError as error:
        raise InputError(f"the sheet does not open: {path} ({one_line(error)})") from error
    tables = _tables(path, encoded)
    if not tables:
        raise InputError(f"the workbook holds no sheet of cells: {path}")
    tables = [t for t in tables if sheet and _plain(t.name) == _plain(sheet)] or tables
    headers = [(table, _find_header(table.cells, columns)) for table in tables]
    fitting = [(table, place) for table, place in headers if place is not None]
    if len(fitting) > 1:
        names = ", ".join(table.name for table, _ in fitting)
        raise InputError(f"one sheet must have the columns, not {len(fitting)}: {names} of {path}")
    if not fitting:
        raise InputError(_lacking(tables[0], columns, path))
    table, place = fitting[0]
    rows = _rows(table, *place)
    if not rows:
        raise InputError(f"the sheet holds no row below its titles: sheet {table.name} of {path}")
    return Sheet(path, table.name, hashlib.sha256(encoded).hexdigest()), rows


def _tables(path: Path, encoded: bytes) -> list[_Table]:
    kinds = {".csv": _read_csv, ".parquet": _read_parquet}
    read = kinds.get(path.suffix.lower(), _read_workbook)
    try:
        return read(path, encoded)
    except (
        Exception
    ) as error:  # the readers let through whatever the damage makes their parts raise
        what = {".csv": "table (.csv)", ".parquet": "table (.parquet)"}.get(
            path.suffix.lower(), "workbook (.xlsx)"
        )
        kind = type(error).__name__
        raise InputError(f"not a readable {what}: {path} ({kind})") from error


def _read_workbook(path: Path, encoded: bytes) -> list[_Table]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # openpyxl warns of styles and extensions
        book = openpyxl.load_workbook(io.BytesIO(encoded), data_only=True)
    return [
        _Table(
            table.title,
            list(table.iter_rows(values_only=True)),
            tuple(
                (r.min_row - 1, r.max_row - 1, r.min_col - 1, r.max_col - 1)
                for r in table.merged_cells.ranges
            ),
        )
        for table in book.worksheets
    ]


def _read_csv(path: Path, encoded: bytes) -> list[_Table]:
    # utf-8-sig: a CSV saved by Excel starts with a byte order mark.
    text = encoded.decode("utf-8-sig")
    dialect = csv.excel
    if text.splitlines()[:1] and text.splitlines()[0].count(";") > text.splitlines()[0].count(","):
        dialect = _Semicolons  # what Excel writes where the comma is the decimal sign
    rows = [
        [cell.strip() or None for cell in row] for row in csv.reader(io.StringIO(text), dialect)
    ]
    return [_Table(path.stem, rows)]


class _Semicolons(csv.excel):
    delimiter = ";"


def _read_parquet(path: Path, encoded: bytes) -> list[_Table]:
    table = read_parquet(encoded)
    columns = [column.to_pylist() for column in table.columns]
    return [_Table(path.stem, [table.column_names, *map(list, zip(*columns, strict=True))])]


def _find_header(cells: Cells, columns: Columns) -> tuple[int, dict[str, int]] | None:
    """Find the row of titles, and which column is which."""
    for at, titles in enumerate(cells[:_HEADER_WITHIN]):
        found = _columns_of(titles, columns)
        if len(found) == len(columns):
            return at, found
    return None


def _columns_of(titles: Iterable[Any], columns: Columns) -> dict[str, int]:
    place = {_plain(title): k for k, title in reversed(list(enumerate(titles)))}
    return {
        name: place[_plain(title)]
        for name, known in columns.items()
        for title in reversed(known)
        if _plain(title) in place
    }


def _lacking(table: _Table, columns: Columns, path: Path) -> str:
    """Say which columns are missing from the row that looks most like the titles."""
    best = max(
        table.cells[:_HEADER_WITHIN], key=lambda row: len(_columns_of(row, columns)), default=()
    )
    found = _columns_of(best, columns)
    missing = [known[0] for name, known in columns.items() if name not in found]
    return (
        f"the sheet lacks columns {', '.join(missing)}: sheet {table.name} of {path} has "
        f"{', '.join(str(title) for title in best if title is not None) or 'none'}"
    )


def _rows(table: _Table, header: int, place: dict[str, int]) -> list[dict[str, Any]]:
    rows = []
    for at, cells in enumerate(table.cells[header + 1 :], header + 1):
        row = {name: cells[k] if k < len(cells) else None for name, k in place.items()}
        if any(value is not None for value in row.values()):
            merged = [name for name, k in place.items() if _is_merged(table, at, k)]
            rows.append({**row, MERGED: ", ".join(merged)})
    return rows


def _is_merged(table: _Table, row: int, column: int) -> bool:
    return any(
        top <= row <= bottom and left <= column <= right and (row, column) != (top, left)
        for top, bottom, left, right in table.merged
    )


def _plain(title: object) -> str:
    return "".join(c for c in str(title).casefold() if c.isalnum())


def as_text(value: object) -> str:
    """Read a cell as text: empty for an empty cell, whole numbers without a decimal point."""
    whole = as_frame(value)
    if whole is not None and not isinstance(value, str):
        return str(whole)
    # Parquet holds a missing number as one that differs from itself; `#N/A` is Excel's nothing.
    is_nothing = value is None or value != value or value in ERROR_CODES
    return "" if is_nothing else str(value).strip()


def as_frame(value: object) -> int | None:
    """Read a cell as a frame number; None when it holds none, such as `/`.

    >>> as_frame(46.0), as_frame(" 046 "), as_frame("/"), as_frame(46.5)
    (46, 46, None, None)
    """
    if isinstance(value, str):
        text = value.strip().removesuffix(".0")
        return int(text) if text.isascii() and text.isdecimal() and len(text) <= _DIGITS else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return int(value) if value == value and abs(value) < 1e16 and value == int(value) else None
