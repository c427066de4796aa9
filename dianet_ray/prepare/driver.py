"""The driver of `prepare`: from a manifest to IMAGES with Ray Data.

Workers decode clips and write them as parquet parts. Only small records come back, so the driver
never holds an image. OUT is complete when images.json exists. A run that was interrupted, or
whose broken files were repaired, continues from the parts that are there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dianet_ray.artefacts import IMAGES_FOLDER, LEFT_OUT, LEFT_OUT_CSV, MANIFEST_CSV, Duplicate
from dianet_ray.datasets.manifest import (
    UNREADABLE,
    Manifest,
    Row,
    check_usable,
    with_crop,
    write_csv,
)
from dianet_ray.options import PrepareOptions
from dianet_ray.prepare.description import describe
from dianet_ray.prepare.earlier_run import find_finished
from dianet_ray.prepare.images import ImagesRecord, write_record
from dianet_ray.prepare.orders import ClipLeftOut, ClipMade, ClipOutcome, order_parts
from dianet_ray.prepare.worker import make_parts
from dianet_ray.progress import Progress
from dianet_ray.storage import files
from dianet_ray.storage.files import writing
from dianet_ray.storage.lock import Lock

if TYPE_CHECKING:
    from dianet_ray.cluster.nodes import Nodes

LOCK_FOLDER = ".lock"


@dataclass(frozen=True, slots=True)
class PrepareResult:
    """What `prepare` did.

    `unreadable` holds the reason for each clip whose files cannot be read. `n_reused` of the
    `n_clips` were made by an earlier run. `is_old`: OUT was finished before and is unchanged.
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

    Finished IMAGES of the same manifest and options are left as they are. Clips that exist are
    made again only when their files or what makes them changed.

    Raises:
        InputError: OUT holds something else, cannot be written, or lacks clips that were repaired.
            Or no clip is usable; then OUT stays unfinished.
    """
    if (done := find_finished(manifest, out, options)) is not None:
        return _result(done, n_reused=done.n_clips, is_old=True)
    check_usable(manifest.rows)
    # flock does not work on object stores.
    # docs/decisions.md: A lock that needs only exclusive creation
    with writing(out), Lock(out / LOCK_FOLDER, str(out)):
        # Another run may have finished before we held the lock.
        if (done := find_finished(manifest, out, options)) is not None:
            return _result(done, n_reused=done.n_clips, is_old=True)
        return _make(manifest, out, options, progress)


def _make(
    manifest: Manifest, out: Path, options: PrepareOptions, progress: Progress
) -> PrepareResult:
    folder = out / IMAGES_FOLDER
    files.make_folder(folder)
    orders = order_parts(manifest, folder, options.recipe)
    with _nodes(manifest, out) as nodes:
        outcomes = _collect(make_parts(orders, options.max_workers, nodes), progress)
    rows = tuple(
        _marked(row, outcomes[row.clip_id]) if row.state != LEFT_OUT else row
        for row in manifest.rows
    )
    check_usable(rows)
    # An interrupted run with other options or other clips left parts of other names.
    parts = _keep_only(folder, {order.name for order in orders})
    record = describe(manifest, options, rows=rows, outcomes=outcomes, parts=parts)
    write_csv(rows, out / MANIFEST_CSV)
    write_csv((row for row in rows if row.state == LEFT_OUT), out / LEFT_OUT_CSV)
    write_record(out, record)  # last: from now on OUT is complete
    n_reused = sum(one.is_reused for one in outcomes.values() if isinstance(one, ClipMade))
    return _result(record, n_reused=n_reused, is_old=False)


def _collect(found: Iterable[ClipOutcome], progress: Progress) -> dict[str, ClipOutcome]:
    """Gather outcomes by clip_id; the first counts, as a task that Ray runs again repeats them."""
    outcomes: dict[str, ClipOutcome] = {}
    for outcome in found:
        if outcome.clip_id in outcomes:
            continue
        outcomes[outcome.clip_id] = outcome
        is_reused = isinstance(outcome, ClipMade) and outcome.is_reused
        # The estimate of the remaining time must not count clips that took none.
        (progress.skip if is_reused else progress.advance)(1)
    return outcomes


def _keep_only(folder: Path, wanted: set[str]) -> tuple[str, ...]:
    """Delete all other files, and name the wanted ones that exist: a part may have no clips."""
    found = set(files.names(folder))
    for name in found - wanted:
        files.remove(folder / name)
    return tuple(sorted(found & wanted))


@contextmanager
def _nodes(manifest: Manifest, out: Path) -> Iterator[Nodes | None]:
    """Probe whether a cluster's nodes read the frames and write OUT; None on a single machine."""
    from dianet_ray.cluster import nodes  # imports Ray, and `predict` needs only `clip_images`

    if nodes.is_alone():
        yield None
        return
    with nodes.probed(_sample_files(manifest), out) as found:
        yield found


def _sample_files(manifest: Manifest) -> list[Path]:
    """Choose one file of frames below the frame folder of each part."""
    samples: dict[Path, Path | None] = {part.frames_root: None for part in manifest.sources}
    for row in manifest.usable():
        path = manifest.frames(row)
        # Data sets of a composite may be mounted separately, so one file of each is read.
        root = next((root for root in samples if path.is_relative_to(root)), None)
        if root is not None and samples[root] is None:
            samples[root] = path if path.is_file() else next(iter(sorted(path.iterdir())), None)
    return [path for path in samples.values() if path]


def _result(record: ImagesRecord, *, n_reused: int, is_old: bool) -> PrepareResult:
    return PrepareResult(
        record.n_clips,
        record.n_left_out,
        tuple(record.unreadable.values()),
        record.duplicates,
        n_reused,
        is_old,
    )


def _marked(row: Row, outcome: ClipOutcome) -> Row:
    """Add to a row what a worker found."""
    if isinstance(outcome, ClipLeftOut):
        reason = outcome.reason if outcome.is_rule else UNREADABLE + outcome.reason
        return replace(row, state=LEFT_OUT, reason=reason)
    reason = row.reason
    if row.apex is None:
        reason = f"{reason}, spotted {outcome.apex}"
    row = replace(row, apex=outcome.apex, reason=reason)
    return with_crop(row, outcome.box, outcome.note)
