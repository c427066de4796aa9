"""The driver's orders to workers and their outcomes: records that travel as JSON text."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from dianet_ray.artefacts import IMAGES_FORMAT, Recipe, Record, to_plain
from dianet_ray.datasets.manifest import Manifest, Row
from dianet_ray.imaging.clip_images import FrameSpan

CLIPS_PER_PART = 4  # a killed worker loses no more, and the progress bar moves this often


@dataclass(frozen=True, slots=True)
class ClipOrder(Record):
    """One clip whose dynamic images are wanted.

    `onset`, `apex` and `offset` are frame numbers; an `apex` of None is spotted by the worker.
    `frames` is the path of the folder or video. `frames_name` names the same frames equally
    wherever the data set lies, so that moving it makes no clip again.
    """

    clip_id: str
    subject: str
    label: str
    onset: int
    apex: int | None
    offset: int
    frames: str
    frames_name: str

    @property
    def span(self) -> FrameSpan:
        """Give the frames to read."""
        return FrameSpan(self.onset, self.apex, self.offset)


@dataclass(frozen=True, slots=True)
class PartOrder(Record):
    """One parquet file to make: its path, the recipe of its images, and its clips.

    `root` is the data set's folder; messages name files relative to it.
    """

    file: str
    root: str
    recipe: Recipe
    clips: tuple[ClipOrder, ...]

    @property
    def name(self) -> str:
        """Give the file's name without its folder, which may be in an object store."""
        return self.file.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class ClipMade(Record):
    """A clip whose images are in its part.

    `is_reused`: they were there from an earlier run. `apex`, `box` and `note` are as in
    `ClipImages`. `digest` is the SHA-256 of the images; `signature` is the clip's float16
    signature in hex, by which duplicates are found.
    """

    clip_id: str
    is_reused: bool
    apex: int
    box: str
    note: str
    digest: str
    signature: str


@dataclass(frozen=True, slots=True)
class ClipLeftOut(Record):
    """A clip without images.

    `is_rule`: its frames can be read, but a rule leaves it out. Otherwise `reason` says what
    cannot be read.
    """

    clip_id: str
    reason: str
    is_rule: bool


ClipOutcome = ClipMade | ClipLeftOut


@dataclass(frozen=True, slots=True)
class PartOutcome(Record):
    """What became of the clips of one part, in the order of the `PartOrder`."""

    clips: tuple[ClipOutcome, ...]


def content_hash(content: Any) -> str:
    """Hash plain JSON values with SHA-256, in hex; the order of keys does not matter."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def order_clip(manifest: Manifest, row: Row) -> ClipOrder:
    """Order the images of a row that no rule left out, which therefore has onset and offset."""
    return ClipOrder(
        clip_id=row.clip_id,
        subject=row.subject,
        label=row.label,
        onset=row.onset or 0,
        apex=row.apex,
        offset=row.offset or 0,
        frames=str(manifest.frames(row)),
        frames_name=manifest.portable_path(row),
    )


def order_parts(manifest: Manifest, folder: Path, recipe: Recipe) -> list[PartOrder]:
    """Divide the usable clips into parts below `folder`.

    A part holds clips of one subject only, so that a new clip changes no part of another subject.
    """
    orders = []
    for _, group in groupby(manifest.usable(), key=lambda row: row.subject):
        rows = list(group)
        for start in range(0, len(rows), CLIPS_PER_PART):
            clips = tuple(order_clip(manifest, r) for r in rows[start : start + CLIPS_PER_PART])
            # The name follows from the content, so that a later run finds its own parts.
            names = [clip.clip_id for clip in clips]
            named = content_hash([IMAGES_FORMAT, to_plain(recipe), names])
            file = str(folder / f"part-{named[:16]}.parquet")
            orders.append(PartOrder(file, str(manifest.root), recipe, clips))
    return orders
