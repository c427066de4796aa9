"""DIANet: shapes for every setting, gradients everywhere, one stack = many networks."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch.nn import functional

from dianet_ray.model.build import build
from dianet_ray.model.inputs import FIXED_SCALE, Normalisation, phase_numbers
from dianet_ray.model.network import CrossAttention, Exchange, LateClassifier
from dianet_ray.settings import Settings
from tests.support.toy import TINY

VARIANTS = [
    {"phases": "both", "fusion": "cross_attention"},
    {"phases": "both", "fusion": "cross_attention", "layers": 3, "gate": True},
    {"phases": "both", "fusion": "concat", "shared_streams": True},
    {"phases": "both", "fusion": "sum"},
    {"phases": "both", "fusion": "late"},
    {"phases": "three", "fusion": "cross_attention", "shared_streams": True},
    {"phases": "three", "fusion": "late"},
    {"phases": "onset_apex", "fusion": "none"},
    {"phases": "apex_offset", "fusion": "none"},
    {"phases": "whole_clip", "fusion": "none"},
]
BACKBONES = get_args(Settings.model_fields["backbone"].annotation)


def images_for(settings, size, *, n_clips=3):
    shape = (n_clips, settings.n_phases, 3, size, size)
    return random(*shape) * 10


def random(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(7))


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda each: "-".join(map(str, each.values())))
@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_variant_classifies_clips_and_trains_every_parameter(variant, backbone):
    settings = TINY.model_copy(update={**variant, "backbone": backbone})
    network = build(settings, 4, 32)
    logits = network(images_for(settings, 32))
    assert logits.shape == (3, 4)
    assert torch.isfinite(logits).all()
    (logits * torch.arange(4)).sum().backward()
    assert not [
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]


@pytest.mark.parametrize("normalisation", ["fixed", "minmax", "standard"])
def test_every_normalisation_lets_every_parameter_train(normalisation):
    network = build(TINY.model_copy(update={"normalisation": normalisation}), 4, 32)
    (network(images_for(TINY, 32)) * torch.arange(4)).sum().backward()
    assert all(parameter.grad.any() for parameter in network.parameters())


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("size", [32, 50, 64, 112, 224])
def test_images_of_any_usual_size_work(backbone, size):
    settings = TINY.model_copy(update={"backbone": backbone})
    network = build(settings, 3, size).eval()
    assert network(images_for(settings, size, n_clips=2)).shape == (2, 3)
    assert network.tokens[0].position.shape[0] <= 64


@pytest.mark.parametrize("heads", [1, 2, 4, 8])
def test_heads_change_the_function_but_not_the_parameters(heads):
    one = build(TINY.model_copy(update={"heads": 1}), 3, 32)
    many = build(TINY.model_copy(update={"heads": heads}), 3, 32)
    assert {k: v.shape for k, v in one.state_dict().items()} == {
        k: v.shape for k, v in many.state_dict().items()
    }
    x = images_for(TINY, 32)
    assert torch.equal(one(x), many(x)) == (heads == 1)


def test_a_shared_stream_is_one_network_for_all_phases():
    apart, shared = (
        build(TINY.model_copy(update={"shared_streams": shared, "fusion": "concat"}), 3, 32)
        for shared in (False, True)
    )
    n_apart, n_shared = (
        sum(p.numel() for p in net.streams.parameters()) for net in (apart, shared)
    )
    assert n_apart == 2 * n_shared
    x = images_for(TINY, 32)
    x[:, 1] = x[:, 0]
    shared.tokens[1].load_state_dict(shared.tokens[0].state_dict())
    shared.classifier.weight.data[:, 8:] = -shared.classifier.weight.data[:, :8]
    torch.testing.assert_close(shared(x), shared.classifier.bias.expand(3, 3))


def test_added_features_do_not_say_which_phase_they_came_from():
    settings = TINY.model_copy(update={"fusion": "sum", "shared_streams": True})
    network = build(settings, 3, 32)
    network.tokens[1].load_state_dict(network.tokens[0].state_dict())
    x = images_for(settings, 32)
    assert network.n_features == settings.embedding
    torch.testing.assert_close(network(x), network(x.flip(1)))


def test_late_fusion_averages_the_probabilities_of_a_classifier_per_phase():
    classify, features = LateClassifier(3, 5, 4), random(2, 15)
    each = [layer(features[:, 5 * k : 5 * k + 5]) for k, layer in enumerate(classify.phases)]
    expected = torch.stack([logits.softmax(-1) for logits in each]).mean(0)
    torch.testing.assert_close(classify(features).softmax(-1), expected)
    torch.testing.assert_close(classify(features).exp(), expected)


def test_in_a_layer_each_phase_reads_all_others_as_the_layer_was_given_them():
    layer, tokens = Exchange(3, 8, 2, is_gated=False), [random(2, n, 8) + n for n in (4, 5, 6)]
    read = layer(tokens)
    others = torch.cat([tokens[0], tokens[2]], dim=1)
    torch.testing.assert_close(read[1], layer.phases[1](tokens[1], others))
    assert [each.shape[1] for each in read] == [4, 5, 6]


def test_a_gate_decides_how_much_of_what_was_read_is_added():
    plain, gated = CrossAttention(8, 2), CrossAttention(8, 2, is_gated=True)
    gated.load_state_dict(plain.state_dict(), strict=False)
    x, other = random(2, 5, 8), random(2, 7, 8)
    gated.gate.weight.data.zero_()
    gated.gate.bias.data.fill_(-100)
    torch.testing.assert_close(gated(x, other), gated.norm(x))
    gated.gate.bias.data.fill_(100)
    torch.testing.assert_close(gated(x, other), plain(x, other))


def test_the_streams_do_not_share_weights():
    network = build(TINY, 3, 32)
    first, second = (dict(stream.named_parameters()) for stream in network.streams)
    kernels = [name for name, value in first.items() if value.dim() == 4]
    assert kernels
    assert not any(torch.equal(first[name], second[name]) for name in kernels)


def test_each_stream_reads_its_own_phase():
    network = build(TINY.model_copy(update={"fusion": "concat"}), 3, 32)
    x = images_for(TINY, 32).requires_grad_()
    network.classifier.weight.data[:, 8:] = 0  # the second phase's features
    network(x).sum().backward()
    assert x.grad[:, 0].any()
    assert not x.grad[:, 1].any()


def test_cross_attention_lets_each_phase_read_the_other():
    network = build(TINY, 3, 32)
    x = images_for(TINY, 32).requires_grad_()
    network.classifier.weight.data[:, 8:] = 0
    network(x).sum().backward()
    assert x.grad[:, 0].any()
    assert x.grad[:, 1].any()


def test_dropped_features_reach_the_classifier_as_zeros():
    network = build(TINY, 3, 32)
    x = images_for(TINY, 32)
    logits = network(x, torch.zeros(3, network.n_features))
    torch.testing.assert_close(logits, network.classifier.bias.expand(3, 3))


def test_the_seed_alone_decides_the_start_values():
    one, again, other = (build(TINY, 3, 32, seed).state_dict() for seed in (2**62, 2**62, 1))
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["classifier.weight"], other["classifier.weight"])


def test_start_values_keep_the_variance():
    network = build(TINY.model_copy(update={"width": 64, "embedding": 128}), 3, 32)
    kernel, matrix = network.streams[0][2].weight, network.attention[0].phases[0].query.weight
    assert kernel.std().item() == pytest.approx((2 / kernel[0].numel()) ** 0.5, rel=0.02)
    assert matrix.std().item() == pytest.approx((1 / 128) ** 0.5, rel=0.02)
    biases = [p for name, p in network.named_parameters() if name.endswith("bias")]
    assert not any(bias.any() for bias in biases)


@pytest.mark.parametrize("n_heads", [1, 2, 8])
def test_attention_equals_the_reference_formula(n_heads):
    layer, x, other = CrossAttention(8, n_heads), random(2, 5, 8), random(2, 7, 8)
    query, key, value = (
        each.unflatten(-1, (n_heads, -1)).transpose(1, 2)
        for each in (layer.query(x), layer.key(other), layer.value(other))
    )
    read = functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
    torch.testing.assert_close(layer(x, other), layer.norm(x + layer.out(read)))


def test_fixed_normalisation_keeps_no_motion_at_zero():
    x = random(2, 2, 3, 4, 4)
    x[0] = 0
    y = Normalisation("fixed", 2)(x)
    torch.testing.assert_close(y, x / FIXED_SCALE)
    assert not y[0].any()


def test_minmax_maps_each_image_to_plus_and_minus_one_and_a_static_one_to_zero():
    x = random(2, 2, 3, 4, 4) * 50 + 9
    x[1, 0] = 4.5
    y = Normalisation("minmax", 2)(x)
    assert not y[1, 0].any()
    moving = torch.tensor([[True, True], [False, True]])
    torch.testing.assert_close(y.amax((2, 3, 4))[moving], torch.ones(3))
    torch.testing.assert_close(y.amin((2, 3, 4))[moving], -torch.ones(3))


def test_standard_normalisation_uses_the_statistics_it_was_given():
    layer, x = Normalisation("standard", 2), random(2, 2, 3, 4, 4)
    torch.testing.assert_close(layer(x), x)
    mean, deviation = random(2, 3), random(2, 3).abs()
    deviation[1, 2] = 0  # a channel that never changes is only centred
    layer.set(mean, deviation)
    y = layer(x)
    torch.testing.assert_close(y[:, 1, 2], x[:, 1, 2] - mean[1, 2])
    torch.testing.assert_close(y[:, 0, 1], (x[:, 0, 1] - mean[0, 1]) / deviation[0, 1])


def test_building_leaves_the_global_generator_alone():
    before = torch.random.get_rng_state()
    build(TINY, 3, 32)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_phases_are_numbered_in_storage_order_and_counted():
    settings = [
        TINY.model_copy(update={"phases": name})
        for name in ("both", "onset_apex", "apex_offset", "whole_clip", "three")
    ]
    numbers = [phase_numbers(one) for one in settings]
    assert numbers == [(0, 1), (0,), (1,), (2,), (0, 1, 2)]
    assert [one.n_phases for one in settings] == list(map(len, numbers))
