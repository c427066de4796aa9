"""Whether a cluster's autoscaler can bring nodes for trials, as it says itself.

Ray's autoscaler (version 2, the default of Ray 2.60) reports which waiting requests none of its
node types could ever hold. Its node types are known to nobody else.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import ray
from ray.core.generated.autoscaler_pb2 import AutoscalingState, GetClusterStatusReply
from ray.util.placement_group import placement_group, remove_placement_group

from dianet_ray.cluster import Shape

VERDICT_S = 30.0
"""How long the autoscaler may take to look at a request; it looks every five seconds."""


def autoscaling_state() -> AutoscalingState:
    """Ask the head for the autoscaler's last report; version 0 when there has been none."""
    client = ray._raylet.GcsClient(address=ray.get_runtime_context().gcs_address)
    reply = GetClusterStatusReply()
    reply.ParseFromString(client.get_cluster_status(timeout_s=10))
    return reply.autoscaling_state


def is_hopeless(state: AutoscalingState, trial: Shape) -> bool:
    """Whether the autoscaler reports that no node type of its could hold a trial."""
    asked = _bundle(trial)
    gangs = [r for gang in state.infeasible_gang_resource_requests for r in gang.requests]
    found = [r.resources_bundle for r in (*state.infeasible_resource_requests, *gangs)]
    return any({name: n for name, n in bundle.items() if n} == asked for bundle in found)


def can_come(trial: Shape) -> bool:
    """Ask for room for a trial that no node has; say whether it comes."""
    with _asking(trial) as group:
        first = autoscaling_state().autoscaler_state_version
        deadline = time.monotonic() + VERDICT_S
        while time.monotonic() < deadline:
            if group.wait(1):
                return True
            state = autoscaling_state()
            if is_hopeless(state, trial):
                break
            if state.autoscaler_state_version >= first + 3 and first:
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
            if is_hopeless(autoscaling_state(), self._trial):
                self._hopeless = nodes
                return 0
        return max(1, n_now)


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
