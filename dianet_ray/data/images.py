"""IMAGES on disk: parquet parts with tensor columns, and images.json, which is written last."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dianet_ray import __version__
from dianet_ray.data.manifest import UNREADABLE, Manifest, Row
from dianet_ray.errors import InputError
from dianet_ray.options import PrepareOptions
from dianet_ray.schemas import FORMAT, IMAGE_COLUMNS, IMAGES_FOLDER, IMAGES_JSON, LEFT_OUT, PHASES


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
        """Identify the content: the manifest, the options, and what could not be read."""
        return str(self.about["hash"])


@dataclass(frozen=True, slots=True)
class ClipImages:
    """One clip's row of IMAGES: images (3, H, W, 3) float16 and their scales (3,) float32."""

    clip_id: str
    subject: str
    label: str
    images: NDArray[np.float16]
    scales: NDArray[np.float32]


def fingerprint(images: NDArray[np.float16]) -> str:
    """Hash a clip's dynamic images (3, H, W, 3): tells whether a clip was seen before.

    Only the whole-clip image counts: it does not depend on the apex, so a clip is known again
    with another apex or none.
    """
    whole = images[PHASES.index("whole_clip")] if images.ndim == 4 else images
    return hashlib.sha256(np.ascontiguousarray(whole).tobytes()).hexdigest()


def write_part(path: Path, clips: Sequence[ClipImages]) -> None:
    """Write some clips as one parquet file, whole or not at all."""
    images = np.stack([clip.images for clip in clips])
    scales = np.stack([clip.scales for clip in clips])
    columns: list[Any] = [
        [clip.clip_id for clip in clips],
        [clip.subject for clip in clips],
        [clip.label for clip in clips],
    ]
    for k in range(len(PHASES)):
        tensors = np.ascontiguousarray(images[:, k])
        columns.append(pa.FixedShapeTensorArray.from_numpy_ndarray(tensors))
    columns += [scales[:, k] for k in range(len(PHASES))]
    table = pa.table(dict(zip(IMAGE_COLUMNS, columns, strict=True)))
    beside = path.with_name(f".{path.name}.part")
    pq.write_table(table, beside)
    beside.replace(path)


def read_about(path: Path) -> dict[str, Any]:
    """Read images.json.

    Raises:
        InputError: the folder is missing, not finished, or of another format.
    """
    file = path / IMAGES_JSON
    try:
        about = json.loads(file.read_text(encoding="utf-8"))
        found = about.get("format")
    except FileNotFoundError:
        raise InputError(f"IMAGES must be a folder made by prepare: {file} is missing") from None
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"images.json does not read: {file} ({error})") from error
    if found != FORMAT:
        raise InputError(f"images.json must have format {FORMAT}: got {found!r} in {file}")
    return dict(about)


def load_images(path: Path) -> Images:
    """Load IMAGES into memory.

    Raises:
        InputError: the folder is missing, not finished, damaged, or of another format.
    """
    about = read_about(path)
    parts = sorted((path / IMAGES_FOLDER).glob("*.parquet"))
    try:
        table = pa.concat_tables([pq.read_table(part) for part in parts]).sort_by("clip_id")
        tensors = [table[phase].combine_chunks().to_numpy_ndarray() for phase in PHASES]
    except (OSError, KeyError, pa.ArrowException) as error:
        first = str(error).splitlines()[0]
        raise InputError(f"damaged IMAGES, make them again: {path} ({first})") from error
    if table.num_rows != about["n_clips"]:
        raise InputError(
            f"damaged IMAGES, make them again: {table.num_rows} clips of {about['n_clips']} "
            f"in {path}"
        )
    clip_ids, subjects, labels = (
        tuple(table[name].to_pylist()) for name in ("clip_id", "subject", "label")
    )
    return Images(path, about, clip_ids, subjects, labels, np.stack(tensors, axis=1))


def identity(manifest: Manifest, options: PrepareOptions, unreadable: dict[str, str]) -> str:
    """Hash what IMAGES are made of; repaired files make other images, so broken ones count."""
    content = [FORMAT, manifest.hash(), _shaping(options), sorted(unreadable)]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _shaping(options: PrepareOptions) -> dict[str, Any]:
    return options.model_dump(include={"image_size", "coefficients", "apex"})


def describe(manifest: Manifest, rows: tuple[Row, ...], options: PrepareOptions) -> dict[str, Any]:
    """Compose images.json from the manifest and its rows as they ended."""
    n_left_out = sum(row.state == LEFT_OUT for row in rows)
    unreadable = {
        row.clip_id: row.reason.removeprefix(UNREADABLE)
        for row in rows
        if row.reason.startswith(UNREADABLE)
    }
    return {
        "format": FORMAT,
        "dataset": manifest.dataset,
        "hash": identity(manifest, options, unreadable),
        "manifest_hash": manifest.hash(),
        "options": _shaping(options),
        "sheet": {
            "file": manifest.annotations.name,
            "name": manifest.sheet_name,
            "sha256": manifest.sheet_sha256,
        },
        "n_clips": len(rows) - n_left_out,
        "n_left_out": n_left_out,
        "unreadable": unreadable,
        "versions": {
            "dianet_ray": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "opencv": cv2.__version__,
            "pyarrow": pa.__version__,
            "ray": version("ray"),
        },
    }
