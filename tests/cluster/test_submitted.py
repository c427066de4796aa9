"""A search submitted to a real cluster decides as a local one, though it loses a node."""

import subprocess
import sys
from contextlib import ExitStack

import pytest

from dianet_ray.cli import demo
from dianet_ray.search.events import TrainingEnded
from dianet_ray.search.ledger import read_events
from dianet_ray.search.study_file import load_study
from tests.support.clusters import ROOT, RealCluster
from tests.support.images import write_images
from tests.support.play import decisions

SMALL = ["--space", "quick", "--configs", "4", "--wave-size", "2", "--set", "steps=30"]
SMALL += ["--repeats", "0"]
DEMO = ["--space", "quick", "--configs", "4", "--wave-size", "2", "--strategy", "exhaustive"]
DEMO += ["--repeats", "0"]


def dianet_ray(*words, program=sys.executable):
    return [program, "-m", "dianet_ray", *(str(word) for word in words)]


def n_recorded(study):
    if not (study / "ledger").exists():
        return 0
    return sum(isinstance(event, TrainingEnded) for event in read_events(study))


def search_while_a_node_is_replaced(images, words, folder, n_before):
    """Search here, and on a cluster of which one of two nodes dies and another one joins.

    Returns:
        The two studies, and whether the node that joined late got a worker.
    """
    here, there = folder / "here", folder / "there"
    environment = {"MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'there.db'}"}
    with ExitStack() as ending:
        local = ending.enter_context(
            subprocess.Popen(
                dianet_ray("search", images, here, *words),
                cwd=ROOT,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        ending.callback(local.kill)
        cluster = ending.enter_context(RealCluster(environment=environment))
        dying, _ = cluster.add_node(), cluster.add_node()
        cluster.wait_for_cpus(2)
        job = cluster.submit(
            dianet_ray("search", images, there, *words, program="python"),
            environment={"PYTHONUNBUFFERED": "1"},
        )
        # The test's own limit guards against a hang; a busy machine is none.
        cluster.wait_for(lambda: n_recorded(there) >= n_before, timeout_s=1800)
        cluster.kill_node(dying)
        late = cluster.add_node()
        assert cluster.wait(job, timeout_s=900) == "SUCCEEDED", cluster.logs(job)
        has_late_worked = cluster.node_id(late) in cluster.nodes_of_actors()
        _, said = local.communicate()
        assert local.returncode == 0, said
    return load_study(here), load_study(there), has_late_worked


def check_equal(local, remote, path):
    assert decisions(remote) == decisions(local)
    assert weights(remote) == weights(local)
    assert remote.spans[0].n_workers == 2
    done = [e.training.key for e in read_events(path) if isinstance(e, TrainingEnded)]
    assert len(done) == len(set(done)) == len(local.trainings)


def weights(study):
    """The hash of each training's weights; only LOSO trainings keep any."""
    return {
        key: [point.weights and point.weights.sha256 for point in training.points]
        for key, training in study.trainings.items()
    }


@pytest.mark.ray
@pytest.mark.timeout(400)
def test_a_submitted_search_that_loses_a_node_equals_a_local_one(tmp_path):
    images = write_images(tmp_path / "images", n_subjects=6)  # with fewer there is no ladder
    local, remote, _ = search_while_a_node_is_replaced(images, SMALL, tmp_path, 5)
    check_equal(local, remote, tmp_path / "there")  # it may end before a late worker is up


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_demo_s_search_submitted_equals_a_local_one(tmp_path):
    data, images = tmp_path / "data", tmp_path / "images"
    size = ["--image-size", "96", "--frames", "24"]
    sizes = ["--subjects", demo.N_SUBJECTS, "--clips", demo.N_CLIPS, *size]
    for words in (["synth", data, *sizes], ["prepare", "casme2", data, images]):
        subprocess.run(dianet_ray(*words), check=True, cwd=ROOT)
    local, remote, has_late_worked = search_while_a_node_is_replaced(images, DEMO, tmp_path, 24)
    check_equal(local, remote, tmp_path / "there")
    assert has_late_worked
