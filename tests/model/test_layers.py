"""Stacked layers: each member computes what an ordinary layer with its part would."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from dianet_ray.model.layers import (
    FIXED_SCALE,
    Conv2d,
    CrossAttention,
    GroupNorm,
    LayerNorm,
    Linear,
    Normalisation,
    Stacked,
)

M = 3


def generators(n=M):
    return [torch.Generator().manual_seed(member) for member in range(n)]


def random(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(7))


def fill(module, seed=0):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return module


def part(module, ordinary, member):
    """Load one member's part of a stacked module into one with a single member."""
    state = {name: value.chunk(M)[member].clone() for name, value in module.state_dict().items()}
    ordinary.load_state_dict(state)
    return ordinary


def test_a_convolution_with_one_member_has_the_ordinary_shape():
    assert Conv2d(1, (3, 8), kernel=5).weight.shape == nn.Conv2d(3, 8, 5).weight.shape


def test_each_member_of_a_convolution_reads_only_its_own_channels():
    layer, x = fill(Conv2d(M, (4, 6), stride=2, bias=True)), random(2, M * 4, 9, 9)
    for member, y in enumerate(layer(x).chunk(M, dim=1)):
        weight, bias = layer.weight.chunk(M)[member], layer.bias.chunk(M)[member]
        alone = functional.conv2d(x.chunk(M, dim=1)[member], weight, bias, 2, 1)
        torch.testing.assert_close(y, alone)


@pytest.mark.parametrize("stride", [2, 3])
@pytest.mark.parametrize("side", [1, 2, 7, 8])
def test_a_strided_1x1_convolution_is_the_ordinary_one(stride, side):
    layer, x = fill(Conv2d(M, (3, 4), kernel=1, stride=stride)), random(2, M * 3, side, side)
    ordinary = functional.conv2d(x.double(), layer.weight.double(), None, stride, groups=M)
    torch.testing.assert_close(layer(x), ordinary.float())


def test_each_member_of_a_linear_layer_uses_its_own_matrix():
    layer, x = fill(Linear(M, 5, 4)), random(M, 2, 3, 5)
    for member, y in enumerate(layer(x)):
        alone = functional.linear(x[member], layer.weight[member], layer.bias[member])
        torch.testing.assert_close(y, alone)


@pytest.mark.parametrize("channels", [1, 6, 8, 16])
def test_group_normalisation_never_mixes_members(channels):
    layer, x = fill(GroupNorm(M, channels)), random(2, M * channels, 5, 5)
    for member, y in enumerate(layer(x).chunk(M, dim=1)):
        alone = part(layer, GroupNorm(1, channels), member)
        torch.testing.assert_close(y, alone(x.chunk(M, dim=1)[member]))


@pytest.mark.parametrize("n_heads", [1, 2, 8])
def test_each_member_of_the_attention_is_an_ordinary_attention(n_heads):
    layer = fill(CrossAttention(M, 8, n_heads))
    x, other = random(M, 2, 5, 8), random(M, 2, 7, 8).flip(0)
    y = layer(x, other)
    for member in range(M):
        alone = part(layer, CrossAttention(1, 8, n_heads), member)
        torch.testing.assert_close(y[member], alone(x[[member]], other[[member]])[0])


def test_attention_equals_the_reference_formula():
    layer = fill(CrossAttention(1, 8, 2))
    x, other = random(1, 2, 5, 8), random(1, 2, 7, 8)
    key, value = layer.key(other)[0], layer.value(other)[0]
    heads = [each.unflatten(-1, (2, 4)).transpose(1, 2) for each in (key, value)]
    query = layer.query(x)[0].unflatten(-1, (2, 4)).transpose(1, 2)
    read = functional.scaled_dot_product_attention(query, *heads).transpose(1, 2).flatten(2)
    torch.testing.assert_close(layer(x, other), layer.norm(x + layer.out(read[None])))


def test_layer_normalisation_of_a_stack_equals_that_of_one():
    layer, x = fill(LayerNorm(M, 6)), random(M, 2, 4, 6)
    for member, y in enumerate(layer(x)):
        torch.testing.assert_close(y, part(layer, LayerNorm(1, 6), member)(x[[member]])[0])


@pytest.mark.parametrize("make", [lambda n: Conv2d(n, (3, 4)), lambda n: Linear(n, 6, 5)])
def test_start_values_of_a_member_depend_on_its_generator_alone(make):
    stack = make(M)
    stack.reset(generators())
    for member in range(M):
        alone = make(1)
        alone.reset(generators()[member : member + 1])
        assert torch.equal(stack.weight.chunk(M)[member], alone.weight)


def test_a_stacked_layer_must_say_how_it_starts():
    with pytest.raises(NotImplementedError):
        Stacked(1).reset(generators(1))


def test_fixed_normalisation_keeps_no_motion_at_zero():
    x = random(M, 2, 2, 3, 4, 4)
    x[:, 0] = 0
    y = Normalisation(M, "fixed", 2, 3)(x)
    torch.testing.assert_close(y, x / FIXED_SCALE)
    assert not y[:, 0].any()


def test_minmax_maps_each_image_to_plus_and_minus_one_and_a_static_one_to_zero():
    x = random(M, 2, 2, 3, 4, 4) * 50 + 9
    x[1, 1, 0] = 4.5
    y = Normalisation(M, "minmax", 2, 3)(x)
    assert not y[1, 1, 0].any()
    moving = torch.ones(M, 2, 2, dtype=torch.bool)
    moving[1, 1, 0] = False
    torch.testing.assert_close(y.amax((3, 4, 5))[moving], torch.ones(11))
    torch.testing.assert_close(y.amin((3, 4, 5))[moving], -torch.ones(11))


def test_standard_normalisation_uses_the_statistics_it_was_given():
    layer, x = Normalisation(M, "standard", 2, 3), random(M, 2, 2, 3, 4, 4)
    mean, deviation = random(2, 3), random(2, 3).abs()
    deviation[1, 2] = 0  # a channel that never changes is only centred
    layer.set(1, mean, deviation)
    y = layer(x)
    torch.testing.assert_close(y[0], x[0])
    torch.testing.assert_close(y[1, :, 1, 2], x[1, :, 1, 2] - mean[1, 2])
    torch.testing.assert_close(y[1, :, 0, 1], (x[1, :, 0, 1] - mean[0, 1]) / deviation[0, 1])
