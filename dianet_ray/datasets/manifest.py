"""The records of a manifest: its rows, the parts they come from, and the rows as CSV."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from dianet_ray.artefacts import CORRECTED, LEFT_OUT, MANIFEST_COLUMNS
from dianet_ray.datasets.numbering import Numbering
from dianet_ray.datasets.sheets import Sheet
from dianet_ray.storage.outputs import write_file

UNREADABLE = "unreadable: "
"""How the reason starts of a clip whose files do not read; all other reasons are rules."""

NO_ROW = "no row: "

ApexRule = Literal["annotated", "midpoint", "spot"]


@dataclass(frozen=True, slots=True)
class Row:
    """One clip; the fields are `schemas.MANIFEST_COLUMNS`.

    `onset`, `apex` and `offset` are file numbers; `apex` is None for a clip whose apex will be
    spotted. `n_frames` counts the files within onset..offset. `apex_from` is annotated,
    correction, midpoint or spot. `box` is `x y width height` of the crop, empty without one.
    `reason` is `kind: detail`, empty for a used clip. `frames_path` is relative to the data set
    where it lies inside, else absolute.
    """

    clip_id: str
    subject: str
    label: str
    onset: int | None
    apex: int | None
    offset: int | None
    n_frames: int
    apex_from: str
    box: str
    state: str
    reason: str
    frames_path: str


def with_crop(row: Row, box: str, note: str) -> Row:
    """Add the crop to a row, and what must be said of it: then the clip counts as corrected."""
    row = replace(row, box=box)
    if not note:
        return row
    reason = f"{row.reason}; {note}" if row.reason else f"crop: {note}"
    return replace(row, state=CORRECTED, reason=reason)


@dataclass(frozen=True, slots=True)
class Part:
    """Where the rows of one data set come from; a composite has several parts.

    `frames_root` is the folder that was searched for frames. `n_fitting` clips have all their
    frames by `numbering`.
    """

    dataset: str
    sheet: Sheet
    frames_root: Path
    numbering: Numbering
    n_fitting: int
    apex: ApexRule
    unconfirmed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """All clips of a data set, sorted by clip_id, and the sheets that they come from.

    `unused` names the corrections that changed nothing.
    """

    dataset: str
    root: Path
    parts: tuple[Part, ...]
    rows: tuple[Row, ...]
    unused: tuple[str, ...] = ()

    def hash(self) -> str:
        """Hash the content: equal wherever the data set, and its frame folder, lie."""
        rows = [{**asdict(row), "frames_path": self.placeless(row)} for row in self.rows]
        parts = [[p.dataset, p.sheet.name, p.sheet.sha256, p.numbering] for p in self.parts]
        content = [self.dataset, parts, *rows]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def placeless(self, row: Row) -> str:
        """Name the frames of a clip equally wherever the data set, or its frame folder, lies."""
        path = Path(row.frames_path)
        if not path.is_absolute():
            return row.frames_path
        # The frame folder's own name stays: Cropped and raw frames make other images.
        above = [p.frames_root for p in self.parts if path.is_relative_to(p.frames_root)]
        return path.relative_to(above[0].parent).as_posix()

    def usable(self) -> tuple[Row, ...]:
        """Return the rows that are not left out."""
        return tuple(row for row in self.rows if row.state != LEFT_OUT)

    def frames(self, row: Row) -> Path:
        """Locate the frames of a clip: a folder or a video."""
        return self.root / row.frames_path


def write_csv(rows: Iterable[Row], path: Path) -> None:
    """Write rows as CSV, beside and then renamed; None becomes an empty cell.

    Raises:
        InputError: the file cannot be written.
    """
    content = io.StringIO(newline="")
    writer = csv.DictWriter(content, MANIFEST_COLUMNS)
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    write_file(path, content.getvalue())
