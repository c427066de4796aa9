"""The rows below a row of titles, whatever surrounds them in a workbook or another file."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openpyxl.cell.cell import ERROR_CODES

from dianet_ray.datasets.table_files import Table, read_tables
from dianet_ray.errors import InputError, one_line
from dianet_ray.progress import some

Columns = Mapping[str, tuple[str, ...]]
"""Our name of each column -> its titles in released sheets."""

_HEADER_WITHIN = 40  # rows; SAMM's sheet has 13 banner rows above its titles
_TOTALS = frozenset({"total", "totals", "subtotal", "grandtotal", "sum", "合计", "总计", "总数"})
_LISTED = 5
_MAX_DIGITS = 16  # of a frame number; int() refuses texts of thousands of digits


@dataclass(frozen=True, slots=True)
class Sheet:
    """The table that was read: file, sheet of the file, SHA-256 of the file, row of titles.

    `encoding` is that of a text, empty for other files; `notes` say how it was read, a sentence
    each. Where folders stand in for a sheet, `path`
    is their folder, `name` is empty, and the hash is of the clips' names and labels.
    """

    path: Path
    name: str
    sha256: str
    titles: tuple[str, ...] = ()
    encoding: str = ""
    notes: tuple[str, ...] = ()


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
    chosen: str | None = None,
    optional: frozenset[str] = frozenset(),
) -> tuple[Sheet, list[SheetRow]]:
    """Read the rows below the first row that holds the titles.

    Args:
        path: an .xlsx, .csv, .tsv, .txt or .parquet file.
        columns: what to look for. Spaces, case and punctuation of titles do not matter; other
            columns are ignored.
        sheet_name: the sheet of a workbook that holds several. If none has this name, the only
            one with the columns is taken.
        chosen: the sheet that the user named; no other one is taken.
        optional: columns that may be missing; rows of such a table have no cell of them.

    Returns:
        The sheet, and its rows without the blank ones.

    Raises:
        InputError: the file is no table, or has no sheet of the chosen name.
        MissingColumnsError: columns are missing that are not optional.
    """
    required = {name: known for name, known in columns.items() if name not in optional}
    try:
        encoded = path.read_bytes()
    except OSError as error:
        raise InputError(f"the sheet cannot be opened: {path} ({one_line(error)})") from error
    tables = _named(read_tables(path, encoded), path, sheet_name, chosen)
    table, header = _find_table(tables, required, path)
    rows, totals = _rows(table, header, _places(table.cells[header], columns), required)
    if not rows:
        raise InputError(f"the sheet holds no row below its titles: sheet {table.name} of {path}")
    titles = tuple(str(title) for title in table.cells[header] if title is not None)
    sha256 = hashlib.sha256(encoded).hexdigest()
    notes = tuple(_notes([row.number for row in rows if row.number - 1 in table.hidden], totals))
    return Sheet(path, table.name, sha256, titles, table.encoding, notes), rows


def _named(
    tables: Sequence[Table], path: Path, sheet_name: str | None, chosen: str | None
) -> Sequence[Table]:
    """Keep the sheet that the user chose, else the one of the usual name, else all."""
    if not tables:
        raise InputError(f"the workbook holds no sheet of cells: {path}")
    wanted = plain_title(chosen or sheet_name or "")
    named = [table for table in tables if plain_title(table.name) == wanted]
    if chosen is not None and not named:
        names = ", ".join(table.name for table in tables)
        raise InputError(f"--sheet: no sheet {chosen} in {path}, which has {names}")
    return named or tables


def _find_table(tables: Sequence[Table], columns: Columns, path: Path) -> tuple[Table, int]:
    """Find the only sheet with the columns, and its row of titles."""
    headers = [(table, _find_header(table, columns)) for table in tables]
    fitting = [(table, header) for table, header in headers if header is not None]
    if len(fitting) > 1:
        names = ", ".join(table.name for table, _ in fitting)
        raise InputError(
            f"only one sheet may have the columns, got {len(fitting)}: {names} of {path}; choose "
            "one with --sheet NAME"
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


def _rows(
    table: Table, header: int, places: Mapping[str, int], required: Columns
) -> tuple[list[SheetRow], list[int]]:
    """Read the rows that are not blank; return the numbers of those with totals apart."""
    rows, totals = [], []
    for at, cells in enumerate(table.cells[header + 1 :], header + 1):
        found = {name: cells[k] if k < len(cells) else None for name, k in places.items()}
        if all(value is None for value in found.values()):
            continue
        is_full = all(as_text(found[name]) for name in required)
        if not is_full and any(plain_title(cell) in _TOTALS for cell in cells):
            totals.append(at + 1)
            continue
        merged = tuple(name for name, k in places.items() if _is_merged(table, at, k))
        rows.append(SheetRow(at + 1, found, merged))
    return rows, totals


def _notes(hidden: Sequence[int], totals: Sequence[int]) -> Iterator[str]:
    """Say which rows a reader of the sheet might not expect to be read, or to be left."""
    if hidden:
        yield f"rows that the workbook hides were read: {some(hidden, _LISTED)}"
    if totals:
        yield f"rows of totals were not read: {some(totals, _LISTED)}"


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
