"""Synthetic data sets as arrays of dynamic images, for benchmarks that train without a search."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from dianet_ray.artefacts import Recipe
from dianet_ray.datasets.rules import read_manifest
from dianet_ray.imaging.clip_images import FrameSpan, clip_images
from dianet_ray.progress import Progress
from dianet_ray.synth.data_set import write_data_set
from dianet_ray.synth.planning import SynthOptions


def make_arrays(
    folder: Path, *, seed: int, n_workers: int, image_size: int, how: dict[str, Any]
) -> None:
    """Write a data set, and its dynamic images as arrays that workers map into memory.

    Args:
        folder: gets `data`, images.npy (N, 3, H, W, 3) float16, labels.npy and subjects.npy (texts
            of the sheet).
        seed: of the data set.
        n_workers: processes.
        image_size: pixels.
        how: other fields of `SynthOptions`.
    """
    with Progress(f"synth {folder.name}", how.get("n_clips", 250), unit="clips") as progress:
        options = SynthOptions(**how, seed=seed)
        write_data_set(folder / "data", options, n_workers=n_workers, progress=progress)
    manifest = read_manifest("casme2", folder / "data")
    rows = manifest.usable()
    clips = [(manifest.frames(row), FrameSpan(row.onset, row.apex, row.offset)) for row in rows]
    with ProcessPoolExecutor(n_workers, mp_context=get_context("spawn")) as pool:
        made = list(pool.map(partial(_images, Recipe(image_size)), clips, chunksize=16))
    np.save(folder / "images.npy", np.stack(made))
    np.save(folder / "labels.npy", np.array([row.label for row in rows]))
    np.save(folder / "subjects.npy", np.array([row.subject for row in rows]))


def _images(recipe: Recipe, clip: tuple[Path, FrameSpan]) -> np.ndarray:
    return clip_images(*clip, recipe).images
