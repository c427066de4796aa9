"""Fixtures that the test tiers share."""

import logging
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import torch

from dianet_ray.storage.addresses import located

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
# Many of Ray's functions start a cluster when there is none; a test that means one says so.
os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"
torch.set_num_threads(1)
# What a machine shared with others does to one example's time is no law of ours.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def _outside_world(monkeypatch):
    """No test depends on the variables of the shell that runs it."""
    for name in (
        "RAY_ADDRESS",
        "RAY_JOB_CONFIG_JSON_ENV_VAR",
        "MLFLOW_TRACKING_URI",
        "MLFLOW_EXPERIMENT_NAME",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """An S3-compatible store in this process; the name of a bucket in it."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    values = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "someone",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    import s3fs

    s3fs.S3FileSystem().mkdir("bucket")
    yield "bucket"
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)
    server.stop()


@pytest.fixture
def s3(s3_server: str) -> Path:
    """A new folder's address in the store."""
    return located(f"s3://{s3_server}/{uuid.uuid4().hex}")


@pytest.fixture(params=["file", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A new folder, on the file system and in an object store."""
    if request.param == "file":
        return tmp_path
    return request.getfixturevalue("s3")


@pytest.fixture(scope="session")
def ray_local(s3_server: str) -> Iterator[None]:
    """One local Ray with two CPUs and two GPUs that exist in its books only.

    Its workers know the object store's address and credentials.
    """
    import ray

    ray.init(
        address="local",
        num_cpus=2,
        num_gpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        # Workers import the tests' own modules from the checkout.
        runtime_env={"env_vars": {"PYTHONPATH": os.getcwd()}},
    )
    yield
    ray.shutdown()
