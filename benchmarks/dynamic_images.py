"""Measure how fast dynamic images are made, against decoding alone and against the usual way.

The first part runs on one core. It times our way with whole frames and with the face crop,
decoding alone, and the usual way, which stacks all frames of the clip as float64, multiplies and
sums. All ways read the same JPEG files from a temporary folder: 640 x 480 pixels, a drawn face
before a textured wall. They take turns, several times. Figures are medians of CPU time, because a
busy machine disturbs them less. Memory is the largest amount held at once beyond the start, in a
run of its own. `rms_from_exact` is the distance between our images and the usual way's, in grey
levels.

The second part runs `prepare` with Ray Data on one and on two workers, against decoding the same
clips with the same workers. It takes the wall-clock time from the first part to the last, with
warm workers, turn by turn. It also measures how much the driver's memory grows over thousands of
clips. `--json` prints one document.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
import resource
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
from rich.console import Console

from dianet_ray.artefacts import Crop, Recipe
from dianet_ray.datasets.manifest import Manifest
from dianet_ray.datasets.rules import read_manifest
from dianet_ray.imaging.clip_images import FrameSpan, clip_images
from dianet_ray.imaging.frames import index_frames, read_frame
from dianet_ray.imaging.rank_pooling import coefficients, positive_sum
from dianet_ray.options import PrepareOptions
from dianet_ray.prepare.driver import prepare
from dianet_ray.progress import Progress
from dianet_ray.synth.faces import UNITS, draw_face, pose

WIDTH, HEIGHT, FACE = 640, 480, 340
SMILE = UNITS.index(12)
N_CLIPS, CLIPS_PER_SUBJECT, WARM_UP = 240, 12, 8
N_DECODE_TASKS = 10
SHORT = 4  # frames of the clips that only memory is measured with
RAY_SIZE = 64
Way = Callable[[], Any]


def write_clip(folder: Path, n_frames: int) -> None:
    """Write a face that smiles before a shaded, textured wall that drifts, with sensor noise."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    shading = [120 + 60 * np.sin(x / 50), 110 + 50 * np.cos(x / 70 + y / 30), 100 + y / 8]
    texture = cv2.GaussianBlur(
        rng.normal(0, 40, (HEIGHT, WIDTH, 3)).astype(np.float32), (0, 0), 1.5
    )
    scene = np.stack(shading, axis=-1).astype(np.float32) + texture
    face, top, left = draw_face(rng, FACE), (HEIGHT - FACE) // 2, (WIDTH - FACE) // 2
    activation = np.zeros(len(UNITS), np.float32)
    for number in range(1, n_frames + 1):
        moved = cv2.remap(
            scene,
            x + np.float32(0.01 * number),
            y,
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT,
        )
        activation[SMILE] = 0.065 * np.sin(np.pi * number / n_frames)
        portrait = pose(face, activation, np.zeros(4, np.float32), 0.0)
        moved[top : top + FACE, left : left + FACE] = portrait
        noisy = moved + rng.normal(0, 2, moved.shape)
        pixels = np.clip(noisy, 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"img{number}.jpg"), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))


def decode(folder: Path) -> None:
    """Read the frames and no more."""
    for path in index_frames(folder).values():
        read_frame(path)


def ours(folder: Path, n_frames: int, size: int, crop: Crop) -> np.ndarray:
    """Make the dynamic images as `prepare` does."""
    return clip_images(
        folder, FrameSpan(1, n_frames // 2, n_frames), Recipe(size, crop=crop)
    ).images


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


def measure(folder: Path, n_frames: int, sizes: Sequence[int], n_repeats: int) -> dict[str, Any]:
    """Measure all ways in turn on one core: decoding once a round, the others at each size."""
    n_bytes = [path.stat().st_size for path in folder.iterdir()]
    ways: dict[tuple[str, int], Way] = {("decode", 0): partial(decode, folder)}
    for size in sizes:
        ways["ours", size] = partial(ours, folder, n_frames, size, "none")
        ways["face", size] = partial(ours, folder, n_frames, size, "face")
        ways["usual", size] = partial(usual, folder, n_frames, size)
    rounds = [{key: cpu_seconds(way) for key, way in ways.items()} for _ in range(n_repeats)]
    peaks = {key: peak_mb(way) for key, way in ways.items()}
    errors = {size: ways["ours", size]() - ways["usual", size]() for size in sizes}

    def speed(key: tuple[str, int]) -> dict[str, float]:
        seconds = statistics.median(times[key] for times in rounds)
        return {"frames_per_s": round(n_frames / seconds, 1), "peak_mb": round(peaks[key], 1)}

    def over(way: str, other: tuple[str, int], size: int) -> float:
        return round(statistics.median(times[other] / times[way, size] for times in rounds), 3)

    return {
        "n_frames": n_frames,
        "n_repeats": n_repeats,
        "kb_per_frame": round(statistics.mean(n_bytes) / 1e3, 1),
        "decode": speed(("decode", 0)),
        "sizes": {
            size: {
                "ours": speed(("ours", size)),
                "face": speed(("face", size)),
                "usual": speed(("usual", size)),
                "speed_over_decode": over("ours", ("decode", 0), size),
                "face_over_decode": over("face", ("decode", 0), size),
                "speed_over_usual": over("ours", ("usual", size), size),
                "rms_from_exact": round(float(np.sqrt((errors[size] ** 2).mean())), 3),
            }
            for size in sizes
        },
    }


def write_data_set(root: Path, clip: Path, n_frames: int, n_clips: int) -> Manifest:
    """Lay links to one clip's frames out as a data set of many clips."""
    lines = ["clip,subject,label,onset,apex,offset"]
    for k in range(n_clips):
        name = f"clips/{k:03d}"
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(clip, target_is_directory=True)
        lines.append(f"{name},p{k // CLIPS_PER_SUBJECT},a,1,{n_frames // 2},{n_frames}")
    (root / "clips.csv").write_text("\n".join(lines))
    return read_manifest("table", root)


def with_ray(manifest: Manifest, n_frames: int, n_repeats: int) -> dict[str, Any]:
    """Time prepare, and decoding alone, on one and two workers, turn by turn."""
    import ray
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    frames = len(manifest.rows) * n_frames
    found: dict[str, list[float]] = {}
    for n_workers in (1, 2):
        _start_ray(n_workers)
        ways = {
            "decode": partial(_decode_all, manifest, n_workers),
            "none": partial(_prepare_all, manifest, n_workers, "none"),
            "face": partial(_prepare_all, manifest, n_workers, "face"),
        }
        for repeat in range(n_repeats + 1):  # the first one starts and warms the workers
            for name, way in ways.items():
                seconds = way()
                if repeat:
                    found.setdefault(f"{name} {n_workers}", []).append(frames / seconds)
        ray.shutdown()
    speeds = {key: round(statistics.median(values), 1) for key, values in found.items()}
    return {
        "frames_per_s": speeds,
        "over_decode": {
            f"{crop} {n}": round(speeds[f"{crop} {n}"] / speeds[f"decode {n}"], 3)
            for crop in ("none", "face")
            for n in (1, 2)
        },
        "two_over_one": {
            way: round(speeds[f"{way} 2"] / speeds[f"{way} 1"], 3)
            for way in ("decode", "none", "face")
        },
    }


def _start_ray(n_cpus: int) -> None:
    import ray

    ray.init(
        address="local",
        num_cpus=n_cpus,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        runtime_env={"env_vars": {"PYTHONPATH": os.getcwd()}},
    )


def driver_memory(clip: Path, n_frames: int, n_clips: int, folder: Path) -> dict[str, Any]:
    """Measure how much the driver's memory grows while it prepares many clips."""
    import ray

    manifest = write_data_set(folder / "many", clip, n_frames, n_clips)
    _start_ray(2)
    _prepare_all(write_data_set(folder / "few", clip, n_frames, 2 * WARM_UP), 2, "none")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = _prepare_all(manifest, 2, "none")
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ray.shutdown()
    n_bytes = RAY_SIZE * RAY_SIZE * 3 * 3 * 2
    return {
        "n_clips": n_clips,
        "grew_mb": round((after - before) / 1e3, 1),
        "images_mb": round(n_clips * n_bytes / 1e6, 1),
        "clips_per_s": round(n_clips / seconds, 1),
    }


class _Clock(Progress):
    """Knows when the first and the last clip were done."""

    def __init__(self, total: int) -> None:
        super().__init__("prepare", total, unit="clips", console=Console(file=io.StringIO()))
        self.times: list[float] = []

    def advance(self, n: int = 1) -> None:
        self.times.append(time.perf_counter())


def _between(times: Sequence[float], n_clips: int) -> float:
    """Scale the time between an early clip and the last one to all clips.

    The start of a Ray Data execution, a second or two however many clips there are, is left out.
    """
    return (times[-1] - times[WARM_UP - 1]) * n_clips / (n_clips - WARM_UP)


def _prepare_all(manifest: Manifest, n_workers: int, crop: Crop) -> float:
    options = PrepareOptions(recipe=Recipe(RAY_SIZE, crop=crop), max_workers=n_workers)
    clock = _Clock(len(manifest.rows))
    with tempfile.TemporaryDirectory() as name, clock:
        prepare(manifest, Path(name) / "images", options, progress=clock)
    return _between(clock.times, len(manifest.rows))


def _decode_all(manifest: Manifest, n_workers: int) -> float:
    import ray.data

    paths = [{"path": str(manifest.frames(row))} for row in manifest.rows]
    decoded = ray.data.from_items(paths, override_num_blocks=N_DECODE_TASKS).flat_map(
        _decode_one, compute=ray.data.TaskPoolStrategy(size=n_workers), num_cpus=1
    )
    times = [time.perf_counter() for _ in decoded.iter_rows()]
    return _between(times, len(paths))


def _decode_one(row: dict[str, str]) -> list[dict[str, str]]:
    cv2.setNumThreads(1)
    decode(Path(row["path"]))
    return [row]


def show(figures: dict[str, Any]) -> None:
    """Print the figures as text."""
    print("{n_frames} frames of {kb_per_frame} kB, {n_repeats} repeats".format(**figures))
    print("decode only: {frames_per_s} frames/s, {peak_mb} MB".format(**figures["decode"]))
    for size, found in figures["sizes"].items():
        for way in ("ours", "face", "usual"):
            print(
                f"{size} px {way}: {{frames_per_s}} frames/s, {{peak_mb}} MB".format(**found[way])
            )
        print(
            f"{size} px over decode {found['speed_over_decode']}, with face crop "
            f"{found['face_over_decode']}, over usual {found['speed_over_usual']}, "
            f"RMS from exact {found['rms_from_exact']}"
        )
    if driver := figures.get("driver"):
        print(
            "driver: {n_clips} clips grow it by {grew_mb} MB, images {images_mb} MB".format(
                **driver
            )
        )
    if ray := figures.get("ray"):
        print(f"prepare with Ray Data at {RAY_SIZE} px, frames/s by crop and workers:")
        for title, values in ray.items():
            said = ", ".join(f"{key} {value}" for key, value in values.items())
            print(f"  {title.replace('_', ' ')}: {said}")


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--image-sizes", type=int, nargs="+", default=[64, 128, 224])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--ray-repeats", type=int, default=3, help="0 leaves Ray out")
    parser.add_argument("--clips", type=int, default=4000, help="for memory; 0 leaves it out")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as name:
        clip = Path(name) / "clip"
        clip.mkdir()
        write_clip(clip, given.frames)
        cores = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(cores)})
        figures = measure(clip, given.frames, given.image_sizes, given.repeats)
        os.sched_setaffinity(0, cores)
        if given.clips:
            short = Path(name) / "short"
            short.mkdir()
            write_clip(short, SHORT)
            figures["driver"] = driver_memory(short, SHORT, given.clips, Path(name))
        if given.ray_repeats:
            manifest = write_data_set(Path(name) / "data", clip, given.frames, N_CLIPS)
            figures["ray"] = with_ray(manifest, given.frames, given.ray_repeats)
    if given.json:
        print(json.dumps(figures))
        return
    show(figures)


if __name__ == "__main__":
    main()
