"""What a loader finds: the rows of a sheet and the frames of clips; `manifest` judges them.

A loader is a `Release`: where one data set's sheet and frames are and how they are named. What is
the same for all of them is here: looking for files, choosing among several, reading a row.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dianet_ray.datasets.sheets import MERGED, Columns, Sheet, as_frame, as_text, read_table
from dianet_ray.errors import InputError, one_line
from dianet_ray.imaging.frames import is_video

_MAC = "__MACOSX"  # what an archive made on a Mac unpacks to: the folders again, no frames

Key = tuple[str, str]
"""Subject and file name, as our names write them."""


@dataclass(frozen=True, slots=True)
class Annotated:
    """One row of a sheet: what was written, read as numbers where it is numbers.

    `filename` is what the sheet calls the clip; `frames` what the loader found for it; `problem`
    a reason to leave the clip out that only the loader can see.
    """

    subject: str
    filename: str
    label: str
    onset: int | None
    apex: int | None
    offset: int | None
    apex_text: str = ""
    frames: Path | None = None
    problem: str = ""

    @property
    def key(self) -> Key:
        """Subject and file name."""
        return self.subject, self.filename

    @property
    def key_at_onset(self) -> Key:
        """Tell clips of one recording apart by their onsets."""
        return self.subject, f"{self.filename}@{'none' if self.onset is None else self.onset}"


@dataclass(frozen=True, slots=True)
class Release:
    """How one data set is laid out.

    Args:
        dataset: Our name of it.
        tables: File patterns of its sheet.
        columns: As `read_table`; `apex` may be missing: the data set annotates none.
        subject: Names a subject as our names do.
        place: Of a path below the data set (a clip's folder, or its video without suffix), whose
            frames it holds: subject and file name, with `@onset` where it holds one of several
            clips of a recording; None for any other path.
        example: A path that `place` knows, to show people.
        fps: Frames per second.
        filename: Writes a file name as `place` does.
        sheet: Name of the sheet in a workbook that holds several.
        by_onset: Several rows share a recording: a clip's name is its file name and its onset.
        unconfirmed: What no public source confirms of this layout, a sentence each.
    """

    dataset: str
    tables: tuple[str, ...]
    columns: Columns
    subject: Callable[[str], str]
    place: Callable[[Path], Key | None]
    example: str
    fps: float
    filename: Callable[[str], str] = str
    sheet: str | None = None
    by_onset: bool = False
    unconfirmed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """What a loader found: the sheet, its rows, and frames that no row names.

    `fps` is None when unknown; `has_apexes` is False when the data set annotates none.
    """

    dataset: str
    sheet: Sheet
    annotated: tuple[Annotated, ...]
    frames_root: Path
    unnamed: Mapping[Key, Path] = field(default_factory=dict)
    fps: float | None = None
    has_apexes: bool = True
    by_onset: bool = False
    unconfirmed: tuple[str, ...] = ()


def read_release(
    release: Release, root: Path, annotations: Path | None, frames_dir: Path | None
) -> Source:
    """Read a data set's sheet and find the frames of its clips under `root`.

    Raises:
        InputError: no or several sheets and none was chosen, a sheet of something else, no frames,
            or a clip whose frames are at several places and none was chosen.
    """
    path = find_table(root, release.tables, annotations)
    sheet, rows = read_table(path, release.columns, sheet=release.sheet)
    frames_root = root if frames_dir is None else given_path(frames_dir, root, "--frames-dir")
    found = find_frames(frames_root, release)
    annotated = [_annotated(release, row) for row in rows]
    named = {key for clip in annotated for key in (clip.key, clip.key_at_onset)}
    return Source(
        release.dataset,
        sheet,
        tuple(
            replace(clip, frames=found.get(clip.key_at_onset) or found.get(clip.key))
            for clip in annotated
        ),
        frames_root,
        {key: path for key, path in found.items() if key not in named},
        release.fps,
        "apex" in release.columns,
        release.by_onset,
        release.unconfirmed,
    )


def _annotated(release: Release, row: Mapping[str, Any]) -> Annotated:
    problem = ""
    if row[MERGED]:
        problem = f"merged cells: {row[MERGED]} of this row belong to cells above or beside it"
    return Annotated(
        subject=release.subject(as_text(row["subject"])),
        filename=release.filename(as_text(row["filename"])),
        label=as_text(row["label"]),
        onset=as_frame(row["onset"]),
        apex=as_frame(row.get("apex")),
        offset=as_frame(row["offset"]),
        apex_text=as_text(row.get("apex")),
        problem=problem,
    )


def tables_below(root: Path, patterns: Sequence[str]) -> list[Path]:
    """Find the sheets of a data set, down to two folders below its own."""
    found = {
        path.resolve(): path
        for pattern in patterns
        for depth in ("", "*/", "*/*/")
        for path in root.glob(depth + pattern)
        # Not Excel's lock file beside an open workbook, nor what a Mac puts into archives.
        if not path.name.startswith(("~$", "."))
    }
    return sorted(found.values())  # one that is linked to is one


def find_table(root: Path, patterns: Sequence[str], given: Path | None) -> Path:
    """Take the sheet that was given, else the only one there is.

    Raises:
        InputError: none, or several: they are listed with the flag that chooses.
    """
    if given is not None:
        return given_path(given, root, "--annotations")
    found = tables_below(root, patterns)
    what = f"sheet {' or '.join(patterns)}"
    if not found:
        old = tables_below(root, [pattern.replace(".xlsx", ".xls") for pattern in patterns])
        hint = f"save {old[0]} as .xlsx, or " if old else ""
        raise InputError(f"{what}: none found under {root}; {hint}name it with --annotations FILE")
    if len(found) > 1:
        listed = ", ".join(map(str, found))
        raise InputError(
            f"{what}: {len(found)} found, choose one with --annotations FILE: {listed}"
        )
    return found[0]


def given_path(path: Path, root: Path, flag: str) -> Path:
    """Resolve a path given on the command line, relative to here or to the data set.

    Raises:
        InputError: it is at neither place, or at both and they differ.
    """
    found = [place.absolute() for place in (path, root / path) if place.exists()]
    if not found:
        raise InputError(f"{flag}: no such file or folder: {path} (nor below {root})")
    if len(found) > 1 and not found[0].samefile(found[1]):
        raise InputError(f"{flag}: {path} is {found[0]} or {found[1]}; name it absolutely")
    return found[0]


def find_frames(root: Path, release: Release) -> dict[Key, Path]:
    """Find the folder or video of every clip below `root`.

    Raises:
        InputError: none, or one clip's at several places: they are named with the flag that
            chooses; or a folder does not open.
    """
    found: dict[Key, Path] = {}
    for path in _walk(root, release.place):
        inside = path.relative_to(root)
        key = release.place(inside.with_suffix("") if is_video(path) else inside)
        if key is None:
            continue
        if key in found:
            raise InputError(
                f"the frames of {'/'.join(key)} are at two places, choose with --frames-dir DIR: "
                f"{found[key]} and {path}"
            )
        found[key] = path
    if not found:
        raise InputError(
            f"frames of {release.dataset} lie in folders like {release.example}: none found "
            f"under {root}; name the folder above them with --frames-dir DIR"
        )
    return found


def _walk(root: Path, place: Callable[[Path], Key | None]) -> Iterator[Path]:
    """List what may be a clip below `root`, sorted: folders, videos, and files without suffix.

    A file in a clip's place is kept: it will not open as a folder, and that is said. Links are
    followed, but not back to a folder above.
    """

    def refuse(error: OSError) -> None:
        raise InputError(f"a folder does not open: {error.filename} ({one_line(error)})")

    above = {str(root): {os.path.realpath(root)}}
    for at, folders, files in os.walk(root, followlinks=True, onerror=refuse):
        here, trail = Path(at), above.pop(at)
        for name in sorted(files):
            if is_video(Path(name)) or not (Path(name).suffix or name.startswith(".")):
                yield here / name
        deeper = []
        for name in sorted(folders):
            path, real = here / name, os.path.realpath(here / name)
            if real in trail or name == _MAC:
                continue
            if place(path.relative_to(root)) is not None:
                yield path  # nothing below a clip's folder is another clip
            else:
                deeper.append(name)
                above[str(path)] = {*trail, real}
        folders[:] = deeper
