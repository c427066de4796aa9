"""What a data set's release is: names of clips and files, the table of annotations, known flaws.

A `Release` is data; `layouts` lists those that `synth` writes. Owns how a table is written, as a
workbook or CSV without the clock. Knows nothing of faces or of who shows what.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import openpyxl

from dianet_ray.synth import casting
from dianet_ray.synth.filming import Files

Cell = int | str | None


class Clip(NamedTuple):
    """A clip to be: its name in the table, where its frames go, and its name for chances."""

    name: str
    files: Files
    key: str


@dataclass(slots=True)
class Record:
    """A clip as its row will tell it, before an oddity changes that.

    `cells` holds by title what a cell is to say instead of what its column makes of the record.
    """

    subject: int
    name: str
    label: str
    files: Files
    onset: int
    apex: int
    offset: int
    units: str = ""
    cells: dict[str | None, Cell] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Oddity:
    """A flaw of the release, made in one clip's record or in its files below the given folder.

    `label`: the clip is one of this label if one can be spared. `loses`: the clip may be unusable
    from then on.
    """

    name: str
    make: Callable[[Record, Path], None]
    label: str = ""
    loses: bool = True


@dataclass(frozen=True, slots=True)
class Release:
    """A data set as it is released.

    Attributes:
        annotations: file name of the table.
        sheet: name of the workbook's sheet; empty where the table is a CSV.
        columns: title of each column, and its cell of a record.
        proportions: published clips of each label (plausible ones where unknown).
        name_clips: a person's clips, from the person's number and their labels in order.
        onsets: half-open range of a clip's first frame number, counted from the last frame that
            its folder already has.
        shows: label -> emotion that is filmed, where it is not the label in small letters.
        longer: folders reach beyond onset..offset.
        folder: holds the release below the data set; empty where it is the data set.
        above, below: rows around the table.
        oddities: each is made in one clip.
    """

    annotations: str
    sheet: str
    columns: tuple[tuple[str | None, Callable[[Record], Cell]], ...]
    proportions: Mapping[str, float]
    name_clips: Callable[[np.random.Generator, int, list[str]], list[Clip]]
    onsets: tuple[int, int]
    shows: Mapping[str, str] = field(default_factory=dict)
    longer: bool = False
    folder: str = ""
    above: tuple[tuple[Cell, ...], ...] = ()
    below: tuple[tuple[Cell, ...], ...] = ()
    oddities: tuple[Oddity, ...] = ()

    def emotion(self, label: str) -> str:
        """Name the emotion that is filmed for a label."""
        return self.shows.get(label, label.lower())

    def fewest_clips(self) -> int:
        """Count the clips with which every label keeps two people after the oddities."""
        n_labels, n_lost = len(self.proportions), sum(oddity.loses for oddity in self.oddities)
        return max(casting.fewest_clips(n_labels), 2 * n_labels + n_lost)

    def write_table(self, path: Path, records: list[Record]) -> None:
        """Write the annotations: equal records are equal bytes."""
        titles = tuple(title for title, _ in self.columns)
        rows = [
            tuple(record.cells.get(title, cell(record)) for title, cell in self.columns)
            for record in records
        ]
        table = [*self.above, titles, *rows, *self.below]
        path.write_bytes(_workbook(self.sheet, table) if self.sheet else _csv(table))


def says(
    cells: Mapping[str, Callable[[Record], Cell] | Cell],
) -> Callable[[Record, Path], None]:
    """Have cells, by title, say something else than the clip is."""

    def make(record: Record, _: Path) -> None:
        for title, cell in cells.items():
            record.cells[title] = cell(record) if callable(cell) else cell

    return make


def cut_short(record: Record, root: Path) -> None:
    """Leave the apex frame without its end, so that it does not open."""
    path = root / record.files.folder / record.files.frame.format(record.apex)
    path.write_bytes(path.read_bytes()[:200])


def drop_frame(record: Record, root: Path) -> None:
    """Drop a frame that lies before the clip, inside a longer recording."""
    (root / record.files.folder / record.files.frame.format(record.onset - 2)).unlink()


def _csv(table: list[tuple[Cell, ...]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(table)
    return text.getvalue().encode()


def _workbook(sheet_name: str, table: list[tuple[Cell, ...]]) -> bytes:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = sheet_name
    for row in table:
        sheet.append(row)
    buffer = io.BytesIO()
    book.save(buffer)
    return _without_clock(buffer.getvalue())


def _without_clock(data: bytes) -> bytes:
    """Pack a workbook again without the time of day, so that equal rows are equal bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "docProps/core.xml":
                content = re.sub(rb"\d{4}-\d\d-\d\dT[\d:]+Z", b"2014-05-08T00:00:00Z", content)
            entry = zipfile.ZipInfo(name, date_time=(2014, 5, 8, 0, 0, 0))
            new.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return out.getvalue()
