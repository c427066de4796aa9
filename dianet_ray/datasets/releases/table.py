"""Any other data set: a CSV, parquet or .xlsx table that names the frames of each clip.

Columns: clip (a folder of frames or a video, relative to the data set or to --frames-dir),
subject, label, onset, apex, offset. A video's first frame is number 1.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath

from dianet_ray.datasets.annotations import Annotation, ChosenPaths, Loaded
from dianet_ray.datasets.discovery import find_sheet, frames_root
from dianet_ray.datasets.release import LabelMapping, refuse_several
from dianet_ray.datasets.sheets import Columns, SheetRow, read_table
from dianet_ray.datasets.spellings import fold
from dianet_ray.errors import InputError

SHEET_PATTERNS = ("*.csv", "*.parquet", "*.xlsx")
COLUMNS: Columns = {
    "filename": ("clip",),
    "subject": ("subject",),
    "label": ("label",),
    "onset": ("onset",),
    "apex": ("apex",),
    "offset": ("offset",),
}


@dataclass(frozen=True, slots=True)
class Table:
    """A data set whose table names the clips' paths; it publishes no label set."""

    dataset: str = "table"
    sources: tuple[str, ...] = ("table",)
    label_sets: Mapping[str, LabelMapping] = field(default_factory=dict)
    subject_example: str = ""

    def read(self, root: Path, chosen: ChosenPaths) -> list[Loaded]:
        """Read the table; if any clip repeats, all clips are named with their onsets.

        Raises:
            InputError: no table, or several of which none was chosen; or missing columns.
        """
        refuse_several(self.dataset, chosen)
        sheet, rows = read_table(_choose(root, next(iter(chosen.sheets), None)), COLUMNS)
        folder = frames_root(root, next(iter(chosen.frames), None))
        annotations = tuple(_annotation(row, folder) for row in rows)
        # Folded, because several spellings of a subject may be taken as one.
        most = max(Counter((fold(one.subject), one.filename) for one in annotations).values())
        return [Loaded(self.dataset, sheet, annotations, folder, by_onset=most > 1)]


RELEASE = Table()


def _choose(root: Path, chosen: Path | None) -> Path:
    """Take the table of the folder itself; of several, the only one that has the columns."""
    found = [path for pattern in SHEET_PATTERNS for path in sorted(root.glob(pattern))]
    if chosen is not None or len(found) < 2:
        return find_sheet(root, SHEET_PATTERNS, chosen or next(iter(found), None))
    fitting = [path for path in found if _has_columns(path)]
    return fitting[0] if len(fitting) == 1 else find_sheet(root, SHEET_PATTERNS, None)


def _has_columns(path: Path) -> bool:
    try:
        read_table(path, COLUMNS)
    except InputError:
        return False
    return True


def _annotation(row: SheetRow, root: Path) -> Annotation:
    clip = row.text("filename")
    problem, frames = "", None
    if clip:
        clip = PurePosixPath(clip).as_posix()  # `a/` and `./a` are the same place
    if not _stays_inside(clip):
        problem = f"clip outside: {clip!r} must be a relative path below the data set"
    elif clip and os.path.exists(root / clip):  # unlike Path.exists, no error for long names
        frames = root / clip
    return Annotation(
        subject=row.text("subject"),
        filename=clip,
        label=row.text("label"),
        onset=row.frame("onset"),
        apex=row.frame("apex"),
        offset=row.frame("offset"),
        apex_text=row.text("apex"),
        frames=frames,
        problem=problem,
        number=row.number,
    )


def _stays_inside(name: str) -> bool:
    """Whether a path of a table stays below the data set, on POSIX and on Windows."""
    paths = (PurePosixPath(name), PureWindowsPath(name))
    return not any(path.is_absolute() or path.drive or ".." in path.parts for path in paths)
