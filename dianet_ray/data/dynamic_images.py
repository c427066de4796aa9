"""From a manifest to IMAGES with Ray Data.

A task decodes some clips and writes them as one parquet part; only small status rows travel, so
nobody but the task ever holds an image. OUT is complete when images.json exists; a run that is
interrupted, or whose broken files were repaired, goes on from the parts that are there.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from dianet_ray.data.clips import Recipe, clip_images
from dianet_ray.data.duplicates import Duplicate, find_duplicates
from dianet_ray.data.frames import FrameError, UnfitError, file_stamps
from dianet_ray.data.images import (
    StoredClip,
    describe,
    identity,
    read_about,
    read_part,
    write_part,
)
from dianet_ray.data.outputs import writing
from dianet_ray.data.rows import NO_ROW, UNREADABLE, Manifest, Row, write_csv
from dianet_ray.errors import InputError
from dianet_ray.options import PrepareOptions
from dianet_ray.progress import Progress
from dianet_ray.schemas import (
    CORRECTED,
    IMAGES_FOLDER,
    IMAGES_JSON,
    LEFT_OUT,
    LEFT_OUT_CSV,
    MANIFEST_CSV,
)

CLIPS_PER_PART = 4  # what a killed worker loses at most, and how often progress moves
_OURS = {IMAGES_FOLDER, MANIFEST_CSV, LEFT_OUT_CSV}
"""What an interrupted run leaves in OUT."""


@dataclass(frozen=True, slots=True)
class PrepareResult:
    """What `prepare` did; `unreadable` holds the reason of each clip whose files do not read.

    `n_reused` clips were there from an earlier run; `is_old`: all of OUT was, and is as it was.
    """

    n_clips: int
    n_left_out: int
    unreadable: tuple[str, ...]
    duplicates: tuple[Duplicate, ...]
    n_reused: int
    is_old: bool


def prepare(
    manifest: Manifest, out: Path, options: PrepareOptions, *, progress: Progress
) -> PrepareResult:
    """Make IMAGES from a manifest; Ray must be running.

    Done already (same manifest, same options) is left as it is, unless files that could not be
    read then can be read now: OUT may already be somebody's study, so only the user reopens it.
    Clips that are there and still what their files and the options make are not made again.

    Raises:
        InputError: OUT holds something else, cannot be written, or lacks clips that were repaired;
            or fewer than half of the clips are usable, then OUT stays unfinished.
    """
    if (done := _done_before(manifest, out, options)) is not None:
        return done
    _check_half(manifest.rows)
    folder = out / IMAGES_FOLDER
    with writing(out):
        folder.mkdir(parents=True, exist_ok=True)
        parts = _parts(manifest, folder)
        statuses = {}
        for status in _map_parts(parts, options):
            statuses[status["clip_id"]] = status
            (progress.skip if status["is_reused"] else progress.advance)(1)
        rows = _mark(manifest, statuses)
        _check_half(rows)
        for file in set(folder.iterdir()) - {Path(part["file"]) for part in parts}:
            file.unlink()
        duplicates = _duplicates(rows, statuses)
        about = describe(manifest, rows, options, duplicates)
        write_csv(rows, out / MANIFEST_CSV)
        write_csv((row for row in rows if row.state == LEFT_OUT), out / LEFT_OUT_CSV)
        beside = out / f".{IMAGES_JSON}.part"
        beside.write_text(json.dumps(about, indent=2), encoding="utf-8")
        beside.replace(out / IMAGES_JSON)
    n_reused = sum(status["is_reused"] for status in statuses.values())
    return _result(about, n_reused=n_reused, is_old=False)


def _done_before(manifest: Manifest, out: Path, options: PrepareOptions) -> PrepareResult | None:
    with writing(out):
        if not out.exists() or (out.is_dir() and _is_unfinished(out)):
            return None
    about = read_about(out)
    expected = identity(manifest, options, about.get("unreadable", {}))
    if about["hash"] != expected:
        raise InputError(
            f"OUT holds images of another manifest or other options: hash {about['hash'][:12]} "
            f"in {out}, {expected[:12]} asked for"
        )
    failed_then = [row for row in manifest.usable() if row.clip_id in about["unreadable"]]
    repaired = [row.clip_id for row in failed_then if _reads(manifest, row, options)]
    if repaired:
        raise InputError(
            f"files were repaired since OUT was made: {len(repaired)} clips can be read now, for "
            f"example {repaired[0]}; delete {out / IMAGES_JSON} and prepare again: only they will "
            "be made, and studies of the old images need a new folder"
        )
    return _result(about, n_reused=about["n_clips"], is_old=True)


def _is_unfinished(out: Path) -> bool:
    """Whether a folder is empty, or holds nothing but what an interrupted run leaves."""
    return all(path.name in _OURS or path.name.startswith(".") for path in out.iterdir())


def _reads(manifest: Manifest, row: Row, options: PrepareOptions) -> bool:
    try:
        clip_images(manifest.frames(row), _span(row), _recipe(options))
    except FrameError as error:
        return isinstance(error, UnfitError)
    return True


def _result(about: dict[str, Any], *, n_reused: int, is_old: bool) -> PrepareResult:
    return PrepareResult(
        about["n_clips"],
        about["n_left_out"],
        tuple(about["unreadable"].values()),
        tuple(Duplicate(*found) for found in about["duplicates"]),
        n_reused,
        is_old,
    )


def _parts(manifest: Manifest, folder: Path) -> list[dict[str, Any]]:
    """Deal the clips to parts: one person's together, so that a new clip moves no one else's."""
    parts = []
    for _, rows in groupby(manifest.usable(), key=lambda row: row.subject):
        mine = list(rows)
        for start in range(0, len(mine), CLIPS_PER_PART):
            some = mine[start : start + CLIPS_PER_PART]
            named = hashlib.sha256(json.dumps([row.clip_id for row in some]).encode())
            parts.append(
                {
                    "file": str(folder / f"part-{named.hexdigest()[:16]}.parquet"),
                    "root": str(manifest.root),
                    "clips": [_columns(row) | {"path": str(manifest.frames(row))} for row in some],
                }
            )
    return parts


def _columns(row: Row) -> dict[str, Any]:
    names = ("clip_id", "subject", "label", "onset", "apex", "offset")
    return {name: getattr(row, name) for name in names}


def _span(row: Row) -> tuple[Any, int | None, Any]:
    return row.onset, row.apex, row.offset


def _recipe(options: PrepareOptions) -> Recipe:
    return Recipe(options.image_size, options.coefficients, options.crop)


def _map_parts(parts: list[dict[str, Any]], options: PrepareOptions) -> Iterator[dict[str, Any]]:
    import ray.data  # takes seconds, and `predict` needs only `clip_images`

    if not parts:
        return
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False  # stderr is ours, so Ray Data says problems only
    context.print_on_execution_start = False
    context.target_max_block_size = 1  # bytes: a status travels when its clip is made
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    logging.getLogger("ray.data._internal.progress").setLevel(logging.ERROR)
    n_cpus = int(ray.cluster_resources().get("CPU", 1))
    n_tasks = _n_tasks(parts, min(n_cpus, options.max_workers or n_cpus))
    statuses = ray.data.from_items(
        [{"part": json.dumps(part)} for part in parts], override_num_blocks=n_tasks
    ).flat_map(
        functools.partial(_make_part, recipe=_recipe(options)),
        compute=ray.data.TaskPoolStrategy(
            size=options.max_workers and min(options.max_workers, n_tasks)
        ),
        num_cpus=1,
    )
    for row in statuses.iter_rows():
        yield {**json.loads(row["status"]), "signature": row["signature"]}


def _n_tasks(parts: list[dict[str, Any]], n_workers: int) -> int:
    """Choose how many tasks to make of the parts, so that little time is lost.

    Between two tasks a worker waits 0.2 s for the driver to send the next one, and at the end
    half a task's length for the others: k tasks of a worker's T seconds lose 0.2 k + T / 2k, least
    at k = sqrt(T / 0.4). A clip takes about 0.08 s.
    """
    n_clips = sum(len(part["clips"]) for part in parts)
    seconds = 0.08 * n_clips / n_workers
    return min(len(parts), max(1, round(n_workers * math.sqrt(seconds / 0.4))))


def _make_part(row: dict[str, str], *, recipe: Recipe) -> Iterator[dict[str, Any]]:
    """Make one part in a worker; clips that it holds already stay, unless something changed.

    What travels is JSON: Ray Data would unify the types of columns that are empty in some rows.
    """
    cv2.setNumThreads(1)
    part = json.loads(row["part"])
    file = Path(part["file"])
    before = read_part(file)
    after: list[StoredClip] = []
    statuses = []
    for clip in part["clips"]:
        name, mark = clip["clip_id"], b""
        status = {"clip_id": name, "error": "", "is_rule": False, "is_reused": False}
        try:
            stored = _make(clip, recipe, before.get(name))
        except FrameError as broken:
            status["error"] = str(broken).replace(f"{part['root']}/", "")
            status["is_rule"] = isinstance(broken, UnfitError)
        else:
            after.append(stored)
            made, mark = stored.made, stored.made.signature.tobytes()
            status |= {"apex": made.apex, "box": made.box, "note": made.note}
            status["is_reused"] = stored is before.get(name)
        statuses.append({"status": json.dumps(status), "signature": mark})
    if not after:
        file.unlink(missing_ok=True)
    elif [id(clip) for clip in after] != [id(clip) for clip in before.values()]:
        write_part(file, after)
    yield from statuses  # when they are safe


def _make(clip: dict[str, Any], recipe: Recipe, old: StoredClip | None) -> StoredClip:
    """Make a clip, unless the old one was made of the same files, by the same recipe."""
    path, onset, offset = Path(clip["path"]), clip["onset"], clip["offset"]
    what = [clip | {"path": ""}, repr(recipe), file_stamps(path, onset, offset)]
    made_from = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
    if old is not None and old.made_from == made_from:
        return old
    made = clip_images(path, (onset, clip["apex"], offset), recipe)
    return StoredClip(clip["clip_id"], clip["subject"], clip["label"], made, made_from)


def _mark(manifest: Manifest, statuses: dict[str, dict[str, Any]]) -> tuple[Row, ...]:
    """Bring what the workers found into the rows."""
    return tuple(
        _marked(row, statuses[row.clip_id]) if row.state != LEFT_OUT else row
        for row in manifest.rows
    )


def _marked(row: Row, status: dict[str, Any]) -> Row:
    if error := status["error"]:
        reason = error if status["is_rule"] else UNREADABLE + error
        return replace(row, state=LEFT_OUT, reason=reason)
    reason = row.reason
    if row.apex is None:
        reason = f"{reason}, spotted {status['apex']}"
    row = replace(row, apex=status["apex"], box=status["box"], reason=reason)
    if note := status["note"]:
        reason = f"{reason}; {note}" if reason else f"crop: {note}"
        row = replace(row, state=CORRECTED, reason=reason)
    return row


def _duplicates(rows: Sequence[Row], statuses: dict[str, dict[str, Any]]) -> list[Duplicate]:
    names = [row.clip_id for row in rows if row.state != LEFT_OUT]
    marks = [np.frombuffer(statuses[name]["signature"], np.float16) for name in names]
    return find_duplicates(names, marks)


def _check_half(rows: tuple[Row, ...]) -> None:
    """Refuse too few clips: by the manifest before any frame is read, and by the frames after."""
    of_sheet = [row for row in rows if not row.reason.startswith(NO_ROW)]
    left_out = [row for row in of_sheet if row.state == LEFT_OUT]
    if len(left_out) * 2 > len(of_sheet) or len(left_out) == len(of_sheet):
        n_unreadable = sum(row.reason.startswith(UNREADABLE) for row in left_out)
        first = f"; first {left_out[0].clip_id}: {left_out[0].reason}" if left_out else ""
        raise InputError(
            f"at least half of the sheet's clips must be usable: of {len(of_sheet)} a rule leaves "
            f"{len(left_out) - n_unreadable} out and {n_unreadable} cannot be read, no IMAGES "
            f"were made{first}"
        )
