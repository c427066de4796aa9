"""Whether a cluster's autoscaler can bring nodes for trials, as far as it says itself.

Version 2 of Ray's autoscaler (KubeRay's) reports which waiting requests none of its node types
could ever hold. Version 1 (`ray up`, and what `ray start` runs without node types) only tells
whether it has node types at all.
"""

from __future__ import annotations

import contextlib
import functools
import json
import time
from collections.abc import Iterator
from typing import Any, Literal

import ray
from ray.core.generated.autoscaler_pb2 import AutoscalingState, GetClusterStatusReply
from ray.experimental.internal_kv import _internal_kv_get
from ray.util.placement_group import placement_group, remove_placement_group

from dianet_ray.cluster.connection import Shape

VERDICT_S = 30.0
"""How long the autoscaler may take to look at a request; it looks every five seconds."""

N_LOOKS = 3
"""Reports after which version 2 has surely seen a request."""

Outlook = Literal["hopeless", "open", "unknown"]


def outlook(trial: Shape) -> Outlook:
    """Say whether a node for a trial, asked for and waited for, may come."""
    state = _second_version()
    if state.autoscaler_state_version:
        return "hopeless" if is_infeasible(state, trial) else "open"
    status = _internal_kv_get(ray._private.ray_constants.DEBUG_AUTOSCALING_STATUS)
    return first_version_outlook(json.loads(status or b"{}"))


def is_infeasible(state: AutoscalingState, trial: Shape) -> bool:
    """Whether version 2 reports that no node type of its could hold a trial."""
    asked = _bundle(trial)
    gangs = [r for gang in state.infeasible_gang_resource_requests for r in gang.requests]
    found = [r.resources_bundle for r in (*state.infeasible_resource_requests, *gangs)]
    return any({name: n for name, n in bundle.items() if n} == asked for bundle in found)


def first_version_outlook(status: dict[str, Any]) -> Outlook:
    """Judge by the node types of version 1: each node is one of its own where there are none.

    >>> first_version_outlook({"autoscaler_report": {"active_nodes": {"node_5f": 1}}})
    'hopeless'
    """
    report = status.get("autoscaler_report")
    if report is None:
        return "unknown"
    kinds = {*report["active_nodes"], *report.get("pending_launches", {})}
    return "hopeless" if all(kind.startswith("node_") for kind in kinds) else "open"


def can_come(trial: Shape) -> bool:
    """Ask for room for a trial that no node has; say whether it comes, or may."""
    with _asking(trial) as group:
        first = _second_version().autoscaler_state_version
        deadline = time.monotonic() + VERDICT_S
        while time.monotonic() < deadline:
            if group.wait(1):
                return True
            verdict = outlook(trial)
            if verdict == "hopeless":
                return False
            n_looks = _second_version().autoscaler_state_version - first
            if verdict == "open" and (not first or n_looks >= N_LOOKS):
                return True
    return False


class Demand:
    """How many trials wait beyond the room there is, so that an autoscaler sees that they do.

    As many as run, so a cluster may double again and again; none where the autoscaler has said of
    these nodes that it can bring no other.
    """

    def __init__(self, trial: Shape) -> None:
        self._trial = trial
        self._hopeless: frozenset[str] | None = None  # the nodes of which it was said

    def ahead(self, n_now: int, nodes: frozenset[str]) -> int:
        """Decide for `n_now` trials at once on `nodes`, by id."""
        if self._hopeless == nodes:
            return 0
        with contextlib.suppress(ray.exceptions.RpcError):  # the head is busy: next time
            verdict = outlook(self._trial)
            if verdict == "open":
                return max(1, n_now)
            self._hopeless = nodes if verdict == "hopeless" else None
        return 0


def _second_version() -> AutoscalingState:
    """Ask the head for the last report of version 2; its version is 0 when there is none."""
    reply = GetClusterStatusReply()
    client = _client(ray.get_runtime_context().gcs_address)
    reply.ParseFromString(client.get_cluster_status(timeout_s=10))
    return reply.autoscaling_state


@functools.lru_cache(maxsize=1)
def _client(address: str) -> Any:
    return ray._raylet.GcsClient(address=address)


@contextlib.contextmanager
def _asking(trial: Shape) -> Iterator[ray.util.placement_group.PlacementGroup]:
    group = placement_group([_bundle(trial)])
    try:
        yield group
    finally:
        remove_placement_group(group)


def _bundle(trial: Shape) -> dict[str, float]:
    cpus, gpus = trial
    return {"CPU": cpus, **({"GPU": gpus} if gpus else {})}
