"""The fault benchmark's own laws: each one notices when it is broken."""

import json

import pytest

from benchmarks.injection.laws import Attempt, Window, judge, n_wrong, read_attempts


def record(number, fold, started_at, finished_at, **values):
    content = {"config_id": str(number), "rung": 0, "outcome": "ok"}
    content |= {"probabilities": [[1.0]], "history": [], "weights": None}
    times = {"started_at": started_at, "finished_at": finished_at}
    return {"kind": "training", "number": number, "fold": fold, **content, **times, **values}


FIRST = Attempt(0, 0, pid=7, started_at=10.0, ended_at=None)
AGAIN = Attempt(0, 0, pid=8, started_at=12.0, ended_at=13.0)
RECORDS = [record(0, 0, 12.1, 12.9)]
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
        ([Attempt(0, 0, 7, 8.0, 9.0), AGAIN], [Window(11.0, 11.0, None, True)], 1, 0),
        # the same, but long before
        ([Attempt(0, 0, 7, 4.0, 5.0), AGAIN], [Window(11.0, 11.0, None, True)], 0, 1),
        # the driver lived and had the result
        ([Attempt(0, 0, 7, 8.0, 9.0), AGAIN], [KILLED], 0, 1),
        # recorded, and trained again
        ([AGAIN, Attempt(0, 0, 7, 14.0, 15.0)], [Window(0.0, 99.0, None, True)], 0, 1),
    ],
)
def test_a_training_is_lost_unless_a_fault_met_it_in_flight(attempts, windows, n_repeated, n_lost):
    found = judge(attempts, RECORDS, windows)
    assert found == {"n_repeated": n_repeated, "n_lost": n_lost, "n_doubled": 0}


def test_a_record_that_is_there_twice_is_counted():
    assert judge([AGAIN], RECORDS * 2, [])["n_doubled"] == 1


@pytest.mark.parametrize(
    "ours",
    [
        [],
        [record(0, 0, 1.0, 2.0, probabilities=[[0.5]])],
        [record(0, 0, 1.0, 2.0, outcome="lost")],
        [*RECORDS, record(0, 1, 1.0, 2.0)],
        [*RECORDS, {"kind": "wave", "wave": 0, "settings": []}],
    ],
)
def test_a_record_that_differs_is_counted(ours):
    assert n_wrong(ours, RECORDS) == 1
    assert n_wrong([record(0, 0, 3.0, 4.0)], RECORDS) == 0  # times may differ


def test_the_log_of_a_worker_that_died_ends_with_a_start(tmp_path):
    names = ("event", "number", "fold", "attempt", "pid", "node", "at")
    lines = [
        ("start", 0, 0, 1, 7, "", 1.0),
        ("end", 0, 0, 1, 7, "", 2.0),
        ("start", 0, 1, 1, 7, "", 3.0),
    ]
    text = "".join(json.dumps(dict(zip(names, line, strict=True))) + "\n" for line in lines)
    (tmp_path / "7.jsonl").write_text(text)
    assert read_attempts(tmp_path) == [Attempt(0, 0, 7, 1.0, 2.0), Attempt(0, 1, 7, 3.0, None)]
