"""What an autoscaler reports about a trial that no node can hold."""

import pytest
from ray.core.generated.autoscaler_pb2 import AutoscalingState

from dianet_ray.cluster.autoscaler import (
    Demand,
    can_come,
    first_version_feasibility,
    is_infeasible,
)
from dianet_ray.cluster.connection import Bundle


def infeasible(bundle, *, is_gang):
    state = AutoscalingState(autoscaler_state_version=1)
    requests = (
        state.infeasible_gang_resource_requests.add().requests
        if is_gang
        else state.infeasible_resource_requests
    )
    requests.add().resources_bundle.update(bundle)
    return state


@pytest.mark.parametrize("is_gang", [True, False])
@pytest.mark.parametrize(
    ("bundle", "trial", "expected"),
    [
        ({"CPU": 3.0}, (3.0, 0.0), True),
        ({"CPU": 3.0, "GPU": 0.0}, (3.0, 0.0), True),
        ({"CPU": 3.0}, (1.0, 0.0), False),  # somebody else's request
        ({"CPU": 1.0}, (1.0, 0.25), False),
        ({"CPU": 1.0, "GPU": 0.25}, (1.0, 0.25), True),
    ],
)
def test_the_second_version_names_what_no_node_type_holds(bundle, trial, expected, is_gang):
    assert is_infeasible(infeasible(bundle, is_gang=is_gang), Bundle(*trial)) is expected


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (None, "unknown"),
        ({"active_nodes": {"node_ab": 1, "node_cd": 1}}, "infeasible"),
        ({"active_nodes": {"ray.head.default": 1}}, "feasible"),
        ({"active_nodes": {}, "pending_launches": {"worker": 2}}, "feasible"),
    ],
)
def test_the_first_version_can_grow_where_it_has_node_types(report, expected):
    assert first_version_feasibility({"autoscaler_report": report}) == expected


@pytest.mark.ray
def test_a_cluster_without_node_types_cannot_add_a_node(ray_local):
    assert can_come(Bundle(2.0, 0.0))
    assert not can_come(Bundle(3.0, 0.0))
    assert Demand(Bundle(1.0, 0.0)).n_queued(2, frozenset("a")) == 0
