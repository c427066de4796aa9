"""Find sheets and frames below a data set's folder; never choose silently among several."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path, PureWindowsPath

from dianet_ray.datasets.annotations import ClipName
from dianet_ray.errors import InputError, one_line
from dianet_ray.imaging.frames import FolderError, FrameError, frame_numbers, is_video
from dianet_ray.progress import some

_MACOS_COPY = "__MACOSX"  # holds the metadata of every file that macOS packed, under its name

_TABLES = ("*.csv", "*.tsv", "*.xlsx", "*.parquet")
_LISTED = 3

Place = Callable[[Path], ClipName | None]
"""Tells which clip's frames a path holds; None for any other path."""


def sheets_below(root: Path, patterns: Sequence[str]) -> list[Path]:
    """Find the sheets of a data set in its folder and up to two folders below."""
    found = {
        path.resolve(): path  # a sheet and a link to it are one sheet
        for pattern in patterns
        for depth in ("", "*/", "*/*/")  # archives unpack into a folder, often with another inside
        for path in files_like(root, pattern, depth)
        # Excel leaves a lock file `~$NAME` beside an open workbook, macOS `._NAME` in archives.
        if not path.name.startswith(("~$", "."))
    }
    return sorted(found.values())


def files_like(root: Path, pattern: str, depth: str = "") -> list[Path]:
    """List what has a name like a pattern, in any case: Windows calls tables .CSV and .XLSX."""
    any_case = re.sub("[a-zA-Z]", lambda at: f"[{at[0].lower()}{at[0].upper()}]", pattern)
    return sorted(root.glob(depth + any_case))


def has_file_like(root: Path, patterns: Sequence[str]) -> bool:
    """Whether a sheet is there, or one in a format that is not read (.xls, .ods)."""
    return bool(sheets_below(root, [f"{pattern.rpartition('.')[0]}.*" for pattern in patterns]))


def find_sheet(root: Path, patterns: Sequence[str], chosen: Path | None) -> Path:
    """Take the sheet that the user chose, else the only one there is.

    Raises:
        InputError: no sheet, or several; the message lists them and names the option.
    """
    if chosen is not None:
        return chosen_path(chosen, root, "--annotations")
    found = sheets_below(root, patterns)
    what = f"sheet {' or '.join(patterns)}"
    if not found:
        raise InputError(f"{what}: none found under {root}; {_other_sheet(root, patterns)}")
    if len(found) > 1:
        listed = ", ".join(map(str, found))
        raise InputError(
            f"{what}: {len(found)} found, choose one with --annotations FILE: {listed}"
        )
    return found[0]


def _other_sheet(root: Path, patterns: Sequence[str]) -> str:
    """Say what to do where no sheet has a known name: other files may be it."""
    known = [pattern.replace(".xlsx", ".xls") for pattern in patterns if ".xlsx" in pattern]
    tables = sheets_below(root, _TABLES)
    # openpyxl does not read the older .xls format, in which CAS(ME)^3 was first released.
    old = sheets_below(root, known) or ([] if tables else sheets_below(root, ("*.xls",)))
    if old:
        return f"save {old[0]} as .xlsx, or name another with --annotations FILE"
    if not tables:
        return "name it with --annotations FILE"
    listed = some(tables, _LISTED)
    return f"if it is one of these, name it with --annotations FILE: {listed}"


def chosen_path(path: Path, root: Path, option: str) -> Path:
    """Resolve a path of the command line, relative to the working directory or to the data set.

    Raises:
        InputError: it exists at neither place, or two different files exist.
    """
    # Either place may be meant. If both exist, guessing could read the wrong sheet unnoticed.
    found = [place.absolute() for place in (path, root / path) if place.exists()]
    if not found:
        raise InputError(f"{option}: no such file or folder: {path} (nor below {root})")
    if len(found) > 1 and not found[0].samefile(found[1]):
        raise InputError(
            f"{option}: {path} may be {found[0]} or {found[1]}; give the absolute path"
        )
    return found[0]


def frames_root(root: Path, chosen: Path | None) -> Path:
    """Take the folder of frames that the user chose, else the data set's own folder."""
    return root if chosen is None else chosen_path(chosen, root, "--frames-dir")


def find_path(root: Path, name: str) -> Path | None:
    """Find a path that a table names; None if nothing is there.

    Either kind of slash separates folders, and accents may be composed (NFC) or not (NFD), as
    Windows and macOS write them.
    """
    if os.path.exists(root / name):  # unlike Path.exists, no error for long names
        return root / name
    at: Path | None = root
    for part in PureWindowsPath(name).parts:
        at = at and _entry(at, part)
    return at


def _entry(folder: Path, name: str) -> Path | None:
    if os.path.exists(folder / name):
        return folder / name
    if name.isascii():  # there is one way to write it
        return None
    wanted = unicodedata.normalize("NFC", name)
    try:
        alike = [one for one in os.listdir(folder) if unicodedata.normalize("NFC", one) == wanted]
    except OSError:  # no folder, or none that opens
        return None
    return folder / alike[0] if len(alike) == 1 else None


def find_frames(root: Path, place: Place, *, expected: str) -> dict[ClipName, Path]:
    """Find the folder or video of every clip below `root`.

    Args:
        root: where to look.
        place: tells the clips' folders from others.
        expected: what was looked for, for the message when nothing is found.

    Raises:
        InputError: no clip, a clip at two places, or a folder that cannot be listed.
    """
    found: dict[ClipName, Path] = {}
    for path in _candidates(root, place):
        inside = path.relative_to(root)
        name = place(inside.with_suffix("") if is_video(path) else inside)
        if name is None:
            continue
        # Raw and cropped frames often lie side by side: they make different images.
        if name in found:
            raise InputError(
                f"the frames of {name} are at two places, choose with --frames-dir DIR: "
                f"{found[name]} and {path}"
            )
        found[name] = path
    if not found:
        raise InputError(
            f"{expected}: none found under {root}; name the folder above them with "
            "--frames-dir DIR"
        )
    return found


def other_folders(root: Path, found: Collection[Path]) -> list[Path]:
    """List the folders below `root` that hold numbered frames and are no clip's that was found."""
    clips, others = set(found), []
    for at, folders, _ in os.walk(root):
        here = Path(at)
        folders[:] = sorted(name for name in folders if here / name not in clips)
        if here not in clips and _holds_frames(here):
            others.append(here)
    return others


def _holds_frames(folder: Path) -> bool:
    try:
        return bool(frame_numbers(folder))
    except FolderError:
        return False
    except FrameError:  # several of one number
        return True


def _candidates(root: Path, place: Place) -> Iterator[Path]:
    """List the folders, videos and files without a suffix below `root`, sorted.

    A file where a clip's folder belongs is listed too: it cannot be opened as a folder, and the
    user is told so. Links are followed unless they lead back to a folder above.
    """

    def refuse(error: OSError) -> None:
        raise InputError(f"a folder cannot be listed: {error.filename} ({one_line(error)})")

    real_parents = {str(root): {os.path.realpath(root)}}
    # Links are followed, because large data sets are often linked into place.
    for at, folders, files in os.walk(root, followlinks=True, onerror=refuse):
        here, above = Path(at), real_parents.pop(at)
        for name in sorted(files):
            if is_video(Path(name)) or not (Path(name).suffix or name.startswith(".")):
                yield here / name
        deeper = []
        for name in sorted(folders):
            path, real = here / name, os.path.realpath(here / name)
            if real in above or name == _MACOS_COPY:
                continue
            if place(path.relative_to(root)) is not None:
                yield path  # clips are not nested, so the walk ends here
            else:
                deeper.append(name)
                real_parents[str(path)] = {*above, real}
        folders[:] = deeper
