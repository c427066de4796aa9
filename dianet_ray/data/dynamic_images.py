"""From a manifest to IMAGES with Ray Data.

A task decodes some clips and writes them as one parquet part; only small status rows travel, so
nobody but the task ever holds an image. OUT appears when it is complete.
"""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2

from dianet_ray.data.clips import clip_images
from dianet_ray.data.frames import FrameError
from dianet_ray.data.images import ClipImages, describe, identity, read_about, write_part
from dianet_ray.data.manifest import UNREADABLE, Manifest, Row, write_csv
from dianet_ray.data.outputs import output_folder, writing
from dianet_ray.data.rank_pooling import Kind
from dianet_ray.errors import InputError
from dianet_ray.options import PrepareOptions
from dianet_ray.progress import Progress
from dianet_ray.schemas import (
    IMAGES_FOLDER,
    IMAGES_JSON,
    LEFT_OUT,
    LEFT_OUT_CSV,
    MANIFEST_CSV,
)

CLIPS_PER_PART = 4  # about half a second of work: progress moves, and Ray's overhead stays small


@dataclass(frozen=True, slots=True)
class PrepareResult:
    """What `prepare` did; `unreadable` holds the reason of each clip whose files do not read."""

    n_clips: int
    n_left_out: int
    unreadable: tuple[str, ...]
    reused: bool


def prepare(
    manifest: Manifest, out: Path, options: PrepareOptions, *, progress: Progress
) -> PrepareResult:
    """Make IMAGES from a manifest; Ray must be running.

    Done already (same manifest, same options) is left as it is, unless files that could not be
    read then can be read now: OUT may already be somebody's study, so only the user deletes it.

    Raises:
        InputError: OUT holds something else, cannot be written, or lacks clips that were repaired;
            or fewer than half of the clips are usable, then nothing is written.
    """
    if (done := _done_before(manifest, out, options)) is not None:
        return done
    _check_half(manifest.rows)
    with output_folder(out) as beside:
        (beside / IMAGES_FOLDER).mkdir()
        unreadable = {}
        for clip_id, error in _map_clips(manifest, beside / IMAGES_FOLDER, options):
            if error:
                unreadable[clip_id] = error.replace(f"{manifest.root}/", "")
            progress.advance()
        rows = _mark(manifest.rows, unreadable)
        _check_half(rows)
        about = describe(manifest, rows, options)
        write_csv(rows, beside / MANIFEST_CSV)
        write_csv((row for row in rows if row.state == LEFT_OUT), beside / LEFT_OUT_CSV)
        (beside / IMAGES_JSON).write_text(json.dumps(about, indent=2), encoding="utf-8")
    return _result(about, reused=False)


def _done_before(manifest: Manifest, out: Path, options: PrepareOptions) -> PrepareResult | None:
    with writing(out):
        if not out.exists() or (out.is_dir() and not any(out.iterdir())):
            return None
    about = read_about(out)
    expected = identity(manifest, options, about.get("unreadable", {}))
    if about["hash"] != expected:
        raise InputError(
            f"OUT holds images of another manifest or other options: hash {about['hash'][:12]} "
            f"in {out}, {expected[:12]} asked for"
        )
    failed_then = [row for row in manifest.usable() if row.clip_id in about["unreadable"]]
    repaired = [row.clip_id for row in failed_then if _reads(manifest.folder(row), row, options)]
    if repaired:
        raise InputError(
            f"files were repaired since OUT was made: {len(repaired)} clips can be read now, for "
            f"example {repaired[0]}; delete {out} and prepare again"
        )
    return _result(about, reused=True)


def _reads(folder: Path, row: Row, options: PrepareOptions) -> bool:
    try:
        _pool(_columns(row) | {"folder": folder}, options.image_size, options.coefficients)
    except FrameError:
        return False
    return True


def _result(about: dict[str, Any], *, reused: bool) -> PrepareResult:
    unreadable = tuple(about["unreadable"].values())
    return PrepareResult(about["n_clips"], about["n_left_out"], unreadable, reused)


def _map_clips(
    manifest: Manifest, folder: Path, options: PrepareOptions
) -> Iterator[tuple[str, str]]:
    import ray.data  # takes seconds, and `predict` needs only `clip_images`

    rows = manifest.usable()
    if not rows:
        return
    parts = [
        {
            "file": str(folder / f"part-{start // CLIPS_PER_PART:05d}.parquet"),
            "clips": [
                {**_columns(row), "folder": str(manifest.folder(row))}
                for row in rows[start : start + CLIPS_PER_PART]
            ],
        }
        for start in range(0, len(rows), CLIPS_PER_PART)
    ]
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False  # stderr is ours, so Ray Data says problems only
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    logging.getLogger("ray.data._internal.progress").setLevel(logging.ERROR)
    statuses = ray.data.from_items(parts, override_num_blocks=len(parts)).flat_map(
        functools.partial(
            _make_part, image_size=options.image_size, coefficients=options.coefficients
        ),
        compute=ray.data.TaskPoolStrategy(size=options.max_workers),
        num_cpus=1,
    )
    for status in statuses.iter_rows():
        yield status["clip_id"], status["error"]


def _columns(row: Row) -> dict[str, Any]:
    names = ("clip_id", "subject", "label", "onset", "apex", "offset")
    return {name: getattr(row, name) for name in names}


def _make_part(
    part: dict[str, Any], *, image_size: int, coefficients: Kind
) -> list[dict[str, str]]:
    """Make one part in a worker; a part that is made again replaces itself."""
    cv2.setNumThreads(1)
    made, statuses = [], []
    for clip in part["clips"]:
        error = ""
        try:
            made.append(_pool(clip, image_size, coefficients))
        except FrameError as broken:
            error = str(broken)
        statuses.append({"clip_id": clip["clip_id"], "error": error})
    if made:
        write_part(Path(part["file"]), made)
    return statuses


def _pool(clip: dict[str, Any], image_size: int, coefficients: Kind) -> ClipImages:
    images, scales = clip_images(
        Path(clip["folder"]),
        clip["onset"],
        clip["apex"],
        clip["offset"],
        image_size=image_size,
        coefficients=coefficients,
    )
    return ClipImages(clip["clip_id"], clip["subject"], clip["label"], images, scales)


def _mark(rows: tuple[Row, ...], unreadable: dict[str, str]) -> tuple[Row, ...]:
    return tuple(
        replace(row, state=LEFT_OUT, reason=UNREADABLE + unreadable[row.clip_id])
        if row.state != LEFT_OUT and row.clip_id in unreadable
        else row
        for row in rows
    )


def _check_half(rows: tuple[Row, ...]) -> None:
    """Refuse too few clips: by the manifest before any frame is read, and by the frames after."""
    of_sheet = [row for row in rows if not row.reason.startswith("no row")]
    left_out = [row for row in of_sheet if row.state == LEFT_OUT]
    if len(left_out) * 2 > len(of_sheet) or len(left_out) == len(of_sheet):
        n_unreadable = sum(row.reason.startswith(UNREADABLE) for row in left_out)
        first = f"; first {left_out[0].clip_id}: {left_out[0].reason}" if left_out else ""
        raise InputError(
            f"at least half of the sheet's clips must be usable: of {len(of_sheet)} a rule leaves "
            f"{len(left_out) - n_unreadable} out and {n_unreadable} cannot be read, nothing was "
            f"written{first}"
        )
