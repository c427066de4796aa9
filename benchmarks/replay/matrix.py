"""A recorded fold matrix: what every configuration predicted and cost, by rung, point and fold.

A file is one compressed npz of plain arrays and a JSON text. `record.py` makes it from real
trainings; `generator.py` makes matrices like it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from dianet_ray.protocol.choosing import point_read
from dianet_ray.protocol.folds import Clip, Fold
from dianet_ray.protocol.metrics import scores
from dianet_ray.protocol.predictions import shares, subject_confusions
from dianet_ray.settings import Settings

SHARES = (0.25, 0.5, 1.0)
"""Shares of the steps for which rungs of groups can be replayed."""

LOSO = "loso"


@dataclass(frozen=True, slots=True)
class Partition:
    """One recorded rung: its folds, and what trainings of `points[-1]` steps showed.

    `points` are in steps, `probabilities` (K, P, N, C) float32, `seconds` (K, folds).
    """

    folds: tuple[Fold, ...]
    points: tuple[int, ...]
    probabilities: np.ndarray
    seconds: np.ndarray

    def shortened(self, share: float, n_points: int) -> Partition:
        """Return what trainings of a share of the steps would have shown, at up to n points."""
        steps = round(share * self.points[-1])
        wanted = sorted({round(steps / 2**k) for k in range(n_points)})
        kept = [self.points.index(point) for point in wanted if point in self.points]
        return Partition(
            self.folds,
            tuple(self.points[place] for place in kept),
            self.probabilities[:, kept],
            self.seconds * share,
        )

    def at_end(self) -> Partition:
        """Return the same rung with nothing shown before the end."""
        return replace(self, points=self.points[-1:], probabilities=self.probabilities[:, -1:])


@dataclass(frozen=True)
class Matrix:
    """K configurations on N clips; the last partition of `rungs` is LOSO.

    `rungs` is named by groups and share of the steps (`groups-3 x 0.5`, `loso`). `fresh` is the
    UF1 of every configuration at each point of LOSO on a large fresh test set, (K, P) in 0..1.
    """

    name: str
    clips: tuple[Clip, ...]
    classes: tuple[str, ...]
    rungs: dict[str, Partition]
    fresh: np.ndarray
    about: dict[str, Any]

    @property
    def n_configs(self) -> int:
        """How many configurations are recorded."""
        return len(self.fresh)

    @cached_property
    def truth(self) -> np.ndarray:
        """How good every configuration is at the point that its LOSO predictions choose, (K,)."""
        n_classes, read = len(self.classes), []
        for points in shares(self.rungs[LOSO].probabilities):
            counts = [subject_confusions(self.clips, one, n_classes)[1] for one in points]
            read.append(point_read(np.stack(counts), "uf1"))
        return self.fresh[np.arange(self.n_configs), read]


def rung_name(groups: int | None, steps: float) -> str:
    """Name a rung.

    >>> rung_name(3, 0.5), rung_name(None, 1.0)
    ('groups-3 x 0.5', 'loso')
    """
    return LOSO if groups is None else f"groups-{groups} x {steps:g}"


def load(path: Path) -> list[Matrix]:
    """Read what was recorded: a matrix for each partition into groups."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files}
    about = json.loads(str(arrays["about"]))
    clips = tuple(Clip(*clip) for clip in about.pop("clips"))
    classes = tuple(about.pop("classes"))
    fresh = scores(arrays["fresh"].astype(np.int64))["uf1"].mean(axis=2)  # (K, P, folds)
    n_points = Settings(**about["settings"][0]).points
    parts = {
        name: _partition(described, arrays, name, clips)
        for name, described in about.pop("partitions").items()
    }
    found = []
    for number in range(len(parts) - 1):
        whole = parts[f"groups {number}"]
        rungs = {
            rung_name(len(whole.folds), share): whole.shortened(share, n_points)
            for share in SHARES
        }
        name = f"{path.stem}-{number}"
        rungs[LOSO] = parts[LOSO]
        found.append(Matrix(name, clips, classes, rungs, fresh, about))
    return found


def _partition(
    described: dict[str, Any], arrays: dict[str, np.ndarray], name: str, clips: tuple[Clip, ...]
) -> Partition:
    place = {clip.clip_id: index for index, clip in enumerate(clips)}
    tests = [tuple(place[clip_id] for clip_id in held) for held in described["folds"]]
    folds = tuple(
        Fold(index, tuple(sorted({clips[c].subject for c in test})), test)
        for index, test in enumerate(tests)
    )
    return Partition(
        folds,
        tuple(described["points"]),
        arrays[f"probabilities {name}"].astype(np.float32),
        arrays[f"seconds {name}"].astype(np.float64),
    )
