"""Any other data set: a CSV, parquet or .xlsx table that names the frames of each clip.

Columns: clip (a folder of frames or a video, relative to the data set or to --frames-dir),
subject, label, onset, apex, offset. A video's first frame is number 1. The titles by which other
lists call these columns are read too.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath

from dianet_ray.datasets.annotations import Annotation, ChosenPaths, Loaded
from dianet_ray.datasets.discovery import files_like, find_path, find_sheet, frames_root
from dianet_ray.datasets.release import LabelMapping, refuse_several
from dianet_ray.datasets.sheets import (
    Columns,
    MissingColumnsError,
    Sheet,
    SheetRow,
    plain_title,
    read_table,
)
from dianet_ray.datasets.spellings import fold
from dianet_ray.errors import InputError

SHEET_PATTERNS = ("*.csv", "*.parquet", "*.xlsx")
_NUMBER = ("", " number", " num", " no", " index", " idx", " id")
_FRAME = (*_NUMBER, *(f" frame{number}" for number in _NUMBER), " f", " f1")


def _moments(*words: str) -> tuple[str, ...]:
    behind = [word + ending for word in words for ending in _FRAME]
    return (*behind, *(f"frame {word}" for word in words))


# `clip_id` and `frames_path` are no titles of the clip: `validate --manifest` writes them, and its
# file may lie beside the table.
COLUMNS: Columns = {
    "filename": (
        *("clip", "clip name", "clip path", "clip folder", "filename", "fname", "file"),
        *("file path", "path", "folder"),
        *("folder name", "fold name", "image name", "image path", "image folder"),
        *("video", "video name", "video path"),
    ),
    "subject": (
        *("subject", "subjects", "subject id", "subject name", "subject no", "subject number"),
        *("subj", "subj id", "sub", "sub id", "participant", "participant id"),
        *("person", "person id"),
    ),
    "label": (
        *("label", "labels", "emotion", "emotions", "emotion class", "emotion label"),
        *("estimated emotion", "class", "class label"),
    ),
    # `first` and `last` alone may be names.
    "onset": (*_moments("onset", "start", "begin"), "first frame"),
    "apex": _moments("apex", "peak"),
    "offset": (*_moments("offset", "end", "stop"), "last frame"),
}
"""Our name of each column -> its title, then what other lists call it."""

_NO_APEX = frozenset({"apex"})
_TITLES_HELP = (
    "clip is the path below ROOT of a folder of frames or a video; usual titles are read too, "
    "such as Filename, Emotion and Onset Frame"
)


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
            InputError: no table, or several of which none was chosen; or columns that are
                missing or named twice.
        """
        refuse_several(self.dataset, chosen)
        path = _choose(root, next(iter(chosen.sheets), None))
        try:
            sheet, rows = read_table(path, COLUMNS, chosen=chosen.sheet_name, optional=_NO_APEX)
        except MissingColumnsError as error:
            raise InputError(f"{error}; {_TITLES_HELP}") from None
        _refuse_ambiguous(sheet)
        if "apex" not in rows[0].cells:
            _refuse_unknown_apex(sheet)
        folder = frames_root(root, next(iter(chosen.frames), None))
        annotations = tuple(_annotation(row, folder) for row in rows)
        # Folded, because several spellings of a subject may be taken as one.
        most = max(Counter((fold(one.subject), one.filename) for one in annotations).values())
        return [
            Loaded(
                self.dataset,
                sheet,
                annotations,
                folder,
                has_apexes="apex" in rows[0].cells,
                by_onset=most > 1,
            )
        ]


RELEASE = Table()


def _refuse_ambiguous(sheet: Sheet) -> None:
    """Refuse a table in which several columns may be the one that is looked for."""
    for known in COLUMNS.values():
        plain = set(map(plain_title, known))
        found = [title for title in sheet.titles if plain_title(title) in plain]
        if len(found) > 1:
            raise InputError(
                f"only one column may be the {known[0]}: got {' and '.join(found)} in sheet "
                f"{sheet.name} of {sheet.path}; rename or delete the others"
            )


def _refuse_unknown_apex(sheet: Sheet) -> None:
    """Refuse a table without an apex where a title that is not read speaks of one."""
    found = [title for title in sheet.titles if "apex" in plain_title(title)]
    if found:
        raise InputError(
            f"the column of apexes is called {COLUMNS['apex'][0]}: got {', '.join(found)}, which "
            f"is not read, in sheet {sheet.name} of {sheet.path}; rename it"
        )


def _choose(root: Path, chosen: Path | None) -> Path:
    """Take the table of the folder itself; of several, the only one that has the columns."""
    found = [path for pattern in SHEET_PATTERNS for path in files_like(root, pattern)]
    if chosen is not None or len(found) < 2:
        return find_sheet(root, SHEET_PATTERNS, chosen or next(iter(found), None))
    own = {name: known[:1] for name, known in COLUMNS.items()}
    # A table with our own titles is meant even if a list with other titles lies beside it.
    for columns, optional in ((own, frozenset[str]()), (COLUMNS, _NO_APEX)):
        fitting = [path for path in found if _has_columns(path, columns, optional)]
        if len(fitting) == 1:
            return fitting[0]
    return find_sheet(root, SHEET_PATTERNS, None)


def _has_columns(path: Path, columns: Columns, optional: frozenset[str]) -> bool:
    try:
        read_table(path, columns, optional=optional)
    except InputError:
        return False
    return True


def _annotation(row: SheetRow, root: Path) -> Annotation:
    clip = row.text("filename")
    problem, frames = "", None
    if not _stays_inside(clip):
        problem = f"clip outside: {clip!r} must be a relative path below the data set"
    elif clip:
        frames = find_path(root, clip)
        clip = _one_name(clip, is_literal=frames == root / clip)
    return Annotation(
        subject=row.text("subject"),
        filename=clip,
        label=row.text("label"),
        onset=row.frame("onset"),
        apex=row.frame("apex"),
        offset=row.frame("offset"),
        apex_text=row.text("apex"),
        span_text=(row.text("onset"), row.text("offset")),
        frames=frames,
        problem=problem,
        number=row.number,
    )


def _one_name(clip: str, *, is_literal: bool) -> str:
    r"""Spell a path in one way, so that two rows of one clip have one name.

    >>> _one_name("a/", is_literal=True), _one_name(r".\a\b", is_literal=False)
    ('a', 'a/b')
    """
    path = PurePosixPath(clip) if is_literal else PureWindowsPath(clip)
    return unicodedata.normalize("NFC", path.as_posix())


def _stays_inside(name: str) -> bool:
    """Whether a path of a table stays below the data set, on POSIX and on Windows."""
    paths = (PurePosixPath(name), PureWindowsPath(name))
    return not any(path.is_absolute() or path.drive or ".." in path.parts for path in paths)
