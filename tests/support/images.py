"""IMAGES without frames: noise whose brightness tells the class, written as `prepare` writes."""

import json
from pathlib import Path

import numpy as np

from dianet_ray.artefacts import IMAGES_FOLDER, IMAGES_FORMAT, IMAGES_JSON
from dianet_ray.imaging.clip_images import ClipImages
from dianet_ray.prepare.images import StoredClip, write_part

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
    about = {
        "format": IMAGES_FORMAT,
        "dataset": "casme2",
        "hash": "1" * 64,
        "request": "4" * 64,
        "parts": ["part-000000.parquet"],
        "manifest_hash": "2" * 64,
        "options": {
            "image_size": size,
            "coefficients": "harmonic",
            "apex": "annotated",
            "crop": "none",
        },
        "sheets": [],
        "unreadable": {},
        "duplicates": [],
        "n_clips": len(clips),
        "n_left_out": 0,
        "versions": {},
    }
    (path / IMAGES_JSON).write_text(json.dumps(about))
    return path
