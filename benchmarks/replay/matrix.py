"""A recorded fold matrix: what every configuration predicted and cost, by rung and fold.

A file is one compressed npz of plain arrays and a JSON text. `record.py` makes it from real
trainings; `generator.py` makes matrices like it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dianet_ray.protocol.folds import Clip, Fold
from dianet_ray.protocol.metrics import scores


@dataclass(frozen=True, slots=True)
class Partition:
    """One recorded rung: its folds, `probabilities` (K, N, C) float32 and `seconds` (K, folds)."""

    folds: tuple[Fold, ...]
    steps: float
    probabilities: np.ndarray
    seconds: np.ndarray


@dataclass(frozen=True, slots=True)
class Matrix:
    """K configurations on N clips; the last partition of `rungs` is LOSO.

    `rungs` is named by groups and share of the steps (`groups-3 x 0.5`, `loso`). `truth` is the
    UF1 of every configuration on a large fresh test set of the same generator, (K,) in 0..1.
    """

    name: str
    clips: tuple[Clip, ...]
    classes: tuple[str, ...]
    rungs: dict[str, Partition]
    truth: np.ndarray
    about: dict[str, Any]

    @property
    def n_configs(self) -> int:
        """How many configurations are recorded."""
        return len(self.truth)


def rung_name(groups: int | None, steps: float) -> str:
    """Name a recorded rung.

    >>> rung_name(3, 0.5), rung_name(None, 1.0)
    ('groups-3 x 0.5', 'loso')
    """
    return "loso" if groups is None else f"groups-{groups} x {steps:g}"


def load(path: Path) -> Matrix:
    """Read a recorded matrix."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files}
    about = json.loads(str(arrays["about"]))
    clips = tuple(Clip(*clip) for clip in about.pop("clips"))
    place = {clip.clip_id: index for index, clip in enumerate(clips)}
    rungs = {}
    for name, described in about.pop("rungs").items():
        folds = tuple(
            Fold(i, tuple(sorted({clips[place[c]].subject for c in held})), _places(held, place))
            for i, held in enumerate(described["folds"])
        )
        rungs[name] = Partition(
            folds=folds,
            steps=described["steps"],
            probabilities=arrays[f"probabilities {name}"].astype(np.float32),
            seconds=arrays[f"seconds {name}"].astype(np.float64),
        )
    truth = scores(arrays["fresh"].astype(np.int64))["uf1"].mean(axis=1)
    classes = tuple(about.pop("classes"))
    return Matrix(path.stem, clips, classes, rungs, truth, about)


def _places(held: list[str], place: dict[str, int]) -> tuple[int, ...]:
    return tuple(place[clip_id] for clip_id in held)
