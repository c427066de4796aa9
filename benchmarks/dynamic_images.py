"""How fast dynamic images are made, against decoding alone and against the usual way, on one core.

The usual way stacks all frames of the clip as float64, multiplies and sums. All read the same JPEG
files of 640 x 480 pixels from a temporary folder, in turn, several times; figures are medians of
CPU time, so that a busy machine disturbs them less. Memory is the largest amount held at once
beyond the start, in a run of its own. `rms_from_exact` is how far our images are from the usual
way's, in grey levels. `--json` prints one document.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from dianet_ray.data.clips import clip_images
from dianet_ray.data.frames import index_frames, read_frame
from dianet_ray.data.rank_pooling import coefficients, positive_sum

WIDTH, HEIGHT = 640, 480
Way = Callable[[], Any]


def write_clip(folder: Path, n_frames: int) -> None:
    """Write a shaded, textured scene that drifts, with a moving region and sensor noise."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    shading = [120 + 60 * np.sin(x / 50), 110 + 50 * np.cos(x / 70 + y / 30), 100 + y / 8]
    texture = cv2.GaussianBlur(
        rng.normal(0, 40, (HEIGHT, WIDTH, 3)).astype(np.float32), (0, 0), 1.5
    )
    scene = np.stack(shading, axis=-1).astype(np.float32) + texture
    bump = np.exp(-((x - 320) ** 2 + (y - 300) ** 2) / (2 * 40**2))
    for number in range(1, n_frames + 1):
        rise = np.sin(np.pi * number / n_frames)
        moved = cv2.remap(
            scene,
            x + np.float32(0.01 * number),
            (y + 2 * rise * bump).astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT,
        )
        noisy = moved + rng.normal(0, 2, moved.shape)
        cv2.imwrite(str(folder / f"img{number}.jpg"), np.clip(noisy, 0, 255).astype(np.uint8))


def decode(folder: Path) -> None:
    """Read the frames and no more."""
    for path in index_frames(folder).values():
        read_frame(path)


def ours(folder: Path, n_frames: int, size: int) -> np.ndarray:
    """Make the dynamic images as `prepare` does."""
    images, _ = clip_images(
        folder, 1, n_frames // 2, n_frames, image_size=size, coefficients="harmonic"
    )
    return images


def usual(folder: Path, n_frames: int, size: int) -> np.ndarray:
    """Make them by stacking all frames, to the precision of float64."""
    frames = [read_frame(path) for path in index_frames(folder).values()]
    stack = np.stack(frames).astype(np.float64)
    apex = n_frames // 2
    images = []
    for run in (stack[:apex], stack[apex - 1 :], stack):
        weights = coefficients(len(run)) / positive_sum(len(run))
        pooled = (run * weights.reshape(-1, 1, 1, 1)).sum(axis=0)
        images.append(cv2.resize(pooled, (size, size), interpolation=cv2.INTER_AREA))
    return np.stack(images)


def cpu_seconds(way: Way) -> float:
    """Time one call."""
    before = time.process_time()
    way()
    return time.process_time() - before


def peak_mb(way: Way) -> float:
    """Measure the most memory that one call holds at once."""
    tracemalloc.start()
    way()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def measure(n_frames: int, sizes: Sequence[int], n_repeats: int) -> dict[str, Any]:
    """Measure all ways in turn: decoding once a round, the others at each size."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_clip(folder, n_frames)
        n_bytes = [path.stat().st_size for path in folder.iterdir()]
        ways: dict[tuple[str, int], Way] = {("decode", 0): partial(decode, folder)}
        for size in sizes:
            ways["ours", size] = partial(ours, folder, n_frames, size)
            ways["usual", size] = partial(usual, folder, n_frames, size)
        rounds = [{key: cpu_seconds(way) for key, way in ways.items()} for _ in range(n_repeats)]
        peaks = {key: peak_mb(way) for key, way in ways.items()}
        errors = {size: ways["ours", size]() - ways["usual", size]() for size in sizes}

    def speed(key: tuple[str, int]) -> dict[str, float]:
        seconds = statistics.median(times[key] for times in rounds)
        return {"frames_per_s": round(n_frames / seconds, 1), "peak_mb": round(peaks[key], 1)}

    def over(key: tuple[str, int], size: int) -> float:
        return round(statistics.median(times[key] / times["ours", size] for times in rounds), 3)

    return {
        "n_frames": n_frames,
        "n_repeats": n_repeats,
        "kb_per_frame": round(statistics.mean(n_bytes) / 1e3, 1),
        "decode": speed(("decode", 0)),
        "sizes": {
            size: {
                "ours": speed(("ours", size)),
                "usual": speed(("usual", size)),
                "speed_over_decode": over(("decode", 0), size),
                "speed_over_usual": over(("usual", size), size),
                "rms_from_exact": round(float(np.sqrt((errors[size] ** 2).mean())), 3),
            }
            for size in sizes
        },
    }


def show(figures: dict[str, Any]) -> None:
    """Print the figures for people."""
    print("{n_frames} frames of {kb_per_frame} kB, {n_repeats} repeats".format(**figures))
    print("decode only: {frames_per_s} frames/s, {peak_mb} MB".format(**figures["decode"]))
    for size, found in figures["sizes"].items():
        for way in ("ours", "usual"):
            print(
                f"{size} px {way}: {{frames_per_s}} frames/s, {{peak_mb}} MB".format(**found[way])
            )
        print(
            f"{size} px ours over decode {found['speed_over_decode']}, "
            f"over usual {found['speed_over_usual']}, RMS from exact {found['rms_from_exact']}"
        )


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--image-sizes", type=int, nargs="+", default=[64, 128, 224])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    figures = measure(given.frames, given.image_sizes, given.repeats)
    if given.json:
        print(json.dumps(figures))
        return
    show(figures)


if __name__ == "__main__":
    main()
