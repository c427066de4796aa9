"""The nodes of a cluster as they join and leave; each is probed before it gets work.

A node that fails its probe is reported in one line, gets no trials and is probed again from time
to time. A node that is being drained gets no new trials.
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

from dianet_ray.cluster.connection import Bundle, bundle_of
from dianet_ray.cluster.probe import Probe, find_problem, leave_marker, remove_marker
from dianet_ray.errors import InputError, one_line
from dianet_ray.progress import count
from dianet_ray.storage.files import writing

LOOK_EVERY_S = 2.0  # ray.nodes() asks the head, which other drivers use too
PROBE_AGAIN_S = 60.0  # a mount that comes back is noticed within a minute
ANSWER_S = 600.0
"""How long a node may take to answer. A worker starts in seconds, but with a runtime environment
the first one on a node installs packages first."""

REPORT_AFTER_S = 10.0

NODE_LABEL = "ray.io/node-id"  # Ray puts this label on every node by itself

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Node:
    """A living node.

    Attributes:
        name: address, host and id, for messages.
        has: its CPUs and GPUs.
        problem: why it gets no work; empty if it does, None until its probe has answered.
        answer: the pending result of its probe, if there is one.
        asked_at: when it was last probed, on the monotonic clock; 0 for never.
        is_final: a trial found a problem that the probe cannot see; the node is not probed again.
    """

    name: str
    has: Bundle
    problem: str | None = None
    answer: Any = None
    asked_at: float = 0.0
    is_final: bool = False


class Nodes:
    """The living nodes, as of the last call of `look`."""

    def __init__(self, probe: Probe | None) -> None:
        """Take the probe that nodes must pass; without one every living node is good."""
        self.probe = probe
        self._nodes: dict[str, _Node] = {}
        self._draining: set[str] = set()
        self._left: set[str] = set()  # nodes that were avoided and have left
        self._looked_at = 0.0

    @property
    def good(self) -> dict[str, Bundle]:
        """CPUs and GPUs of the nodes that may get work, by node id."""
        return {
            node_id: node.has
            for node_id, node in self._nodes.items()
            if node.problem == "" and node_id not in self._draining
        }

    @property
    def problems(self) -> list[str]:
        """One line for each bad node."""
        bad = (node for node in self._nodes.values() if node.problem)
        return [f"node {node.name}: {node.problem}" for node in bad]

    @property
    def avoided(self) -> tuple[str, ...]:
        """The ids of nodes that must get no work, sorted.

        A node that has not answered is not among them, because a trial there probes it first. A
        node that left stays among them, because a change of this list restarts all workers.
        """
        # docs/decisions.md: Keeping trials off a bad node
        bad = {node_id for node_id, node in self._nodes.items() if node.problem}
        return tuple(sorted(bad | self._draining | self._left))

    @property
    def is_hopeless(self) -> bool:
        """Whether there are nodes and every one is bad."""
        return bool(self._nodes) and all(node.problem for node in self._nodes.values())

    def look(self) -> bool:
        """Update the nodes, at most every two seconds; return whether it did."""
        now = time.monotonic()
        if self._looked_at and now - self._looked_at < LOOK_EVERY_S:
            return False
        self._looked_at = now
        alive = {node["NodeID"]: node for node in ray.nodes() if node["Alive"]}
        avoided = self.avoided
        for gone in self._nodes.keys() - alive.keys():
            logger.warning("node %s left the cluster", self._nodes.pop(gone).name)
            self._left |= {gone} & set(avoided)
        for node_id, found in alive.items():
            self._update(node_id, found)
        for node in self._nodes.values():
            self._collect_answer(node, now)
        self._update_draining()
        return True

    def wait_for_answers(self) -> None:
        """Probe every living node, and wait until each has answered."""
        self.look()
        started_at, has_reported = time.monotonic(), False
        while pending := [n.answer for n in self._nodes.values() if n.answer is not None]:
            ray.wait(pending, num_returns=len(pending), timeout=LOOK_EVERY_S)
            for node in self._nodes.values():
                self._collect_answer(node, time.monotonic())
            if not has_reported and time.monotonic() - started_at > REPORT_AFTER_S:
                has_reported = True
                logger.warning("waiting for %s to answer", count(len(pending), "node"))

    def refuse(self, node_id: str, problem: str) -> None:
        """Record a problem that a trial found on its node."""
        node = self._nodes.get(node_id)
        if node is not None and not node.problem:
            # It had passed the probe, so the probe cannot see this problem.
            node.is_final = node.problem == ""
            self._judge(node, problem)

    def _update(self, node_id: str, found: Mapping[str, Any]) -> None:
        """Add a node that is new, and probe it if a probe is due."""
        node = self._nodes.get(node_id)
        if node is None:
            name = f"{found['NodeManagerAddress']} ({found['NodeManagerHostname']}, {node_id[:6]})"
            node = self._nodes[node_id] = _Node(name, bundle_of(found))
            if self.probe is None:
                node.problem = ""
        is_due = (
            node.problem != ""
            and not node.is_final
            and time.monotonic() - node.asked_at >= PROBE_AGAIN_S
        )
        if node.answer is None and (not node.asked_at or is_due) and self.probe is not None:
            node.asked_at = time.monotonic()
            node.answer = _start_probe(node_id, self.probe)

    def _collect_answer(self, node: _Node, now: float) -> None:
        if node.answer is None:
            return
        done, _ = ray.wait([node.answer], timeout=0)
        if done:
            try:
                self._judge(node, ray.get(node.answer))
            except Exception as error:  # anything can keep a task from running there
                self._judge(node, f"a task failed there: {one_line(error)}")
        elif now - node.asked_at >= ANSWER_S:
            ray.cancel(node.answer)
            self._judge(node, f"no answer within {ANSWER_S:.0f} s")

    def _judge(self, node: _Node, problem: str) -> None:
        if problem and problem != node.problem:
            logger.warning("node %s gets no trials: %s", node.name, problem)
        elif not problem and node.problem:
            logger.warning("node %s can be used now", node.name)
        node.problem, node.answer = problem, None

    def _update_draining(self) -> None:
        # Ray has no public way to ask for this.
        draining = set(ray._private.state.state.get_draining_nodes())
        for node_id in draining - self._draining:
            if node_id in self._nodes:
                logger.warning(
                    "node %s is being drained and gets no new trainings", self._nodes[node_id].name
                )
        self._draining = draining & self._nodes.keys()


def _start_probe(node_id: str, probe: Probe) -> Any:
    # soft=False: a probe that ran elsewhere would tell nothing of this node.
    there = NodeAffinitySchedulingStrategy(node_id, soft=False)
    # No CPU, so that a node full of trials answers too; a probe that dies is an answer.
    task = ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=there)(find_problem)
    return task.remote(probe)


def check(good: Collection[str], problems: Sequence[str], driver_node: str) -> None:
    """Refuse a cluster in which no node is good, or only the driver's own of several nodes.

    Args:
        good: the ids of the good nodes.
        problems: one line for each bad node.
        driver_node: the id of the node that the driver runs on.

    Raises:
        InputError: with the first problem and how many there are.
    """
    # Without the others the search would run on the head alone, which is rarely what is meant.
    if problems and set(good) <= {driver_node}:
        who = "only the driver's own node" if good else "no node"
        n_nodes = len(good) + len(problems)
        raise InputError(f"{who} can be used, {len(problems)} of {n_nodes} cannot: {problems[0]}")


@contextlib.contextmanager
def probed(reads: Sequence[Path], writes: Path) -> Iterator[Nodes]:
    """Probe the nodes of the connected cluster, and those that join while the context lasts.

    Args:
        reads: files that every node must see with the content that the driver sees.
        writes: the folder that every node must be able to write, the same one as the driver's.

    Raises:
        InputError: no node is good, or only the driver's own one of several.
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
    """Return whether the driver's own node is the only one of the cluster."""
    here = ray.get_runtime_context().get_node_id()
    return all(node["NodeID"] == here for node in ray.nodes() if node["Alive"])


def elsewhere(avoided: tuple[str, ...]) -> dict[str, str]:
    """Make the label selector that excludes these node ids.

    >>> elsewhere(("a1", "b2"))
    {'ray.io/node-id': '!in(a1,b2)'}
    """
    return {NODE_LABEL: f"!in({','.join(avoided)})"} if avoided else {}
