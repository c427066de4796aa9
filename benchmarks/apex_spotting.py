"""Measure how near a spotted apex comes to the true one, against the midpoint, and what it costs.

Invented subjects are filmed (`dianet_ray.synth.filming`), so the true apex is known. Errors are in
frames. The interval is a bootstrap over subjects of the difference spotted - midpoint; below 0,
spotting is better. Times are CPU time per frame, medians over repeats, for spotting in decoded
frames of 640 x 480 pixels and for decoding these frames. `--json` prints one document.

At an invented apex every action unit pauses, and units that rise or fade may move further than
those that are held. Figures on real clips will differ.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from dianet_ray.imaging.frames import index_frames, read_frame
from dianet_ray.imaging.key_frames import spot_apex
from dianet_ray.synth.expressions import EMOTIONS
from dianet_ray.synth.filming import Files, Scene, film

WIDTH, HEIGHT = 640, 480
N_TIMED, N_REPEATS, N_RESAMPLES = 30, 7, 5000
NEAR = 2  # frames


def measure_clip(scene: Scene, folder: Path) -> dict[str, Any]:
    """Film one clip and spot its apex."""
    marks = film(scene, folder)
    frames = [read_frame(path) for path in index_frames(folder / scene.files.folder).values()]
    truth = marks.apex - marks.onset
    middle = (len(frames) - 1) // 2
    spotted = spot_apex(iter(frames), frames[-1])
    return {
        "subject": scene.subject,
        "emotion": scene.emotion,
        "n_frames": len(frames),
        "spotted": abs((middle if spotted is None else spotted) - truth),
        "midpoint": abs(middle - truth),
    }


def measure_clips(given: argparse.Namespace) -> list[dict[str, Any]]:
    """Film the clips, subject by subject, the emotions in turn."""
    names = list(EMOTIONS)
    found = []
    for k in range(given.clips):
        subject, take = divmod(k, given.clips_per_subject)
        scene = Scene(
            seed=given.seed,
            subject=subject + 1,
            key=f"{subject + 1}-{take + 1}",
            files=Files("clip", "img{}.jpg"),
            emotion=names[k % len(names)],
            onset=1,
            n_frames=given.frames,
            size=given.image_size,
        )
        with tempfile.TemporaryDirectory() as folder:
            found.append(measure_clip(scene, Path(folder)))
    return found


def summarise(clips: list[dict[str, Any]]) -> dict[str, Any]:
    """Average the errors of spotting and of the midpoint."""
    ways = {}
    for way in ("spotted", "midpoint"):
        errors = np.array([clip[way] for clip in clips])
        ways[way] = {
            "mae": round(float(errors.mean()), 2),
            "median": float(np.median(errors)),
            "share_within_2": round(float((errors <= NEAR).mean()), 3),
        }
    return {"n_clips": len(clips), **ways}


def difference(clips: list[dict[str, Any]]) -> dict[str, Any]:
    """Bootstrap the mean of spotted - midpoint over subjects, with its 95 % interval."""
    subjects = sorted({clip["subject"] for clip in clips})
    gaps = [[c["spotted"] - c["midpoint"] for c in clips if c["subject"] == s] for s in subjects]
    sums, counts = np.array([sum(g) for g in gaps]), np.array([len(g) for g in gaps])
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(subjects), size=(N_RESAMPLES, len(subjects)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return {
        "n_subjects": len(subjects),
        "mean": round(float(sums.sum() / counts.sum()), 2),
        "low": round(float(low), 2),
        "high": round(float(high), 2),
    }


def measure_cost() -> dict[str, float]:
    """Time spotting and decoding of the same frames, milliseconds per frame."""
    rng = np.random.default_rng(0)
    face = cv2.GaussianBlur(rng.normal(128, 150, (HEIGHT, WIDTH, 3)), (0, 0), 2)
    frames = [
        np.clip(face + rng.normal(0, 2, face.shape), 0, 255).astype(np.uint8)
        for _ in range(N_TIMED)
    ]
    encoded = [cv2.imencode(".jpg", frame)[1] for frame in frames]

    def spot() -> None:
        spot_apex(iter(frames), frames[-1])

    def decode() -> None:
        for data in encoded:
            cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)

    rounds = [(_cpu_seconds(spot), _cpu_seconds(decode)) for _ in range(N_REPEATS)]
    spotting, decoding = (
        1e3 * statistics.median(way) / N_TIMED for way in zip(*rounds, strict=True)
    )
    kb = float(np.mean([len(data) for data in encoded])) / 1e3
    return {
        "spot_ms_per_frame": round(spotting, 3),
        "decode_ms_per_frame": round(decoding, 3),
        "kb_per_frame": round(kb, 1),
    }


def _cpu_seconds(way: Callable[[], None]) -> float:
    before = time.process_time()
    way()
    return time.process_time() - before


def show(figures: dict[str, Any]) -> None:
    """Print the figures as text."""
    for name, found in [("all", figures["all"]), *figures["emotions"].items()]:
        ways = "; ".join(
            f"{way} MAE {found[way]['mae']}, median {found[way]['median']:g}, "
            f"within {NEAR}: {100 * found[way]['share_within_2']:.0f} %"
            for way in ("spotted", "midpoint")
        )
        print(f"{name} ({found['n_clips']} clips): {ways}")
    print(
        "spotted - midpoint: {mean} frames, 95 % [{low}, {high}], {n_subjects} subjects".format(
            **figures["difference"]
        )
    )
    print(
        "{spot_ms_per_frame} ms per frame to spot, {decode_ms_per_frame} ms to decode "
        "({kb_per_frame} kB)".format(**figures["cost"])
    )


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=120)
    parser.add_argument("--clips-per-subject", type=int, default=5)
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    clips = measure_clips(given)
    figures = {
        "settings": {name: value for name, value in vars(given).items() if name != "json"},
        "all": summarise(clips),
        "emotions": {
            emotion: summarise([clip for clip in clips if clip["emotion"] == emotion])
            for emotion in sorted({clip["emotion"] for clip in clips})
        },
        "difference": difference(clips),
        "cost": measure_cost(),
    }
    if given.json:
        print(json.dumps(figures))
        return
    show(figures)


if __name__ == "__main__":
    main()
