"""What a training gives: the record that a worker sends and the ledger keeps.

Pure: no Ray, torch, MLflow, clock or disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import PlainSerializer, PlainValidator

from dianet_ray.artefacts import LoggedStep, Record

Outcome = Literal["ok", "failed", "lost"]
"""`failed` by itself (an error, a loss that is not finite); `lost` with its worker."""


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


@dataclass(frozen=True, slots=True)
class WorkerEnvironment(Record):
    """What a training ran on. Two that differ here are equal only up to rounding.

    `device` is `cpu` or the GPU's name, `block` the number of trainings in one stack; `host`
    alone changes nothing.
    """

    device: str
    torch: str
    threads: int
    block: int
    host: str


@dataclass(frozen=True, slots=True)
class TrainingResult(Record):
    """What came of one training.

    `probabilities` are those of the held-out clips, in the fold's order; None unless the outcome
    is ok. `weights` are kept in the LOSO rung alone. `error` starts with one line that says what
    went wrong. Times are seconds since the epoch, by the worker's clock. A training that was lost
    has no environment.
    """

    outcome: Outcome
    started_at: float
    finished_at: float
    probabilities: Probabilities | None = None
    history: tuple[LoggedStep, ...] = ()
    weights: Weights | None = None
    error: str = ""
    environment: WorkerEnvironment | None = None

    @property
    def seconds(self) -> float:
        """How long the training took."""
        return self.finished_at - self.started_at


@dataclass(frozen=True, slots=True)
class Training(Record):
    """One fit of one settings on one fold of a rung, and what came of it.

    `number` is the configuration's, in drawing order; attempts count from 1.
    """

    number: int
    config_id: str
    rung: int
    fold: int
    attempt: int
    result: TrainingResult

    @property
    def key(self) -> tuple[int, int, int]:
        """Number, rung and fold."""
        return self.number, self.rung, self.fold

    @property
    def outcome(self) -> Outcome:
        """See `TrainingResult`."""
        return self.result.outcome

    @property
    def probabilities(self) -> np.ndarray:
        """The held-out probabilities of a training that succeeded, (clips, classes) float32."""
        assert self.result.probabilities is not None
        return self.result.probabilities

    @property
    def seconds(self) -> float:
        """How long the training took."""
        return self.result.seconds
