"""The parts of IMAGES: dealt by the driver, made by workers, and kept as long as nothing changed.

A part holds a few clips of one person. A clip in it is made again when its row, the options, the
versions that make it, or the names, sizes or times of its frame files are others than they were.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import math
import socket
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2

from dianet_ray import __version__
from dianet_ray.artefacts import IMAGES_FORMAT
from dianet_ray.cluster.probe import Probe, find_problem
from dianet_ray.datasets.manifest import Manifest, Row
from dianet_ray.imaging.clip_images import Recipe, clip_images
from dianet_ray.imaging.frames import FrameError, UnfitError, file_stamps
from dianet_ray.prepare.images import StoredClip, read_part, write_part
from dianet_ray.storage import files
from dianet_ray.storage.addresses import located

if TYPE_CHECKING:
    from dianet_ray.cluster.nodes import Nodes

logger = logging.getLogger(__name__)

CLIPS_PER_PART = 4  # what a killed worker loses at most, and how often progress moves


def deal_parts(manifest: Manifest, folder: Path, recipe: Recipe) -> list[dict[str, Any]]:
    """Deal the clips to parts: one person's together, so that a new clip moves no one else's."""
    parts = []
    for _, rows in groupby(manifest.usable(), key=lambda row: row.subject):
        mine = list(rows)
        for start in range(0, len(mine), CLIPS_PER_PART):
            some = mine[start : start + CLIPS_PER_PART]
            content = [IMAGES_FORMAT, repr(recipe), [row.clip_id for row in some]]
            named = hashlib.sha256(json.dumps(content).encode())
            parts.append(
                {
                    "file": str(folder / f"part-{named.hexdigest()[:16]}.parquet"),
                    "root": str(manifest.root),
                    "clips": [_columns(manifest, row) for row in some],
                }
            )
    return parts


def _columns(manifest: Manifest, row: Row) -> dict[str, Any]:
    names = ("clip_id", "subject", "label", "onset", "apex", "offset")
    columns = {name: getattr(row, name) for name in names}
    return {**columns, "path": str(manifest.frames(row)), "place": manifest.placeless(row)}


def make_parts(
    parts: list[dict[str, Any]],
    recipe: Recipe,
    max_workers: int | None,
    nodes: Nodes | None = None,
) -> Iterator[dict[str, Any]]:
    """Make parts on the workers of the Ray that is running, on its good `nodes` if they are given.

    Yields:
        A status per clip, as it is safe: clip_id, error (empty when it was made), is_rule (the
        frames read, a rule leaves the clip out), is_reused, apex, box, note, digest of the images,
        and signature in hex. A task that is tried again yields its clips again.
    """
    import ray.data  # takes seconds, and `predict` needs only `clip_images`

    from dianet_ray.cluster.nodes import elsewhere

    if not parts:
        return
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False  # stderr is ours, so Ray Data says problems only
    context.print_on_execution_start = False
    context.target_max_block_size = 1  # bytes: what is known of a part travels when it is made
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    logging.getLogger("ray.data._internal.progress").setLevel(logging.ERROR)
    n_cpus = int(ray.cluster_resources().get("CPU", 1))
    n_tasks = _n_tasks(parts, min(n_cpus, max_workers or n_cpus))
    statuses = ray.data.from_items(
        [{"part": json.dumps(part)} for part in parts], override_num_blocks=n_tasks
    ).map(
        functools.partial(_make_part, recipe=recipe, probe=nodes.probe if nodes else None),
        compute=ray.data.TaskPoolStrategy(size=max_workers and min(max_workers, n_tasks)),
        num_cpus=1,
        **({"label_selector": elsewhere(nodes.avoided)} if nodes and nodes.avoided else {}),
    )
    for row in statuses.iter_rows():
        yield from json.loads(row["statuses"])


def _n_tasks(parts: list[dict[str, Any]], n_workers: int) -> int:
    """Choose how many tasks to make of the parts, so that little time is lost.

    Between two tasks a worker waits 0.2 s for the driver to send the next one, and at the end
    half a task's length for the others: k tasks of a worker's T seconds lose 0.2 k + T / 2k, least
    at k = sqrt(T / 0.4). A clip takes about 0.08 s.
    """
    n_clips = sum(len(part["clips"]) for part in parts)
    seconds = 0.08 * n_clips / n_workers
    return min(len(parts), max(1, round(n_workers * math.sqrt(seconds / 0.4))))


def _make_part(row: dict[str, str], *, recipe: Recipe, probe: Probe | None) -> dict[str, str]:
    """Make one part in a worker; clips that it holds already stay, unless something changed.

    What travels is JSON: Ray Data would unify the types of columns that are empty in some rows.
    One row for all clips: a task waits for the driver when a few rows of it have not been taken.
    """
    cv2.setNumThreads(1)
    if problem := probe and _problem(probe):  # a node that came later, or whose mount is gone
        raise RuntimeError(f"node {socket.gethostname()} cannot take part: {problem}")
    part = json.loads(row["part"])
    file = located(part["file"])
    before = read_part(file)
    after: list[StoredClip] = []
    statuses = []
    for clip in part["clips"]:
        name = clip["clip_id"]
        status = {"clip_id": name, "error": "", "is_rule": False, "is_reused": False}
        try:
            stored = _make(clip, recipe, before.get(name))
        except FrameError as broken:
            status["error"] = str(broken).replace(f"{part['root']}/", "")
            status["is_rule"] = isinstance(broken, UnfitError)
        else:
            after.append(stored)
            made = stored.made
            status |= {"apex": made.apex, "box": made.box, "note": made.note}
            status["digest"] = hashlib.sha256(made.images.tobytes()).hexdigest()
            status["signature"] = made.signature.tobytes().hex()
            status["is_reused"] = stored is before.get(name)
        statuses.append(status)
    if not after:
        files.remove(file)
    elif [id(clip) for clip in after] != [id(clip) for clip in before.values()]:
        files.patiently(lambda: write_part(file, after), logger.debug)
    return {"statuses": json.dumps(statuses)}


@functools.lru_cache(maxsize=1)
def _problem(probe: Probe) -> str:
    return find_problem(probe)


def _make(clip: dict[str, Any], recipe: Recipe, old: StoredClip | None) -> StoredClip:
    """Make a clip, unless the old one was made of the same files, by the same recipe."""
    path, onset, offset = Path(clip["path"]), clip["onset"], clip["offset"]
    makers = [IMAGES_FORMAT, __version__, cv2.__version__, repr(recipe)]
    what = [makers, clip | {"path": ""}, file_stamps(path, onset, offset)]
    made_from = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
    if old is not None and old.made_from == made_from:
        return old
    made = clip_images(path, (onset, clip["apex"], offset), recipe)
    return StoredClip(clip["clip_id"], clip["subject"], clip["label"], made, made_from)
