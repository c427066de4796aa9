"""Synthetic data sets as arrays of dynamic images, for benchmarks that train without a search."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from dianet_ray.artefacts import Recipe
from dianet_ray.datasets.rules import read_manifest
from dianet_ray.imaging.clip_images import FrameSpan, clip_images
from dianet_ray.prepare.orders import order_clip
from dianet_ray.progress import Progress
from dianet_ray.synth.data_set import write_data_set
from dianet_ray.synth.planning import SynthOptions


def make_arrays(folder: Path, options: SynthOptions, *, n_workers: int, image_size: int) -> None:
    """Write a data set, and its dynamic images as arrays that workers map into memory.

    Args:
        folder: gets `data`, images.npy (N, 3, H, W, 3) float16, and labels.npy and subjects.npy
            with the texts of the sheet.
        options: the data set to write.
        n_workers: number of processes.
        image_size: side of a dynamic image in pixels.
    """
    with Progress(f"synth {folder.name}", options.n_clips, unit="clips") as progress:
        write_data_set(folder / "data", options, n_workers=n_workers, progress=progress)
    manifest = read_manifest(options.layout, folder / "data")
    rows = manifest.usable()
    orders = [order_clip(manifest, row) for row in rows]
    clips = [(manifest.frames(row), order.span) for row, order in zip(rows, orders, strict=True)]
    with ProcessPoolExecutor(n_workers, mp_context=get_context("spawn")) as pool:
        made = list(pool.map(partial(_images, Recipe(image_size)), clips, chunksize=16))
    np.save(folder / "images.npy", np.stack(made))
    np.save(folder / "labels.npy", np.array([row.label for row in rows]))
    np.save(folder / "subjects.npy", np.array([row.subject for row in rows]))


def _images(recipe: Recipe, clip: tuple[Path, FrameSpan]) -> np.ndarray:
    return clip_images(*clip, recipe).images
