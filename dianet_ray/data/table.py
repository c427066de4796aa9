"""Any other data set: a CSV, parquet or .xlsx table that says where each clip is.

Columns: clip (a folder of frames or a video, relative to ROOT or to --frames-dir), subject, label,
onset, apex, offset. A video's first frame is number 1.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from dianet_ray.data.sheets import as_frame, as_text, read_table
from dianet_ray.data.source import Annotated, Source, find_table, given_path

TABLES = ("*.csv", "*.parquet")
COLUMNS = {
    "filename": ("clip",),
    "subject": ("subject",),
    "label": ("label",),
    "onset": ("onset",),
    "apex": ("apex",),
    "offset": ("offset",),
}


def read(root: Path, annotations: Path | None, frames_dir: Path | None) -> Source:
    """Read the table; a clip that repeats is named with its onset.

    Raises:
        InputError: no or several tables and none was chosen, or columns are missing.
    """
    sheet, rows = read_table(find_table(root, TABLES, annotations), COLUMNS)
    frames_root = root if frames_dir is None else given_path(frames_dir, root, "--frames-dir")
    annotated = tuple(_annotated(row, frames_root) for row in rows)
    most = max(Counter(clip.key for clip in annotated).values())
    return Source("table", sheet, annotated, frames_root, by_onset=most > 1)


def _annotated(row: dict[str, Any], frames_root: Path) -> Annotated:
    filename = as_text(row["filename"])
    problem, frames = "", None
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
