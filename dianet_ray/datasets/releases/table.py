"""Any other data set: a CSV, parquet or .xlsx table that says where each clip is.

Columns: clip (a folder of frames or a video, relative to ROOT or to --frames-dir), subject, label,
onset, apex, offset. A video's first frame is number 1.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from dianet_ray.datasets.release import Annotated, Source, find_table, given_path
from dianet_ray.datasets.sheets import as_frame, as_text, read_table
from dianet_ray.errors import InputError

TABLES = ("*.csv", "*.parquet", "*.xlsx")
COLUMNS = {
    "filename": ("clip",),
    "subject": ("subject",),
    "label": ("label",),
    "onset": ("onset",),
    "apex": ("apex",),
    "offset": ("offset",),
}


def read(root: Path, annotations: Path | None, frames_dir: Path | None) -> Source:
    """Read the table; where a clip repeats, all are named with their onsets.

    Raises:
        InputError: no or several tables and none was chosen, columns are missing, or two subjects
            differ in case only.
    """
    sheet, rows = read_table(_table(root, annotations), COLUMNS)
    frames_root = root if frames_dir is None else given_path(frames_dir, root, "--frames-dir")
    annotated = tuple(_annotated(row, frames_root) for row in rows)
    written: dict[str, str] = {}
    for clip in annotated:
        if written.setdefault(clip.subject.casefold(), clip.subject) != clip.subject:
            raise InputError(
                f"two subjects must differ in more than case: {clip.subject} and "
                f"{written[clip.subject.casefold()]} in {sheet.path}"
            )
    most = max(Counter(clip.key for clip in annotated).values())
    return Source("table", sheet, annotated, frames_root, by_onset=most > 1)


def _table(root: Path, given: Path | None) -> Path:
    """Take the table of the folder itself; of several, the one that has the columns."""
    found = [path for pattern in TABLES for path in sorted(root.glob(pattern))]
    if given is not None or len(found) < 2:
        return find_table(root, TABLES, given or next(iter(found), None))
    fitting = [path for path in found if _fits(path)]
    return fitting[0] if len(fitting) == 1 else find_table(root, TABLES, None)


def _fits(path: Path) -> bool:
    try:
        read_table(path, COLUMNS)
    except InputError:
        return False
    return True


def _annotated(row: dict[str, Any], frames_root: Path) -> Annotated:
    filename = as_text(row["filename"])
    problem, frames = "", None
    if filename:  # `a/` and `./a` are one place
        filename = PurePosixPath(filename).as_posix()
    if not _stays_inside(filename):
        problem = f"clip outside: {filename!r} must be a relative path below the data set"
    elif filename and os.path.exists(frames_root / filename):  # False for a name too long
        frames = frames_root / filename
    return Annotated(
        subject=as_text(row["subject"]),
        filename=filename,
        label=as_text(row["label"]),
        onset=as_frame(row["onset"]),
        apex=as_frame(row["apex"]),
        offset=as_frame(row["offset"]),
        apex_text=as_text(row["apex"]),
        frames=frames,
        problem=problem,
    )


def _stays_inside(name: str) -> bool:
    """Whether a path of a table stays below the data set, on any system."""
    kinds = (PurePosixPath(name), PureWindowsPath(name))
    return not any(path.is_absolute() or path.drive or ".." in path.parts for path in kinds)
