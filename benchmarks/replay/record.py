"""Record a fold matrix from real trainings: the settings of replay/space.yaml on synthetic data.

Every configuration is trained on every fold of LOSO and of three groups of subjects with all, half
and a quarter of its steps; each LOSO model also answers 1,000 fresh clips, which says how good
the configuration really is. What is trained is kept, so the same command goes on.

    python -m benchmarks.replay.record OUT.npz --seed 0 --classes casme2:5|FILE [--configs 64]
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from benchmarks.arrays import make_arrays
from benchmarks.replay.matrix import rung_name
from dianet_ray.datasets.label_sets import label_set
from dianet_ray.model.fit import LabelledImages, Member, fit
from dianet_ray.progress import Progress
from dianet_ray.protocol.folds import Clip, Fold, groups, loso
from dianet_ray.protocol.metrics import confusion
from dianet_ray.search.draw import draw
from dianet_ray.search.space_file import load_space
from dianet_ray.settings import Settings, config_id, derive_seed
from dianet_ray.synth.data_set import n_processors

IMAGE_SIZE = 32
FRESH = {"n_subjects": 104, "n_clips": 1000}
RUNGS: tuple[tuple[int | None, float], ...] = ((3, 0.25), (3, 0.5), (3, 1.0), (None, 1.0))


@dataclass(frozen=True)
class Data:
    """The clips of one label set: images (N, 3, H, W, 3) float16 and labels (N,) int64."""

    clips: tuple[Clip, ...]
    images: np.ndarray
    labels: np.ndarray


def main() -> None:
    """Make the data, train every configuration, write the matrix."""
    asked = _arguments()
    parts = asked.out.with_suffix(".parts")
    parts.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for which, seed, how in (
            ("known", asked.seed, {}),
            ("fresh", derive_seed(asked.seed, "fresh") % 10**6, FRESH),
        ):
            (folder / which).mkdir()
            make_arrays(
                folder / which, seed=seed, n_workers=asked.workers, image_size=IMAGE_SIZE, how=how
            )
        settings = _settings(asked)
        waiting = [i for i in range(len(settings)) if not (parts / f"{i:03d}.npz").exists()]
        jobs = [(folder, asked, parts / f"{i:03d}.npz", settings[i]) for i in waiting]
        started_at = time.perf_counter()
        with (
            Progress("record", len(jobs), unit="configurations") as progress,
            ProcessPoolExecutor(asked.workers, mp_context=get_context("spawn")) as pool,
        ):
            for _ in pool.map(_record, jobs):
                progress.advance()
        minutes = (time.perf_counter() - started_at) / 60
        _join(asked, read_data(folder / "known", asked.classes), settings, minutes)
    shutil.rmtree(parts)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--classes", default="casme2:5")
    parser.add_argument("--configs", type=int, default=64)
    parser.add_argument("--workers", type=int, default=n_processors())
    return parser.parse_args()


def _settings(asked: argparse.Namespace) -> list[Settings]:
    space = load_space(str(Path(__file__).parent / "space.yaml"))
    return draw(space, asked.seed, wave=0, n=asked.configs, history=[])


def read_data(folder: Path, classes: str) -> Data:
    """Read the arrays of a data set, restricted to a label set."""
    labels, subjects = np.load(folder / "labels.npy"), np.load(folder / "subjects.npy")
    mapping = label_set(classes, "casme2")
    found = [mapping.class_of(str(a), str(b)) for a, b in zip(labels, subjects, strict=True)]
    used = [i for i, name in enumerate(found) if name is not None]
    clips = tuple(
        Clip(f"{i:04d}", str(subjects[i]), mapping.classes.index(str(found[i]))) for i in used
    )
    images = np.load(folder / "images.npy", mmap_mode="r")[used]
    return Data(clips, images, np.array([clip.label for clip in clips]))


def partitions(clips: Sequence[Clip], classes: str, seed: int) -> dict[str, tuple[Fold, ...]]:
    """Make the folds of every recorded rung, by its name."""
    names = label_set(classes, "casme2").classes
    return {
        rung_name(n, steps): loso(clips, names, seed)
        if n is None
        else groups(clips, names, seed, n)
        for n, steps in RUNGS
    }


def _record(job: tuple[Path, argparse.Namespace, Path, Settings]) -> None:
    """Train one configuration on everything and write its part."""
    folder, asked, path, settings = job
    torch.set_num_threads(1)
    known, fresh = (read_data(folder / which, asked.classes) for which in ("known", "fresh"))
    images = np.concatenate([known.images, fresh.images])
    labels = np.concatenate([known.labels, fresh.labels])
    n_known, n_classes = len(known.labels), int(labels.max()) + 1
    everybody, unknown = np.arange(n_known), np.arange(n_known, len(labels))
    written: dict[str, np.ndarray] = {}
    fresh_counts = []
    folds_of = partitions(known.clips, asked.classes, asked.seed)
    for (n, steps), (name, folds) in zip(RUNGS, folds_of.items(), strict=True):
        shortened = settings.model_copy(update={"steps": max(1, round(settings.steps * steps))})
        answers = np.full((n_known, n_classes), np.nan, dtype=np.float16)
        seconds = []
        for fold in folds:
            test = np.array(fold.test_clips)
            member = Member(
                train=np.setdiff1d(everybody, test),
                test=np.concatenate([test, unknown]) if n is None else test,
                seed=derive_seed(asked.seed, config_id(settings), name, fold.index),
            )
            started_at = time.process_time()  # of one thread: other work beside it does not count
            fitted = fit(shortened, LabelledImages(images, labels, n_classes), [member])[0]
            answers[test] = fitted.probabilities[: len(test)]
            seconds.append(time.process_time() - started_at)
            if n is None:
                said = fitted.probabilities[len(test) :].argmax(axis=1)
                fresh_counts.append(confusion(fresh.labels, said, n_classes))
        written[f"probabilities {name}"] = answers
        written[f"seconds {name}"] = np.array(seconds, dtype=np.float32)
    written["fresh"] = np.array(fresh_counts, dtype=np.int16)
    with (path.with_suffix(".new")).open("wb") as file:
        np.savez(file, allow_pickle=False, **written)
    path.with_suffix(".new").rename(path)


def _join(
    asked: argparse.Namespace, known: Data, settings: list[Settings], minutes: float
) -> None:
    """Join the parts of all configurations to one compressed file."""
    parts = asked.out.with_suffix(".parts")
    found = [np.load(parts / f"{i:03d}.npz", allow_pickle=False) for i in range(len(settings))]
    arrays = {key: np.stack([one[key] for one in found]) for key in found[0].files}
    folds_of = partitions(known.clips, asked.classes, asked.seed)
    about = {
        "seed": asked.seed,
        "label_set": asked.classes,
        "image_size": IMAGE_SIZE,
        "classes": label_set(asked.classes, "casme2").classes,
        "clips": [[clip.clip_id, clip.subject, clip.label] for clip in known.clips],
        "settings": [one.model_dump() for one in settings],
        "rungs": {
            rung_name(n, steps): {
                "steps": steps,
                "folds": [
                    [known.clips[i].clip_id for i in fold.test_clips]
                    for fold in folds_of[rung_name(n, steps)]
                ],
            }
            for n, steps in RUNGS
        },
        "minutes": round(minutes, 1),
        "workers": asked.workers,
        "torch": torch.__version__,
        "processor": platform.machine(),
        "date": time.strftime("%Y-%m-%d"),
    }
    text = np.array(json.dumps(about))
    np.savez_compressed(asked.out, allow_pickle=False, about=text, **arrays)
    print(f"{asked.out}: {len(settings)} configurations in {minutes:.1f} min", file=sys.stderr)


if __name__ == "__main__":
    main()
