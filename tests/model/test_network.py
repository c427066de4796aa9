"""DIANet: shapes for every setting, gradients everywhere, one stack = many networks."""

from __future__ import annotations

import itertools

import pytest
import torch

from dianet_ray.model.network import build, member_state, phase_numbers
from tests.support.toy import TINY

VARIANTS = [
    {"phases": "both", "fusion": "cross_attention"},
    {"phases": "both", "fusion": "concat"},
    {"phases": "onset_apex", "fusion": "none"},
    {"phases": "apex_offset", "fusion": "none"},
    {"phases": "whole_clip", "fusion": "none"},
]


def images_for(settings, size, *, n_members=1, n_clips=3):
    shape = (n_members, n_clips, len(phase_numbers(settings)), 3, size, size)
    return torch.randn(shape, generator=torch.Generator().manual_seed(1)) * 10


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: "-".join(variant.values()))
@pytest.mark.parametrize(
    ("backbone", "normalisation"),
    list(itertools.product(["cnn", "resnet18"], ["fixed", "minmax", "standard"])),
)
def test_every_variant_classifies_clips_and_trains_every_parameter(
    variant, backbone, normalisation
):
    settings = TINY.model_copy(
        update={**variant, "backbone": backbone, "normalisation": normalisation}
    )
    network = build(settings, 4, 32, n_members=2)
    logits = network(images_for(settings, 32, n_members=2))
    assert logits.shape == (2, 3, 4)
    assert torch.isfinite(logits).all()
    (logits * torch.arange(4)).sum().backward()
    idle = [
        f"{name} of member {member}"
        for name, parameter in network.named_parameters()
        for member in range(2)
        if parameter.grad is None or not parameter.grad.chunk(2)[member].any()
    ]
    assert not idle


@pytest.mark.parametrize("backbone", ["cnn", "resnet18"])
@pytest.mark.parametrize("size", [32, 50, 64, 112, 224])
def test_images_of_any_usual_size_work(backbone, size):
    settings = TINY.model_copy(update={"backbone": backbone})
    network = build(settings, 3, size).eval()
    assert network(images_for(settings, size, n_clips=2)).shape == (1, 2, 3)
    assert network.tokens[0].position.shape[1] <= 64


@pytest.mark.parametrize("heads", [1, 2, 4, 8])
def test_heads_change_the_function_but_not_the_parameters(heads):
    one = build(TINY.model_copy(update={"heads": 1}), 3, 32)
    many = build(TINY.model_copy(update={"heads": heads}), 3, 32)
    assert {k: v.shape for k, v in one.state_dict().items()} == {
        k: v.shape for k, v in many.state_dict().items()
    }
    x = images_for(TINY, 32)
    assert torch.equal(one(x), many(x)) == (heads == 1)


def test_the_streams_do_not_share_weights():
    network = build(TINY, 3, 32)
    first, second = (dict(stream.named_parameters()) for stream in network.streams)
    kernels = [name for name, value in first.items() if value.dim() == 4]
    assert kernels
    assert not any(torch.equal(first[name], second[name]) for name in kernels)


def test_each_stream_reads_its_own_phase():
    network = build(TINY.model_copy(update={"fusion": "concat"}), 3, 32)
    x = images_for(TINY, 32).requires_grad_()
    network.classifier.weight.data[:, :, 8:] = 0  # the second phase's features
    network(x).sum().backward()
    assert x.grad[:, :, 0].any()
    assert not x.grad[:, :, 1].any()


def test_cross_attention_lets_each_phase_read_the_other():
    network = build(TINY, 3, 32)
    x = images_for(TINY, 32).requires_grad_()
    network.classifier.weight.data[:, :, 8:] = 0
    network(x).sum().backward()
    assert x.grad[:, :, 0].any()
    assert x.grad[:, :, 1].any()


@pytest.mark.parametrize("backbone", ["cnn", "resnet18"])
@pytest.mark.parametrize("normalisation", ["fixed", "standard"])
def test_a_member_s_state_is_the_ordinary_network(backbone, normalisation):
    settings = TINY.model_copy(update={"backbone": backbone, "normalisation": normalisation})
    stack = build(settings, 3, 32, n_members=3)
    x = images_for(settings, 32, n_members=3)
    stack(x)  # moves running statistics
    stack.eval()
    together = stack(x)
    for member in range(3):
        alone = build(settings, 3, 32).eval()
        alone.load_state_dict(member_state(stack, member))
        torch.testing.assert_close(together[member], alone(x[[member]])[0])


def test_a_member_s_state_is_a_copy():
    network = build(TINY, 3, 32)
    before = member_state(network, 0)
    kept = {name: value.clone() for name, value in before.items()}
    network.reset([torch.Generator().manual_seed(99)])
    assert all(torch.equal(before[name], kept[name]) for name in kept)
    assert all(value.is_contiguous() for value in before.values())


def test_dropped_features_reach_the_classifier_as_zeros():
    network = build(TINY, 3, 32)
    x = images_for(TINY, 32)
    logits = network(x, torch.zeros(1, 3, network.n_features))
    torch.testing.assert_close(logits, network.classifier.bias.expand(3, 3)[None])


def test_building_leaves_the_global_generator_alone():
    before = torch.random.get_rng_state()
    build(TINY, 3, 32)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_phases_are_numbered_in_storage_order():
    numbers = [
        phase_numbers(TINY.model_copy(update={"phases": name}))
        for name in ("both", "onset_apex", "apex_offset", "whole_clip")
    ]
    assert numbers == [(0, 1), (0,), (1,), (2,)]
