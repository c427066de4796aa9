"""Kill the driver for real: the same command then gives what it gives without a kill."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from dianet_ray.search.events import TrainingEnded, WeightsMade
from dianet_ray.search.ledger import read_events
from dianet_ray.search.study_file import load_study
from dianet_ray.tracking.store import connect, default_uri
from tests.support.images import write_images
from tests.support.mlflow_tree import dump_tree
from tests.support.play import decisions

pytestmark = [
    pytest.mark.ray,
    pytest.mark.timeout(1200),
]  # guards against hanging: it starts three Rays
N_CONFIGS = 14  # TPE draws at random before it has seen ten
LADDER = "2*0.5"  # 14 x 2 groups, then 3 x LOSO of four subjects


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("data") / "images")


def start(images, study, n_workers, seconds="0.05"):
    command = [sys.executable, "-m", "tests.support.run_fake", images, study, N_CONFIGS, n_workers]
    command += ["--ladder", LADDER]
    return subprocess.Popen(
        [str(word) for word in command],
        env={**os.environ, "FAKE_SECONDS": seconds, "PYTHONPATH": os.getcwd()},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process):
    _, stderr = process.communicate()
    assert process.returncode == 0, stderr


@pytest.fixture(scope="module")
def whole(images, tmp_path_factory):
    """Make the study with one worker and without interruption."""
    path = tmp_path_factory.mktemp("whole") / "study"
    finish(start(images, path, 1))
    return path


def n_recorded(study):
    return sum(isinstance(event, TrainingEnded) for event in read_events(study))


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
    events = list(read_events(path))
    done = [event.training.key for event in events if isinstance(event, TrainingEnded)]
    assert len(done) == len(set(done)), "a recorded training was repeated"
    assert not [e for e in events if isinstance(e, WeightsMade)], "weights were made again"
    trees = [dump_tree(connect(default_uri(study)), "dianet-ray") for study in (path, whole)]
    assert trees[0] == trees[1]


def search_with_kills(images, path, n_kills, rng):
    """Kill drivers while they start, while they train and in between; then let one finish."""
    for i in range(n_kills):
        process = start(images, path, rng.choice([1, 2]))
        if i % 4 == 3:
            time.sleep(rng.uniform(1, 12))  # also before the first training
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
            continue
        n_before = n_recorded(path) if (path / "ledger").exists() else 0
        kill_after(process, path, n_before + rng.randint(1, 40 // n_kills))
    finish(start(images, path, 2))


def test_a_driver_that_is_killed_resumes_to_the_same_study(images, whole, tmp_path):
    path = tmp_path / "study"
    # Slowly, so that it has seconds of work left when it is killed.
    kill_after(start(images, path, 2, seconds="0.5"), path, 9)
    finish(start(images, path, 2))
    assert len(load_study(path).spans) == 2, "the driver was not killed"
    check_equal(path, whole)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_twenty_kills_at_random_moments_change_nothing(images, whole, tmp_path):
    path = tmp_path / "study"
    search_with_kills(images, path, 20, random.Random(1))
    check_equal(path, whole)
