"""From a manifest to IMAGES with Ray Data.

Workers decode clips and write them as parquet parts; only small status rows travel, so nobody but
a worker ever holds an image. OUT is complete when images.json exists; a run that is
interrupted, or whose broken files were repaired, goes on from the parts that are there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dianet_ray.artefacts import IMAGES_FOLDER, IMAGES_JSON, LEFT_OUT, LEFT_OUT_CSV, MANIFEST_CSV
from dianet_ray.datasets.manifest import NO_ROW, UNREADABLE, Manifest, Row, with_crop, write_csv
from dianet_ray.errors import InputError
from dianet_ray.imaging.clip_images import Recipe, clip_images
from dianet_ray.imaging.duplicates import Duplicate, find_duplicates
from dianet_ray.imaging.frames import FrameError, UnfitError
from dianet_ray.options import PrepareOptions
from dianet_ray.prepare.images import describe, is_part, read_about, request
from dianet_ray.prepare.worker import deal_parts, make_parts
from dianet_ray.progress import Progress
from dianet_ray.storage import files
from dianet_ray.storage.files import writing
from dianet_ray.storage.lock import Lock

if TYPE_CHECKING:
    from dianet_ray.cluster.nodes import Nodes

LOCK_FOLDER = ".lock"
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
    with writing(out), Lock(out / LOCK_FOLDER, str(out)):
        # Another run may have come to its end since.
        done = _done_before(manifest, out, options)
        return done or _make(manifest, out, options, progress)


def _make(
    manifest: Manifest, out: Path, options: PrepareOptions, progress: Progress
) -> PrepareResult:
    folder = out / IMAGES_FOLDER
    files.make_folder(folder)
    parts = deal_parts(manifest, folder, _recipe(options))
    statuses: dict[str, dict[str, Any]] = {}
    with _nodes(manifest, out) as nodes:
        for status in make_parts(parts, _recipe(options), options.max_workers, nodes):
            if status["clip_id"] not in statuses:
                (progress.skip if status["is_reused"] else progress.advance)(1)
                statuses[status["clip_id"]] = status
    rows = _mark(manifest, statuses)
    _check_half(rows)
    about = describe(
        manifest,
        options,
        rows=rows,
        digests={name: s["digest"] for name, s in statuses.items() if not s["error"]},
        duplicates=_duplicates(rows, statuses),
    )
    wanted = {part["file"].rpartition("/")[2] for part in parts}
    found = files.names(folder)
    for name in set(found) - wanted:
        files.remove(folder / name)
    write_csv(rows, out / MANIFEST_CSV)
    write_csv((row for row in rows if row.state == LEFT_OUT), out / LEFT_OUT_CSV)
    about["parts"] = sorted(wanted & set(found))
    files.put(out / IMAGES_JSON, json.dumps(about, indent=2).encode())
    n_reused = sum(status["is_reused"] for status in statuses.values())
    return _result(about, n_reused=n_reused, is_old=False)


@contextmanager
def _nodes(manifest: Manifest, out: Path) -> Iterator[Nodes | None]:
    """Probe a cluster's nodes by a file of frames of each part, and OUT; none on this machine."""
    from dianet_ray.cluster import nodes  # imports Ray, and `predict` needs only `clip_images`

    if nodes.is_alone():
        yield None
        return
    roots: dict[Path, Path | None] = {part.frames_root: None for part in manifest.sources}
    for row in manifest.usable():
        path = manifest.frames(row)
        root = next((root for root in roots if path.is_relative_to(root)), None)
        if root is not None and roots[root] is None:
            roots[root] = path if path.is_file() else next(iter(sorted(path.iterdir())), None)
    with nodes.probed([path for path in roots.values() if path], out) as found:
        yield found


def _done_before(manifest: Manifest, out: Path, options: PrepareOptions) -> PrepareResult | None:
    with writing(out):
        try:
            names = files.names(out)
        except NotADirectoryError:
            if not out.is_file():
                raise  # something above it is one
            raise InputError(f"OUT must be a folder: {out} is a file") from None
        if _is_unfinished(out, names):
            return None
    about = read_about(out)
    expected = request(manifest, options)
    if about["request"] != expected:
        raise InputError(
            f"OUT holds images of another manifest or other options: {about['request'][:12]} "
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


def _is_unfinished(out: Path, found: list[str]) -> bool:
    """Whether a folder is empty, or holds nothing but what an interrupted run leaves.

    A data set of the user's may have folders of such names, so what they hold counts too.
    """
    names = {name for name in found if not name.startswith(".")}
    if not names <= _OURS or (names and IMAGES_FOLDER not in names):
        return False
    return not names or all(is_part(name) for name in files.names(out / IMAGES_FOLDER))


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


def _span(row: Row) -> tuple[Any, int | None, Any]:
    return row.onset, row.apex, row.offset


def _recipe(options: PrepareOptions) -> Recipe:
    return Recipe(options.image_size, options.coefficients, options.crop)


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
    row = replace(row, apex=status["apex"], reason=reason)
    return with_crop(row, status["box"], status["note"])


def _duplicates(rows: Sequence[Row], statuses: dict[str, dict[str, Any]]) -> list[Duplicate]:
    used = [row for row in rows if row.state != LEFT_OUT]
    packed = [bytes.fromhex(statuses[row.clip_id]["signature"]) for row in used]
    marks = [np.frombuffer(mark, np.float16) for mark in packed]
    return find_duplicates([r.clip_id for r in used], [r.subject for r in used], marks)


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
