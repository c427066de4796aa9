"""The manifest of a data set: what became of every clip, and the sources of its rows."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from dianet_ray.artefacts import CORRECTED, LEFT_OUT, MANIFEST_COLUMNS, Record
from dianet_ray.datasets.annotations import ApexRule
from dianet_ray.datasets.corrections import Correction
from dianet_ray.datasets.numbering import Numbering
from dianet_ray.datasets.sheets import Sheet
from dianet_ray.errors import InputError
from dianet_ray.storage.outputs import write_file

UNREADABLE = "unreadable: "
"""Start of the reason for a clip whose files cannot be read; all other reasons are rules."""

MISSING_APEX = "missing apex: "
"""Start of the reason for a clip whose sheet names no apex."""

BY_FOLDER = "by its folder: "
"""Start of the reason for a clip without a row whose folder says subject, label and span."""

NO_ROW = "no row: "
"""Start of the reason for a clip that has frames but no row in the sheet."""


@dataclass(frozen=True, slots=True)
class Row:
    """One clip, with the fields of `artefacts.MANIFEST_COLUMNS`.

    Attributes:
        clip_id: data set, subject and file name, joined with slashes.
        subject: name-spaced by the data set.
        label: as the sheet writes it.
        onset: a file number, as are apex and offset; None where the sheet holds none.
        apex: None also for a clip whose apex will be estimated from its frames.
        offset: included in the clip.
        n_frames: number of files within onset..offset.
        apex_from: annotated, correction, midpoint or spot; empty for a clip left out.
        box: `x y width height` of the crop in pixels; empty without a crop.
        state: used, corrected or left_out.
        reason: `kind: detail`; empty for a used clip.
        frames_path: relative to the data set if the frames lie below it, else absolute.
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
    """Add the crop to a row; a clip with a note about it counts as corrected."""
    row = replace(row, box=box)
    if not note:
        return row
    reason = f"{row.reason}; {note}" if row.reason else f"crop: {note}"
    return replace(row, state=CORRECTED, reason=reason)


@dataclass(frozen=True, slots=True)
class Source:
    """A data set that rows come from. A composite has several.

    Attributes:
        dataset: its name in the catalogue.
        sheet: the table that was read.
        frames_root: the folder that was searched for frames.
        numbering: what the sheet's frame numbers count.
        n_fitting: number of clips that have all their frames with this numbering.
        apex: what happened to clips without an apex.
        unconfirmed: what no public source confirms about the layout, a sentence each.
        notes: how the sheet was read, a sentence each.
    """

    dataset: str
    sheet: Sheet
    frames_root: Path
    numbering: Numbering
    n_fitting: int
    apex: ApexRule
    unconfirmed: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Contradiction(Record):
    """A used clip whose own name says another label than the sheet.

    Attributes:
        clip: its clip_id.
        label: the sheet's.
        named: the label that name and folder agree on; empty if they differ as well.
        said: what name and folder say, in words.
    """

    clip: str
    label: str
    named: str
    said: str

    def __str__(self) -> str:
        return f"{self.label}, but {self.said}"


@dataclass(frozen=True, slots=True)
class Manifest:
    """All clips of a data set.

    Attributes:
        dataset: its name in the catalogue.
        root: its folder, absolute.
        sources: where the rows come from.
        rows: sorted by clip_id and onset.
        unused: corrections that changed nothing.
        contradictions: clips whose own names say another label.
        remedies: clip_id of a clip that is left out -> flags each of which would make it usable.
    """

    dataset: str
    root: Path
    sources: tuple[Source, ...]
    rows: tuple[Row, ...]
    unused: tuple[Correction, ...] = ()
    remedies: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    contradictions: tuple[Contradiction, ...] = ()

    def clips_by_remedy(self) -> dict[str, tuple[str, ...]]:
        """Group the clips that are left out by the flags that would make them usable."""
        found: dict[str, tuple[str, ...]] = {}
        for clip_id, flags in self.remedies.items():
            for flag in flags:
                found[flag] = (*found.get(flag, ()), clip_id)
        return found

    def hash(self) -> str:
        """Hash the content; the hash does not change when data set or frame folder are moved."""
        rows = [{**asdict(row), "frames_path": self.portable_path(row)} for row in self.rows]
        sources = [[s.dataset, s.sheet.name, s.sheet.sha256, s.numbering] for s in self.sources]
        content = [self.dataset, sources, *rows]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def portable_path(self, row: Row) -> str:
        """Name the frames of a clip independently of where the data set or its frames lie."""
        path = Path(row.frames_path)
        if not path.is_absolute():
            return row.frames_path
        # The name of the frame folder is kept: cropped and raw frames make different images.
        above = [s.frames_root for s in self.sources if path.is_relative_to(s.frames_root)]
        return path.relative_to(above[0].parent).as_posix()

    def usable(self) -> tuple[Row, ...]:
        """Return the rows that are not left out."""
        return tuple(row for row in self.rows if row.state != LEFT_OUT)

    def frames(self, row: Row) -> Path:
        """Locate the frames of a clip: a folder or a video."""
        return self.root / row.frames_path


def mostly_left_out(n_left_out: int, n_clips: int) -> str:
    """Say that more than half of a sheet's clips are left out; empty where they are not."""
    if 2 * n_left_out <= n_clips:
        return ""
    return f"more than half of the sheet's clips are left out: {n_left_out} of {n_clips}"


def check_usable(rows: Iterable[Row]) -> None:
    """Refuse a data set of which no clip can be used.

    Raises:
        InputError: with the number of clips by what keeps them out, and the first reason.
    """
    of_sheet = [row for row in rows if not row.reason.startswith(NO_ROW)]
    if any(row.state != LEFT_OUT for row in of_sheet):
        return
    n_unreadable = sum(row.reason.startswith(UNREADABLE) for row in of_sheet)
    first = f"; first {of_sheet[0].clip_id}: {of_sheet[0].reason}" if of_sheet else ""
    if any(row.reason.startswith(MISSING_APEX) for row in of_sheet):
        first += "; --apex spot or --apex midpoint estimates a missing apex"
    raise InputError(
        f"at least one of the sheet's clips must be usable: of {len(of_sheet)}, rules leave out "
        f"{len(of_sheet) - n_unreadable} and {n_unreadable} cannot be read{first}"
    )


def write_csv(rows: Iterable[Row], path: Path) -> None:
    """Write rows as CSV, whole or not at all; None becomes an empty cell.

    Raises:
        InputError: the file cannot be written.
    """
    # No newline translation: csv writes its own line ends.
    content = io.StringIO(newline="")
    writer = csv.DictWriter(content, MANIFEST_COLUMNS)
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    write_file(path, content.getvalue())


def remedies_text(clips_by_remedy: Mapping[str, Sequence[str]]) -> str:
    """Say which flags would bring back clips that are left out; empty where none would."""
    flags = ", ".join(f"{flag} ({len(clips)})" for flag, clips in clips_by_remedy.items())
    return f"each of these would bring back clips that are left out: {flags}" if flags else ""
