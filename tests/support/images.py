"""IMAGES without frames: noise whose brightness tells the class, written as `prepare` writes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dianet_ray.artefacts import IMAGES_FOLDER, IMAGES_FORMAT, Recipe
from dianet_ray.imaging.clip_images import ClipImages
from dianet_ray.prepare.images import ImagesRecord, SheetRecord, write_record
from dianet_ray.prepare.part_files import StoredClip, write_part

LABELS = ("happiness", "disgust", "repression", "surprise", "others")


def write_images(
    path: Path, *, n_subjects: int = 4, size: int = 32, lonely: str | None = None
) -> Path:
    """Write two clips per class and subject; `lonely` is a class that one subject alone has."""
    rng = np.random.default_rng(0)
    clips = []
    for s in range(n_subjects):
        for k, label in enumerate(LABELS * 2):
            if label == lonely and s:
                continue
            images = rng.normal(0, 4, (3, size, size, 3))
            images[:, :: k % 5 + 1] += 20
            signature = np.zeros(1024, np.float16)
            scales = np.ones(3, dtype=np.float32)
            made = ClipImages(images.astype(np.float16), scales, 4, "", "", signature)
            subject = f"casme2/sub{s:02d}"
            clips.append(StoredClip(f"{subject}/EP{k:02d}", subject, label, made, ""))
    folder = path / IMAGES_FOLDER
    folder.mkdir(parents=True)
    write_part(folder / "part-000000.parquet", clips)
    write_record(path, record_of(("part-000000.parquet",), n_clips=len(clips), size=size))
    return path


def record_of(parts: Sequence[str], *, n_clips: int, size: int = 32) -> ImagesRecord:
    """Describe made-up images as `prepare` does."""
    return ImagesRecord(
        format=IMAGES_FORMAT,
        dataset="casme2",
        request="4" * 64,
        hash="1" * 64,
        manifest_hash="2" * 64,
        recipe=Recipe(size),
        apex="annotated",
        corrections=None,
        sheets=(SheetRecord("casme2", "sheet.xlsx", "Sheet1", "3" * 64, "file_numbers"),),
        n_clips=n_clips,
        n_left_out=0,
        unreadable={},
        duplicates=(),
        versions={},
        parts=tuple(parts),
    )
