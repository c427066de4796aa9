"""The result of a training: the record that a worker sends and the ledger keeps.

Pure: no Ray, torch, MLflow, clock or disk.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import PlainSerializer, PlainValidator

from dianet_ray.artefacts import LoggedStep, Record

Outcome = Literal["ok", "failed", "lost"]
"""`failed`: by an error, by a loss that is not finite, or because it kills its workers.
`lost`: with its node."""


def _as_probabilities(values: Any) -> np.ndarray:
    try:
        found = np.asarray(values, dtype=np.float32)
    except TypeError as error:  # pydantic reports a ValueError with its place, and passes this on
        raise ValueError(str(error)) from None
    if found.ndim != 2:
        raise ValueError("probabilities are a list of rows, one per clip")
    return found


Probabilities = Annotated[
    np.ndarray, PlainValidator(_as_probabilities), PlainSerializer(np.ndarray.tolist)
]
"""(clips, classes) float32; JSON holds one list per clip."""


@dataclass(frozen=True, slots=True)
class Weights(Record):
    """A file of fold weights: path relative to STUDY, size in bytes, and checksum."""

    path: str
    n_bytes: int
    sha256: str

    def matches(self, content: bytes) -> bool:
        """Whether this is the content that was recorded."""
        return hashlib.sha256(content).hexdigest() == self.sha256


@dataclass(frozen=True, slots=True)
class Point(Record):
    """What a training shows after `steps` steps: what a training of so many steps would give.

    `probabilities` are of the held-out clips, in the fold's order. `weights` are kept only in the
    LOSO rung.
    """

    steps: int
    probabilities: Probabilities
    weights: Weights | None = None


@dataclass(frozen=True, slots=True)
class WorkerEnvironment(Record):
    """What a training ran on. Only trainings with equal environments are equal to the bit.

    `device` is `cpu` or the GPU's name, `block` the number of trainings in one stack. `host` does
    not matter for equality.
    """

    device: str
    torch: str
    threads: int
    block: int
    host: str


@dataclass(frozen=True, slots=True)
class Seen(Record):
    """What a training saw: hashes of the clips that it was trained on, and that tested it."""

    trained: str
    tested: str


@dataclass(frozen=True, slots=True)
class TrainingResult(Record):
    """The result of one training.

    `points` are in order of their steps, the last one the end; they and `seen` (see `leaks`) are
    there only if the outcome is ok. The first line of `error` says what went wrong. Times are
    seconds since the epoch, by the worker's clock. A training that was lost, or is a crash, has no
    environment: a crash is a failure that killed every worker that tried it.
    """

    outcome: Outcome
    started_at: float
    finished_at: float
    points: tuple[Point, ...] = ()
    history: tuple[LoggedStep, ...] = ()
    error: str = ""
    environment: WorkerEnvironment | None = None
    is_crash: bool = False
    seen: Seen | None = None

    @property
    def reason(self) -> str:
        """What went wrong, in one line."""
        return self.error.partition("\n")[0]

    @property
    def seconds(self) -> float:
        """The duration of the training; in a block, its share of the block's."""
        n_together = self.environment.block if self.environment else 1
        return (self.finished_at - self.started_at) / n_together


@dataclass(frozen=True, slots=True)
class Training(Record):
    """One training of a configuration, on one fold of a rung, with its result.

    `number` is the configuration's, in drawing order; attempts count from 1. `block` lists what
    was trained as one stack, by configuration and fold; it is empty for a training alone.
    """

    number: int
    config_id: str
    rung: int
    fold: int
    attempt: int
    result: TrainingResult
    block: tuple[tuple[int, int], ...] = ()

    @property
    def key(self) -> tuple[int, int, int]:
        """Number, rung and fold."""
        return self.number, self.rung, self.fold

    @property
    def outcome(self) -> Outcome:
        """The outcome of the result."""
        return self.result.outcome

    @property
    def points(self) -> tuple[Point, ...]:
        """What the training showed on its way; empty unless it succeeded."""
        return self.result.points

    def at(self, steps: int) -> Point:
        """Return what it showed after so many steps, one of the steps of its points."""
        return next(point for point in self.points if point.steps == steps)

    @property
    def seconds(self) -> float:
        """The duration of the training, or its share of its block's."""
        return self.result.seconds
