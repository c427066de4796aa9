"""The parts of IMAGES: parquet files that hold a few clips each, as tensor columns."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dianet_ray.artefacts import IMAGE_COLUMNS, PHASES
from dianet_ray.imaging.clip_images import ClipImages
from dianet_ray.storage import files
from dianet_ray.storage.parquet import read_parquet


@dataclass(frozen=True, slots=True)
class StoredClip:
    """One clip's row of a part.

    `made_from` hashes everything that its images depend on: order, recipe, versions and files.
    """

    clip_id: str
    subject: str
    label: str
    made: ClipImages
    made_from: str


def write_part(path: Path, clips: Sequence[StoredClip]) -> None:
    """Write some clips as one parquet file, whole or not at all."""
    images = np.stack([clip.made.images for clip in clips])
    scales = np.stack([clip.made.scales for clip in clips])
    signatures = np.stack([clip.made.signature for clip in clips])
    columns: list[Any] = [
        [clip.clip_id for clip in clips],
        [clip.subject for clip in clips],
        [clip.label for clip in clips],
        *(_tensors(images[:, k]) for k in range(len(PHASES))),
        *(scales[:, k] for k in range(len(PHASES))),
        [clip.made.apex for clip in clips],
        [clip.made.box for clip in clips],
        [clip.made.note for clip in clips],
        _tensors(signatures),
        [clip.made_from for clip in clips],
    ]
    table = pa.table(dict(zip(IMAGE_COLUMNS, columns, strict=True)))
    content = io.BytesIO()
    pq.write_table(table, content)
    # Composed in memory first: a reader never sees half a file, in an object store either.
    files.put(path, content.getvalue())


def _tensors(values: NDArray[Any]) -> pa.FixedShapeTensorArray:
    # Arrow's canonical tensor type: any reader knows the shape without ours or Ray's code.
    return pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(values))


def read_part(path: Path) -> dict[str, StoredClip]:
    """Read the clips of one part by clip_id; none when it is missing or damaged."""
    try:
        table = read_parquet(files.read(path))
        names, *columns = (table[name] for name in IMAGE_COLUMNS)
        arrays = [
            column.combine_chunks().to_numpy_ndarray()
            if isinstance(column.type, pa.FixedShapeTensorType)
            else column.to_pylist()
            for column in columns
        ]
    except (OSError, KeyError, pa.ArrowException):
        return {}  # its clips are made again
    found = {}
    for clip_id, subject, label, *rest in zip(names.to_pylist(), *arrays, strict=True):
        phases, scales, (apex, box, note, signature, made_from) = rest[:3], rest[3:6], rest[6:]
        images, sums = np.stack(phases), np.array(scales, np.float32)
        made = ClipImages(images, sums, apex, box, note, signature)
        found[clip_id] = StoredClip(clip_id, subject, label, made, made_from)
    return found


def is_part(name: str) -> bool:
    """Whether a file is a part, or what a killed worker left of one.

    >>> is_part("part-00.parquet"), is_part(".part-00.parquet.1f"), is_part("p01_smile.mp4")
    (True, True, False)
    """
    return name.startswith(("part-", ".part-")) and ".parquet" in name
