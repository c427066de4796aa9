"""What a fault may cost, counted: pure, from the trainings' own log, the ledger and the faults.

A training is in flight from its start until its record is durable. A fault may cost the trainings
that were in flight on what it took away. A fault that ends the driver may also cost trainings that
had finished and waited for the ledger, which is flushed every two seconds. Every other attempt
whose result is not in the ledger counts as lost.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dianet_ray.artefacts import LoggedStep
from dianet_ray.protocol.results import Outcome, Training, Weights
from dianet_ray.protocol.schedule import Key
from dianet_ray.search.events import Event, TrainingEnded, WaveDrawn
from dianet_ray.search.ledger import FLUSH_AFTER_S
from dianet_ray.settings import Settings

STEP_S = 1.0
"""How much later than due a flush may be, because Tune's loop is slow on a busy machine."""

HANDED_OVER_S = 0.5
"""How long after a training's end its result may still be on its way out of the worker."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run of one training on one worker; `ended_at` is None where the worker died in it.

    `pid` is the worker's process; times are seconds since the epoch.
    """

    number: int
    rung: int
    fold: int
    pid: int
    started_at: float
    ended_at: float | None

    @property
    def key(self) -> Key:
        """The training that it is an attempt of: number, rung and fold."""
        return self.number, self.rung, self.fold


@dataclass(slots=True)
class Window:
    """A fault: how long it lasted, the processes that it ended or cut off, the driver's fate.

    `pids` of None are all processes. Times are seconds since the epoch.
    """

    started_at: float
    ended_at: float
    pids: frozenset[int] | None
    has_ended_driver: bool = False

    def excuses(self, attempt: Attempt) -> bool:
        """Say whether the attempt was in flight on what the fault took away."""
        if self.pids is not None and attempt.pid not in self.pids:
            return False
        slack_s = FLUSH_AFTER_S + STEP_S if self.has_ended_driver else HANDED_OVER_S
        is_in_time = attempt.ended_at is None or attempt.ended_at >= self.started_at - slack_s
        return attempt.started_at <= self.ended_at and is_in_time


def read_attempts(folder: Path) -> list[Attempt]:
    """Read the log of every worker (`tests.support.logged`), in the order of starts."""
    found = []
    for file in folder.glob("*.jsonl"):
        begun: dict[str, Any] | None = None
        for line in file.read_text().splitlines():
            event = json.loads(line)
            if begun is not None:
                ended_at = None if event["event"] == "start" else event["at"]
                found.append(_attempt(begun, ended_at))
            begun = event if event["event"] == "start" else None
        if begun is not None:
            found.append(_attempt(begun, None))
    return sorted(found, key=lambda attempt: attempt.started_at)


def _attempt(begun: dict[str, Any], ended_at: float | None) -> Attempt:
    training = begun["number"], begun["rung"], begun["fold"]
    return Attempt(*training, pid=begun["pid"], started_at=begun["at"], ended_at=ended_at)


def running(folder: Path) -> list[Attempt]:
    """List the attempts whose end is not logged."""
    return [attempt for attempt in read_attempts(folder) if attempt.ended_at is None]


def wasted(attempts: Sequence[Attempt], trainings: Iterable[Training]) -> list[Attempt]:
    """List the attempts that are not the one that a training's first record came from."""
    recorded: dict[Key, float] = {}
    for training in trainings:
        recorded.setdefault(training.key, training.result.started_at)
    return [one for one in attempts if not _is_source(one, recorded.get(one.key))]


def _is_source(attempt: Attempt, started_at: float | None) -> bool:
    if started_at is None or attempt.ended_at is None:
        return False
    return attempt.started_at <= started_at <= attempt.ended_at


@dataclass(frozen=True, slots=True)
class Cost:
    """What faults cost: attempts that they excuse, attempts that nothing excuses, double records.

    A training that ran again after the attempt that was recorded is lost whatever the fault.
    """

    n_repeated: int
    n_lost: int
    n_doubled: int


def cost(attempts: Sequence[Attempt], events: Iterable[Event], windows: Sequence[Window]) -> Cost:
    """Count what faults cost."""
    trainings = [event.training for event in events if isinstance(event, TrainingEnded)]
    recorded_at = {t.key: t.result.finished_at for t in reversed(trainings)}
    n_lost = n_repeated = 0
    for attempt in wasted(attempts, trainings):
        is_late = attempt.started_at > recorded_at.get(attempt.key, float("inf"))
        if is_late or not any(window.excuses(attempt) for window in windows):
            n_lost += 1
        else:
            n_repeated += 1
    times = Counter(training.key for training in trainings)
    return Cost(n_repeated, n_lost, n_doubled=sum(n - 1 for n in times.values()))


def n_wrong(events: Iterable[Event], reference: Iterable[Event]) -> int:
    """Count draws and trainings that differ from the undisturbed study's, missing ones too."""
    mine, wanted = _Content.of(events), _Content.of(reference)
    return _n_different(mine.waves, wanted.waves) + _n_different(mine.trainings, wanted.trainings)


def _n_different(mine: Mapping[Any, Any], wanted: Mapping[Any, Any]) -> int:
    return sum(mine.get(key) != wanted.get(key) for key in {*mine, *wanted})


@dataclass(frozen=True, slots=True)
class _Timeless:
    """What no timing may change of a training; probabilities are the arrays' bytes."""

    config_id: str
    outcome: Outcome
    points: tuple[tuple[int, bytes, Weights | None], ...]
    history: tuple[LoggedStep, ...]

    @classmethod
    def of(cls, training: Training) -> _Timeless:
        result = training.result
        return cls(
            training.config_id,
            result.outcome,
            tuple((one.steps, one.probabilities.tobytes(), one.weights) for one in result.points),
            result.history,
        )


@dataclass(frozen=True, slots=True)
class _Content:
    """The settings that each wave drew, and what each training gave."""

    waves: dict[int, tuple[Settings, ...]]
    trainings: dict[Key, _Timeless]

    @classmethod
    def of(cls, events: Iterable[Event]) -> _Content:
        found = cls({}, {})
        for event in events:
            match event:
                case WaveDrawn():
                    # A second event for a wave adds to it.
                    before = found.waves.get(event.wave, ())
                    found.waves[event.wave] = before + event.settings
                case TrainingEnded(training=training):
                    found.trainings[training.key] = _Timeless.of(training)
        return found
