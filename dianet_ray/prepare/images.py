"""IMAGES on disk: parquet parts with tensor columns, and images.json, which is written last."""

from __future__ import annotations

import hashlib
import io
import json
import platform
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dianet_ray import __version__
from dianet_ray.artefacts import (
    IMAGE_COLUMNS,
    IMAGES_FOLDER,
    IMAGES_FORMAT,
    IMAGES_JSON,
    LEFT_OUT,
    PHASES,
)
from dianet_ray.datasets.manifest import UNREADABLE, Manifest, Row
from dianet_ray.errors import InputError, one_line
from dianet_ray.imaging.clip_images import ClipImages
from dianet_ray.imaging.duplicates import Duplicate
from dianet_ray.options import PrepareOptions
from dianet_ray.storage import files
from dianet_ray.storage.parquet import read_parquet


@dataclass(frozen=True, slots=True)
class Images:
    """All dynamic images of a data set, sorted by clip_id.

    `images` is (N, 3, H, W, 3) float16, phases in the order of `schemas.PHASES`, |value| <= 255;
    `about` is the content of images.json.
    """

    path: Path
    about: dict[str, Any]
    clip_ids: tuple[str, ...]
    subjects: tuple[str, ...]
    labels: tuple[str, ...]
    images: NDArray[np.float16]

    @property
    def hash(self) -> str:
        """Identify the content: the manifest, the options, and the images to the bit."""
        return str(self.about["hash"])


@dataclass(frozen=True, slots=True)
class StoredClip:
    """One clip's row of IMAGES; `made_from` hashes the frame files and options it was made of."""

    clip_id: str
    subject: str
    label: str
    made: ClipImages
    made_from: str


def fingerprint(images: NDArray[np.float16]) -> str:
    """Hash a clip's dynamic images (3, H, W, 3): tells whether a clip was seen before.

    Only the whole-clip image counts: it does not depend on the apex, so a clip is known again
    with another apex or none.
    """
    whole = images[PHASES.index("whole_clip")] if images.ndim == 4 else images
    return hashlib.sha256(np.ascontiguousarray(whole).tobytes()).hexdigest()


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
    files.put(path, content.getvalue())


def _tensors(values: NDArray[Any]) -> pa.FixedShapeTensorArray:
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
        return {}
    found = {}
    for clip_id, subject, label, *rest in zip(names.to_pylist(), *arrays, strict=True):
        phases, scales, (apex, box, note, mark, made_from) = rest[:3], rest[3:6], rest[6:]
        images, sums = np.stack(phases), np.array(scales, np.float32)
        made = ClipImages(images, sums, apex, box, note, mark)
        found[clip_id] = StoredClip(clip_id, subject, label, made, made_from)
    return found


def read_about(path: Path) -> dict[str, Any]:
    """Read images.json.

    Raises:
        InputError: the folder is missing, not finished, or of another format.
    """
    file = path / IMAGES_JSON
    try:
        with files.answering(path):
            about = json.loads(files.read(file))
        found = about.get("format")
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"IMAGES must be a folder made by prepare: {file} is missing") from None
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"images.json does not read: {file} ({error})") from error
    if found != IMAGES_FORMAT:
        raise InputError(f"images.json must have format {IMAGES_FORMAT}: got {found!r} in {file}")
    return dict(about)


def load_images(path: Path) -> Images:
    """Load IMAGES into memory.

    Raises:
        InputError: the folder is missing, not finished, damaged, or of another format.
    """
    about = read_about(path)
    try:
        parts = [_part(path, name) for name in about["parts"]]
        names = [*IMAGE_COLUMNS[:3], *PHASES]
        with files.answering(path):
            contents = files.read_files(parts)
        table = pa.concat_tables([read_parquet(content, names) for content in contents])
        table = table.sort_by("clip_id")
        tensors = [table[phase].combine_chunks().to_numpy_ndarray() for phase in PHASES]
    except (OSError, KeyError, pa.ArrowException) as error:
        raise InputError(f"damaged IMAGES, make them again: {path} ({one_line(error)})") from error
    if table.num_rows != about["n_clips"]:
        raise InputError(
            f"damaged IMAGES, make them again: {table.num_rows} clips of {about['n_clips']} "
            f"in {path}"
        )
    clip_ids, subjects, labels = (
        tuple(table[name].to_pylist()) for name in ("clip_id", "subject", "label")
    )
    return Images(path, about, clip_ids, subjects, labels, np.stack(tensors, axis=1))


def _part(path: Path, name: str) -> Path:
    if not is_part(name) or "/" in name or "\\" in name:
        raise InputError(f"images.json names files of its own folder: got {name!r} in {path}")
    return path / IMAGES_FOLDER / name


def is_part(name: str) -> bool:
    """Whether a file is a part, or what a worker that was killed left of one.

    >>> is_part("part-00.parquet"), is_part(".part-00.parquet.1f"), is_part("p01_smile.mp4")
    (True, True, False)
    """
    return name.startswith(("part-", ".part-")) and ".parquet" in name


def request(manifest: Manifest, options: PrepareOptions) -> str:
    """Hash what IMAGES were asked for: what is asked for again is done already."""
    content = [IMAGES_FORMAT, manifest.hash(), _shaping(manifest, options)]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _shaping(manifest: Manifest, options: PrepareOptions) -> dict[str, Any]:
    shaping = options.model_dump(include={"image_size", "coefficients", "crop"})
    rules = [part.apex for part in manifest.parts]
    if len(set(rules)) == 1:
        return shaping | {"apex": rules[0]}
    named = (f"{part.dataset} {part.apex}" for part in manifest.parts)
    return shaping | {"apex": ", ".join(named)}


def describe(
    manifest: Manifest,
    options: PrepareOptions,
    *,
    rows: tuple[Row, ...],
    digests: dict[str, str],
    duplicates: Sequence[Duplicate],
) -> dict[str, Any]:
    """Compose images.json; the caller adds the parts.

    Args:
        manifest: As it was read.
        options: Of the run.
        rows: As they ended.
        digests: Of the images of every clip, by clip_id.
        duplicates: Clips that are alike.
    """
    asked = request(manifest, options)
    content = [asked, sorted(digests.items())]
    n_left_out = sum(row.state == LEFT_OUT for row in rows)
    unreadable = {
        row.clip_id: row.reason.removeprefix(UNREADABLE)
        for row in rows
        if row.reason.startswith(UNREADABLE)
    }
    return {
        "format": IMAGES_FORMAT,
        "dataset": manifest.dataset,
        "request": asked,
        "hash": hashlib.sha256(json.dumps(content).encode()).hexdigest(),
        "manifest_hash": manifest.hash(),
        "options": _shaping(manifest, options),
        "corrections": options.corrections,
        "sheets": [
            {
                "dataset": part.dataset,
                "file": part.sheet.path.name,
                "name": part.sheet.name,
                "sha256": part.sheet.sha256,
                "numbering": part.numbering,
            }
            for part in manifest.parts
        ],
        "n_clips": len(rows) - n_left_out,
        "n_left_out": n_left_out,
        "unreadable": unreadable,
        "duplicates": [list(astuple(found)) for found in duplicates],
        "versions": {
            "dianet_ray": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "opencv": cv2.__version__,
            "pyarrow": pa.__version__,
            "ray": version("ray"),
        },
    }
