import logging
import subprocess
import sys
import threading
import time

import pytest

from dianet_ray.tracking import thread
from dianet_ray.tracking.projection import Projection
from dianet_ray.tracking.thread import ProjectionThread
from tests.support.mlflow_tree import dump_tree
from tests.support.studies import make_study


class Notes:
    """A store that takes notes, and is away for its first calls."""

    def __init__(self, n_failures=0):
        self.n_failures, self.n_made, self.updates = n_failures, 0, []
        self.is_open = threading.Event()
        self.is_open.set()

    def make(self):
        self.n_made += 1
        return self

    def update(self, standing):
        self.is_open.wait()
        if self.n_failures:
            self.n_failures -= 1
            raise OSError("gone\nfor a walk")
        self.updates.append(standing.study)


STUDIES = [make_study(4, 1, seed=seed) for seed in range(4)]


@pytest.fixture
def warnings(caplog):
    caplog.set_level(logging.WARNING)
    return lambda: [record.getMessage() for record in caplog.records]


def test_the_last_study_is_written(warnings):
    notes = Notes()
    writer = ProjectionThread(notes.make)
    for study in STUDIES:
        writer.submit(study)
    assert writer.close(STUDIES[-1])
    assert notes.updates[-1] is STUDIES[-1]
    assert warnings() == []


def test_submitting_never_waits_and_the_latest_study_wins():
    notes = Notes()
    notes.is_open.clear()
    writer = ProjectionThread(notes.make)
    for study in STUDIES:
        writer.submit(study)  # for ever, if it waited for the store
    notes.is_open.set()
    assert writer.close(STUDIES[-1])
    assert notes.updates[-1] is STUDIES[-1]
    assert len(notes.updates) <= 3


def test_a_store_that_is_away_for_a_while_costs_one_warning_and_loses_nothing(
    warnings, monkeypatch
):
    monkeypatch.setattr(thread, "FIRST_WAIT_S", 0.01)
    notes = Notes(n_failures=3)
    writer = ProjectionThread(notes.make)
    writer.submit(STUDIES[0])
    while not notes.updates:  # the test's limit ends it
        time.sleep(0.01)
    assert notes.updates == [STUDIES[0]]
    assert notes.n_made == 4  # a new projection after every failure
    assert writer.close(STUDIES[1])
    (warning,) = warnings()
    assert "gone for a walk" in warning
    assert "\n" not in warning


def test_a_store_that_stays_away_ends_with_one_warning_and_says_so(warnings):
    writer = ProjectionThread(Notes(n_failures=10**6).make)
    writer.submit(STUDIES[0])
    assert not writer.close(STUDIES[1])
    assert len(warnings()) == 1


def test_closing_does_not_wait_for_a_store_that_hangs(warnings):
    notes = Notes()
    notes.is_open.clear()
    writer = ProjectionThread(notes.make)
    assert not writer.close(STUDIES[0], timeout_s=0.1)
    assert len(warnings()) == 1
    notes.is_open.set()


@pytest.mark.mlflow
def test_a_real_projection_is_whole_when_the_thread_is_closed(made):
    writer = ProjectionThread(lambda: Projection(made.client, made.name, made.path))
    writer.submit(made.study)
    assert writer.close(made.study, timeout_s=300)
    found = dump_tree(made.client, made.name)
    Projection(made.client, f"{made.name}-at-once", made.path).update(made.standing)
    assert found == dump_tree(made.client, f"{made.name}-at-once")


def test_the_thread_and_the_check_of_a_file_import_no_mlflow():
    program = (
        "import sys, dianet_ray.tracking.thread; from dianet_ray.tracking import store; "
        "store.check_store('sqlite:////tmp/x.db'); sys.exit('mlflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
