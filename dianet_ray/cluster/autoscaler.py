"""Whether a cluster's autoscaler can add nodes for trials, judged by its own reports.

Version 2 of Ray's autoscaler (used by KubeRay) reports which waiting requests none of its node
types could ever hold. Version 1 (used by `ray up`, and by `ray start` without node types) reports
only whether it has node types at all. docs/decisions.md: Asking whether a cluster can grow
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

from dianet_ray.cluster.connection import Bundle

VERDICT_S = 30.0
"""How long the autoscaler may take to judge a request; it looks every five seconds."""

# The report after a request may have been started before it.
N_LOOKS = 3
"""Number of reports after which version 2 must have seen a request."""

Feasibility = Literal["infeasible", "feasible", "unknown"]


def feasibility(trial: Bundle) -> Feasibility:
    """Judge whether the autoscaler can add a node for a trial that has been requested."""
    state = _second_version()
    if state.autoscaler_state_version:
        return "infeasible" if is_infeasible(state, trial) else "feasible"
    # Both versions answer in places that Ray keeps private; `SUPPORTED_RAY` pins them.
    status = _internal_kv_get(ray._private.ray_constants.DEBUG_AUTOSCALING_STATUS)
    return first_version_feasibility(json.loads(status or b"{}"))


def is_infeasible(state: AutoscalingState, trial: Bundle) -> bool:
    """Return whether version 2 reports that none of its node types could hold a trial."""
    asked = _bundle(trial)
    gangs = [r for gang in state.infeasible_gang_resource_requests for r in gang.requests]
    found = [r.resources_bundle for r in (*state.infeasible_resource_requests, *gangs)]
    # Only our own request counts: other drivers may ask for what cannot come.
    return any({name: n for name, n in bundle.items() if n} == asked for bundle in found)


def first_version_feasibility(status: dict[str, Any]) -> Feasibility:
    """Judge by the node types of version 1.

    Where it has none, it reports every node as a type of its own, named `node_` and the node's id.

    >>> first_version_feasibility({"autoscaler_report": {"active_nodes": {"node_5f": 1}}})
    'infeasible'
    """
    report = status.get("autoscaler_report")
    if report is None:
        return "unknown"
    kinds = {*report["active_nodes"], *report.get("pending_launches", {})}
    return "infeasible" if all(kind.startswith("node_") for kind in kinds) else "feasible"


def can_come(trial: Bundle) -> bool:
    """Request resources that no node has; return whether they come, or can come."""
    with _requested(trial) as group:
        first = _second_version().autoscaler_state_version
        deadline = time.monotonic() + VERDICT_S
        while time.monotonic() < deadline:
            if group.wait(1):
                return True
            verdict = feasibility(trial)
            if verdict == "infeasible":
                return False
            # Version 1 numbers no reports (first is 0), so its first verdict counts.
            n_looks = _second_version().autoscaler_state_version - first
            if verdict == "feasible" and (not first or n_looks >= N_LOOKS):
                return True
    return False


class Demand:
    """How many trials to queue beyond what fits, so that an autoscaler sees the demand.

    As many as run now, so a cluster may double again and again. None once the autoscaler has
    reported that it can add no node to the present ones.
    """

    def __init__(self, trial: Bundle) -> None:
        self._trial = trial
        self._complete: frozenset[str] | None = None  # node ids to which none can be added

    def n_queued(self, n_now: int, nodes: frozenset[str]) -> int:
        """Count the trials to queue while `n_now` run on the nodes with these ids."""
        if self._complete == nodes:
            return 0
        with contextlib.suppress(ray.exceptions.RpcError):  # the head is busy: ask next time
            verdict = feasibility(self._trial)
            if verdict == "feasible":
                # At least one, or a cluster that runs nothing yet would never grow.
                return max(1, n_now)
            self._complete = nodes if verdict == "infeasible" else None
        return 0


def _second_version() -> AutoscalingState:
    """Ask the head for the latest report of version 2; its number is 0 when there is none."""
    reply = GetClusterStatusReply()
    client = _client(ray.get_runtime_context().gcs_address)
    reply.ParseFromString(client.get_cluster_status(timeout_s=10))
    return reply.autoscaling_state


# One connection, kept: the search asks every few seconds.
@functools.lru_cache(maxsize=1)
def _client(address: str) -> Any:
    return ray._raylet.GcsClient(address=address)


@contextlib.contextmanager
def _requested(trial: Bundle) -> Iterator[ray.util.placement_group.PlacementGroup]:
    # A placement group waits as a task would, but runs nothing when it is granted.
    group = placement_group([_bundle(trial)])
    try:
        yield group
    finally:
        remove_placement_group(group)


def _bundle(trial: Bundle) -> dict[str, float]:
    return {"CPU": trial.cpus, **({"GPU": trial.gpus} if trial.gpus else {})}
