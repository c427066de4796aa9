"""From a manifest to IMAGES with Ray Data.

Workers decode clips and write them as parquet parts; only small status rows travel, so nobody but
a worker ever holds an image. OUT is complete when images.json exists; a run that is
interrupted, or whose broken files were repaired, goes on from the parts that are there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dianet_ray.artefacts import (
    IMAGES_FOLDER,
    IMAGES_JSON,
    LEFT_OUT,
    LEFT_OUT_CSV,
    MANIFEST_CSV,
    Duplicate,
    Recipe,
)
from dianet_ray.datasets.manifest import NO_ROW, UNREADABLE, Manifest, Row, with_crop, write_csv
from dianet_ray.errors import InputError
from dianet_ray.imaging.clip_images import clip_images
from dianet_ray.imaging.frames import FrameError, UnfitError
from dianet_ray.options import PrepareOptions
from dianet_ray.prepare.description import describe, request_hash
from dianet_ray.prepare.images import ImagesRecord, read_record, write_record
from dianet_ray.prepare.orders import ClipLeftOut, ClipMade, ClipOutcome, order_clip, order_parts
from dianet_ray.prepare.part_files import is_part
from dianet_ray.prepare.worker import make_parts
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
    orders = order_parts(manifest, folder, options.recipe)
    with _nodes(manifest, out) as nodes:
        outcomes = _collect(make_parts(orders, options.max_workers, nodes), progress)
    rows = tuple(_marked(row, outcomes.get(row.clip_id)) for row in manifest.rows)
    _check_half(rows)
    parts = _keep_only(folder, {order.name for order in orders})
    record = describe(manifest, options, rows=rows, outcomes=outcomes, parts=parts)
    write_csv(rows, out / MANIFEST_CSV)
    write_csv((row for row in rows if row.state == LEFT_OUT), out / LEFT_OUT_CSV)
    write_record(out, record)
    n_reused = sum(one.is_reused for one in outcomes.values() if isinstance(one, ClipMade))
    return _result(record, n_reused=n_reused, is_old=False)


def _collect(found: Iterable[ClipOutcome], progress: Progress) -> dict[str, ClipOutcome]:
    """Gather outcomes by clip_id, each clip's first: a task that Ray ran again repeats them."""
    outcomes: dict[str, ClipOutcome] = {}
    for outcome in found:
        if outcome.clip_id in outcomes:
            continue
        outcomes[outcome.clip_id] = outcome
        is_reused = isinstance(outcome, ClipMade) and outcome.is_reused
        (progress.skip if is_reused else progress.advance)(1)
    return outcomes


def _keep_only(folder: Path, wanted: set[str]) -> tuple[str, ...]:
    """Delete every file that is not wanted, and name the others: a part may have no clips."""
    found = set(files.names(folder))
    for name in found - wanted:
        files.remove(folder / name)
    return tuple(sorted(found & wanted))


@contextmanager
def _nodes(manifest: Manifest, out: Path) -> Iterator[Nodes | None]:
    """Probe a cluster's nodes by a file of frames of each part, and OUT; none on this machine."""
    from dianet_ray.cluster import nodes  # imports Ray, and `predict` needs only `clip_images`

    if nodes.is_alone():
        yield None
        return
    roots: dict[Path, Path | None] = {part.frames_root: None for part in manifest.parts}
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
    record = read_record(out)
    _check_request(record, request_hash(manifest, options), out)
    _check_repaired(record, manifest, options, out)
    return _result(record, n_reused=record.n_clips, is_old=True)


def _check_request(record: ImagesRecord, expected: str, out: Path) -> None:
    if record.request != expected:
        raise InputError(
            f"OUT holds images of another manifest or other options: {record.request[:12]} "
            f"in {out}, {expected[:12]} asked for"
        )


def _check_repaired(
    record: ImagesRecord, manifest: Manifest, options: PrepareOptions, out: Path
) -> None:
    failed_then = [row for row in manifest.usable() if row.clip_id in record.unreadable]
    repaired = [row.clip_id for row in failed_then if _reads(manifest, row, options.recipe)]
    if repaired:
        raise InputError(
            f"files were repaired since OUT was made: {len(repaired)} clips can be "
            f"read now, for example {repaired[0]}; delete {out / IMAGES_JSON} and prepare again: "
            "only the repaired clips are made, and studies of the old images need a new folder"
        )


def _is_unfinished(out: Path, found: list[str]) -> bool:
    """Whether a folder is empty, or holds nothing but what an interrupted run leaves.

    A data set of the user's may have folders of such names, so what they hold counts too.
    """
    names = {name for name in found if not name.startswith(".")}
    if not names <= _OURS or (names and IMAGES_FOLDER not in names):
        return False
    return not names or all(is_part(name) for name in files.names(out / IMAGES_FOLDER))


def _reads(manifest: Manifest, row: Row, recipe: Recipe) -> bool:
    order = order_clip(manifest, row)
    try:
        clip_images(Path(order.frames), order.span, recipe)
    except FrameError as error:
        return isinstance(error, UnfitError)
    return True


def _result(record: ImagesRecord, *, n_reused: int, is_old: bool) -> PrepareResult:
    return PrepareResult(
        record.n_clips,
        record.n_left_out,
        tuple(record.unreadable.values()),
        record.duplicates,
        n_reused,
        is_old,
    )


def _marked(row: Row, outcome: ClipOutcome | None) -> Row:
    """Add to a row what a worker found; no worker was asked for a row that a rule left out."""
    if outcome is None:
        return row
    if isinstance(outcome, ClipLeftOut):
        reason = outcome.reason if outcome.is_rule else UNREADABLE + outcome.reason
        return replace(row, state=LEFT_OUT, reason=reason)
    reason = row.reason
    if row.apex is None:
        reason = f"{reason}, spotted {outcome.apex}"
    row = replace(row, apex=outcome.apex, reason=reason)
    return with_crop(row, outcome.box, outcome.note)


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
