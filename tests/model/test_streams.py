"""The CNN streams: sizes of their maps, names of their parameters, pooling."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from dianet_ray.model.efficientnet import EfficientNetLite0, SameConv2d
from dianet_ray.model.stream_parts import BatchNorm, GroupNorm, halved
from dianet_ray.model.streams import BACKBONES, ResNet18, Shortcut, largest_of_three


@pytest.mark.parametrize("backbone", BACKBONES.values())
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


@given(st.integers(1, 40), st.sampled_from([1, 3, 5]), st.sampled_from([1, 2]))
def test_padding_as_tensorflow_does_keeps_every_stride_th_place(side, size, stride):
    layer = SameConv2d(1, 1, size, stride)
    layer.weight.data.zero_()
    layer.weight.data[..., size // 2, size // 2] = 1
    x = torch.arange(1.0, side + 1).expand(side, side)
    y = layer(x[None, None])[0, 0, 0]
    assert len(y) == halved(side) if stride == 2 else side
    # With the odd pixel at the far end, an even side is read from its second place on.
    first = 1 if stride == 2 and side % 2 == 0 and size > 1 else 0
    assert y.tolist() == x[0, first::stride].tolist()


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


def test_the_efficientnet_carries_the_published_names_and_shapes():
    """The weights file of its package drops in, but for its classifier `_fc`."""
    state = EfficientNetLite0(32, 224).state_dict()
    trained = [name for name in state if name.endswith((".weight", ".bias"))]
    assert sum(state[name].numel() for name in trained) == 4_652_008 - 1_281_000
    assert state["_conv_stem.weight"].shape == (32, 3, 3, 3)
    assert state["_blocks.3._depthwise_conv.weight"].shape == (144, 1, 5, 5)
    assert state["_blocks.15._project_conv.weight"].shape == (320, 1152, 1, 1)
    assert state["_bn1.running_var"].shape == (1280,)
    assert "_blocks.0._expand_conv.weight" not in state
    assert len(state) == 296 - 2


@pytest.mark.parametrize(
    ("norm", "plain"),
    [(BatchNorm(8), nn.BatchNorm2d(8)), (GroupNorm(2, 8), nn.GroupNorm(2, 8))],
    ids=["batch", "group"],
)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_normalisation_has_at_least_full_precision(norm, plain, dtype):
    """As autocast gives it to a network alone; below vmap it does not."""
    images = torch.randn(4, 8, 6, 6, generator=torch.Generator().manual_seed(0)).to(dtype)
    full = torch.float64 if dtype == torch.float64 else torch.float32
    found = norm.to(full)(images)
    assert found.dtype == full
    # What is left is the rounding of the input, not that of the statistics.
    assert torch.equal(found, plain.to(full)(images.to(full)))
