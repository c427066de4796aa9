"""The table of annotations: its rows by a layout's columns, as a workbook or CSV.

Nothing in a file depends on the clock, so equal rows are equal bytes.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import openpyxl

from dianet_ray.synth.filming import Files
from dianet_ray.synth.layout import ByLabel, Cell, HasLabel, HasUnit, Layout, Value

_LONE_FIELD = re.compile(r"\{(\w+)([+-]\d+)?\}")
_SAVED_AT = (2014, 5, 8, 0, 0, 0)  # any fixed time; this one is the date in CASME II's file name


@dataclass(slots=True)
class TableRow:
    """One clip's row of the table. Oddities change it before it is written.

    Attributes:
        subject: number, from 1.
        name: of the clip.
        film: number of the film; 0 if the release numbers none.
        label: as it is written.
        files: where the frames are.
        onset: number of the first frame; apex and offset likewise.
        units: action units, joined with plus signs.
        cells: title -> value that replaces what the column would hold.
        is_joined: the clip stands in the row of another one, and has none of its own.
    """

    subject: int
    name: str
    film: int
    label: str
    files: Files
    onset: int
    apex: int
    offset: int
    units: str = ""
    cells: dict[str | None, Value] = field(default_factory=dict)
    is_joined: bool = False

    def value(self, cell: Cell) -> Value:
        """Return what a cell holds for this clip."""
        match cell:
            case ByLabel():
                return cell.labels.get(self.label, cell.others)
            case HasUnit():
                return int(str(cell.has_unit) in re.findall(r"\d+", self.units))
            case HasLabel():
                return int(cell.has_label in self.label.split("+"))
            case str():
                return self._fill(cell)
            case _:
                return cell

    def _fill(self, text: str) -> Value:
        fields = self._fields()
        # A number must stay one: readers of real sheets meet integer cells, not texts.
        if lone := _LONE_FIELD.fullmatch(text):
            value = fields[lone[1]]
            return int(value) + int(lone[2]) if lone[2] else value
        return text.format(**fields)

    def _fields(self) -> dict[str, int | str]:
        return {
            "subject": self.subject,
            "name": self.name,
            "upper_name": self.name.upper(),
            "film": self.film,
            "label": self.label,
            "onset": self.onset,
            "apex": self.apex,
            "offset": self.offset,
            "length": self.offset - self.onset + 1,
            "units": int(self.units) if self.units.isdigit() else self.units,
            "units_from_number": self.units.lstrip("LR"),
        }


def write_table(path: Path, layout: Layout, rows: Sequence[TableRow]) -> None:
    """Write the annotations of a release."""
    titles = tuple(column.title for column in layout.columns)
    cells = [
        tuple(row.cells.get(c.title, row.value(c.cell)) for c in layout.columns) for row in rows
    ]
    table = [*layout.above, titles, *cells, *layout.below]
    path.write_bytes(_workbook(layout.sheet, table) if layout.sheet else _csv(table))


def _csv(table: Sequence[Sequence[Value]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(table)
    return text.getvalue().encode()


def _workbook(sheet_name: str, table: Sequence[Sequence[Value]]) -> bytes:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = sheet_name
    for row in table:
        sheet.append(row)
    content = io.BytesIO()
    book.save(content)
    return _without_clock(content.getvalue())


def _without_clock(data: bytes) -> bytes:
    """Pack a workbook again without the time of day at which it was saved."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "docProps/core.xml":
                content = re.sub(rb"\d{4}-\d\d-\d\dT[\d:]+Z", b"2014-05-08T00:00:00Z", content)
            entry = zipfile.ZipInfo(name, date_time=_SAVED_AT)
            new.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return out.getvalue()
