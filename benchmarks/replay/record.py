"""Record a fold matrix from real trainings: the settings of replay/space.yaml on synthetic data.

Every configuration is trained on every fold of LOSO and on two partitions into three groups of
subjects, and is read at several points. Each LOSO model also predicts 1,000 fresh clips, which
measures how good the configuration really is. An interrupted command keeps what it has trained;
the same command goes on from there.

    python -m benchmarks.replay.record OUT.npz --seed 0 --classes casme2:5|FILE [--configs 64]
"""

from __future__ import annotations

import argparse
import json
import math
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
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.arrays import make_arrays
from benchmarks.replay.matrix import LOSO, SHARES
from dianet_ray.datasets.label_sets import label_set
from dianet_ray.model.fit import LabelledImages, Member, fit
from dianet_ray.processors import processors
from dianet_ray.progress import Progress
from dianet_ray.protocol.folds import Clip, Fold, groups, loso
from dianet_ray.protocol.metrics import confusion
from dianet_ray.search.draw import draw
from dianet_ray.search.space_file import load_space
from dianet_ray.settings import Settings, config_id, derive_seed
from dianet_ray.synth.planning import SynthOptions

IMAGE_SIZE = 32
N_FRESH_SUBJECTS, N_FRESH_CLIPS = 104, 1000
N_GROUPS, N_PARTITIONS = 3, 2


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
    settings = _settings(asked)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _make_data(folder, asked)
        started_at = time.perf_counter()
        _record_missing(folder, asked, settings)
        minutes = (time.perf_counter() - started_at) / 60
        _join(asked, read_data(folder / "known", asked.classes), settings, minutes)
    shutil.rmtree(parts)


def _make_data(folder: Path, asked: argparse.Namespace) -> None:
    """Write the clips to train on, and the fresh ones that measure the truth."""
    fresh = SynthOptions(
        n_subjects=N_FRESH_SUBJECTS,
        n_clips=N_FRESH_CLIPS,
        seed=derive_seed(asked.seed, "fresh") % 10**6,
    )
    for which, options in (("known", SynthOptions(seed=asked.seed)), ("fresh", fresh)):
        (folder / which).mkdir()
        make_arrays(folder / which, options, n_workers=asked.workers, image_size=IMAGE_SIZE)


def _record_missing(folder: Path, asked: argparse.Namespace, settings: list[Settings]) -> None:
    """Train the configurations that have no part yet."""
    parts = asked.out.with_suffix(".parts")
    waiting = [i for i in range(len(settings)) if not (parts / f"{i:03d}.npz").exists()]
    jobs = [(folder, asked, parts / f"{i:03d}.npz", settings[i]) for i in waiting]
    with (
        Progress("record", len(jobs), unit="configurations") as progress,
        ProcessPoolExecutor(asked.workers, mp_context=get_context("spawn")) as pool,
    ):
        for _ in pool.map(_record, jobs):
            progress.advance()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--classes", default="casme2:5")
    parser.add_argument("--configs", type=int, default=64)
    parser.add_argument("--workers", type=int, default=processors().n)
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
    """Make the folds of every recorded partition, by its name; LOSO is the last one."""
    names = label_set(classes, "casme2").classes
    found = {
        f"groups {k}": groups(clips, names, derive_seed(seed, "partition", k), N_GROUPS)
        for k in range(N_PARTITIONS)
    }
    return {**found, LOSO: loso(clips, names, seed)}


def _record(job: tuple[Path, argparse.Namespace, Path, Settings]) -> None:
    """Train one configuration on everything and write its part."""
    folder, asked, path, settings = job
    torch.set_num_threads(1)
    data = _together(folder, asked.classes)
    written: dict[str, np.ndarray] = {}
    for name, folds in partitions(data.clips, asked.classes, asked.seed).items():
        seeds = [derive_seed(asked.seed, config_id(settings), name, fold.index) for fold in folds]
        used = _with_points(settings, name)
        found = _train_partition(data, used, folds, seeds=seeds, is_loso=name == LOSO)
        written[f"probabilities {name}"] = found.probabilities
        written[f"seconds {name}"] = found.seconds
        if name == LOSO:
            written["fresh"] = found.fresh
    with (path.with_suffix(".new")).open("wb") as file:
        np.savez(file, allow_pickle=False, **written)
    path.with_suffix(".new").rename(path)


def _with_points(settings: Settings, partition: str) -> Settings:
    """Show a training in groups more often: a rung with a quarter of the steps has points too."""
    n_more = 0 if partition == LOSO else round(math.log2(1 / min(SHARES)))
    return settings.model_copy(update={"points": settings.points + n_more})


def _together(folder: Path, classes: str) -> Data:
    """Put the images and labels of the fresh clips behind the known ones, whose clips are kept."""
    known, fresh = (read_data(folder / which, classes) for which in ("known", "fresh"))
    return Data(
        known.clips,
        np.concatenate([known.images, fresh.images]),
        np.concatenate([known.labels, fresh.labels]),
    )


class _Made(NamedTuple):
    """What the trainings of one partition gave.

    `probabilities` are (points, known clips, C) float16, `seconds` (folds,) float32 and `fresh`
    the confusions on the fresh clips, (points, folds, C, C) int16; zeros for groups.
    """

    probabilities: np.ndarray
    seconds: np.ndarray
    fresh: np.ndarray


def _train_partition(
    data: Data, settings: Settings, folds: Sequence[Fold], *, seeds: Sequence[int], is_loso: bool
) -> _Made:
    """Train every fold; LOSO models predict the fresh clips, too."""
    n_known, n_classes = len(data.clips), int(data.labels.max()) + 1
    known, fresh = np.arange(n_known), np.arange(n_known, len(data.labels))
    clips = LabelledImages(data.images, data.labels, n_classes)
    tests = [np.array(fold.test_clips) for fold in folds]
    members = [
        Member(
            train=np.setdiff1d(known, test),
            test=np.concatenate([test, fresh]) if is_loso else test,
            seed=seed,
        )
        for test, seed in zip(tests, seeds, strict=True)
    ]
    shape = (settings.points, n_known, n_classes)
    probabilities = np.full(shape, np.nan, dtype=np.float16)
    seconds: list[float] = []
    counts: list[np.ndarray] = []
    for test, member in zip(tests, members, strict=True):
        started_at = time.process_time()  # of one thread: other work beside it does not count
        (fitted,) = fit(settings, clips, [member])
        seconds.append(time.process_time() - started_at)
        shown = np.stack([one.probabilities for one in fitted.shown])
        probabilities[:, test] = shown[:, : len(test)]
        predicted = shown[:, len(test) :].argmax(axis=-1)
        true = data.labels[fresh] if is_loso else data.labels[:0]
        counts.append(confusion(true, predicted, n_classes))
    return _Made(
        probabilities,
        np.array(seconds, dtype=np.float32),
        np.stack(counts, axis=1).astype(np.int16),
    )


def _join(
    asked: argparse.Namespace, known: Data, settings: list[Settings], minutes: float
) -> None:
    """Join the parts of all configurations to one compressed file."""
    parts = asked.out.with_suffix(".parts")
    found = [np.load(parts / f"{i:03d}.npz", allow_pickle=False) for i in range(len(settings))]
    arrays = {key: np.stack([one[key] for one in found]) for key in found[0].files}
    text = np.array(json.dumps(_about(asked, known, settings, minutes)))
    np.savez_compressed(asked.out, allow_pickle=False, about=text, **arrays)
    print(f"{asked.out}: {len(settings)} configurations in {minutes:.1f} min", file=sys.stderr)


def _about(
    asked: argparse.Namespace, known: Data, settings: list[Settings], minutes: float
) -> dict[str, Any]:
    """Describe the matrix, as `matrix.load` reads it."""
    folds_of = partitions(known.clips, asked.classes, asked.seed)
    return {
        "seed": asked.seed,
        "label_set": asked.classes,
        "image_size": IMAGE_SIZE,
        "classes": label_set(asked.classes, "casme2").classes,
        "clips": [[clip.clip_id, clip.subject, clip.label] for clip in known.clips],
        "settings": [one.model_dump() for one in settings],
        "partitions": {
            name: {
                "points": _with_points(settings[0], name).shown_at,
                "folds": [[known.clips[i].clip_id for i in fold.test_clips] for fold in folds],
            }
            for name, folds in folds_of.items()
        },
        "minutes": round(minutes, 1),
        "workers": asked.workers,
        "torch": torch.__version__,
        "processor": platform.machine(),
        "date": time.strftime("%Y-%m-%d"),
    }


if __name__ == "__main__":
    main()
