"""What is read from a data set before any rule is applied: annotations and frame folders.

These records pass from the releases, which know names and folders, to `rules`, which decides what
becomes of each clip.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from dianet_ray.datasets.sheets import Sheet

ApexRule = Literal["annotated", "midpoint", "spot"]
"""What happens to a clip without a usable apex: it is left out, gets the midpoint between onset
and offset, or has its apex estimated from the frames. Annotated apexes are always kept."""


NOT_LISTED = "composite: "
"""Start of the reason for a clip that a composite's published list does not contain."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the user decided about clips that are not clear.

    Attributes:
        apex: what happens to clips without an apex; None takes the data set's default.
        fill_gaps: number of missing frames in a row for which the nearest frame stands in.
        merge_subjects: several spellings of one subject are taken as one, not refused.
    """

    apex: ApexRule | None = None
    fill_gaps: int = 0
    merge_subjects: bool = False


class ClipName(NamedTuple):
    """A clip within its data set: the subject, and the file name of the sheet.

    Both are spelled as the data set's own folders spell them. The file name of one of several
    clips of a recording ends with `@` and the clip's onset.
    """

    subject: str
    filename: str

    def __str__(self) -> str:
        return f"{self.subject}/{self.filename}"


@dataclass(frozen=True, slots=True)
class Annotation:
    """One row of a sheet. Onset, apex and offset are None where the cell holds no frame number.

    Attributes:
        subject: spelled as the data set's folders spell it.
        filename: what the sheet calls the clip.
        label: the emotion, as it is written.
        apex_text: the apex cell as text; `/` marks a missing apex in some releases.
        span_text: the cells of onset and offset as text.
        frames: the folder or video with the clip's frames; None when none was found.
        problem: a reason to leave the clip out that shows in the sheet only.
        number: of the row in its sheet, counted from 1; 0 for a clip without a row.
        note: `kind: detail` of what was changed before any rule; empty for nothing.
        whole_folder: onset and offset are the first and the last frame of the folder.
        has_row: False for a folder that the sheet does not name; used if folders hold just their
            clips.
        named: the label that the clip's own name carries; empty for none.
    """

    subject: str
    filename: str
    label: str
    onset: int | None
    apex: int | None
    offset: int | None
    apex_text: str = ""
    span_text: tuple[str, str] = ("", "")
    frames: Path | None = None
    problem: str = ""
    number: int = 0
    note: str = ""
    whole_folder: bool = False
    has_row: bool = True
    named: str = ""

    @property
    def name(self) -> ClipName:
        """Name the clip, or the recording that it is a part of."""
        return ClipName(self.subject, self.filename)

    @property
    def name_with_onset(self) -> ClipName:
        """Name the clip so that clips of one recording have different names."""
        # Clips of one recording share subject and file name; only the onset always differs.
        onset = "none" if self.onset is None else self.onset
        return ClipName(self.subject, f"{self.filename}@{onset}")


@dataclass(frozen=True, slots=True)
class Loaded:
    """One data set as it was found on disk.

    Attributes:
        dataset: its name in the catalogue.
        sheet: the table that was read.
        annotations: its rows, in order; then what its folders say by themselves.
        frames_root: the folder that was searched for frames.
        unlisted: clips that have frames but neither a row in the sheet nor a label in their name.
        folder_labels: names that folders of classes have in this release -> label.
        notes: how the sheet was read, a sentence each.
        fps: frames per second; None when unknown.
        has_apexes: False when the release annotates no apexes at all.
        apex: what happens to clips without an apex unless the user decides otherwise.
        by_onset: recordings hold several clips, so every clip is named with its onset.
        unconfirmed: what no public source confirms about this layout, a sentence each.
    """

    dataset: str
    sheet: Sheet
    annotations: tuple[Annotation, ...]
    frames_root: Path
    unlisted: Mapping[ClipName, Path] = field(default_factory=dict)
    folder_labels: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    fps: float | None = None
    has_apexes: bool = True
    apex: ApexRule = "annotated"
    by_onset: bool = False
    unconfirmed: tuple[str, ...] = ()

    def name_of(self, one: Annotation) -> ClipName:
        """Name a clip as the manifest does."""
        return one.name_with_onset if self.by_onset else one.name


@dataclass(frozen=True, slots=True)
class ChosenPaths:
    """Sheets and frame folders named on the command line, for data sets that hold several.

    At most one of each, except for a composite, which takes one per source. `sheet_name` is the
    sheet of a workbook.
    """

    sheets: tuple[Path, ...] = ()
    frames: tuple[Path, ...] = ()
    sheet_name: str | None = None
