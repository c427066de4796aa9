"""The laws of the fault benchmark: each one notices when it is broken."""

import json

import numpy as np
import pytest

from benchmarks.injection.laws import Attempt, Cost, Window, cost, n_wrong, read_attempts
from dianet_ray.protocol.results import Point, Training, TrainingResult
from dianet_ray.search.events import TrainingEnded, WaveDrawn
from dianet_ray.settings import Settings


def ended(fold, started_at, finished_at, *, rung=0, outcome="ok", probability=1.0):
    predictions = np.full((1, 1), probability, dtype=np.float32)
    result = TrainingResult(outcome, started_at, finished_at, (Point(1, predictions),))
    return TrainingEnded(Training(0, "0", rung, fold, 1, result))


def attempt(pid, started_at, ended_at, *, rung=0, fold=0):
    return Attempt(0, rung, fold, pid=pid, started_at=started_at, ended_at=ended_at)


FIRST = attempt(7, 10.0, None)
AGAIN = attempt(8, 12.0, 13.0)
EVENTS = [ended(0, 12.1, 12.9)]
KILLED = Window(11.0, 11.0, frozenset({7}))


@pytest.mark.parametrize(
    ("attempts", "windows", "n_repeated", "n_lost"),
    [
        ([AGAIN], [], 0, 0),
        ([FIRST, AGAIN], [KILLED], 1, 0),
        ([FIRST, AGAIN], [], 0, 1),
        # another process was killed
        ([FIRST, AGAIN], [Window(11.0, 11.0, frozenset({9}))], 0, 1),
        # it began after the fault
        ([FIRST, AGAIN], [Window(9.0, 9.0, None)], 0, 1),
        # finished within the time that a flush may wait, and a killed driver lost it
        ([attempt(7, 8.0, 9.0), AGAIN], [Window(11.0, 11.0, None, True)], 1, 0),
        # the same, but long before
        ([attempt(7, 4.0, 5.0), AGAIN], [Window(11.0, 11.0, None, True)], 0, 1),
        # the driver lived and had the result
        ([attempt(7, 8.0, 9.0), AGAIN], [KILLED], 0, 1),
        # recorded, and trained again
        ([AGAIN, attempt(7, 14.0, 15.0)], [Window(0.0, 99.0, None, True)], 0, 1),
    ],
)
def test_a_training_is_lost_unless_a_fault_met_it_in_flight(attempts, windows, n_repeated, n_lost):
    assert cost(attempts, EVENTS, windows) == Cost(n_repeated, n_lost, n_doubled=0)


def test_a_training_that_is_recorded_twice_is_counted():
    assert cost([AGAIN], EVENTS * 2, []) == Cost(0, 0, n_doubled=1)


def test_the_same_fold_number_in_another_rung_is_another_training():
    attempts = [attempt(7, 10.0, 11.0), attempt(7, 12.0, 13.0, rung=1)]
    events = [ended(0, 10.1, 10.9), ended(0, 12.1, 12.9, rung=1)]
    assert cost(attempts, events, []) == Cost(0, 0, n_doubled=0)
    assert cost(attempts, events[:1], []) == Cost(0, n_lost=1, n_doubled=0)
    assert n_wrong(events, events[:1]) == 1


@pytest.mark.parametrize(
    "events",
    [
        [],
        [ended(0, 1.0, 2.0, probability=0.5)],
        [ended(0, 1.0, 2.0, outcome="lost")],
        [*EVENTS, ended(1, 1.0, 2.0)],
        [*EVENTS, WaveDrawn(0.0, 0, (Settings(),))],
    ],
)
def test_an_event_that_differs_is_counted(events):
    assert n_wrong(events, EVENTS) == 1


def test_times_and_how_a_wave_was_written_may_differ():
    assert n_wrong([ended(0, 3.0, 4.0)], EVENTS) == 0
    one, other = Settings(), Settings(steps=7)
    halves = [WaveDrawn(0.0, 0, (one,)), WaveDrawn(5.0, 0, (other,))]
    assert n_wrong(halves, [WaveDrawn(1.0, 0, (one, other))]) == 0
    assert n_wrong(halves[:1], [WaveDrawn(1.0, 0, (one, other))]) == 1


def test_the_log_of_a_worker_that_died_ends_with_a_start(tmp_path):
    names = ("event", "number", "rung", "fold", "attempt", "pid", "node", "at")
    lines = [
        ("start", 0, 1, 0, 1, 7, "", 1.0),
        ("end", 0, 1, 0, 1, 7, "", 2.0),
        ("start", 0, 1, 1, 1, 7, "", 3.0),
    ]
    text = "".join(json.dumps(dict(zip(names, line, strict=True))) + "\n" for line in lines)
    (tmp_path / "7.jsonl").write_text(text)
    assert read_attempts(tmp_path) == [
        attempt(7, 1.0, 2.0, rung=1),
        attempt(7, 3.0, None, rung=1, fold=1),
    ]
