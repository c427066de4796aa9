"""A study as plain records: what its folder holds, which reports and projections read.

`search/study_file.py` reads it from disk. Pure: no Ray, torch, MLflow, clock or disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Literal

import numpy as np

from dianet_ray.artefacts import Duplicate, Objective, Protocol, Recipe, Record
from dianet_ray.options import SearchOptions
from dianet_ray.protocol.folds import Clip, Fold, folds_at, pair_rung
from dianet_ray.protocol.ladder import Ladder
from dianet_ray.protocol.results import Training
from dianet_ray.settings import Settings, SpaceIdentity

State = Literal["running", "waiting", "complete", "screened", "dropped", "failed", "lost"]
"""A configuration's state in the study. `waiting`: it finished a rung and may still be promoted.
`screened`: it finished a rung and was not promoted. `complete`: it finished LOSO."""


@dataclass(frozen=True, slots=True)
class Identity(Record):
    """What identifies a study: a command that differs in any of it is refused.

    `images` is the hash of IMAGES, `classes` the name of the label set and `labels` its mapping
    from the sheet's labels to classes. Threads are part of it because the order of sums, and so
    their rounding, depends on them.
    """

    images: str
    classes: str
    labels: dict[str, str]
    space: SpaceIdentity
    ladder: Ladder
    protocol: Protocol
    objective: Objective
    seed: int
    wave_size: int
    threads_per_training: int


@dataclass(frozen=True, slots=True)
class Origin(Record):
    """What else was recorded when the study was made; resuming compares none of it.

    `apex` is the rule that gave IMAGES their apexes. `prepare` left `n_left_out` clips out.
    `n_unlabelled` clips have a label that is in no class; `other_labels` counts these labels and
    `dropped_labels` says why a label has no class. In the study's order,
    `fingerprints` are those by which `predict` recognises a clip, and `image_hashes` those of all
    its images.
    """

    dataset: str
    images_path: str
    recipe: Recipe
    apex: str
    n_left_out: int
    n_unlabelled: int
    other_labels: dict[str, int]
    dropped_labels: dict[str, str]
    duplicates: tuple[Duplicate, ...]
    fingerprints: tuple[str, ...]
    image_hashes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Configuration:
    """The settings of one draw; numbered from 0 in drawing order."""

    number: int
    config_id: str
    settings: Settings
    wave: int


@dataclass(frozen=True, slots=True)
class DriverEnvironment(Record):
    """What a driver ran with; `n_configs` is the number of configurations that was asked for."""

    n_configs: int
    dianet_ray: str
    python: str
    ray: str
    torch: str
    optuna: str
    host: str
    cpus_per_trial: float
    gpus_per_trial: float
    options: SearchOptions


@dataclass(frozen=True, slots=True)
class Span:
    """One driver's time on the study, from its start record to its stop or last record.

    At its start `n_workers` trials fitted on the cluster. Each of `changes` is a moment (seconds
    since the epoch) and how many fitted from then on, as nodes came and went.
    """

    started_at: float
    stopped_at: float
    n_workers: int
    environment: DriverEnvironment
    changes: tuple[tuple[float, int], ...] = ()

    def worker_seconds(self, start: float, end: float) -> float:
        """Return the workers' summed time between two moments, in seconds."""
        moments = [(start, self.n_workers), *self.changes]
        clipped = [(min(max(at, start), end), n) for at, n in moments]
        ends = [at for at, _ in clipped[1:]] + [end]
        return sum(n * (until - at) for (at, n), until in zip(clipped, ends, strict=True))


@dataclass(frozen=True, slots=True)
class Asked(Record):
    """What a command asked for: configurations, and budgets that may end the drawing early."""

    configs: int
    max_trainings: int | None = None
    max_hours: float | None = None


@dataclass(frozen=True, slots=True)
class EndOfDrawing(Record):
    """How drawing ended: after `n_configs` configurations, why, and what was asked for then."""

    n_configs: int
    reason: str
    asked: Asked


@dataclass(frozen=True, slots=True)
class Study:
    """Everything known about a study; `trainings` holds the latest of each (number, rung, fold).

    No decision reads the other two: `repeats` holds LOSO trainings with other seeds, and `pairs`
    those of a nested study that hold out two subjects.
    `rungs` are the folds of each rung, the last one LOSO. Drawing ends after `n_configs`
    configurations (None: after those that are drawn). A block holds `block` trainings at most;
    None before any was formed.
    """

    name: str
    identity: Identity
    origin: Origin
    clips: tuple[Clip, ...]
    classes: tuple[str, ...]
    rungs: tuple[tuple[Fold, ...], ...]
    configurations: tuple[Configuration, ...]
    trainings: dict[tuple[int, int, int], Training]
    spans: tuple[Span, ...]
    n_configs: int | None = None
    end_of_drawing: EndOfDrawing | None = None
    block: int | None = None
    repeats: dict[tuple[int, int, int], Training] = field(default_factory=dict)
    pairs: dict[tuple[int, int, int], Training] = field(default_factory=dict)

    @property
    def folds(self) -> tuple[Fold, ...]:
        """The LOSO folds."""
        return self.rungs[-1]

    @property
    def loso_rung(self) -> int:
        """The number of the LOSO rung, the last one."""
        return len(self.rungs) - 1

    @property
    def ladder(self) -> Ladder:
        """The rungs that configurations are promoted through."""
        return self.identity.ladder

    @property
    def objective(self) -> Objective:
        """The metric that ranks configurations."""
        return self.identity.objective

    def folds_of(self, rung: int) -> tuple[Fold, ...]:
        """Return the folds of a rung, of a repeat, or of pairs."""
        return folds_at(self.rungs, rung)

    def seed_of(self, training: Training) -> int:
        """Number the repeat of LOSO that a training belongs to, from 1; 0 for LOSO itself."""
        return training.rung - self.loso_rung

    def known_of(self, rung: int) -> dict[tuple[int, int, int], Training]:
        """Return what holds the trainings of a rung, of a repeat, or of pairs."""
        if rung <= self.loso_rung:
            return self.trainings
        return self.repeats if rung < pair_rung(self.rungs) else self.pairs

    def all_trainings(self) -> Iterator[Training]:
        """Go through all trainings, those after the search included."""
        return chain(self.trainings.values(), self.repeats.values(), self.pairs.values())

    def of(self, number: int, rung: int | None = None) -> list[Training]:
        """List a configuration's finished trainings in a rung (default: LOSO), in fold order."""
        rung = self.loso_rung if rung is None else rung
        known = self.known_of(rung)
        found = (known.get((number, rung, fold.index)) for fold in self.folds_of(rung))
        return [training for training in found if training is not None]

    def labels(self) -> np.ndarray:
        """Return the true class of every clip, (clips,) int64."""
        return np.array([clip.label for clip in self.clips], dtype=np.int64)

    def points(self, number: int, rung: int | None = None) -> tuple[int, ...]:
        """List the steps at which a configuration was shown in a rung (default: LOSO), rising."""
        return tuple(point.steps for point in self.of(number, rung)[0].points)

    def pooled(self, number: int, rung: int | None = None, steps: int | None = None) -> np.ndarray:
        """Pool the held-out probabilities of a finished rung (default: LOSO).

        Args:
            number: the configuration.
            rung: the rung.
            steps: one of its points; by default the end of its trainings.

        Returns:
            (clips, classes) float32, in the study's clip order; NaN for clips not tested yet.
        """
        out = np.full((len(self.clips), len(self.classes)), np.nan, dtype=np.float32)
        for training in self.of(number, rung):
            fold = self.folds_of(training.rung)[training.fold]
            if training.points:
                point = training.points[-1] if steps is None else training.at(steps)
                out[list(fold.test_clips)] = point.probabilities
        return out


def new_study(
    name: str,
    *,
    identity: Identity,
    origin: Origin,
    clips: tuple[Clip, ...],
    classes: tuple[str, ...],
) -> Study:
    """Make a study in which nothing is drawn yet; its identity and clips give its folds.

    Raises:
        InputError: too few subjects for a class or a rung.
    """
    return Study(
        name=name,
        identity=identity,
        origin=origin,
        clips=clips,
        classes=classes,
        rungs=tuple(rung.folds(clips, classes, identity.seed) for rung in identity.ladder),
        configurations=(),
        trainings={},
        spans=(),
    )
