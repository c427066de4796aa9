"""What a ledger holds: one typed event per line, and what a worker is asked and answers.

The ledger's events are the study's truth; `study_file` adds them up. Orders and answers travel
through Ray Tune as JSON text, because Tune flattens nested results:
docs/decisions.md: Results travel as JSON text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from dianet_ray.artefacts import Record, from_json, to_json
from dianet_ray.protocol.results import Training, TrainingResult, Weights
from dianet_ray.protocol.study import DriverEnvironment, EndOfDrawing
from dianet_ray.settings import Settings

Reason = Literal["done", "interrupted", "stopped", "error"]
"""Why a driver ended."""


@dataclass(frozen=True, slots=True)
class Started(Record):
    """A driver started; `n_configs` are to be drawn, as far as it knows."""

    at: float
    n_workers: int
    n_configs: int
    environment: DriverEnvironment
    kind: Literal["start"] = "start"


@dataclass(frozen=True, slots=True)
class WorkersChanged(Record):
    """So many trials fit from now on, as nodes came or went."""

    at: float
    n_workers: int
    kind: Literal["workers"] = "workers"


@dataclass(frozen=True, slots=True)
class WaveDrawn(Record):
    """The next configurations were drawn. A second one for a wave adds to it."""

    at: float
    wave: int
    settings: tuple[Settings, ...]
    kind: Literal["wave"] = "wave"


@dataclass(frozen=True, slots=True)
class TrainingEnded(Record):
    """A training ended."""

    training: Training
    kind: Literal["training"] = "training"

    @property
    def at(self) -> float:
        """When it ended, by the worker's clock."""
        return self.training.result.finished_at


@dataclass(frozen=True, slots=True)
class WeightsMade(Record):
    """A LOSO training whose weights were missing or damaged was repeated for the files.

    `weights` are those of each point, in order.
    """

    at: float
    number: int
    fold: int
    weights: tuple[Weights, ...]
    kind: Literal["weights"] = "weights"


@dataclass(frozen=True, slots=True)
class DrawingEnded(Record):
    """No further wave is drawn for what was asked."""

    at: float
    end: EndOfDrawing
    kind: Literal["end_of_drawing"] = "end_of_drawing"


@dataclass(frozen=True, slots=True)
class Ended(Record):
    """A driver ended by itself; one that was killed writes nothing."""

    at: float
    reason: Reason
    kind: Literal["stop"] = "stop"


@dataclass(frozen=True, slots=True)
class BlockSized(Record):
    """So many trainings form a block from now on, at most."""

    at: float
    block: int
    kind: Literal["block"] = "block"


Event = (
    BlockSized
    | Started
    | WorkersChanged
    | WaveDrawn
    | TrainingEnded
    | WeightsMade
    | DrawingEnded
    | Ended
)


@dataclass(frozen=True, slots=True)
class EventLine(Record):
    """One line of a ledger part."""

    # The kind decides which event is read, so that a message names what is wrong in that one.
    event: Annotated[Event, Field(discriminator="kind")]


@dataclass(frozen=True, slots=True)
class Member(Record):
    """A training of a block: a configuration and a fold.

    It keeps no weights where a block is trained again for those of others.
    """

    number: int
    config_id: str
    settings: Settings
    fold: int
    keeps_weights: bool = True


@dataclass(frozen=True, slots=True)
class Order(Record):
    """A block of trainings that a worker is asked for, and on what terms.

    `steps` is the share of the settings' steps. A worker that is silent for longer than
    `silence_s` seconds ends itself. `avoid` are the ids of nodes that must not get the order.
    """

    rung: int
    members: tuple[Member, ...]
    steps: float
    attempt: int
    silence_s: float
    avoid: tuple[str, ...] = ()

    @property
    def only(self) -> Member:
        """The member of a block of one."""
        (member,) = self.members
        return member

    def config(self) -> dict[str, str]:
        """Wrap the order as the configuration of a Tune trial."""
        return {"order": to_json(self)}


Report = dict[str, str | bool]
"""What a trial gives Tune: that it is done, and its answer as text."""


@dataclass(frozen=True, slots=True)
class Refusal(Record):
    """A node cannot take part, for a reason in one line. The order goes back unharmed."""

    node_id: str
    problem: str


@dataclass(frozen=True, slots=True)
class Waiting(Record):
    """A worker has trained and cannot write its files yet: where, and why in one line."""

    host: str
    reason: str


@dataclass(frozen=True, slots=True)
class Results(Record):
    """The results of a block's trainings, in the order of its members."""

    results: tuple[TrainingResult, ...]


@dataclass(frozen=True, slots=True)
class Unfit(Record):
    """The block cannot be trained as one stack; `is_memory`: it needs more than its GPU has."""

    error: str
    is_memory: bool


@dataclass(frozen=True, slots=True)
class Answer(Record):
    """What a worker sends for an order; it goes on as long as it sends that it is waiting."""

    content: Results | Refusal | Waiting | Unfit

    def report(self) -> Report:
        """Wrap the answer as a result of a Tune trial, its last one unless the worker waits."""
        return {"done": not isinstance(self.content, Waiting), "answer": to_json(self)}


def order_of(config: Mapping[str, str]) -> Order | None:
    """Read the order of a Tune trial; None for the one that Tune makes up to start with."""
    text = config.get("order")
    return None if text is None else from_json(Order, text, "an order")


def answer_of(
    result: Mapping[str, str | bool] | None,
) -> Results | Refusal | Waiting | Unfit | None:
    """Read what a worker sent; None when it died before it could."""
    if not result or "answer" not in result:
        return None
    return from_json(Answer, str(result["answer"]), "a worker's answer").content
