"""CASME II as released: where its workbook and frames are, and how a row finds its folder.

The workbook is any `CASME2-coding-*.xlsx`; its rows give subject (an integer), file name, onset,
apex (`/` where it is missing), offset and emotion. Frames lie in `subNN/<file name>/` as
`img46.jpg` or `reg_img46.jpg`, and the numbers in the file names are the sheet's.
"""

from __future__ import annotations

import re
from pathlib import Path

from dianet_ray.data.sheets import (
    Annotated,
    Source,
    as_frame,
    as_text,
    choose,
    given_path,
    read_table,
)
from dianet_ray.data.subjects import casme2_subject
from dianet_ray.errors import InputError

WORKBOOKS = "CASME2-coding-*.xlsx"
COLUMNS = {
    "subject": ("Subject",),
    "clip": ("Filename",),
    "onset": ("OnsetFrame",),
    "apex": ("ApexFrame",),
    "offset": ("OffsetFrame",),
    "label": ("Estimated Emotion",),
}
FRAME_FOLDERS = (
    "CASME2_RAW_selected",
    "Cropped",
    "Cropped_original",
    "Cropped-updated/Cropped",
    "CASME2-RAW",
)
_NAMED = re.compile(r"sub\d+")


def read(root: Path, annotations: Path | None, frames_dir: Path | None) -> Source:
    """Read the workbook and find the frame folders under `root`.

    Raises:
        InputError: no or several workbooks or frame folders and none was chosen, a workbook that
            is not CASME II's, or two folders of one subject.
    """
    if annotations is None:
        books = [
            path
            for depth in ("", "*/", "*/*/")
            for path in root.glob(depth + WORKBOOKS)
            if not path.name.startswith("~$")  # Excel's lock file beside an open workbook
        ]
        path = choose(books, what=f"workbook {WORKBOOKS}", flag="--annotations FILE", root=root)
    else:
        path = given_path(annotations, root=root, flag="--annotations")
    sheet, rows = read_table(path, COLUMNS)
    annotated = tuple(
        Annotated(
            subject=casme2_subject(as_text(row["subject"])),
            clip=as_text(row["clip"]),
            label=as_text(row["label"]),
            onset=as_frame(row["onset"]),
            apex=as_frame(row["apex"]),
            offset=as_frame(row["offset"]),
            apex_text=as_text(row["apex"]),
        )
        for row in rows
    )
    try:
        frames_root = _frames_root(root, frames_dir)
        folders = _clip_folders(frames_root)
    except OSError as error:
        raise InputError(
            f"the frame folders do not open: {error.filename} ({error.strerror})"
        ) from error
    return Source(sheet, annotated, frames_root, folders)


def _frames_root(root: Path, frames_dir: Path | None) -> Path:
    if frames_dir is not None:
        chosen = given_path(frames_dir, root=root, flag="--frames-dir")
        if not _subject_folders(chosen):
            raise InputError(f"--frames-dir must hold folders sub01, sub02, ...: {chosen}")
        return chosen
    candidates = {
        path
        for depth in ("", "*/")
        for name in FRAME_FOLDERS
        for path in root.glob(depth + name)
        if _subject_folders(path)
    }
    what = f"frame folder ({', '.join(FRAME_FOLDERS)}) with folders sub01, sub02, ..."
    return choose(sorted(candidates), what=what, flag="--frames-dir DIR", root=root)


def _subject_folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [
        path
        for path in sorted(folder.iterdir())
        if path.is_dir()
        and path.name.casefold().startswith("s")
        and _NAMED.fullmatch(casme2_subject(path.name))
    ]


def _clip_folders(frames_root: Path) -> dict[tuple[str, str], Path]:
    folder_of: dict[str, Path] = {}
    for folder in _subject_folders(frames_root):
        subject = casme2_subject(folder.name)
        if subject in folder_of:
            raise InputError(f"two folders of {subject}: {folder_of[subject]} and {folder}")
        folder_of[subject] = folder
    return {
        (subject, path.name): path
        for subject, folder in folder_of.items()
        for path in sorted(folder.iterdir())
        # A file in a clip's place is kept: it will not open as a folder, and that is said.
        if path.is_dir() or not (path.suffix or path.name.startswith("."))
    }
