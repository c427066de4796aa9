"""Nodes are probed before they get work; the bad ones are named and avoided."""

from dataclasses import replace

import pytest
import ray

from dianet_ray.cluster import nodes
from dianet_ray.cluster.nodes import Nodes, check, elsewhere, is_alone, probed
from dianet_ray.cluster.probe import leave_marker
from dianet_ray.errors import InputError
from dianet_ray.storage import files


@pytest.mark.parametrize(
    ("good", "n_bad", "is_refused"),
    [
        (["a", "b"], 0, False),
        (["driver"], 0, False),
        (["driver"], 1, True),  # the others do not see what the driver sees
        ([], 2, True),
        (["a"], 5, False),
        (["driver", "a"], 1, False),
    ],
)
def test_a_cluster_is_refused_when_no_other_node_can_take_part(good, n_bad, is_refused):
    problems = [f"node {i}: bad" for i in range(n_bad)]
    if is_refused:
        who = "only the driver's own node" if good else "no node"
        words = f"{who} .*, {n_bad} of {n_bad + len(good)} cannot: node 0: bad$"
        with pytest.raises(InputError, match=words):
            check(good, problems, "driver")
    else:
        check(good, problems, "driver")


@pytest.fixture
def probe(tmp_path):
    reads = tmp_path / "images.json"
    reads.write_text("{}")
    return leave_marker([reads], tmp_path / "study")


@pytest.mark.ray
def test_a_good_node_counts_and_a_marker_does_not_stay(ray_local, tmp_path):
    reads = tmp_path / "images.json"
    reads.write_text("{}")
    with probed([reads], tmp_path / "study") as found:
        assert list(found.good.values()) == [(2.0, 2.0)]
        assert found.avoided == ()
    assert files.names(tmp_path / "study") == []
    assert is_alone()


@pytest.mark.ray
def test_a_bad_node_is_named_avoided_and_asked_again(ray_local, probe, monkeypatch, caplog):
    (node_id,) = (node["NodeID"] for node in ray.nodes())
    bad = Nodes(replace(probe, versions={**probe.versions, "torch": "9"}))
    bad.wait_for_answers()
    assert (bad.good, bad.avoided) == ({}, (node_id,))
    assert "the driver has 9" in bad.problems[0]
    assert "gets no trials: it has torch" in caplog.text
    assert elsewhere(bad.avoided) == {"ray.io/node-id": f"!in({node_id})"}
    bad.probe = probe  # the administrator repaired it
    monkeypatch.setattr(nodes, "PROBE_AGAIN_S", 0.0)
    monkeypatch.setattr(nodes, "LOOK_EVERY_S", 0.0)
    while not bad.good:
        ray.wait([n.answer for n in bad._nodes.values() if n.answer], timeout=0.1)
        bad.look()
    assert bad.avoided == ()
    assert "can be used now" in caplog.text


@pytest.mark.ray
def test_a_trials_word_is_taken_and_a_task_that_fails_there_is_a_problem(ray_local, probe):
    found = Nodes(None)
    found.look()
    (node_id,) = found.good
    assert not found.is_hopeless
    found.refuse(node_id, "no such folder")
    assert found.avoided == (node_id,)
    assert found.is_hopeless
    broken = Nodes(replace(probe, reads=None))
    broken.wait_for_answers()
    assert "a task failed there: " in broken.problems[0]
    assert "\n" not in broken.problems[0]


@pytest.mark.ray
def test_no_trial_starts_on_an_avoided_node(ray_local):
    (node_id,) = (node["NodeID"] for node in ray.nodes())
    group = ray.util.placement_group(
        [{"CPU": 1}], bundle_label_selector=[elsewhere((node_id, "b" * 56))]
    )
    other = ray.util.placement_group([{"CPU": 1}], bundle_label_selector=[elsewhere(("b" * 56,))])
    assert other.wait(300)
    assert not group.wait(1)
    for one in (group, other):
        ray.util.remove_placement_group(one)
