"""A Ray cluster of separate processes on this machine, with a token, whose nodes can be killed.

Every node is started with `ray start`, has its own temporary folder and its own ports, and is
identified by a variable in its environment that all its processes inherit: so a killed node leaves
nothing behind, also not a job's driver, and nobody else's Ray is touched. Linux only.
"""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
RAY = str(Path(sys.executable).with_name("ray"))
MARK = "DIANET_TEST_NODE"
OBJECT_STORE_BYTES = 100 * 10**6
ENDED = ("SUCCEEDED", "FAILED", "STOPPED")


def free_port():
    """Find a free port on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass(frozen=True, slots=True)
class Node:
    """A node. Its name is a resource that only it has, so that Ray can be asked about it."""

    name: str
    process: subprocess.Popen


class RealCluster:
    """A head, and the nodes that are added; as a context manager that leaves no process.

    The head has no CPU unless told otherwise: it runs the drivers of submitted jobs, no trials.
    """

    def __init__(self, *, environment=None, head_cpus=0):
        self.folder = Path(tempfile.mkdtemp(prefix="rc-"))  # short: sockets have 107 characters
        self.log = self.folder / "ray.log"
        self.gcs, self.dashboard = free_port(), free_port()
        self._mark, self._n_started, self._head_cpus = uuid.uuid4().hex, 0, head_cpus
        self.head, self.nodes = None, []
        self.environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_USAGE_STATS_ENABLED": "0",
            **(environment or {}),
        }

    def __enter__(self):
        try:
            self.start_head()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        kill_marked(self._mark)
        for node in [self.head, *self.nodes]:
            if node is not None:
                node.process.wait(timeout=60)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def address(self):
        """The variables by which `--address` and `ray job` find the cluster."""
        return f"127.0.0.1:{self.gcs}"

    @property
    def jobs(self):
        return f"http://127.0.0.1:{self.dashboard}"

    def start_head(self):
        """Start the head, on the ports of its predecessor, and wait until it answers."""
        ports = ["--port", self.gcs, "--dashboard-port", self.dashboard]
        self.head = self._start(self._head_cpus, "--head", "--dashboard-host", "127.0.0.1", *ports)
        self.wait_for(lambda: self.n_alive >= 1)

    def add_node(self, cpus=1):
        """Start a node; it joins some seconds later (`wait_for_cpus`)."""
        node = self._start(cpus, "--address", self.address)
        self.nodes.append(node)
        return node

    def _start(self, cpus, *words):
        self._n_started += 1
        name = f"node-{self._n_started}"
        command = [RAY, "start", "--block", "--disable-usage-stats", "--num-cpus", cpus, *words]
        # In the head's folder a node's agent would delete what the head unpacked for a job, and
        # the default port of the job agents is one for the whole host.
        command += ["--temp-dir", self.folder / f"{self._n_started}"]
        command += ["--dashboard-agent-listen-port", free_port()]
        command += ["--object-store-memory", OBJECT_STORE_BYTES]
        command += ["--resources", json.dumps({name: 1})]
        with self.log.open("ab") as output:
            process = subprocess.Popen(
                [str(word) for word in command],
                env={**self.environment, MARK: self._mark + name + "."},
                cwd="/",
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return Node(name, process)

    def pids(self, node):
        """List a node's processes: Ray's own, its workers, the drivers of jobs on it."""
        return marked(self._mark + node.name + ".")

    def kill_node(self, node):
        """Kill every process of a node at once, as if the machine lost power."""
        kill_marked(self._mark + node.name + ".")
        node.process.wait(timeout=60)
        if node in self.nodes:
            self.nodes.remove(node)

    def drain_node(self, node, seconds):
        """Announce to the cluster that the node will be preempted; the caller then kills it."""
        words = ["drain-node", "--address", self.address, "--node-id", self.node_id(node)]
        words += ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "spot notice"]
        self.ray(*words, "--deadline-remaining-seconds", seconds)

    def kill_head(self):
        """Kill the head and the drivers of its jobs; the other nodes live on for a while."""
        self.kill_node(self.head)

    def restart_head(self):
        """Start a new head on the same ports and kill the nodes of the old one; add new ones."""
        for node in list(self.nodes):
            self.kill_node(node)
        self.start_head()

    def node_id(self, node):
        """Look up Ray's id of a node."""
        (found,) = (n["node_id"] for n in self._alive() if node.name in n["resources_total"])
        return found

    @property
    def n_alive(self):
        """Number of nodes that Ray believes to be alive, with the head; 0 without an answer."""
        return len(self._alive())

    @property
    def n_cpus(self):
        """CPUs of the nodes that Ray believes to be alive."""
        return sum(node["resources_total"].get("CPU", 0.0) for node in self._alive())

    def _alive(self):
        try:
            found = self.get("/api/v0/nodes?detail=true")["data"]["result"]["result"]
        except (OSError, ValueError):
            return []
        return [node for node in found if node["state"] == "ALIVE"]

    def nodes_of_actors(self):
        """List the ids of the nodes on which an actor lives or lived."""
        found = self.get("/api/v0/actors?detail=true&limit=1000")["data"]["result"]["result"]
        return {actor["node_id"] for actor in found if actor["node_id"]}

    def wait_for_cpus(self, n, timeout_s=90):
        """Wait until the living nodes have exactly n CPUs."""
        self.wait_for(lambda: self.n_cpus == n, timeout_s)

    def wait_for(self, is_so, timeout_s=90):
        """Wait until a condition holds; the error contains the log of the cluster."""
        deadline = time.monotonic() + timeout_s
        while not is_so():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {timeout_s} s\n{self.log.read_text()[-3000:]}")
            time.sleep(0.3)

    def ray(self, *words):
        """Run one of Ray's commands and return what it printed."""
        command = [RAY, *(str(word) for word in words)]
        done = subprocess.run(
            command, env=self.environment, cwd=ROOT, capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
        return done.stdout

    def get(self, path):
        """Ask the head's HTTP server with the token."""
        token = f"Bearer {self.environment['RAY_AUTH_TOKEN']}"
        request = urllib.request.Request(self.jobs + path, headers={"Authorization": token})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def submit(self, words, *, environment=None, folder=ROOT):
        """Submit a job that runs in an upload of `folder`, if any; return its id at once."""
        job = f"job-{uuid.uuid4().hex[:8]}"
        options = ["--no-wait", "--submission-id", job]
        options += ["--working-dir", folder] if folder else []
        options += ["--runtime-env-json", json.dumps({"env_vars": environment or {}})]
        for _ in range(60):  # the head's job agent comes up a little later than the head
            try:
                self.ray("job", "submit", "--address", self.jobs, *options, "--", *words)
                return job
            except RuntimeError as error:
                if "No available agent" not in str(error):
                    raise
                time.sleep(1)
        raise TimeoutError("the head's job agent did not come up")

    def status(self, job):
        """Return the status of a job: PENDING, RUNNING, or one of ENDED."""
        return self.get(f"/api/jobs/{job}")["status"]

    def logs(self, job):
        """Return what a job's driver printed."""
        return self.get(f"/api/jobs/{job}/logs")["logs"]

    def stop(self, job):
        """Stop a job as `ray job stop` does: SIGTERM, and three seconds later SIGKILL."""
        self.ray("job", "stop", "--address", self.jobs, job)

    def wait(self, job, timeout_s=300):
        """Wait for a job's end and return its status."""
        self.wait_for(lambda: self.status(job) in ENDED, timeout_s)
        return self.status(job)

    def driver_pid(self, job):
        """Find the process of a job's driver."""
        pid = self.get(f"/api/jobs/{job}")["driver_info"]["pid"]
        return int(pid)


def kill_marked(mark):
    """Kill every process that inherited a mark, also those that they start meanwhile."""
    while pids := marked(mark):
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.05)


def marked(mark):
    """List the living processes that have a mark in their environment."""
    needle = f"{MARK}={mark}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            is_ours = needle in (folder / "environ").read_bytes()
        except OSError:  # another user's, or gone
            continue
        if is_ours:  # a zombie's environment reads empty
            found.append(int(folder.name))
    return found
