"""The main job at real size: does a search beat the defaults that it began with?

Three generated data sets of 26 subjects, which differ in seed and number of clips, are each
searched with two seeds by the shipped command. The champion's fold models then predict about
1,000 fresh clips of other people, and so do those of the defaults, trained once for each data set
for one, two and four times their steps. All scores are UF1 in points. Studies are kept in FOLDER;
the same command goes on from there. `--start` says where the first draws lie: half of them around
the defaults, as shipped; all of them anywhere; or half around settings that are far from good
ones, in a space that does not know the defaults either. With `--null` labels mean nothing, and no
defaults are trained: what does the report say of such searches?

    python -m benchmarks.whole_search FOLDER [--workers 2] [--image-size 64] [--configs 32]
        [--start shipped|anywhere|far] [--null] [--set NAME=VALUE ...]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
import yaml

from benchmarks.replay.record import Data
from dianet_ray.artefacts import weights_path
from dianet_ray.datasets.label_sets import label_set
from dianet_ray.model.fit import LabelledImages, Member, fit, predict
from dianet_ray.model.weights import load_weights
from dianet_ray.prepare.images import load_images
from dianet_ray.processors import processors
from dianet_ray.progress import Progress
from dianet_ray.protocol.choosing import AHEAD_OF_FIRST, first_rule
from dianet_ray.protocol.folds import Clip, loso
from dianet_ray.protocol.metrics import confusion, scores
from dianet_ray.protocol.standing import Standing, standing_of
from dianet_ray.protocol.study import Configuration
from dianet_ray.search.study_file import load_study
from dianet_ray.settings import Settings, derive_seed

SPACES = Path(__file__).parents[1] / "search_spaces"
CLASSES = "casme2:5"
DATA_SETS = {101: 180, 102: 250, 103: 340}
"""Number of clips by seed; fewer clips are harder."""
N_SUBJECTS = 26
N_FRESH_SUBJECTS, N_FRESH_CLIPS = 104, 1000
STUDY_SEEDS = (0, 1)
Start = Literal["shipped", "anywhere", "far"]
FAR = {
    **{"learning_rate": 3e-4, "width": 8, "embedding": 32, "heads": 1, "fusion": "concat"},
    **{"normalisation": "minmax", "shift": 0.1, "flip": False, "dropout": 0.6, "erasing": 0.25},
}
"""Settings at bounds, and choices that do worse than the defaults."""
LONGER = (1, 2, 4)
COLUMNS = (
    *("data, study", "lead", "in errors", "LOSO", "corrected", "fresh"),
    *("first settings: LOSO", "fresh", "gain"),
)


@dataclass(frozen=True)
class Asked:
    """The command line."""

    folder: Path
    workers: int
    image_size: int
    start: Start
    configs: int
    null: bool
    set: list[str]

    def known(self, data_seed: int) -> str:
        """Name the clips of a data set that are searched."""
        return f"{'null' if self.null else 'known'}-{data_seed}"

    def fresh(self, data_seed: int) -> str:
        """Name the clips of other people."""
        return f"fresh-{self.known(data_seed)}"


@dataclass(frozen=True)
class Scored:
    """The fold models of one configuration: UF1 in points.

    `loso` is of held-out clips together, `fresh` the mean of the models on fresh clips, `pooled`
    of their predictions of fresh clips together.
    """

    loso: float
    fresh: float
    pooled: float

    @classmethod
    def of(cls, held_out: np.ndarray, fresh: Sequence[np.ndarray]) -> Scored:
        """Score confusion matrices: of the held-out clips, and each model's of fresh ones."""
        each = float(np.mean([_uf1(one) for one in fresh]))
        return cls(_uf1(held_out), each, _uf1(np.sum(fresh, axis=0)))


@dataclass(frozen=True)
class Found:
    """What a search found.

    `first` are the settings that it began with, None if the space names none. `lead` is how far
    the highest sum is ahead of them in LOSO by soft scores: points, standard errors.
    """

    champion: Scored
    corrected: float
    first: Scored | None
    lead: tuple[float, float]

    def gain(self) -> float:
        """Return what the search gained on fresh people: points."""
        return self.champion.fresh - self.first.fresh if self.first else float("nan")


def main() -> None:
    """Make the data, search, train the defaults, print."""
    asked = _arguments()
    for seed, n_clips in DATA_SETS.items():
        _make(asked, asked.known(seed), n_subjects=N_SUBJECTS, n_clips=n_clips, seed=seed)
        others = {"n_subjects": N_FRESH_SUBJECTS, "n_clips": N_FRESH_CLIPS}
        _make(asked, asked.fresh(seed), **others, seed=derive_seed(seed, "fresh") % 10**6)
    rows = []
    print(f"| {' | '.join(COLUMNS)} | the defaults, trained apart: LOSO, fresh |")
    for data_seed in DATA_SETS:
        trained = [] if asked.null else _defaults(asked, data_seed)
        for seed in STUDY_SEEDS:
            rows.append((f"{data_seed}, {seed}", _search(asked, data_seed, seed), trained))
            _print_row(*rows[-1])
    _print_means(rows)


def _arguments() -> Asked:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, default=processors().n)
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--start", choices=get_args(Start), default="shipped")
    parser.add_argument("--configs", type=int, default=32)
    parser.add_argument("--null", action="store_true")
    parser.add_argument("--set", action="append", default=[])
    return Asked(**vars(parser.parse_args()))


def _dianet_ray(*words: object) -> str:
    command = [sys.executable, "-m", "dianet_ray", *map(str, words)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def _make(asked: Asked, name: str, *, n_subjects: int, n_clips: int, seed: int) -> None:
    """Write a data set and its IMAGES, unless they are there."""
    data, images = asked.folder / f"data-{name}", asked.folder / name
    if (images / "images.json").exists():
        return
    size = ("--subjects", n_subjects, "--clips", n_clips, "--seed", seed)
    _dianet_ray("synth", data, *size, *(["--null"] if asked.null else []))
    _dianet_ray("prepare", "casme2", data, images, "--image-size", asked.image_size)


def _space(asked: Asked) -> str:
    """Write the shipped space with another start, and return its file or name."""
    if asked.start == "shipped":
        return "dianet"
    content = yaml.safe_load((SPACES / "dianet.yaml").read_text())
    if asked.start == "anywhere":
        content["prior"] = "none"
    else:
        del content["points"]
        content["around"] = FAR
    path = asked.folder / f"{asked.start}.yaml"
    path.write_text(yaml.safe_dump(content))
    return str(path)


@cache
def _load(images: Path) -> Data:
    found, labels = load_images(images), label_set(CLASSES, "casme2")
    names = [labels.class_of(*one) for one in zip(found.labels, found.subjects, strict=True)]
    used = [i for i, name in enumerate(names) if name is not None]
    clips = tuple(
        Clip(found.clip_ids[i], found.subjects[i], labels.classes.index(str(names[i])))
        for i in used
    )
    return Data(clips, found.images[used], np.array([clip.label for clip in clips]))


def _search(asked: Asked, data_seed: int, seed: int) -> Found:
    """Search, or go on, and measure the champion."""
    study_path = asked.folder / f"study-{asked.start}-{asked.known(data_seed)}-{seed}"
    given = [word for text in asked.set for word in ("--set", text)]
    started_at = time.perf_counter()
    _dianet_ray(
        *("search", asked.folder / asked.known(data_seed), study_path, "--space", _space(asked)),
        *("--configs", asked.configs, "--seed", seed, "--classes", CLASSES),
        *("--max-workers", asked.workers, "--repeats", 0, *given),
    )
    minutes = (time.perf_counter() - started_at) / 60
    report = json.loads(_dianet_ray("report", study_path, "--json"))
    champion = report["champion"]
    n_moved = {k: v for k, v in champion["settings"].items() if v != Settings().model_dump()[k]}
    print(
        f"study {data_seed}, {seed}: {minutes:.0f} min, {report['n_trainings']} trainings, "
        f"champion at {champion['steps']} steps: {n_moved}, p {report['chance']['uf1']['p']:.3f}, "
        f"above chance {champion['above_chance']['uf1']}",
        flush=True,
    )
    standing = standing_of(load_study(study_path))
    fresh = _load(asked.folder / asked.fresh(data_seed))
    first, best = standing.began_with(), standing.champion()
    assert best is not None, "a search that ends without an error has a champion"
    return Found(
        _scored(study_path, standing, best, fresh),
        100 * champion["corrected"]["uf1"]["estimate"],
        _scored(study_path, standing, first, fresh) if first else None,
        _lead(standing, first) if first else (float("nan"), float("nan")),
    )


def _scored(path: Path, standing: Standing, config: Configuration, fresh: Data) -> Scored:
    """Score the fold models of a study in `path` at the point where a configuration is read."""
    study, steps = standing.study, standing.steps_read(config.number)
    files = [
        path / weights_path(config.config_id, steps, fold.index)
        for fold in study.rungs[study.loso_rung]
    ]
    n_classes = len(study.classes)
    weights = [load_weights(file) for file in files]
    probabilities = predict(config.settings, weights, fresh.images, n_classes=n_classes)
    counts = [confusion(fresh.labels, one.argmax(axis=1), n_classes) for one in probabilities]
    return Scored.of(standing.confusions(config.number).sum(axis=0), counts)


def _lead(standing: Standing, first: Configuration) -> tuple[float, float]:
    """Compare the highest sum of the others with the first settings, in LOSO."""
    rung, objective = standing.study.loso_rung, standing.study.objective
    others = [c for c in standing.complete() if c != first]
    if not others:  # all of them were dropped or failed
        return float("nan"), float("nan")
    best = max(others, key=lambda c: standing.decisions.total(c.number, rung))
    counts = np.stack(
        [standing.shared(c.number, rung, standing.steps_read(c.number)) for c in (first, best)]
    )
    mine, theirs = scores(counts.sum(axis=1))[objective]
    error = first_rule(counts, objective, 0).least[1] / AHEAD_OF_FIRST
    return float(100 * (theirs - mine)), float((theirs - mine) / error)


def _uf1(counts: np.ndarray) -> float:
    return float(100 * scores(counts)["uf1"])


def _defaults(asked: Asked, data_seed: int) -> list[Scored]:
    """Train the defaults for one, two and four times their steps, unless that is done."""
    known = _load(asked.folder / asked.known(data_seed))
    folds = loso(known.clips, [str(k) for k in range(_n_classes(known))], data_seed)
    path = asked.folder / f"defaults-{data_seed}.npz"
    if not path.exists():
        train = partial(_train_fold, asked, data_seed)
        with (
            Progress(f"defaults {data_seed}", len(folds), unit="folds") as progress,
            ProcessPoolExecutor(asked.workers, mp_context=get_context("spawn")) as pool,
        ):
            made = []
            for one in pool.map(train, range(len(folds))):
                made.append(one)
                progress.advance()
        np.savez(path, allow_pickle=False, counts=np.array(made))
    with np.load(path) as file:
        counts = file["counts"]  # (folds, points, 2: held out and fresh, C, C)
    return [
        Scored.of(counts[:, point, 0].sum(axis=0), list(counts[:, point, 1]))
        for point in range(len(LONGER))
    ]


def _n_classes(data: Data) -> int:
    return int(data.labels.max()) + 1


def _train_fold(asked: Asked, data_seed: int, fold: int) -> np.ndarray:
    """Count what one fold's model predicts: (points, 2, C, C)."""
    torch.set_num_threads(1)
    names = asked.known(data_seed), asked.fresh(data_seed)
    known, fresh = (_load(asked.folder / name) for name in names)
    n_classes, n_known = _n_classes(known), len(known.clips)
    folds = loso(known.clips, [str(k) for k in range(n_classes)], data_seed)
    test = np.array(folds[fold].test_clips)
    longest = Settings().steps * LONGER[-1]
    settings = Settings(schedule="averaged", steps=longest, points=len(LONGER))
    labels = np.concatenate([known.labels, fresh.labels])
    clips = LabelledImages(np.concatenate([known.images, fresh.images]), labels, n_classes)
    tested = np.concatenate([test, np.arange(n_known, len(labels))])
    train = np.setdiff1d(np.arange(n_known), test)
    member = Member(train, tested, derive_seed("defaults", data_seed, fold))
    (fitted,) = fit(settings, clips, [member])
    counts = []
    for shown in fitted.shown:
        predicted = shown.probabilities.argmax(axis=1)
        both = slice(0, len(test)), slice(len(test), None)
        counts.append([confusion(labels[tested[s]], predicted[s], n_classes) for s in both])
    return np.array(counts)


Row = tuple[str, Found, list[Scored]]


def _cells(found: Found, trained: list[Scored]) -> list[float]:
    nan = float("nan")
    first = found.first or Scored(nan, nan, nan)
    champion = (found.champion.loso, found.corrected, found.champion.fresh)
    longer = (value for one in trained for value in (one.loso, one.fresh))
    return [*found.lead, *champion, first.loso, first.fresh, found.gain(), *longer]


def _print_row(name: str, found: Found, trained: list[Scored]) -> None:
    print(f"| {name} |", *(f"{cell:.1f} |" for cell in _cells(found, trained)), flush=True)


def _print_means(rows: list[Row]) -> None:
    columns = [_cells(found, trained) for _, found, trained in rows]
    print("| mean |", *(f"{cell:.1f} |" for cell in np.mean(columns, axis=0)))
    for place, times in enumerate(LONGER[: len(rows[0][2])]):
        gains = [found.champion.fresh - trained[place].fresh for _, found, trained in rows]
        print(
            f"champion less defaults with {times}x their steps, fresh: {np.mean(gains):+.1f} "
            f"({', '.join(f'{gain:+.1f}' for gain in gains)})"
        )
    errors = [found.corrected - found.champion.fresh for _, found, _ in rows]
    pooled = [found.corrected - found.champion.pooled for _, found, _ in rows]
    print(
        f"corrected less fresh: {np.mean(errors):+.1f}; less fresh with all models' predictions "
        f"together, as in LOSO: {np.mean(pooled):+.1f} ({', '.join(f'{e:+.1f}' for e in pooled)})"
    )


if __name__ == "__main__":
    main()
