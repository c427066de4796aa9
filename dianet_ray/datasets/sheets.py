"""The rows below a row of titles, whatever surrounds them in a workbook or another file."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openpyxl.cell.cell import ERROR_CODES

from dianet_ray.datasets.table_files import Table, read_tables
from dianet_ray.errors import InputError, one_line

Columns = Mapping[str, tuple[str, ...]]
"""Our name of each column -> its titles in released sheets."""

_HEADER_WITHIN = 40  # rows; SAMM's sheet has 13 banner rows above its titles
_MAX_DIGITS = 16  # of a frame number; int() refuses texts of thousands of digits


@dataclass(frozen=True, slots=True)
class Sheet:
    """The table that was read: file, sheet of the file, SHA-256 of the file, row of titles.

    `encoding` is that of a text, empty for other files. Where folders stand in for a sheet, `path`
    is their folder, `name` is empty, and the hash is of the clips' names and labels.
    """

    path: Path
    name: str
    sha256: str
    titles: tuple[str, ...] = ()
    encoding: str = ""


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


class MissingColumnsError(InputError):
    """No row of titles holds all the columns that are looked for."""


def read_table(
    path: Path,
    columns: Columns,
    *,
    sheet_name: str | None = None,
    optional: frozenset[str] = frozenset(),
) -> tuple[Sheet, list[SheetRow]]:
    """Read the rows below the first row that holds the titles.

    Args:
        path: an .xlsx, .csv, .tsv, .txt or .parquet file.
        columns: what to look for. Spaces, case and punctuation of titles do not matter; other
            columns are ignored.
        sheet_name: the sheet of a workbook that holds several. If none has this name, the only
            one with the columns is taken.
        optional: columns that may be missing; rows of such a table have no cell of them.

    Returns:
        The sheet, and its rows without the blank ones.

    Raises:
        InputError: the file is no table.
        MissingColumnsError: columns are missing that are not optional.
    """
    required = {name: known for name, known in columns.items() if name not in optional}
    try:
        encoded = path.read_bytes()
    except OSError as error:
        raise InputError(f"the sheet cannot be opened: {path} ({one_line(error)})") from error
    table, header = _find_table(read_tables(path, encoded), required, path, sheet_name)
    rows = _rows(table, header, _places(table.cells[header], columns))
    if not rows:
        raise InputError(f"the sheet holds no row below its titles: sheet {table.name} of {path}")
    titles = tuple(str(title) for title in table.cells[header] if title is not None)
    sha256 = hashlib.sha256(encoded).hexdigest()
    return Sheet(path, table.name, sha256, titles, table.encoding), rows


def _find_table(
    tables: Sequence[Table], columns: Columns, path: Path, sheet_name: str | None
) -> tuple[Table, int]:
    """Choose the sheet, and find its row of titles."""
    if not tables:
        raise InputError(f"the workbook holds no sheet of cells: {path}")
    named = [t for t in tables if sheet_name and plain_title(t.name) == plain_title(sheet_name)]
    tables = named or tables
    headers = [(table, _find_header(table, columns)) for table in tables]
    fitting = [(table, header) for table, header in headers if header is not None]
    if len(fitting) > 1:
        names = ", ".join(table.name for table, _ in fitting)
        raise InputError(
            f"only one sheet may have the columns, got {len(fitting)}: {names} of {path}"
        )
    if not fitting:
        raise MissingColumnsError(_missing_columns(tables[0], columns, path))
    return fitting[0]


def _find_header(table: Table, columns: Columns) -> int | None:
    """Find the row of titles."""
    # Titles are searched for, not counted: copies of a sheet differ in their banner rows.
    for at, titles in enumerate(table.cells[:_HEADER_WITHIN]):
        if len(_places(titles, columns)) == len(columns):
            return at
    return None


def _places(titles: Iterable[Any], columns: Columns) -> dict[str, int]:
    # Reversed twice: the first of equal titles counts, and the first known title of a column.
    place = {plain_title(title): k for k, title in reversed(list(enumerate(titles)))}
    return {
        name: place[plain_title(title)]
        for name, known in columns.items()
        for title in reversed(known)
        if plain_title(title) in place
    }


def _missing_columns(table: Table, columns: Columns, path: Path) -> str:
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


def _rows(table: Table, header: int, places: Mapping[str, int]) -> list[SheetRow]:
    rows = []
    for at, cells in enumerate(table.cells[header + 1 :], header + 1):
        found = {name: cells[k] if k < len(cells) else None for name, k in places.items()}
        if any(value is not None for value in found.values()):
            merged = tuple(name for name, k in places.items() if _is_merged(table, at, k))
            rows.append(SheetRow(at + 1, found, merged))
    return rows


def _is_merged(table: Table, row: int, column: int) -> bool:
    return any(
        top <= row <= bottom and left <= column <= right and (row, column) != (top, left)
        for top, bottom, left, right in table.merged
    )


def plain_title(title: object) -> str:
    """Spell a title in one way: case, width, blanks and punctuation do not matter.

    >>> plain_title("Onset Frame"), plain_title("onset_frame")
    ('onsetframe', 'onsetframe')
    """
    text = unicodedata.normalize("NFKC", str(title)).casefold()
    return "".join(c for c in text if c.isalnum())


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
