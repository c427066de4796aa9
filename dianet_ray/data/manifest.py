"""The manifest: one row per clip of a data set, with its state and the reason for it.

Every row of the sheet and every folder of frames ends in exactly one row, so the states add up.
Nothing is corrected or left out without being counted and named.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from dianet_ray.data import casme2
from dianet_ray.data.frames import FrameError, index_frames
from dianet_ray.data.sheets import Annotated, Source
from dianet_ray.errors import InputError
from dianet_ray.schemas import CORRECTED, LEFT_OUT, MANIFEST_COLUMNS, USED

LOADERS: dict[str, Callable[[Path, Path | None, Path | None], Source]] = {"casme2": casme2.read}

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
    rows: tuple[Row, ...]

    def hash(self) -> str:
        """Hash the content: equal wherever the data set lies."""
        content = [self.dataset, self.sheet_name, self.sheet_sha256, *map(asdict, self.rows)]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def usable(self) -> tuple[Row, ...]:
        """Return the rows that are not left out."""
        return tuple(row for row in self.rows if row.state != LEFT_OUT)

    def folder(self, row: Row) -> Path:
        """Locate the frames of a clip."""
        return self.root / row.frames_path


class _LeftOutError(Exception):
    """A rule leaves a clip out; the message is its reason."""


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
        try:
            if n_rows_of[key] > 1:
                raise _LeftOutError(f"duplicate rows: {n_rows_of[key]} rows of the sheet")
            rows.append(_judge(row, clip, root, apex))
        except (_LeftOutError, FrameError) as error:
            rows.append(replace(row, state=LEFT_OUT, reason=_relative(str(error), root)))
    for subject, name in source.folders.keys() - n_rows_of.keys():
        clip = Annotated(subject, name, "", None, None, None, "")
        row = _start(dataset, root, clip, source.folders[subject, name])
        rows.append(replace(row, state=LEFT_OUT, reason="no row: a folder without a row"))
    rows.sort(key=lambda row: (row.clip_id, row.onset or 0))
    sheet = source.sheet
    return Manifest(dataset, root, sheet.path, sheet.name, sheet.sha256, tuple(rows))


def _start(dataset: str, root: Path, clip: Annotated, folder: Path | None) -> Row:
    path = ""
    if folder is not None:
        inside = folder.is_relative_to(root)
        path = (folder.relative_to(root) if inside else folder).as_posix()
    subject = f"{dataset}/{clip.subject}"
    clip_id = f"{subject}/{clip.clip}"
    span = (clip.onset, clip.apex, clip.offset)
    return Row(clip_id, subject, clip.label, *span, 0, "", USED, "", path)


def _relative(reason: str, root: Path) -> str:
    return reason.replace(f"{root}/", "")


def _judge(row: Row, clip: Annotated, root: Path, rule: ApexRule) -> Row:
    onset, offset = clip.onset, clip.offset
    if not (clip.subject and clip.clip):
        raise _LeftOutError(f"no name: subject {clip.subject!r}, file name {clip.clip!r}")
    if not clip.label:
        raise _LeftOutError("no label: the emotion is empty")
    if onset is None or offset is None:
        raise _LeftOutError("no onset or offset: not both are frame numbers")
    if onset > offset:
        raise _LeftOutError(f"onset after offset: {onset} > {offset}")
    if not row.frames_path:
        raise _LeftOutError(f"no frame folder: none for {row.clip_id}")
    files = index_frames(root / row.frames_path)
    missing = [number for number in range(onset, offset + 1) if number not in files]
    row = replace(row, n_frames=offset - onset + 1 - len(missing))
    return replace(_with_apex(row, clip, rule), **_check_gap(missing, onset, offset))


def _check_gap(missing: list[int], onset: int, offset: int) -> dict[str, Any]:
    if missing:
        reason = f"frames missing: {_runs(missing)} of {onset}..{offset}"
        return {"state": LEFT_OUT, "reason": reason}
    return {}


def _with_apex(row: Row, clip: Annotated, rule: ApexRule) -> Row:
    assert row.onset is not None
    assert row.offset is not None
    if row.apex is not None and row.onset < row.apex < row.offset:
        return replace(row, apex_from="annotated")
    if row.apex is None:
        found = f"missing apex: {clip.apex_text or 'empty'}"
    else:
        found = f"impossible apex: {row.apex} is not inside {row.onset}..{row.offset}"
    if rule == "annotated":
        raise _LeftOutError(found)
    if row.offset - row.onset < 2:
        raise _LeftOutError(f"{found}, and {row.onset}..{row.offset} has no frame between")
    middle = (row.onset + row.offset) // 2
    reason = f"{found}, took the midpoint {middle}"
    return replace(row, apex=middle, apex_from="midpoint", state=CORRECTED, reason=reason)


def _runs(numbers: list[int]) -> str:
    """Write sorted numbers as runs.

    >>> _runs([3, 4, 5, 9])
    '3-5, 9'
    """
    starts = [n for n in numbers if n - 1 not in numbers]
    ends = [n for n in numbers if n + 1 not in numbers]
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True))


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
    """Write rows as CSV, beside and then renamed; None becomes an empty cell."""
    beside = path.with_name(f".{path.name}.part")
    with beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, MANIFEST_COLUMNS)
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    beside.replace(path)
