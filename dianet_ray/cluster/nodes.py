"""A cluster's nodes as they come and go: each is probed before it gets work.

A node that cannot take part is named in one line and gets no trials; it is asked again from time
to time. A node that is being drained gets no new ones.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from dianet_ray.cluster.connection import Shape
from dianet_ray.cluster.probe import Probe, find_problem, leave_marker, remove_marker
from dianet_ray.errors import InputError
from dianet_ray.storage.files import reason, writing

LOOK_EVERY_S = 2.0
ASK_AGAIN_S = 60.0
ANSWER_S = 600.0
"""A node that has not answered after so long gets no work. A worker starts in seconds, but with a
runtime environment the first one on a node installs packages before."""

SAY_AFTER_S = 10.0

NODE_LABEL = "ray.io/node-id"

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Node:
    """A living node; `problem` is None until its probe has answered."""

    name: str
    shape: Shape
    problem: str | None = None
    answer: Any = None
    asked_at: float = 0.0
    is_final: bool = False  # a trial found what the probe does not see


class Nodes:
    """The living nodes; `look` brings it up to date, at most every two seconds."""

    def __init__(self, probe: Probe | None) -> None:
        """Without a probe every living node is good: it is this machine, or nothing is known."""
        self.probe = probe
        self._nodes: dict[str, _Node] = {}
        self._draining: set[str] = set()
        self._left: set[str] = set()  # avoided ones that are gone
        self._looked_at = 0.0

    @property
    def good(self) -> dict[str, Shape]:
        """The CPUs and GPUs of the nodes that may get work, by node id."""
        return {
            node_id: node.shape
            for node_id, node in self._nodes.items()
            if node.problem == "" and node_id not in self._draining
        }

    @property
    def problems(self) -> list[str]:
        """A line for each bad node."""
        bad = (node for node in self._nodes.values() if node.problem)
        return [f"node {node.name}: {node.problem}" for node in bad]

    @property
    def avoided(self) -> tuple[str, ...]:
        """The ids of nodes that must get no work, sorted.

        A node that has not answered is not among them: a trial there asks first. One that left
        stays, because workers start anew whenever this changes.
        """
        bad = {node_id for node_id, node in self._nodes.items() if node.problem}
        return tuple(sorted(bad | self._draining | self._left))

    @property
    def is_hopeless(self) -> bool:
        """Whether there are nodes and each is bad."""
        return bool(self._nodes) and all(node.problem for node in self._nodes.values())

    def look(self) -> bool:
        """See who came, went, answered or is being drained; say whether it looked."""
        now = time.monotonic()
        if self._looked_at and now - self._looked_at < LOOK_EVERY_S:
            return False
        self._looked_at = now
        alive = {node["NodeID"]: node for node in ray.nodes() if node["Alive"]}
        avoided = self.avoided
        for gone in self._nodes.keys() - alive.keys():
            logger.warning("node %s left", self._nodes.pop(gone).name)
            self._left |= {gone} & set(avoided)
        for node_id, found in alive.items():
            self._meet(node_id, found)
        for node in self._nodes.values():
            self._hear(node, now)
        self._drain()
        return True

    def wait_for_answers(self) -> None:
        """Probe every living node once."""
        self.look()
        started_at, has_said = time.monotonic(), False
        while pending := [n.answer for n in self._nodes.values() if n.answer is not None]:
            ray.wait(pending, num_returns=len(pending), timeout=LOOK_EVERY_S)
            for node in self._nodes.values():
                self._hear(node, time.monotonic())
            if not has_said and time.monotonic() - started_at > SAY_AFTER_S:
                has_said = True
                logger.warning("waiting for %d nodes to answer", len(pending))

    def refuse(self, node_id: str, problem: str) -> None:
        """Take a trial's word that its node cannot take part."""
        node = self._nodes.get(node_id)
        if node is not None and not node.problem:
            node.is_final = node.problem == ""
            self._judge(node, problem)

    def _meet(self, node_id: str, found: Mapping[str, Any]) -> None:
        resources = found["Resources"]
        shape = (resources.get("CPU", 0.0), resources.get("GPU", 0.0))
        node = self._nodes.get(node_id)
        if node is None:
            name = f"{found['NodeManagerAddress']} ({found['NodeManagerHostname']}, {node_id[:6]})"
            node = self._nodes[node_id] = _Node(name, shape)
            if self.probe is None:
                node.problem = ""
        is_due = (
            node.problem != ""
            and not node.is_final
            and time.monotonic() - node.asked_at >= ASK_AGAIN_S
        )
        if node.answer is None and (not node.asked_at or is_due) and self.probe is not None:
            node.asked_at = time.monotonic()
            node.answer = _ask(node_id, self.probe)

    def _hear(self, node: _Node, now: float) -> None:
        if node.answer is None:
            return
        done, _ = ray.wait([node.answer], timeout=0)
        if done:
            try:
                self._judge(node, ray.get(node.answer))
            except Exception as error:  # whatever keeps a task from running there
                self._judge(node, f"a task fails there: {_last_line(error)}")
        elif now - node.asked_at >= ANSWER_S:
            ray.cancel(node.answer)
            self._judge(node, f"no answer within {ANSWER_S:.0f} s")

    def _judge(self, node: _Node, problem: str) -> None:
        if problem and problem != node.problem:
            logger.warning("node %s gets no trials: %s", node.name, problem)
        elif not problem and node.problem:
            logger.warning("node %s is good now", node.name)
        node.problem, node.answer = problem, None

    def _drain(self) -> None:
        draining = set(ray._private.state.state.get_draining_nodes())
        for node_id in draining - self._draining:
            if node_id in self._nodes:
                logger.warning(
                    "node %s is being drained: no new trainings there", self._nodes[node_id].name
                )
        self._draining = draining & self._nodes.keys()


def _ask(node_id: str, probe: Probe) -> Any:
    there = NodeAffinitySchedulingStrategy(node_id, soft=False)
    task = ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=there)(find_problem)
    return task.remote(probe)


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else reason(error)


def check(good: Collection[str], problems: Sequence[str], driver_node: str) -> None:
    """Refuse a cluster that has no good node, or of several none but the driver's own.

    Args:
        good: the ids of good nodes.
        problems: a line for each bad one.
        driver_node: the id of the node that the driver is on.

    Raises:
        InputError: with the first problem and how many there are.
    """
    if problems and set(good) <= {driver_node}:
        who = "only the driver's own node" if good else "no node"
        n_nodes = len(good) + len(problems)
        raise InputError(
            f"{who} can take part, {len(problems)} of {n_nodes} cannot: {problems[0]}"
        )


@contextlib.contextmanager
def probed(reads: Sequence[Path], writes: Path) -> Iterator[Nodes]:
    """Probe the nodes of the cluster that this process is connected to, and those that come.

    Args:
        reads: files that every node must read as the driver does.
        writes: the folder that every node must write, and see as the driver does.

    Raises:
        InputError: no good node, or none but the driver's own of several.
    """
    with writing(writes):
        probe = leave_marker(reads, writes)
    try:
        nodes = Nodes(probe)
        nodes.wait_for_answers()
        check(nodes.good, nodes.problems, ray.get_runtime_context().get_node_id())
        yield nodes
    finally:
        remove_marker(probe)


def is_alone() -> bool:
    """Whether the cluster is the driver's own node and no other."""
    here = ray.get_runtime_context().get_node_id()
    return all(node["NodeID"] == here for node in ray.nodes() if node["Alive"])


def elsewhere(avoided: tuple[str, ...]) -> dict[str, str]:
    """Select nodes by label: any but these.

    >>> elsewhere(("a1", "b2"))
    {'ray.io/node-id': '!in(a1,b2)'}
    """
    return {NODE_LABEL: f"!in({','.join(avoided)})"} if avoided else {}
