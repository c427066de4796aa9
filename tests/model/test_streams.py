"""The CNN streams: sizes of their maps, names of their parameters, pooling."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from dianet_ray.model.streams import Cnn, ResNet18, Shortcut, halved, largest_of_three


@pytest.mark.parametrize("backbone", [Cnn, ResNet18])
@pytest.mark.parametrize("size", [32, 50, 64, 96, 112, 128, 224])
def test_a_stream_says_the_size_of_its_map(backbone, size):
    stream = backbone(2, size)
    y = stream(torch.ones(2, 3, size, size))
    assert y.shape == (2, stream.channels, stream.side, stream.side)
    assert stream.side >= 4


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("side", [1, 2, 7, 8])
def test_a_shortcut_is_the_ordinary_strided_convolution(stride, side):
    layer = Shortcut(3, 4, stride).double()
    x = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(7)).double()
    torch.testing.assert_close(layer(x), functional.conv2d(x, layer.weight, None, stride))


@given(st.integers(1, 500), st.integers(0, 6))
def test_a_map_is_halved_as_a_strided_convolution_halves_it(side, n_times):
    x = torch.zeros(1, 1, side, 1)
    for _ in range(n_times):
        x = functional.conv2d(x, torch.zeros(1, 1, 3, 3), stride=2, padding=1)
    assert halved(side, n_times) == x.shape[2]


@settings(max_examples=30)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 99))
def test_pooling_equals_the_library_s_for_values_of_at_least_zero(height, width, seed):
    x = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(seed)).relu()
    expected = functional.max_pool2d(x, 3, stride=2, padding=1)
    assert torch.equal(largest_of_three(x), expected)


def test_the_resnet_carries_the_published_names_and_shapes():
    """A torchvision weights file of resnet18 drops in, but for its classifier `fc`."""
    state = ResNet18(64, 224).state_dict()
    assert (
        sum(value.numel() for value in state.values() if value.dim())
        == 11_176_512 + 9_600  # trained, running
    )
    assert state["conv1.weight"].shape == (64, 3, 7, 7)
    assert state["layer1.0.conv1.weight"].shape == (64, 64, 3, 3)
    assert state["layer2.0.downsample.0.weight"].shape == (128, 64, 1, 1)
    assert state["layer4.1.bn2.running_var"].shape == (512,)
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    expected = {"conv1.weight", *(f"bn1.{each}" for each in norm)}
    for layer in range(1, 5):
        for block in range(2):
            name = f"layer{layer}.{block}"
            for number in (1, 2):
                expected |= {f"{name}.conv{number}.weight"}
                expected |= {f"{name}.bn{number}.{each}" for each in norm}
        if layer > 1:
            expected |= {f"layer{layer}.0.downsample.0.weight"}
            expected |= {f"layer{layer}.0.downsample.1.{each}" for each in norm}
    assert set(state) == expected
