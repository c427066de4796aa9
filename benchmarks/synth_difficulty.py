"""How hard the synthetic data set is: the four figures that `synth` was calibrated to.

The first figure is the pooled accuracy of the default settings at 64 pixels, leaving one subject
out. The second deals the clips to as many folds at random. The third uses one dynamic image
instead of two phases. The fourth is the spread of accuracy on new subjects over 32 random
settings of dianet.yaml, each trained on all default clips.

    python -m benchmarks.synth_difficulty [--workers 2] [--json] [--only loso,random,...]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.arrays import make_arrays
from dianet_ray.model.fit import LabelledImages, Member, fit
from dianet_ray.processors import processors
from dianet_ray.progress import Progress
from dianet_ray.search.draw import draw
from dianet_ray.search.space_file import load_space
from dianet_ray.settings import Settings, derive_seed
from dianet_ray.synth.layout import read_layouts
from dianet_ray.synth.planning import SynthOptions

IMAGE_SIZE = 64
N_FRESH_SUBJECTS, N_FRESH_CLIPS = 104, 1000
(CASME2,) = read_layouts("casme2")
N_SETTINGS = 32
SINGLE = ("onset_apex", "apex_offset", "whole_clip")
PARTS = ("loso", "random", *SINGLE, "space")


@dataclasses.dataclass(frozen=True)
class Job:
    """One training: on `train` clips of the default set, tested on `test` clips of `data`."""

    part: str
    settings: Settings
    train: np.ndarray
    test: np.ndarray
    data: str
    seed: int


def main() -> None:
    """Make the data, train, print."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make = partial(make_arrays, n_workers=arguments.workers, image_size=IMAGE_SIZE)
        make(folder / "default", SynthOptions(seed=arguments.seed))
        if "space" in arguments.only:
            fresh = SynthOptions(
                n_subjects=N_FRESH_SUBJECTS, n_clips=N_FRESH_CLIPS, seed=arguments.seed + 1
            )
            make(folder / "fresh", fresh)
        jobs = _jobs(folder, arguments.seed, arguments.only)
        started_at = time.perf_counter()
        hits = _train(jobs, folder, arguments.workers)
    figures = _figures(jobs, hits)
    figures["minutes"] = round((time.perf_counter() - started_at) / 60, 1)
    if arguments.json:
        print(json.dumps(figures, indent=1))
        return
    for key, value in figures.items():
        print(f"{key}: {value}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=processors().n)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument(
        "--only", type=lambda text: text.split(","), default=PARTS, help=",".join(PARTS)
    )
    return parser.parse_args()


def _jobs(folder: Path, seed: int, parts: Sequence[str]) -> list[Job]:
    subjects = np.load(folder / "default" / "subjects.npy")
    clips = np.arange(len(subjects))
    by_subject = [clips[subjects == subject] for subject in np.unique(subjects)]
    shuffled = np.random.default_rng(derive_seed(seed, "difficulty")).permutation(clips)
    folds = {"random": np.array_split(shuffled, len(by_subject))}
    jobs = []
    for part in (part for part in parts if part != "space"):
        phases = {"phases": part, "fusion": "none"} if part in SINGLE else {}
        for number, test in enumerate(folds.get(part, by_subject)):
            train = np.setdiff1d(clips, test)
            fold_seed = derive_seed(seed, "fold", number)
            jobs.append(Job(part, Settings(**phases), train, test, "default", fold_seed))
    if "space" in parts:
        space = dataclasses.replace(load_space("dianet"), sampler="random", first_settings=())
        fresh = np.arange(len(np.load(folder / "fresh" / "labels.npy")))
        for number, settings in enumerate(draw(space, seed, wave=0, n=N_SETTINGS, history=[])):
            settings_seed = derive_seed(seed, "point", number)
            jobs.append(Job("space", settings, clips, fresh, "fresh", settings_seed))
    return jobs


def _train(jobs: list[Job], folder: Path, n_workers: int) -> list[np.ndarray]:
    """Run every job; return for each which of its test clips were right, (clips,) bool."""
    hits = []
    with (
        Progress("difficulty", len(jobs), unit="trainings") as progress,
        ProcessPoolExecutor(n_workers, mp_context=get_context("spawn")) as pool,
    ):
        for hit in pool.map(_hits, jobs, [folder] * len(jobs)):
            hits.append(hit)
            progress.advance()
    return hits


def _hits(job: Job, folder: Path) -> np.ndarray:
    torch.set_num_threads(1)
    images, labels = _load(folder / "default", job.train)
    fresh_images, fresh_labels = _load(folder / job.data, job.test)
    n_train, n_test = len(job.train), len(job.test)
    member = Member(np.arange(n_train), n_train + np.arange(n_test), job.seed)
    together = np.concatenate([images, fresh_images]), np.concatenate([labels, fresh_labels])
    clips = LabelledImages(*together, n_classes=len(CASME2.proportions))
    (fitted,) = fit(job.settings, clips, [member])
    return fitted.probabilities.argmax(axis=1) == fresh_labels  # type: ignore[no-any-return]


def _load(folder: Path, clips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    images = np.load(folder / "images.npy", mmap_mode="r")
    names = list(CASME2.proportions)
    labels = [names.index(label) for label in np.load(folder / "labels.npy")[clips]]
    return images[clips], np.array(labels)


def _figures(jobs: list[Job], hits: list[np.ndarray]) -> dict[str, Any]:
    """Pool the hits of each part, and hold the figures against the rules."""
    of = {
        part: [h for job, h in zip(jobs, hits, strict=True) if job.part == part] for part in PARTS
    }
    pooled = {p: float(np.concatenate(h).mean()) for p, h in of.items() if h and p != "space"}
    figures: dict[str, Any] = {
        f"accuracy {part}": round(value, 4) for part, value in pooled.items()
    }
    loso = pooled.get("loso")
    if loso is not None:
        figures["LOSO accuracy in 0.55..0.85"] = 0.55 <= loso <= 0.85
        if "random" in pooled:
            figures["random split gains 5 points"] = pooled["random"] - loso >= 0.05
        for part in (part for part in SINGLE if part in pooled):
            figures[f"{part} loses 5 points"] = loso - pooled[part] >= 0.05
    if of["space"]:
        found = np.array([hit.mean() for hit in of["space"]])
        figures["accuracy of random settings"] = np.sort(found).round(3).tolist()
        figures["deviation over random settings"] = round(float(found.std(ddof=1)), 4)
        figures["random settings differ by 4 points"] = bool(found.std(ddof=1) >= 0.04)
    return figures


if __name__ == "__main__":
    main()
