"""The workers of `prepare`: they make parts, and keep what nothing has changed.

A clip is made again when its row, the recipe, the versions that make it, or the names, sizes or
times of its frame files have changed.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import math
import socket
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2

from dianet_ray import __version__
from dianet_ray.artefacts import IMAGES_FORMAT, Recipe, from_json, to_json, to_plain
from dianet_ray.cluster.probe import Probe, find_problem
from dianet_ray.imaging.clip_images import clip_images
from dianet_ray.imaging.frames import FrameError, UnfitError, file_stamps
from dianet_ray.prepare.orders import (
    ClipLeftOut,
    ClipMade,
    ClipOrder,
    ClipOutcome,
    PartOrder,
    PartOutcome,
    content_hash,
)
from dianet_ray.prepare.part_files import StoredClip, read_part, write_part
from dianet_ray.storage import files
from dianet_ray.storage.addresses import located

if TYPE_CHECKING:
    from dianet_ray.cluster.nodes import Nodes

logger = logging.getLogger(__name__)

SECONDS_PER_CLIP = 0.08  # 60 frames of 640x480; an error of 2x moves the optimum little
MAX_RETRIES = 3
"""How often Ray runs a task again whose process or node dies."""
SECONDS_BETWEEN_TASKS = 0.2  # time that a worker waits until the driver sends the next task


def make_parts(
    orders: Sequence[PartOrder], max_workers: int | None, nodes: Nodes | None = None
) -> Iterator[ClipOutcome]:
    """Make parts on the workers of the running Ray, on its usable `nodes` where they are given.

    A clip that kills the process that reads it is left out.

    Yields:
        What became of each clip, once its part is written. A task that Ray runs again yields its
        clips again.
    """
    import ray.data  # takes seconds, and `predict` needs only `clip_images`

    from dianet_ray.cluster.nodes import elsewhere

    if not orders:
        return
    _configure_ray_data()
    n_cpus = int(ray.cluster_resources().get("CPU", 1))
    n_tasks = _n_tasks(orders, min(n_cpus, max_workers or n_cpus))
    wanted = ray.data.from_items(
        [{"order": to_json(order)} for order in orders], override_num_blocks=n_tasks
    )
    with warnings.catch_warnings():
        # Ray 2.60 has no other way yet to say how often a task is run again.
        warnings.filterwarnings("ignore", "`ray_remote_args_fn`", DeprecationWarning)
        answers = wanted.map(
            functools.partial(_answer, probe=nodes.probe if nodes else None),
            # A pool of actors is busier, but prints an error on every run (ray issue 53727).
            # docs/decisions.md: Tasks, not actors, make the images
            compute=ray.data.TaskPoolStrategy(size=max_workers and min(max_workers, n_tasks)),
            num_cpus=1,
            # A node that failed the probe takes no task, instead of failing every task it takes.
            **({"label_selector": elsewhere(nodes.avoided)} if nodes and nodes.avoided else {}),
            # By default Ray Data runs a task again for ever (ray issue 51946).
            ray_remote_args_fn=lambda: {"max_retries": MAX_RETRIES},
        )
    answered: set[str] = set()
    for row in answers.iter_rows():
        clips = from_json(PartOutcome, row["outcome"], "a worker's answer").clips
        answered |= {clip.clip_id for clip in clips}
        yield from clips
    for order in orders:
        if order.clips[0].clip_id not in answered:
            yield from _make_apart(order, nodes)


def _make_apart(order: PartOrder, nodes: Nodes | None) -> tuple[ClipOutcome, ...]:
    """Make a part whose task failed; a clip that kills the process that reads it is left out.

    Raises:
        ray.exceptions.RayError: the part cannot be made for another reason.
    """
    import ray

    from dianet_ray.cluster.nodes import elsewhere

    there = {"label_selector": elsewhere(nodes.avoided)} if nodes and nodes.avoided else {}
    options = {"num_cpus": 1, "max_retries": 1, **there}
    left_out: list[ClipOutcome] = []
    for clip in order.clips:
        try:
            ray.get(ray.remote(**options)(_read).remote(to_json(replace(order, clips=(clip,)))))
        except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError) as error:
            is_memory = isinstance(error, ray.exceptions.OutOfMemoryError)
            why = "needs more memory than there is" if is_memory else "kills the process"
            left_out.append(ClipLeftOut(clip.clip_id, f"reading it {why}", is_rule=False))
    bad = {clip.clip_id for clip in left_out}
    rest = replace(order, clips=tuple(clip for clip in order.clips if clip.clip_id not in bad))
    probe = nodes.probe if nodes else None
    made = ray.get(ray.remote(**options)(_answer).remote({"order": to_json(rest)}, probe=probe))
    return (*from_json(PartOutcome, made["outcome"], "a worker's answer").clips, *left_out)


def _read(order: str) -> None:
    """Make the images of one clip and drop them, to see whether this process survives it."""
    found = from_json(PartOrder, order, "an order to a worker")
    cv2.setNumThreads(1)
    with contextlib.suppress(FrameError):  # `make_part` says what it is
        _make(found.clips[0], found.recipe, None)


def _configure_ray_data() -> None:
    import ray.data

    context = ray.data.DataContext.get_current()
    # stderr shows our own progress line; Ray Data reports problems only.
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.target_max_block_size = 1  # bytes: an outcome travels as soon as its part is written
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    logging.getLogger("ray.data._internal.progress").setLevel(logging.ERROR)
    # A task that fails stops no other one; what it left is made apart.
    context.max_errored_blocks = -1
    executor = "ray.data._internal.execution.streaming_executor_state"
    logging.getLogger(executor).setLevel(logging.CRITICAL)


def _n_tasks(orders: Sequence[PartOrder], n_workers: int) -> int:
    """Choose the number of tasks that wastes the least time.

    k tasks per worker waste 0.2 k seconds between them. At the end workers wait half a task on
    average, T / 2k of a worker's T seconds. The sum is least at k = sqrt(T / 0.4).
    """
    # Measured, docs/decisions.md: Tasks, not actors, make the images
    n_clips = sum(len(order.clips) for order in orders)
    seconds = SECONDS_PER_CLIP * n_clips / n_workers
    n_per_worker = math.sqrt(seconds / (2 * SECONDS_BETWEEN_TASKS))
    return min(len(orders), max(1, round(n_workers * n_per_worker)))


def _answer(row: dict[str, str], *, probe: Probe | None) -> dict[str, str]:
    """Make one part in a worker; the order and the answer are records as JSON text."""
    # Text, because Ray Data unifies the types of columns that are empty in some rows. One row per
    # part, because a task waits for the driver when a few of its rows have not been taken.
    cv2.setNumThreads(1)  # a task has one CPU; more threads would slow its neighbours
    # The node may have joined after the driver's probe, or its mount may be gone since.
    if problem := probe and _problem(probe):
        raise RuntimeError(f"node {socket.gethostname()} cannot take part: {problem}")
    order = from_json(PartOrder, row["order"], "an order to a worker")
    return {"outcome": to_json(make_part(order))}


# Once per worker process: the probe reads files and writes one.
@functools.lru_cache(maxsize=1)
def _problem(probe: Probe) -> str:
    return find_problem(probe)


def make_part(order: PartOrder) -> PartOutcome:
    """Make one part; the clips that it holds already stay where nothing has changed."""
    file = located(order.file)
    before = read_part(file)
    after: list[StoredClip] = []
    outcomes: list[ClipOutcome] = []
    for clip in order.clips:
        try:
            stored = _make(clip, order.recipe, before.get(clip.clip_id))
        # One bad clip costs one row of the manifest, never the run.
        except FrameError as error:
            reason = str(error).replace(f"{order.root}/", "")
            outcomes.append(ClipLeftOut(clip.clip_id, reason, isinstance(error, UnfitError)))
        else:
            after.append(stored)
            outcomes.append(_made(stored, is_reused=stored is before.get(clip.clip_id)))
    # Whole parts are rewritten, because a parquet file cannot be changed in place.
    if not after:
        files.remove(file)
    # Compared by identity: `_make` returns the old object where nothing has changed.
    elif [id(clip) for clip in after] != [id(clip) for clip in before.values()]:
        files.patiently(lambda: write_part(file, after), logger.debug)
    return PartOutcome(tuple(outcomes))


def _made(stored: StoredClip, *, is_reused: bool) -> ClipMade:
    made = stored.made
    return ClipMade(
        clip_id=stored.clip_id,
        is_reused=is_reused,
        apex=made.apex,
        box=made.box,
        note=made.note,
        digest=hashlib.sha256(made.images.tobytes()).hexdigest(),
        signature=made.signature.tobytes().hex(),
    )


def _make(order: ClipOrder, recipe: Recipe, old: StoredClip | None) -> StoredClip:
    """Make a clip, unless the old one was made from the same files by the same recipe."""
    path = Path(order.frames)
    made_from = content_hash(_dependencies(order, recipe, path))
    if old is not None and old.made_from == made_from:
        return old
    made = clip_images(path, order.span, recipe)
    return StoredClip(order.clip_id, order.subject, order.label, made, made_from)


def _dependencies(order: ClipOrder, recipe: Recipe, path: Path) -> list[Any]:
    """List everything that a clip's images depend on; the place of the data set is no part."""
    # Another OpenCV may decode or resize differently by a bit.
    makers = [IMAGES_FORMAT, __version__, cv2.__version__, to_plain(recipe)]
    stamps = file_stamps(path, order.onset, order.offset)
    # Stamps, because hashing frames would read all of them where nothing has changed.
    return [makers, to_plain(replace(order, frames="")), stamps]
