"""Killing the driver for real: the same command again gives what no kill would have given."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from dianet_ray.search.ledger import read_records
from dianet_ray.search.study_view import load_study
from dianet_ray.tracking.store import connect, default_uri
from tests.images import write_images
from tests.search.test_searcher import decisions
from tests.tracking.tree import dump_tree

pytestmark = [pytest.mark.ray, pytest.mark.timeout(400)]
N_CONFIGS = 14  # TPE draws at random before it has seen ten


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("data") / "images")


def start(images, study, n_workers, seconds="0.05"):
    command = [sys.executable, "-m", "tests.search.run_fake", images, study, N_CONFIGS, n_workers]
    return subprocess.Popen(
        [str(word) for word in command],
        env={**os.environ, "FAKE_SECONDS": seconds, "PYTHONPATH": os.getcwd()},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process):
    _, stderr = process.communicate(timeout=200)
    assert process.returncode == 0, stderr


@pytest.fixture(scope="module")
def whole(images, tmp_path_factory):
    """The study that one worker makes without interruption."""
    path = tmp_path_factory.mktemp("whole") / "study"
    finish(start(images, path, 1))
    return path


def n_recorded(study):
    return sum(record["kind"] == "training" for record in read_records(study))


def kill_after(process, study, n):
    """Kill the driver, and its Ray with it, once n trainings are recorded."""
    while process.poll() is None:
        if (study / "ledger").exists() and n_recorded(study) >= n:
            os.kill(process.pid, signal.SIGKILL)
            break
        time.sleep(0.05)
    process.communicate()
    return n_recorded(study)


def check_equal(path, whole):
    assert decisions(load_study(path)) == decisions(load_study(whole))
    records = list(read_records(path))
    done = [(r["number"], r["rung"], r["fold"]) for r in records if r["kind"] == "training"]
    assert len(done) == len(set(done)), "a recorded training was repeated"
    assert not [r for r in records if r["kind"] == "weights"], "weights were made again"
    trees = [dump_tree(connect(default_uri(study)), "dianet-ray") for study in (path, whole)]
    assert trees[0] == trees[1]


def test_a_driver_killed_in_the_middle_resumes_to_the_same_study(images, whole, tmp_path):
    path = tmp_path / "study"
    n_before = kill_after(start(images, path, 2), path, 25)
    assert 25 <= n_before < N_CONFIGS * 4
    finish(start(images, path, 2))
    check_equal(path, whole)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_kills_at_many_random_moments_change_nothing(images, whole, tmp_path):
    path, rng = tmp_path / "study", random.Random(0)
    for _ in range(6):
        process = start(images, path, rng.choice([1, 2]))
        time.sleep(rng.uniform(1, 30))
        process.kill()
        process.communicate()
    finish(start(images, path, 2))
    check_equal(path, whole)
