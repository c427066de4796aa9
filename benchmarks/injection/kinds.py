"""The kinds of fault. Each one is a context: it harms on entry, and gives back on exit.

Each fault notes what it may cost as a window; `laws.py` decides by the windows.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from benchmarks.injection.runs import Run
from tests.support.clusters import Node

AWAY_S, SHORTLY_AWAY_S = (20.0, 60.0), (5.0, 20.0)
FULL_S = (5.0, 20.0)
MLFLOW_AWAY_S = (3.0, 15.0)
NOTICE_S = 4
GAP_S = 2.0

Fault = Callable[[Run], AbstractContextManager[None]]


@contextmanager
def worker_killed(run: Run) -> Iterator[None]:
    """Kill a process in the middle of a training."""
    pid = run.running_pid()
    run.note(frozenset([pid]))
    os.kill(pid, signal.SIGKILL)
    yield


@contextmanager
def node_lost(run: Run) -> Iterator[None]:
    """Kill a node at once; it does not come back."""
    _kill(run, run.rng.choice(run.cluster.nodes))
    yield


def _kill(run: Run, node: Node) -> None:
    run.note(frozenset(run.cluster.pids(node)))
    run.cluster.kill_node(node)


@contextmanager
def node_drained(run: Run) -> Iterator[None]:
    """Give a node notice, as of a spot machine, and kill it when the time is up."""
    node = run.rng.choice(run.cluster.nodes)
    window = run.note(frozenset(run.cluster.pids(node)))
    run.cluster.drain_node(node, NOTICE_S)
    yield
    time.sleep(max(0.0, NOTICE_S - (time.time() - window.started_at)))
    window.pids = frozenset({*(window.pids or ()), *run.cluster.pids(node)})
    run.cluster.kill_node(node)
    window.ended_at = time.time()


@contextmanager
def node_replaced(run: Run) -> Iterator[None]:
    """Kill a node, and start another one at once."""
    _kill(run, run.rng.choice(run.cluster.nodes))
    run.cluster.add_node()
    yield


@contextmanager
def all_nodes_lost(run: Run) -> Iterator[None]:
    """Kill every node but the head, and start new ones after a while."""
    for node in list(run.cluster.nodes):
        _kill(run, node)
    yield
    time.sleep(run.rng.uniform(1, 10))
    _ = run.bench.cluster
    run.windows[-1].ended_at = time.time()


@contextmanager
def driver_killed(run: Run) -> Iterator[None]:
    """Kill the driver; its trainings end with it."""
    pid = run.cluster.driver_pid(run.submitted)
    run.note(None, has_ended_driver=True)
    os.kill(pid, signal.SIGKILL)
    yield
    run.cluster.wait(run.submitted, 60)
    run.windows[-1].ended_at = time.time()


@contextmanager
def job_stopped(run: Run) -> Iterator[None]:
    """Stop the job as its user would."""
    window = run.note(None, has_ended_driver=True)
    run.cluster.stop(run.submitted)
    window.ended_at = time.time()
    yield


@contextmanager
def head_restarted(run: Run) -> Iterator[None]:
    """Kill the head, the driver with it; a new cluster comes up at the same address."""
    window = run.note(None, has_ended_driver=True)
    run.cluster.kill_head()
    yield
    run.cluster.restart_head()
    _ = run.bench.cluster
    run.job = None
    window.ended_at = time.time()


@contextmanager
def storage_away(run: Run) -> Iterator[None]:
    """Refuse every connection to the object store, or let them hang."""
    s3 = run.bench.start_s3()
    window = run.note(None)
    s3.proxy.take_away(is_silent=run.is_silent)
    yield
    time.sleep(run.rng.uniform(*run.away_s))
    window.ended_at = time.time()
    s3.proxy.give_back()


@contextmanager
def mount_lost(run: Run) -> Iterator[None]:
    """Lose the mount that the study is on: an empty folder is in its place."""
    assert run.mount is not None
    window = run.note(None)
    run.mount.take_away()
    yield
    time.sleep(run.rng.uniform(*run.away_s))
    window.ended_at = time.time()
    run.mount.give_back()


@contextmanager
def storage_full(run: Run) -> Iterator[None]:
    """Fill the file system that the study is on."""
    assert run.mount is not None
    window = run.note(None)
    run.mount.fill()
    yield
    time.sleep(run.rng.uniform(*FULL_S))
    run.mount.make_room()
    window.ended_at = time.time()


@contextmanager
def mlflow_away(run: Run) -> Iterator[None]:
    """Kill the MLflow server and start it again, or let its connections hang."""
    server = run.mlflow
    assert server is not None
    run.note(frozenset())  # no training may be repeated for it
    if run.is_silent:
        server.proxy.take_away(is_silent=True)
    else:
        server.kill()
    yield
    time.sleep(run.rng.uniform(*MLFLOW_AWAY_S))
    if run.is_silent:
        server.proxy.give_back()
    else:
        server.start()


@dataclass(frozen=True, slots=True)
class Kind:
    """Faults that meet a search together, where the search works, and how often it is resumed."""

    faults: tuple[Fault, ...]
    where: str = "local"
    store: str = "sqlite"
    n_resumes: int = 0

    @property
    def away_s(self) -> tuple[float, float]:
        """How long a storage is away; shorter where something else happens too."""
        return SHORTLY_AWAY_S if len(self.faults) > 1 else AWAY_S


KINDS = {
    "worker-killed": Kind((worker_killed,)),
    "node-lost": Kind((node_lost,)),
    "node-drained": Kind((node_drained,)),
    "node-replaced": Kind((node_replaced,)),
    "all-nodes-lost": Kind((all_nodes_lost,)),
    "driver-killed": Kind((driver_killed,), n_resumes=1),
    "job-stopped": Kind((job_stopped,), n_resumes=1),
    "head-restarted": Kind((head_restarted,), n_resumes=1),
    "storage-away": Kind((storage_away,), where="s3"),
    "storage-full": Kind((storage_full,), where="mount"),
    "mount-lost": Kind((mount_lost,), where="mount"),
    "mlflow-away": Kind((mlflow_away,), store="server"),
    "node-lost+driver-killed": Kind((node_lost, driver_killed), n_resumes=1),
    "storage-away+worker-killed": Kind((storage_away, worker_killed), where="s3"),
    "storage-away+driver-killed": Kind((storage_away, driver_killed), where="s3", n_resumes=1),
    "mlflow-away+head-restarted": Kind((mlflow_away, head_restarted), store="server", n_resumes=1),
}
