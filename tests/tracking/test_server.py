"""The same against a real MLflow server, which takes its time to start."""

import os
import socket
import subprocess
import sys
import time

import pytest

from dianet_ray.artefacts import fold_file
from dianet_ray.errors import InputError
from dianet_ray.tracking import store
from dianet_ray.tracking.download import download_model
from dianet_ray.tracking.projection import Projection
from dianet_ray.tracking.quiet import QUIET
from dianet_ray.tracking.thread import ProjectionThread
from tests.support.mlflow_tree import dump_tree

pytestmark = [
    pytest.mark.mlflow,
    pytest.mark.slow,
    pytest.mark.usefixtures("empty_working_directory"),
]


@pytest.fixture
def server(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--workers", "1"]
    command += ["--port", str(port), "--backend-store-uri", f"sqlite:///{tmp_path}/server.db"]
    command += ["--artifacts-destination", f"{tmp_path}/server-artifacts"]
    environment = {**os.environ, **QUIET, "PYTHONWARNINGS": "ignore"}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        yield process, f"http://127.0.0.1:{port}"
        process.terminate()


def connected(process, uri):
    while True:
        try:
            return store.connect(uri)
        except InputError:
            if process.poll() is not None:
                raise
            time.sleep(0.5)


def test_a_server_gets_the_tree_that_a_file_gets_and_nothing_is_printed(
    made, server, tmp_path, capfd
):
    process, uri = server
    remote = connected(process, uri)
    capfd.readouterr()
    for client in (remote, made.client):
        Projection(client, made.name, made.path).finish(made.standing, made.card)
    tree = dump_tree(remote, made.name)
    assert tree == dump_tree(made.client, made.name)
    Projection(remote, made.name, made.path).finish(made.standing, made.card)
    assert dump_tree(remote, made.name) == tree  # also where a server names the places of files
    (tmp_path / "fetched").mkdir()
    model = download_model(remote, f"dianet-{made.name}-3@champion", tmp_path / "fetched")
    assert (model / fold_file(0)).exists()
    assert capfd.readouterr() == ("", "")
    process.terminate()
    process.wait()
    writer = ProjectionThread(lambda: Projection(store.connect(uri), "other", made.path))
    assert not writer.close(made.study, timeout_s=600)  # longer than the test's limit: at once
