"""What a fault may cost, counted: pure, from the trainings' own log, the ledger and the faults.

A training is in flight from its start until its record is durable. A fault may cost those that
were in flight on what it took away; a fault that ends the driver also those that had finished but
waited for the ledger, which is flushed every two seconds. Anything else that ran more than once
is lost beyond those in flight.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dianet_ray.search.ledger import FLUSH_AFTER_S

STEP_S = 1.0
"""How much later than due a flush may be: Tune's loop, on a busy machine."""

HANDED_OVER_S = 0.5
"""How long after its end a training's result may still be on its way out of its worker."""

Record = dict[str, Any]
Key = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run of one training on one worker; `ended_at` is None where the worker died in it."""

    number: int
    fold: int
    pid: int
    started_at: float
    ended_at: float | None

    @property
    def key(self) -> Key:
        """The training that it is an attempt of."""
        return self.number, self.fold


@dataclass(slots=True)
class Window:
    """A fault: when, which processes it ended or cut off (None: all), and the driver's fate."""

    started_at: float
    ended_at: float
    pids: frozenset[int] | None
    has_ended_driver: bool = False

    def excuses(self, attempt: Attempt) -> bool:
        """Whether the attempt was in flight on what the fault took away."""
        if self.pids is not None and attempt.pid not in self.pids:
            return False
        slack_s = FLUSH_AFTER_S + STEP_S if self.has_ended_driver else HANDED_OVER_S
        is_in_time = attempt.ended_at is None or attempt.ended_at >= self.started_at - slack_s
        return attempt.started_at <= self.ended_at and is_in_time


def read_attempts(folder: Path) -> list[Attempt]:
    """Read the log of every worker (`tests.support.logged`), in the order of starts."""
    found = []
    for file in folder.glob("*.jsonl"):
        begun: Record | None = None
        for line in file.read_text().splitlines():
            event = json.loads(line)
            if begun is not None:
                ended_at = None if event["event"] == "start" else event["at"]
                found.append(_attempt(begun, ended_at))
            begun = event if event["event"] == "start" else None
        if begun is not None:
            found.append(_attempt(begun, None))
    return sorted(found, key=lambda attempt: attempt.started_at)


def _attempt(begun: Record, ended_at: float | None) -> Attempt:
    return Attempt(begun["number"], begun["fold"], begun["pid"], begun["at"], ended_at)


def running(folder: Path) -> list[Attempt]:
    """List the attempts whose end is not logged."""
    return [attempt for attempt in read_attempts(folder) if attempt.ended_at is None]


def wasted(attempts: Sequence[Attempt], trainings: Iterable[Record]) -> list[Attempt]:
    """List the attempts that are not the one that a training's first record came from."""
    recorded: dict[Key, float] = {}
    for record in trainings:
        recorded.setdefault((record["number"], record["fold"]), record["started_at"])
    return [one for one in attempts if not _is_source(one, recorded.get(one.key))]


def _is_source(attempt: Attempt, started_at: float | None) -> bool:
    if started_at is None or attempt.ended_at is None:
        return False
    return attempt.started_at <= started_at <= attempt.ended_at


def judge(
    attempts: Sequence[Attempt], records: Sequence[Record], windows: Sequence[Window]
) -> dict[str, int]:
    """Count what was repeated and lost, and records that are doubled.

    A training that ran again after the attempt that was recorded is lost whatever the fault.
    """
    trainings = [record for record in records if record["kind"] == "training"]
    sources = {(r["number"], r["fold"]): r["finished_at"] for r in reversed(trainings)}
    n_lost = n_repeated = 0
    for attempt in wasted(attempts, trainings):
        is_late = attempt.started_at > sources.get(attempt.key, float("inf"))
        if is_late or not any(window.excuses(attempt) for window in windows):
            n_lost += 1
        else:
            n_repeated += 1
    times = Counter((record["number"], record["fold"]) for record in trainings)
    return {
        "n_repeated": n_repeated,
        "n_lost": n_lost,
        "n_doubled": sum(n - 1 for n in times.values()),
    }


def n_wrong(records: Sequence[Record], reference: Sequence[Record]) -> int:
    """Count draws and trainings that differ from the undisturbed study's, missing ones too."""
    ours, theirs = _content(records), _content(reference)
    return sum(ours.get(key) != theirs.get(key) for key in {*ours, *theirs})


def _content(records: Sequence[Record]) -> dict[Any, Any]:
    """Keep of each record what no timing may change."""
    content: dict[Any, Any] = {}
    for record in records:
        if record["kind"] == "wave":
            content["wave", record["wave"]] = record["settings"]
        elif record["kind"] == "training":
            kept = {"config_id", "rung", "outcome", "probabilities", "history", "weights"}
            key = ("training", record["number"], record["fold"])
            content[key] = {name: record[name] for name in kept}
    return content
