"""IMAGES on disk: the folder that `prepare` writes and `search` loads.

images.json is written last, so that it exists exactly when the folder is complete.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dianet_ray.artefacts import (
    IMAGE_COLUMNS,
    IMAGES_FOLDER,
    IMAGES_FORMAT,
    IMAGES_JSON,
    N_CHANNELS,
    PHASES,
    Duplicate,
    Recipe,
    Record,
    from_json,
    to_plain,
)
from dianet_ray.datasets.numbering import Numbering
from dianet_ray.errors import InputError, one_line
from dianet_ray.prepare.part_files import is_part
from dianet_ray.storage import files
from dianet_ray.storage.parquet import read_parquet


@dataclass(frozen=True, slots=True)
class SheetRecord(Record):
    """The annotations of one data set: the file's name and SHA-256, and the worksheet's `name`.

    `numbering` says what the sheet's frame numbers count.
    """

    dataset: str
    file: str
    name: str
    sha256: str
    numbering: Numbering


@dataclass(frozen=True, slots=True)
class ImagesRecord(Record):
    """What images.json says of IMAGES.

    `request` is the hash of format, manifest, recipe and apex rule. `hash` identifies
    the content: the request and the images to the bit. `apex` is the apex rule; of a composite
    whose parts differ, each part's. `corrections` and `label_conflicts` are the options as they
    were given. `unreadable` holds the reason, by clip_id, for each clip whose files cannot be
    read. `versions` names what made the images. `parts` are file names below the folder of parts;
    other files there do not count.
    """

    format: int
    dataset: str
    request: str
    hash: str
    manifest_hash: str
    recipe: Recipe
    apex: str
    corrections: str | None
    sheets: tuple[SheetRecord, ...]
    n_clips: int
    n_left_out: int
    unreadable: dict[str, str]
    duplicates: tuple[Duplicate, ...]
    versions: dict[str, str]
    parts: tuple[str, ...]
    label_conflicts: str = "sheet"


@dataclass(frozen=True, slots=True)
class Images:
    """All dynamic images of a data set, sorted by clip_id.

    `images` is (N, 3, H, W, 3) float16, phases in the order of `artefacts.PHASES`, |value| <= 255.
    """

    path: Path
    record: ImagesRecord
    clip_ids: tuple[str, ...]
    subjects: tuple[str, ...]
    labels: tuple[str, ...]
    images: NDArray[np.float16]

    @property
    def hash(self) -> str:
        """Identify the content: the manifest, the options, and the images to the bit."""
        return self.record.hash


def fingerprint(images: NDArray[np.float16]) -> str:
    """Hash a clip's dynamic images (3, H, W, 3), to tell whether a clip was seen before.

    Only the whole-clip image counts.
    """
    # It does not depend on the apex, so `predict` recognises a clip with another apex or none.
    whole = images[PHASES.index("whole_clip")] if images.ndim == 4 else images
    return hashlib.sha256(np.ascontiguousarray(whole).tobytes()).hexdigest()


def images_hash(images: NDArray[np.float16]) -> str:
    """Hash all of a clip's dynamic images, (3, H, W, 3), as they are in memory."""
    return hashlib.sha256(np.ascontiguousarray(images).tobytes()).hexdigest()


def write_record(path: Path, record: ImagesRecord) -> None:
    """Write images.json, which declares the folder complete."""
    # Indented, because users open this file to see what IMAGES are.
    files.put(path / IMAGES_JSON, json.dumps(to_plain(record), indent=2).encode())


def read_record(path: Path) -> ImagesRecord:
    """Read images.json.

    Raises:
        InputError: the folder is missing, not finished, damaged, or of another format.
    """
    file = path / IMAGES_JSON
    try:
        with files.answering(path):
            content = files.read(file)
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"IMAGES must be a folder made by prepare: {file} is missing") from None
    except OSError as error:
        raise InputError(f"images.json cannot be read: {file} ({one_line(error)})") from None
    _check_format(content, file)
    return from_json(ImagesRecord, content, str(file))


def _check_format(content: bytes, file: Path) -> None:
    """Refuse another format before its keys are; what is no JSON object is left to `from_json`."""
    try:
        found = json.loads(content)["format"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return
    if found != IMAGES_FORMAT:
        raise InputError(
            f"images.json must have format {IMAGES_FORMAT}: got {found!r} in {file}; prepare "
            "again into a new folder, and search in a new folder too: a study of the old images "
            "cannot be resumed with new ones"
        )


def load_images(path: Path) -> Images:
    """Load IMAGES into memory.

    Raises:
        InputError: the folder is missing, not finished, damaged, or of another format.
    """
    record = read_record(path)
    try:
        table = _load_table(path, record.parts)
        tensors = [table[phase].combine_chunks().to_numpy_ndarray() for phase in PHASES]
    except (OSError, KeyError, AttributeError, pa.ArrowException) as error:
        raise _damaged(path, one_line(error)) from error
    # A part that was copied from elsewhere can be readable and still hold other clips.
    if table.num_rows != record.n_clips:
        raise _damaged(path, f"{table.num_rows} clips of {record.n_clips}")
    clip_ids, subjects, labels = (
        tuple(table[name].to_pylist()) for name in ("clip_id", "subject", "label")
    )
    if not all(isinstance(one, str) for one in (*clip_ids, *subjects, *labels)):
        raise _damaged(path, "a clip without its name, subject or label")
    if len(set(clip_ids)) < len(clip_ids):
        raise _damaged(path, "two clips of one name")
    size = record.recipe.image_size
    if {one.shape for one in tensors} != {(record.n_clips, size, size, N_CHANNELS)}:
        raise _damaged(path, f"images that are not {size} x {size}")
    images = np.stack(tensors, axis=1)
    if not all(np.isfinite(clip).all() for clip in images):  # one by one, to save memory
        raise _damaged(path, "pixels that are no numbers")
    return Images(path, record, clip_ids, subjects, labels, images)


def _load_table(path: Path, names: tuple[str, ...]) -> Any:
    parts = [_locate(path, name) for name in names]
    # Only these: signatures and scales are of no use to a search.
    columns = [*IMAGE_COLUMNS[:3], *PHASES]
    with files.answering(path):
        contents = files.read_files(parts)
    table = pa.concat_tables([read_parquet(content, columns) for content in contents])
    # Parts are in no order that means anything, and folds must not depend on it.
    return table.sort_by("clip_id")


def _locate(path: Path, name: str) -> Path:
    """Locate a part; images.json from elsewhere must not lead out of its folder."""
    if not is_part(name) or "/" in name or "\\" in name:
        raise InputError(f"images.json names files of its own folder: got {name!r} in {path}")
    return path / IMAGES_FOLDER / name


def _damaged(path: Path, reason: str) -> InputError:
    return InputError(f"damaged IMAGES, prepare them again: {path} ({reason})")
