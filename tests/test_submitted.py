"""A search submitted to a cluster of two nodes gives the local run's ledger and champion."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dianet_ray.search.study_view import load_study
from tests.images import write_images
from tests.search.test_searcher import decisions

pytestmark = [pytest.mark.ray, pytest.mark.timeout(400)]
ROOT = Path(__file__).parent.parent
SEARCH = ["--space", "quick", "--configs", "2", "--set", "steps=4"]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def spawn(environment, log, *words):
    with log.open("ab") as output:
        return subprocess.Popen(
            [str(Path(sys.executable).with_name("ray")), *map(str, words)],
            env=environment,
            cwd="/",
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


@pytest.fixture
def cluster(tmp_path_factory):
    """A head and one more node, one CPU each, token authentication on; ended by process group."""
    folder = tmp_path_factory.mktemp("c")
    log = folder / "ray.log"
    gcs, dashboard = free_port(), free_port()
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
    }
    ports = ["--port", gcs, "--dashboard-host", "127.0.0.1", "--dashboard-port", dashboard]
    common = ["--num-cpus", "1", "--block", "--disable-usage-stats"]

    def agent():
        """Give a node's job agent a port of its own: Ray's default is one for the whole host."""
        return ["--dashboard-agent-listen-port", free_port()]

    started = [
        spawn(
            environment,
            log,
            *("start", "--head", *ports, *agent(), *common, "--temp-dir", folder / "t"),
        )
    ]
    try:
        ready = ["status", "--address", f"127.0.0.1:{gcs}"]
        wait_for(environment, log, ready, "1.0 CPU")
        # In the head's folder its agent would delete the head's unpacked working directory.
        join = ["start", "--address", f"127.0.0.1:{gcs}", "--temp-dir", folder / "u"]
        started.append(spawn(environment, log, *join, *agent(), *common))
        wait_for(environment, log, ready, "2.0 CPU")
        yield f"http://127.0.0.1:{dashboard}", environment
    finally:
        for process in reversed(started):
            os.killpg(process.pid, signal.SIGKILL)  # its whole node: nothing of it is kept
            process.wait(timeout=60)


def wait_for(environment, log, words, text, timeout_s=90):
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        ray = str(Path(sys.executable).with_name("ray"))
        found = subprocess.run([ray, *words], env=environment, capture_output=True, text=True)
        if text in found.stdout:
            return
        time.sleep(1)
    pytest.fail(f"no {text!r} in: {found.stdout}{found.stderr}\n{log.read_text()}")


def test_a_submitted_search_equals_a_local_one(cluster, tmp_path):
    images = write_images(tmp_path / "images")
    here = [sys.executable, "-m", "dianet_ray", "search", images, tmp_path / "here", *SEARCH]
    subprocess.run([str(word) for word in here], check=True, cwd=ROOT)
    jobs, environment = cluster
    entry = ["python", "-m", "dianet_ray", "search", images, tmp_path / "there", *SEARCH]
    submit = [Path(sys.executable).with_name("ray"), "job", "submit", "--address", jobs]
    for _ in range(30):  # the head's job agent comes up a little later than the head
        submitted = subprocess.run(
            [str(word) for word in [*submit, "--working-dir", ROOT, "--", *entry]],
            env=environment,
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
        if "No available agent" not in submitted.stderr:
            break
        time.sleep(1)
    assert submitted.returncode == 0, submitted.stdout + submitted.stderr
    local, remote = load_study(tmp_path / "here"), load_study(tmp_path / "there")
    assert decisions(remote) == decisions(local)
    assert remote.spans[0].n_workers == 2
    assert {key: t.weights.sha256 for key, t in remote.trainings.items()} == {
        key: t.weights.sha256 for key, t in local.trainings.items()
    }
