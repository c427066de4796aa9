"""Paired trainings on generated data sets of three sizes: who is better on the same subjects.

`schedules.py` and `ablation.py` train the same folds in several ways; a part is one fold with one
seed, and holds the predictions of all of them. Parts are kept, so a command goes on where it
was interrupted. Scores are UF1 of the pooled predictions in points, and differences are paired
over subjects.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from benchmarks.arrays import make_arrays
from benchmarks.replay.record import Data, read_data
from dianet_ray.model.fit import LabelledImages, Member
from dianet_ray.processors import processors
from dianet_ray.progress import Progress
from dianet_ray.protocol.folds import groups
from dianet_ray.protocol.metrics import scores
from dianet_ray.settings import derive_seed
from dianet_ray.synth.planning import SynthOptions

CLASSES = "casme2:5"
DATA_SETS = {12: 115, 26: 250, 68: 650}
"""Subjects and clips of the data sets. The number of subjects is added to their seed."""
N_GROUPS = 3
N_REPLICATES = 1000

Predictions = dict[str, np.ndarray]
"""By name: the probabilities of a fold's held-out clips, (m, classes) float32."""

Counts = dict[str, np.ndarray]
"""By name: pooled predictions counted by subject, (seeds, S, C, C)."""


@dataclass(frozen=True)
class Job:
    """One fold of a data set with one seed; `kind` names the script."""

    folder: Path
    kind: str
    n_subjects: int
    seed: int
    fold: int

    @property
    def path(self) -> Path:
        """The file of its predictions."""
        return self.folder / self.kind / f"{self.n_subjects}-{self.seed}-{self.fold}.npz"

    def data(self) -> Data:
        """Read the clips of the data set."""
        return read_data(self.folder / str(self.n_subjects), CLASSES)

    def held_out(self, data: Data) -> np.ndarray:
        """Return the positions of the fold's test clips."""
        names = [str(k) for k in range(int(data.labels.max()) + 1)]
        return np.array(groups(data.clips, names, 0, N_GROUPS)[self.fold].test_clips)


Train = Callable[[LabelledImages, Member], Predictions]
"""Trains one fold in several ways."""


@dataclass(frozen=True)
class Asked:
    """The command line that both scripts share."""

    folder: Path
    workers: int
    seeds: int
    image_size: int
    subjects: list[int]
    data_seed: int


def asked(parser: argparse.ArgumentParser) -> tuple[Asked, argparse.Namespace]:
    """Read the command line; what it has beside the shared options is the script's own."""
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, default=processors().n)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument(
        "--subjects", type=int, nargs="+", choices=DATA_SETS, default=list(DATA_SETS)
    )
    parser.add_argument(
        "--data-seed", type=int, default=0, help="another one: other people, in another FOLDER"
    )
    found = parser.parse_args()
    shared = (found.folder, found.workers, found.seeds, found.image_size, found.subjects)
    return Asked(*shared, found.data_seed), found


def run(given: Asked, kind: str, train: Train) -> dict[int, Counts]:
    """Make the data, train what has no part yet, and count predictions by number of subjects."""
    (given.folder / kind).mkdir(parents=True, exist_ok=True)
    for n_subjects in given.subjects:
        place = given.folder / str(n_subjects)
        if not (place / "subjects.npy").exists():
            place.mkdir(exist_ok=True)
            n_clips = DATA_SETS[n_subjects]
            seed = n_subjects + given.data_seed
            options = SynthOptions(n_subjects=n_subjects, n_clips=n_clips, seed=seed)
            make_arrays(place, options, n_workers=given.workers, image_size=given.image_size)
    every = itertools.product(range(given.seeds), given.subjects, range(N_GROUPS))
    jobs = [Job(given.folder, kind, n, seed, fold) for seed, n, fold in every]
    waiting = [job for job in jobs if not job.path.exists()]
    with (
        Progress(kind, len(waiting), unit="folds") as progress,
        ProcessPoolExecutor(given.workers, mp_context=get_context("spawn")) as pool,
    ):
        for _ in pool.map(partial(_train_fold, train=train), waiting):
            progress.advance()
    return {n: _counts([job for job in jobs if job.n_subjects == n]) for n in given.subjects}


def _train_fold(job: Job, train: Train) -> None:
    torch.set_num_threads(1)
    data = job.data()
    test = job.held_out(data)
    member = Member(
        np.setdiff1d(np.arange(len(data.clips)), test),
        test,
        derive_seed(job.seed, job.n_subjects, job.fold),
    )
    clips = LabelledImages(data.images, data.labels, int(data.labels.max()) + 1)
    with job.path.with_suffix(".new").open("wb") as file:
        np.savez(file, allow_pickle=False, **train(clips, member))
    job.path.with_suffix(".new").rename(job.path)


def _counts(jobs: list[Job]) -> Counts:
    data = jobs[0].data()
    subjects = sorted({clip.subject for clip in data.clips})
    place = np.array([subjects.index(clip.subject) for clip in data.clips])
    n_classes = int(data.labels.max()) + 1
    n_seeds = 1 + max(job.seed for job in jobs)
    counts: Counts = {}
    for job in jobs:
        test = job.held_out(data)
        with np.load(job.path) as found:
            for name in found.files:
                shape = (n_seeds, len(subjects), n_classes, n_classes)
                one = counts.setdefault(name, np.zeros(shape, dtype=np.int64))
                predicted = found[name].argmax(axis=1)
                np.add.at(one, (job.seed, place[test], data.labels[test], predicted), 1)
    return counts


def uf1(counts: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return the mean over seeds of the pooled UF1 of (seeds, S, C, C) counts, in points."""
    used = counts if weights is None else counts * weights[:, None, None]
    return float(100 * scores(used.sum(axis=1), present_only=True)["uf1"].mean())


@dataclass(frozen=True)
class Difference:
    """A mean over seeds of UF1 less another's in points, and its deviation over subjects."""

    mean: float
    deviation: float

    def __str__(self) -> str:
        return f"{self.mean:+.1f} ±{1.96 * self.deviation:.1f}"


def difference(counts: Mapping[str, np.ndarray], name: str, other: str) -> Difference:
    """Compare two ways on the same subjects."""
    mine, theirs = counts[name], counts[other]
    generator = np.random.default_rng(0)
    n_subjects = mine.shape[1]
    share = np.full(n_subjects, 1 / n_subjects)
    weights = generator.multinomial(n_subjects, share, size=N_REPLICATES)
    spread = [uf1(mine, one) - uf1(theirs, one) for one in weights]
    return Difference(uf1(mine) - uf1(theirs), float(np.std(spread)))


def joined(differences: list[Difference]) -> Difference:
    """Average over data sets, which have no subject in common."""
    n = len(differences)
    variance = sum(one.deviation**2 for one in differences) / n**2
    return Difference(sum(one.mean for one in differences) / n, variance**0.5)
