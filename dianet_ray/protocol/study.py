"""What is known of a study, as plain records: the view that reports and projections read.

`search/ledger.py` makes it from disk. Pure: no Ray, torch, MLflow, clock or disk.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from dianet_ray.settings import Settings

Outcome = Literal["ok", "failed", "lost"]
RungState = Literal["running", "complete", "dropped", "failed", "lost"]
"""Where a configuration stands in one rung."""

State = Literal["running", "waiting", "complete", "screened", "dropped", "failed", "lost"]
"""Where it stands in the study: `waiting` has finished a rung and may still climb, `screened` has
finished one and was not promoted, `complete` has finished LOSO."""


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
    """Everything known of a study; `trainings` holds the latest record per (number, rung, fold).

    `identity` is what makes it this study (images hash, classes, space, ladder, protocol,
    objective, seed, wave size, threads per training); `about` is what else was true when it was
    made (data set, IMAGES path, images.json, what was left out). `rungs` are the folds of each
    rung, the last one LOSO. Drawing ends with `n_configs` configurations (None: with those that
    are drawn). `memo` is shared with what the study grows to, `cache` is its own.
    """

    name: str
    identity: dict[str, Any]
    about: dict[str, Any]
    clips: tuple[Clip, ...]
    classes: tuple[str, ...]
    rungs: tuple[tuple[Fold, ...], ...]
    configurations: tuple[Configuration, ...]
    trainings: dict[tuple[int, int, int], Training]
    spans: tuple[Span, ...]
    n_configs: int | None = None
    end_of_drawing: dict[str, Any] = field(default_factory=dict)
    memo: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)
    cache: dict[str, Any] = field(default_factory=dict, init=False, compare=False, repr=False)

    @property
    def folds(self) -> tuple[Fold, ...]:
        """The LOSO folds."""
        return self.rungs[-1]

    @property
    def loso_rung(self) -> int:
        """The number of the LOSO rung, the last one."""
        return len(self.rungs) - 1

    @property
    def objective(self) -> str:
        """The metric that ranks configurations."""
        return str(self.identity["objective"])

    def of(self, number: int, rung: int | None = None) -> list[Training]:
        """List the finished trainings of a configuration in a rung (LOSO), in fold order."""
        rung = self.loso_rung if rung is None else rung
        found = (self.trainings.get((number, rung, fold.index)) for fold in self.rungs[rung])
        return [training for training in found if training is not None]

    def labels(self) -> np.ndarray:
        """Return the true class of every clip, (clips,) int64."""
        return np.array([clip.label for clip in self.clips], dtype=np.int64)

    def pooled(self, number: int, rung: int | None = None) -> np.ndarray:
        """Pool the held-out probabilities of a finished rung (LOSO): (clips, classes) float32."""
        out = np.full((len(self.clips), len(self.classes)), np.nan, dtype=np.float32)
        for training in self.of(number, rung):
            fold = self.rungs[training.rung][training.fold]
            out[list(fold.test_clips)] = training.probabilities
        return out
