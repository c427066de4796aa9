"""The manifest: one row per clip of a data set, with its state and the reason for it.

Every row of the sheet and every folder of frames ends in exactly one row, so the states add up.
Nothing is corrected or left out without being counted and named.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dianet_ray.data import casme2
from dianet_ray.data.frames import FolderError, FrameError, index_frames
from dianet_ray.data.outputs import writing
from dianet_ray.data.sheets import Annotated, Source
from dianet_ray.errors import InputError
from dianet_ray.schemas import CORRECTED, LEFT_OUT, MANIFEST_COLUMNS, USED

LOADERS: dict[str, Callable[[Path, Path | None, Path | None], Source]] = {"casme2": casme2.read}

_LISTED = 20  # clips per kind of oddity on the terminal; the files list all
_RUNS_LISTED = 5  # runs of missing frames in a reason

UNREADABLE = "unreadable: "
"""How the reason starts of a clip whose files do not read; all other reasons are rules."""

ApexRule = Literal["annotated", "midpoint"]


@dataclass(frozen=True, slots=True)
class Row:
    """One clip; the fields are `schemas.MANIFEST_COLUMNS`.

    `n_frames` counts the files within onset..offset. `reason` is `kind: detail`, empty for a used
    clip. `frames_path` is relative to the data set where it lies inside, else absolute.
    """

    clip_id: str
    subject: str
    label: str
    onset: int | None
    apex: int | None
    offset: int | None
    n_frames: int
    apex_from: str
    state: str
    reason: str
    frames_path: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """All clips of a data set, sorted by clip_id, and the sheet that they come from."""

    dataset: str
    root: Path
    annotations: Path
    sheet_name: str
    sheet_sha256: str
    frames_root: Path
    rows: tuple[Row, ...]

    def hash(self) -> str:
        """Hash the content: equal wherever the data set, and its frame folder, lie."""
        rows = [{**asdict(row), "frames_path": self._placeless(row)} for row in self.rows]
        content = [self.dataset, self.sheet_name, self.sheet_sha256, *rows]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def _placeless(self, row: Row) -> str:
        path = Path(row.frames_path)
        if not path.is_absolute():
            return row.frames_path
        # The frame folder's own name stays: Cropped and raw frames make other images.
        return path.relative_to(self.frames_root.parent).as_posix()

    def usable(self) -> tuple[Row, ...]:
        """Return the rows that are not left out."""
        return tuple(row for row in self.rows if row.state != LEFT_OUT)

    def folder(self, row: Row) -> Path:
        """Locate the frames of a clip."""
        return self.root / row.frames_path


def read_manifest(
    dataset: str,
    root: Path,
    *,
    annotations: Path | None = None,
    frames_dir: Path | None = None,
    apex: ApexRule = "annotated",
) -> Manifest:
    """Read a data set's sheet, look at its frames, and judge every clip.

    Args:
        dataset: A name in LOADERS.
        root: The data set's folder.
        annotations: The workbook, when several are there.
        frames_dir: The folder of frames, when several are there.
        apex: `annotated` leaves a clip without a usable apex out; `midpoint` gives it the middle
            of onset..offset and marks it corrected. Other clips keep their annotated apex.

    Raises:
        InputError: the data set cannot be read at all, or something must be chosen.
    """
    if dataset not in LOADERS:
        raise InputError(f"unknown data set: {dataset}; known: {', '.join(LOADERS)}")
    if not root.is_dir():
        raise InputError(f"the data set must be a folder: {root} is missing or no folder")
    root = root.absolute()
    source = LOADERS[dataset](root, annotations, frames_dir)
    n_rows_of = Counter((clip.subject, clip.clip) for clip in source.annotated)
    rows = []
    for clip in source.annotated:
        key = (clip.subject, clip.clip)
        row = _start(dataset, root, clip, source.folders.get(key))
        if n_rows_of[key] > 1:
            rows.append(_left_out(row, f"duplicate rows: {n_rows_of[key]} rows of the sheet"))
        else:
            rows.append(_judge(row, clip, root, apex))
    for subject, name in source.folders.keys() - n_rows_of.keys():
        clip = Annotated(subject, name, "", None, None, None, "")
        row = _start(dataset, root, clip, source.folders[subject, name])
        rows.append(_left_out(row, "no row: a folder of frames that the sheet does not name"))
    rows.sort(key=lambda row: (row.clip_id, row.onset or 0))
    sheet = source.sheet
    return Manifest(
        dataset, root, sheet.path, sheet.name, sheet.sha256, source.frames_root, tuple(rows)
    )


def _start(dataset: str, root: Path, clip: Annotated, folder: Path | None) -> Row:
    path = ""
    if folder is not None:
        inside = folder.is_relative_to(root)
        path = (folder.relative_to(root) if inside else folder).as_posix()
    subject = f"{dataset}/{clip.subject}"
    clip_id = f"{subject}/{clip.clip}"
    span = (clip.onset, clip.apex, clip.offset)
    return Row(clip_id, subject, clip.label, *span, 0, "", USED, "", path)


def _left_out(row: Row, reason: str) -> Row:
    return replace(row, state=LEFT_OUT, reason=reason)


def _judge(row: Row, clip: Annotated, root: Path, rule: ApexRule) -> Row:
    if not (clip.subject and clip.clip):
        return _left_out(row, f"no name: subject {clip.subject!r}, file name {clip.clip!r}")
    if not clip.label:
        return _left_out(row, "no label: the emotion is empty")
    if clip.onset is None or clip.offset is None:
        return _left_out(row, "no onset or offset: not both are frame numbers")
    if clip.onset > clip.offset:
        return _left_out(row, f"onset after offset: {clip.onset} > {clip.offset}")
    if not row.frames_path:
        return _left_out(row, f"no frame folder: none for {clip.subject}/{clip.clip}")
    folder = root / row.frames_path
    try:
        files = index_frames(folder)
    except FrameError as error:
        kind = UNREADABLE if isinstance(error, FolderError) else "unclear frames: "
        # The row has the path; a reason that repeats it would depend on where the data set lies.
        return _left_out(
            row, kind + str(error).replace(str(folder), f"{clip.subject}/{clip.clip}")
        )
    present = [number for number in files if clip.onset <= number <= clip.offset]
    row = replace(row, n_frames=len(present))
    if missing := _missing(present, clip.onset, clip.offset):
        return _left_out(row, f"frames missing: {missing} of {clip.onset}..{clip.offset}")
    return _with_apex(row, clip, rule, (clip.onset, clip.offset))


def _with_apex(row: Row, clip: Annotated, rule: ApexRule, span: tuple[int, int]) -> Row:
    onset, offset = span
    if clip.apex is not None and onset < clip.apex < offset:
        return replace(row, apex_from="annotated")
    if clip.apex is None:
        reason = f"missing apex: {clip.apex_text or 'empty'}"
    else:
        reason = f"impossible apex: {clip.apex} is not inside {onset}..{offset}"
    if rule == "annotated":
        return _left_out(row, reason)
    if offset - onset < 2:
        return _left_out(row, f"{reason}, and there is no frame between")
    middle = (onset + offset) // 2
    reason += f", took the midpoint {middle}"
    return replace(row, apex=middle, apex_from="midpoint", state=CORRECTED, reason=reason)


def _missing(present: list[int], first: int, last: int) -> str:
    """Write what sorted numbers lack of first..last as runs, the first few of them.

    >>> _missing([1, 2, 6, 7, 8], 1, 9)
    '3-5, 9'
    """
    around = pairwise([first - 1, *present, last + 1])
    runs = [(a + 1, b - 1) for a, b in around if b - a > 1]
    listed = ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs[:_RUNS_LISTED])
    n_more = len(runs) - _RUNS_LISTED
    return f"{listed} and {n_more} more runs" if n_more > 0 else listed


def summarise(manifest: Manifest) -> dict[str, Any]:
    """Count a manifest: states, classes, subjects, and clips by kind of reason.

    Returns:
        A JSON-able dict; classes and subjects count the clips that are not left out, the
        commonest class first.
    """
    usable = manifest.usable()
    classes = Counter(row.label for row in usable)
    reasons: dict[str, dict[str, list[dict[str, str]]]] = {LEFT_OUT: {}, CORRECTED: {}}
    for row in manifest.rows:
        if row.state != USED:
            kind, _, detail = row.reason.partition(": ")
            found = reasons[row.state].setdefault(kind, [])
            found.append({"clip": row.clip_id, "detail": detail})
    states = Counter(row.state for row in manifest.rows)
    return {
        "dataset": manifest.dataset,
        "root": str(manifest.root),
        "annotations": str(manifest.annotations),
        "sheet": {"name": manifest.sheet_name, "sha256": manifest.sheet_sha256},
        "manifest_hash": manifest.hash(),
        "n_clips": len(manifest.rows),
        "states": {state: states[state] for state in (USED, CORRECTED, LEFT_OUT)},
        "classes": dict(sorted(classes.items(), key=lambda item: (-item[1], item[0]))),
        "subjects": {
            subject: dict(sorted(Counter(r.label for r in usable if r.subject == subject).items()))
            for subject in sorted({row.subject for row in usable})
        },
        "reasons": reasons,
    }


def write_csv(rows: Iterable[Row], path: Path) -> None:
    """Write rows as CSV, beside and then renamed; None becomes an empty cell.

    Raises:
        InputError: the file cannot be written.
    """
    beside = path.with_name(f".{path.name}.part")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, MANIFEST_COLUMNS)
            writer.writeheader()
            writer.writerows(asdict(row) for row in rows)
        beside.replace(path)


def render(summary: dict[str, Any], console: Console) -> None:
    """Print a summary for people: totals, classes by subject, and every kind of oddity."""
    say = functools.partial(console.print, markup=False, highlight=False, soft_wrap=True)
    sheet, states = summary["sheet"], summary["states"]
    say(f"sheet  {sheet['name']} of {summary['annotations']}, sha256 {sheet['sha256']}")
    counts_of = ", ".join(f"{n} {state.replace('_', ' ')}" for state, n in states.items())
    say(f"clips  {summary['n_clips']}: {counts_of}")
    table = Table("subject", *map(escape, summary["classes"]), "clips")
    for subject, counts in summary["subjects"].items():
        cells = [str(counts.get(label, "")) for label in summary["classes"]]
        table.add_row(escape(subject), *cells, str(sum(counts.values())))
    totals = [str(n) for n in summary["classes"].values()]
    table.add_section()
    n_usable = str(sum(summary["classes"].values()))
    table.add_row(f"{len(summary['subjects'])} subjects", *totals, n_usable)
    console.print(table)
    for state, kinds in summary["reasons"].items():
        for kind, found in kinds.items():
            say(f"{state.replace('_', ' ')}: {kind} ({len(found)})")
            for item in found[:_LISTED]:
                say(f"  {item['clip']}: {item['detail']}")
            if len(found) > _LISTED:
                say(f"  and {len(found) - _LISTED} more: see --manifest or --json")
