"""Reading a table out of a workbook, a CSV or a parquet file, whatever surrounds it."""

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

Columns = Mapping[str, tuple[str, ...]]
"""Our name of each column -> its titles in released sheets."""

_HEADER_WITHIN = 40  # rows; SAMM's sheet has 13 banner rows above its titles
_MAX_DIGITS = 16  # of a frame number; int() refuses texts of thousands of digits
_KINDS = {".csv": "table (.csv)", ".parquet": "table (.parquet)"}


@dataclass(frozen=True, slots=True)
class Sheet:
    """The table that was read: file, name of the sheet in it, SHA-256 of the whole file.

    Where folders stand in for a sheet, `path` is their folder, `name` is empty, and the hash is of
    the clips' names and labels.
    """

    path: Path
    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class SheetRow:
    """One row of a table.

    Attributes:
        number: counted from 1, banner and titles included.
        cells: our name of the column -> the value, as the file holds it.
        merged: columns whose cell is merged with a cell above or to the left.
    """

    number: int
    cells: Mapping[str, Any]
    merged: tuple[str, ...] = ()

    def text(self, column: str) -> str:
        """Return a cell as text; empty for an empty cell or an unknown column."""
        return as_text(self.cells.get(column))

    def frame(self, column: str) -> int | None:
        """Return a cell as a frame number; None if it holds none."""
        return as_frame(self.cells.get(column))


@dataclass(frozen=True, slots=True)
class _Table:
    name: str
    cells: Sequence[Sequence[Any]]
    merged: tuple[tuple[int, int, int, int], ...] = ()  # first and last row, first and last column


def read_table(
    path: Path,
    columns: Columns,
    *,
    sheet_name: str | None = None,
    optional: Columns | None = None,
) -> tuple[Sheet, list[SheetRow]]:
    """Read the rows below the first row that holds all the titles.

    Args:
        path: an .xlsx, .csv or .parquet file.
        columns: what to look for. Spaces, case and punctuation of titles do not matter; other
            columns are ignored.
        sheet_name: the sheet of a workbook that holds several. If none has this name, the only
            one with the columns is taken.
        optional: columns that are read where the sheet has them.

    Returns:
        The sheet, and its rows without the blank ones.

    Raises:
        InputError: the file is no table, or columns are missing.
    """
    try:
        encoded = path.read_bytes()
    except OSError as error:
        raise InputError(f"the sheet cannot be opened: {path} ({one_line(error)})") from error
    table, header, places = _find_table(_tables(path, encoded), columns, path, sheet_name)
    places |= _places(table.cells[header], optional or {})
    rows = _rows(table, header, places)
    if not rows:
        raise InputError(f"the sheet holds no row below its titles: sheet {table.name} of {path}")
    return Sheet(path, table.name, hashlib.sha256(encoded).hexdigest()), rows


def _find_table(
    tables: Sequence[_Table], columns: Columns, path: Path, sheet_name: str | None
) -> tuple[_Table, int, dict[str, int]]:
    """Choose the sheet, and find its row of titles and its columns."""
    if not tables:
        raise InputError(f"the workbook holds no sheet of cells: {path}")
    tables = [t for t in tables if sheet_name and _plain(t.name) == _plain(sheet_name)] or tables
    headers = [(table, _find_header(table, columns)) for table in tables]
    fitting = [(table, *header) for table, header in headers if header is not None]
    if len(fitting) > 1:
        names = ", ".join(table.name for table, *_ in fitting)
        raise InputError(
            f"only one sheet may have the columns, got {len(fitting)}: {names} of {path}"
        )
    if not fitting:
        raise InputError(_missing_columns(tables[0], columns, path))
    return fitting[0]


def _tables(path: Path, encoded: bytes) -> list[_Table]:
    suffix = path.suffix.lower()
    readers = {".csv": _read_csv, ".parquet": _read_parquet}
    try:
        return readers.get(suffix, _read_workbook)(path, encoded)
    except Exception as error:  # damaged files make the readers raise anything, KeyError included
        kind = _KINDS.get(suffix, "workbook (.xlsx)")
        raise InputError(f"not a readable {kind}: {path} ({type(error).__name__})") from error


def _read_workbook(path: Path, encoded: bytes) -> list[_Table]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # openpyxl warns about styles and extensions
        # data_only: the value that Excel computed, not the formula.
        book = openpyxl.load_workbook(io.BytesIO(encoded), data_only=True)
    return [
        _Table(
            sheet.title,
            list(sheet.iter_rows(values_only=True)),
            tuple(
                (r.min_row - 1, r.max_row - 1, r.min_col - 1, r.max_col - 1)
                for r in sheet.merged_cells.ranges
            ),
        )
        for sheet in book.worksheets
    ]


def _read_csv(path: Path, encoded: bytes) -> list[_Table]:
    text = encoded.decode("utf-8-sig")  # Excel starts a CSV with a byte order mark
    first_line = next(iter(text.splitlines()), "")
    # Excel separates by semicolons where the comma is the decimal sign.
    delimiter = ";" if first_line.count(";") > first_line.count(",") else ","
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    return [_Table(path.stem, [[cell.strip() or None for cell in row] for row in reader])]


def _read_parquet(path: Path, encoded: bytes) -> list[_Table]:
    table = read_parquet(encoded)
    columns = [column.to_pylist() for column in table.columns]
    return [_Table(path.stem, [table.column_names, *map(list, zip(*columns, strict=True))])]


def _find_header(table: _Table, columns: Columns) -> tuple[int, dict[str, int]] | None:
    """Find the row of titles, and the place of each column in it."""
    # Titles are searched for, not counted: copies of a sheet differ in their banner rows.
    for at, titles in enumerate(table.cells[:_HEADER_WITHIN]):
        found = _places(titles, columns)
        if len(found) == len(columns):
            return at, found
    return None


def _places(titles: Iterable[Any], columns: Columns) -> dict[str, int]:
    # Reversed twice: the first of equal titles counts, and the first known title of a column.
    place = {_plain(title): k for k, title in reversed(list(enumerate(titles)))}
    return {
        name: place[_plain(title)]
        for name, known in columns.items()
        for title in reversed(known)
        if _plain(title) in place
    }


def _missing_columns(table: _Table, columns: Columns, path: Path) -> str:
    """Say which columns are missing from the row that looks most like the titles."""
    best = max(
        table.cells[:_HEADER_WITHIN], key=lambda row: len(_places(row, columns)), default=()
    )
    found = _places(best, columns)
    missing = [known[0] for name, known in columns.items() if name not in found]
    titles = ", ".join(str(title) for title in best if title is not None) or "none"
    return (
        f"the sheet lacks columns {', '.join(missing)}: sheet {table.name} of {path} has {titles}"
    )


def _rows(table: _Table, header: int, places: Mapping[str, int]) -> list[SheetRow]:
    rows = []
    for at, cells in enumerate(table.cells[header + 1 :], header + 1):
        found = {name: cells[k] if k < len(cells) else None for name, k in places.items()}
        if any(value is not None for value in found.values()):
            merged = tuple(name for name, k in places.items() if _is_merged(table, at, k))
            rows.append(SheetRow(at + 1, found, merged))
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
    # Parquet holds a missing number as NaN, the only value unequal to itself. `#N/A` is Excel's.
    is_missing = value is None or value != value or value in ERROR_CODES
    return "" if is_missing else str(value).strip()


def as_frame(value: object) -> int | None:
    """Read a cell as a frame number; None when it holds none, such as `/`.

    >>> as_frame(46.0), as_frame(" 046 "), as_frame("/"), as_frame(46.5)
    (46, 46, None, None)
    """
    if isinstance(value, str):
        text = value.strip().removesuffix(".0")
        is_number = text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS
        return int(text) if is_number else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    # Beyond 1e16 a float no longer tells neighbouring integers apart.
    return int(value) if value == value and abs(value) < 1e16 and value == int(value) else None
