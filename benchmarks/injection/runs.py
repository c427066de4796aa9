"""One disturbed search: submitted, disturbed, ended or resumed, and compared with another.

The bench owns what runs share: a cluster of a head and two workers, the images, and what an
undisturbed search on one machine left.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.injection.laws import Window, cost, n_wrong, read_attempts, running
from benchmarks.injection.services import Mount, Server, mlflow_server, s3_server
from dianet_ray.protocol.standing import standing_of
from dianet_ray.search.events import Event
from dianet_ray.search.ledger import read_events
from dianet_ray.search.retention import damaged_weights
from dianet_ray.search.study_file import load_study
from dianet_ray.storage.addresses import located
from dianet_ray.tracking.store import connect
from tests.support.clusters import ROOT, RealCluster
from tests.support.images import write_images
from tests.support.mlflow_tree import dump_tree
from tests.support.play import Decided, decisions

N_CONFIGS, N_FOLDS, N_NODES = 14, 4, 2
SECONDS = 0.3
EXPERIMENT = "dianet-ray"
BUCKET = "studies"
N_KEPT = 3
LONGEST_S = 300.0
MOST_RESUMES = 3
S3_ACCESS = {
    "AWS_ACCESS_KEY_ID": "nobody",
    "AWS_SECRET_ACCESS_KEY": "nothing",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@dataclass(frozen=True, slots=True)
class Truth:
    """What the undisturbed search on one machine left."""

    events: list[Event]
    decisions: Decided
    tree: dict[str, Any]


class Bench:
    """The cluster, its services and the reference; services start when a run first needs them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.images = write_images(folder / "images", n_subjects=N_FOLDS)
        self._cluster: RealCluster | None = None
        self.s3: Server | None = None

    @property
    def cluster(self) -> RealCluster:
        """The cluster, made whole again: one node is added for each that a run took."""
        if self._cluster is None:
            self._cluster = RealCluster()
            self._cluster.__enter__()
        missing = N_NODES - len(self._cluster.nodes)
        if missing:
            for _ in range(missing):
                self._cluster.add_node()
            self._cluster.wait_for_cpus(N_NODES)
        return self._cluster

    def start_s3(self) -> Server:
        """Start the object store once, before the cluster that must know its address."""
        if self.s3 is None:
            self.s3 = s3_server(self.folder)
            os.environ.update(S3_ACCESS, AWS_ENDPOINT_URL=self.s3.uri)
            import s3fs

            s3fs.S3FileSystem().mkdir(BUCKET)
        return self.s3

    def close(self) -> None:
        """End everything."""
        self.drop_cluster()
        if self.s3 is not None:
            self.s3.close()

    def drop_cluster(self) -> None:
        """End the cluster, whatever state it is in; the next run gets a new one."""
        if self.s3 is not None:
            self.s3.proxy.give_back()
        if self._cluster is not None:
            self._cluster.__exit__()
            self._cluster = None

    @cached_property
    def database(self) -> Path:
        """An empty MLflow database, copied for each run: making one takes seconds."""
        path = self.folder / "empty.db"
        connect(f"sqlite:///{path}").search_experiments()
        return path

    @cached_property
    def truth(self) -> Truth:
        """Search undisturbed, on a Ray of its own with one worker."""
        folder = self.folder / "reference"
        folder.mkdir()
        study, uri = folder / "study", self.new_database(folder)
        words = [sys.executable, *search_words(self.images, str(study), uri, n_workers=1)[1:]]
        subprocess.run(words, check=True, capture_output=True)
        tree = dump_tree(connect(uri), EXPERIMENT)
        return Truth([*read_events(study)], decisions(load_study(study)), tree)

    def new_database(self, folder: Path) -> str:
        """Copy the empty database; return its address."""
        shutil.copy(self.database, folder / "mlflow.db")
        return f"sqlite:///{folder / 'mlflow.db'}"


def search_words(images: Path, study: str, uri: str, *, n_workers: int = 0) -> list[str]:
    """Write the command of a search; 0 workers are all that the cluster has."""
    words = ["python", "-m", "tests.support.run_fake", str(images), study]
    return [*words, str(N_CONFIGS), str(n_workers), "--tracking-uri", uri]


@dataclass(slots=True)
class Run:
    """A search on the bench; `windows` are the faults that met it."""

    bench: Bench
    folder: Path
    rng: random.Random
    where: str  # local, s3 or mount
    store: str  # sqlite or server
    is_silent: bool = False
    away_s: tuple[float, float] = (20.0, 60.0)
    windows: list[Window] = field(default_factory=list)
    n_resumes: int = 0
    job: str | None = None
    study: str = ""
    uri: str = ""
    mlflow: Server | None = None
    mount: Mount | None = None
    _closing: list[Callable[[], None]] = field(default_factory=list)

    @property
    def cluster(self) -> RealCluster:
        """The bench's cluster as it is now, nodes missing."""
        assert self.bench._cluster is not None
        return self.bench._cluster

    @property
    def log(self) -> Path:
        """Where trainings say that they start and end."""
        return self.folder / "log"

    def start(self) -> None:
        """Make what the search needs and submit it."""
        self.log.mkdir(parents=True)
        self.study = str(self.folder / "study")
        if self.where == "s3":
            self.bench.start_s3()
            self.study = f"s3://{BUCKET}/{self.folder.name}/study"
        elif self.where == "mount":
            mount = self.mount = Mount(self.folder)
            self._closing.append(lambda: mount.__exit__(None, None, None))
            self.study = str(mount.path / "study")
        if self.store == "server":
            server = self.mlflow = mlflow_server(self.folder)
            self._closing.append(server.close)
            self.uri = server.uri
        else:
            self.uri = self.bench.new_database(self.folder)
        _ = self.bench.cluster  # whole
        self.submit()

    def close(self) -> None:
        """End what belongs to this run alone."""
        for close in reversed(self._closing):
            close()

    def submit(self) -> None:
        """Submit the search, the first time or again."""
        words = search_words(self.bench.images, self.study, self.uri)
        environment = {"FAKE_SECONDS": str(SECONDS), "FAKE_LOG": str(self.log)}
        environment["PYTHONPATH"] = str(ROOT)  # uploads leave the tests out
        self.job = self.cluster.submit(words, environment=environment, folder=None)

    def wait_for_trainings(self, n: int) -> None:
        """Wait until n trainings have begun, and up to one more training's time.

        Raises:
            RuntimeError: the search ended before.
        """
        deadline = time.monotonic() + LONGEST_S
        while len(read_attempts(self.log)) < n:
            if time.monotonic() > deadline or self.status() in ("SUCCEEDED", "FAILED"):
                raise RuntimeError(f"no {n} trainings began:\n{self.driver_log()[-2000:]}")
            time.sleep(0.1)
        time.sleep(self.rng.uniform(0, SECONDS))

    def status(self) -> str:
        """Say where the job stands; LOST when its cluster is another one now."""
        return self.cluster.status(self.job) if self.job else "LOST"

    @property
    def submitted(self) -> str:
        """The job that was submitted last and is not lost."""
        if self.job is None:
            raise RuntimeError("no job is submitted")
        return self.job

    def driver_log(self) -> str:
        """Return what the driver printed."""
        return self.cluster.logs(self.job) if self.job else ""

    def note(self, pids: frozenset[int] | None, *, has_ended_driver: bool = False) -> Window:
        """Note that a fault begins now; the caller sets its end when that is later."""
        now = time.time()
        window = Window(now, now, pids, has_ended_driver)
        self.windows.append(window)
        return window

    def running_pid(self) -> int:
        """Wait for a worker in the middle of a training."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            alive = [a for a in running(self.log) if Path(f"/proc/{a.pid}").exists()]
            if alive:
                return self.rng.choice(alive).pid
            time.sleep(0.02)
        raise RuntimeError("no training runs")

    def finish(self) -> None:
        """Wait for the search's end; type the command again while it has not succeeded."""
        while self.job is None or self.cluster.wait(self.job, LONGEST_S) != "SUCCEEDED":
            if self.n_resumes == MOST_RESUMES:
                raise RuntimeError(f"resumed in vain:\n{self.driver_log()[-2000:]}")
            if self.job is not None:
                (self.folder / f"driver-{self.n_resumes}.log").write_text(self.driver_log())
            self.n_resumes += 1
            self.submit()
        (self.folder / "driver.log").write_text(self.driver_log())

    def judge(self) -> dict[str, Any]:
        """Compare what is left with the laws and the undisturbed search."""
        truth, path = self.bench.truth, located(self.study)
        events, attempts = [*read_events(path)], read_attempts(self.log)
        study = load_study(path)
        found: dict[str, Any] = asdict(cost(attempts, events, self.windows))
        found["n_wrong"] = n_wrong(events, truth.events)
        found["n_wrong"] += decisions(study) != truth.decisions
        found["n_weights_bad"] = len(damaged_weights(path, standing_of(study), N_KEPT))
        found["is_tracked_later"] = self._tracked_later()
        found["is_tree_equal"] = dump_tree(connect(self.uri), EXPERIMENT) == truth.tree
        ends = max(window.ended_at for window in self.windows)
        later = [a.started_at - ends for a in attempts if a.started_at > ends]
        found["recovered_s"] = round(min(later), 1) if later else None
        found["n_resumes"] = self.n_resumes
        return found

    def _tracked_later(self) -> bool:
        """Write MLflow again where the search said at its end that it could not."""
        if "dianet-ray track" not in self.driver_log():
            return False
        words = ["-m", "dianet_ray", "track", self.study, "--tracking-uri", self.uri]
        subprocess.run([sys.executable, *words], check=True, capture_output=True)
        return True
