"""What is known of a study, as plain records: the view that reports and projections read.

`search/ledger.py` makes it from disk. Pure: no Ray, torch, MLflow, clock or disk.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from dianet_ray.settings import Settings

Outcome = Literal["ok", "failed", "lost"]
State = Literal["running", "complete", "failed", "lost"]


@dataclass(frozen=True, slots=True)
class Clip:
    """One annotated clip; `label` indexes the study's classes."""

    clip_id: str
    subject: str
    label: int


@dataclass(frozen=True, slots=True)
class Fold:
    """Subjects held out together, and the indices of their clips in the study's clip order."""

    index: int
    test_subjects: tuple[str, ...]
    test_clips: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Configuration:
    """One drawn settings; numbered from 0 in drawing order."""

    number: int
    config_id: str
    settings: Settings
    wave: int


@dataclass(frozen=True, slots=True)
class Weights:
    """A file of fold weights: path relative to STUDY, size and checksum."""

    path: str
    n_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Training:
    """One fit of one settings on one fold, as the ledger records it.

    `probabilities` is (clips of the fold, classes) float32 in the fold's clip order, None unless
    the outcome is ok. `history` holds one dict per logged step (step, loss, accuracy,
    learning_rate). Times are seconds since the epoch.
    """

    number: int
    config_id: str
    rung: int
    fold: int
    outcome: Outcome
    attempt: int
    seconds: float
    started_at: float
    finished_at: float
    probabilities: np.ndarray | None = None
    history: tuple[dict[str, float], ...] = ()
    weights: Weights | None = None
    error: str = ""
    environment: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Span:
    """One driver's time on the study, from its start record to its stop or last record.

    `n_workers` trials fitted at its start; `changes` holds when (seconds since the epoch) how many
    fitted then, as nodes came and went.
    """

    started_at: float
    stopped_at: float
    n_workers: int
    environment: dict[str, Any] = field(default_factory=dict)
    changes: tuple[tuple[float, int], ...] = ()

    def worker_seconds(self, start: float, end: float) -> float:
        """Sum the workers' time between two moments.

        >>> Span(0.0, 9.0, 2, {}, ((4.0, 1), (6.0, 3))).worker_seconds(1.0, 8.0)
        14.0
        """
        moments = [(start, self.n_workers), *self.changes]
        clipped = [(min(max(at, start), end), n) for at, n in moments]
        ends = [at for at, _ in clipped[1:]] + [end]
        return sum(n * (until - at) for (at, n), until in zip(clipped, ends, strict=True))


@dataclass(frozen=True, slots=True)
class Study:
    """Everything known of a study; `trainings` holds the latest record per (number, fold).

    `identity` is what makes it this study (images hash, classes, space, protocol, objective,
    seed, wave size, threads per training); `about` is what else was true when it was made
    (data set, IMAGES path, images.json, what was left out).
    """

    name: str
    identity: dict[str, Any]
    about: dict[str, Any]
    clips: tuple[Clip, ...]
    classes: tuple[str, ...]
    folds: tuple[Fold, ...]
    configurations: tuple[Configuration, ...]
    trainings: dict[tuple[int, int], Training]
    spans: tuple[Span, ...]

    @property
    def objective(self) -> str:
        """The metric that ranks configurations."""
        return str(self.identity["objective"])

    def of(self, number: int) -> list[Training]:
        """List the finished trainings of a configuration in fold order."""
        found = (self.trainings.get((number, fold.index)) for fold in self.folds)
        return [training for training in found if training is not None]

    def state(self, number: int) -> State:
        """Say where a configuration stands; one failed or lost fold decides it."""
        outcomes = [training.outcome for training in self.of(number)]
        if "failed" in outcomes:
            return "failed"
        if "lost" in outcomes:
            return "lost"
        return "complete" if len(outcomes) == len(self.folds) else "running"

    def complete(self) -> list[Configuration]:
        """List the configurations whose every fold finished, in number order."""
        return [c for c in self.configurations if self.state(c.number) == "complete"]

    def labels(self) -> np.ndarray:
        """Return the true class of every clip, (clips,) int64."""
        return np.array([clip.label for clip in self.clips], dtype=np.int64)

    def pooled(self, number: int) -> np.ndarray:
        """Pool a complete configuration's held-out probabilities: (clips, classes) float32."""
        out = np.full((len(self.clips), len(self.classes)), np.nan, dtype=np.float32)
        for training in self.of(number):
            fold = self.folds[training.fold]
            out[list(fold.test_clips)] = training.probabilities
        return out
