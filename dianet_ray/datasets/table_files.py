"""The cells of a file: a workbook, a text with separators, or a parquet table.

Knows nothing of titles. What cannot be read is answered with what the file is and what to do.
"""

from __future__ import annotations

import csv
import io
import warnings
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openpyxl
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.worksheet import Worksheet

from dianet_ray.datasets.encodings import decode
from dianet_ray.errors import InputError
from dianet_ray.storage.parquet import read_parquet

_OLE, _ZIP, _PARQUET = b"\xd0\xcf\x11\xe0", b"PK", b"PAR1"
_SEPARATORS = (",", ";", "\t")  # Excel writes semicolons where the comma is the decimal sign
MOST_EMPTY = 1000
"""Rows or columns in a row that are empty between cells of one table."""
_SAVE_AS = "open it and save it as .xlsx"


@dataclass(frozen=True, slots=True)
class Table:
    """The cells of one sheet of a file.

    Attributes:
        name: of the sheet, or of a file that has none.
        cells: row by row; None for an empty cell.
        merged: first and last row, first and last column of cells that are merged.
        encoding: of a text; empty for other files.
        hidden: rows that the workbook hides, from 0.
    """

    name: str
    cells: Sequence[Sequence[Any]]
    merged: tuple[tuple[int, int, int, int], ...] = ()
    encoding: str = ""
    hidden: frozenset[int] = frozenset()


def read_tables(path: Path, encoded: bytes) -> list[Table]:
    """Read the sheets of a file; of a text, its cells by each separator, the likeliest first.

    Args:
        path: whose suffix says what the file should be; anything but .csv, .tsv, .txt and
            .parquet is read as a workbook.
        encoded: the file's content.

    Raises:
        InputError: the content is something else, or damaged.
    """
    kind, reader = _READERS.get(path.suffix.lower(), ("workbook (.xlsx)", _read_workbook))
    try:
        return reader(path, encoded)
    except InputError:
        raise
    except Exception as error:  # damaged files make the readers raise anything, KeyError included
        raise InputError(f"not a readable {kind}: {path} {_advice(path, encoded)}") from error


def _read_workbook(path: Path, encoded: bytes) -> list[Table]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # openpyxl warns about styles and extensions
        # data_only: the value that Excel computed, not the formula.
        book = openpyxl.load_workbook(io.BytesIO(encoded), data_only=True)
    return [
        Table(
            sheet.title,
            _cells(path, sheet),
            tuple(
                (r.min_row - 1, r.max_row - 1, r.min_col - 1, r.max_col - 1)
                for r in sheet.merged_cells.ranges
            ),
            hidden=frozenset(n - 1 for n, row in sheet.row_dimensions.items() if row.hidden),
        )
        for sheet in book.worksheets
    ]


def _cells(path: Path, sheet: Worksheet) -> list[Sequence[Any]]:
    """List the rows up to the last value; formats alone may reach much further.

    Raises:
        InputError: a value is far from all others: millions of empty cells would come with it.
    """
    places = [place for place, cell in sheet._cells.items() if cell.value is not None]
    if not places:
        return []
    ends = [_last(path, sheet, places, axis) for axis in (0, 1)]
    return list(sheet.iter_rows(max_row=ends[0], max_col=ends[1], values_only=True))


def _last(path: Path, sheet: Worksheet, places: Sequence[tuple[int, int]], axis: int) -> int:
    last = 0
    for place in sorted({one[axis] for one in places}):
        if place - last > MOST_EMPTY:
            row, column = next(one for one in places if one[axis] == place)
            raise InputError(
                f"a sheet must have its cells together: {path}: {sheet.title} has one at "
                f"{get_column_letter(column)}{row}, far from the others; delete it"
            )
        last = place
    return last


def _read_text(path: Path, encoded: bytes) -> list[Table]:
    if encoded.startswith((_OLE, _ZIP, _PARQUET)):
        raise ValueError("no text")
    text, encoding = decode(encoded)
    first_line = next((line for line in text.splitlines() if line.strip()), "")
    likeliest_first = sorted(_SEPARATORS, key=first_line.count, reverse=True)
    return [Table(path.stem, _split(text, one), encoding=encoding) for one in likeliest_first]


def _split(text: str, separator: str) -> list[list[str | None]]:
    # newline=None: old Macs end lines with CR alone, which csv takes for a part of a cell.
    reader = csv.reader(io.StringIO(text, newline=None), delimiter=separator)
    return [[cell.strip() or None for cell in row] for row in reader]


def _read_parquet(path: Path, encoded: bytes) -> list[Table]:
    table = read_parquet(encoded)
    columns = [column.to_pylist() for column in table.columns]
    return [Table(path.stem, [table.column_names, *map(list, zip(*columns, strict=True))])]


_TEXT = ("table (.csv)", _read_text)
_READERS: dict[str, tuple[str, Callable[[Path, bytes], list[Table]]]] = {
    ".csv": _TEXT,
    ".tsv": _TEXT,
    ".txt": _TEXT,
    ".parquet": ("table (.parquet)", _read_parquet),
}


def _advice(path: Path, encoded: bytes) -> str:
    """Say what a file that could not be read is, and what to do."""
    if not encoded.strip(b"\0 \t\r\n"):
        return "is empty; copy it again"
    if encoded.startswith(_OLE):
        if "EncryptedPackage".encode("utf-16-le") in encoded:
            return "is a workbook with a password; open it and save it without the password"
        return f"is a workbook of the older .xls format; {_SAVE_AS}"
    if encoded.startswith(_ZIP):
        return _advice_on_archive(path, encoded)
    if encoded.startswith(_PARQUET):
        return _name_or_repair(path, "a parquet table", ".parquet")
    if encoded.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return f"is a web page or XML; {_SAVE_AS}, or download it again"
    try:
        decode(encoded)
    except UnicodeError:
        return f"is no table; {_SAVE_AS}, or export it as CSV in UTF-8"
    return _name_or_repair(path, "a text", ".csv")


def _advice_on_archive(path: Path, encoded: bytes) -> str:
    try:
        names = zipfile.ZipFile(io.BytesIO(encoded)).namelist()
    except zipfile.BadZipFile:
        return "is damaged or cut short; copy it again"
    if "xl/workbook.xml" in names:
        return _name_or_repair(path, "a workbook", ".xlsx")
    if "xl/workbook.bin" in names or "content.xml" in names:
        return f"is a workbook of another format (.xlsb or .ods); {_SAVE_AS}"
    return "is an archive without a workbook; unpack it"


def _name_or_repair(path: Path, what: str, suffix: str) -> str:
    if path.suffix.lower() == suffix:
        return f"is {what} that is damaged or no plain table; save it again, or as CSV in UTF-8"
    return f"is {what}; rename it to {path.stem}{suffix}"
