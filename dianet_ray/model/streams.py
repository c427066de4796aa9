"""The CNN streams: images (B, 3, H, W) to feature maps (B, channels, side, side).

`Cnn` is the default and small enough for one core. `ResNet18` at width 64 and `EfficientNetLite0`
at width 32 are the published networks, with the parameter names of their weights files. For small
images all leave out strides, so that the last map keeps 4 x 4 places where possible; no
parameter's shape depends on strides.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from dianet_ray.artefacts import N_CHANNELS
from dianet_ray.model.efficientnet import EfficientNetLite0
from dianet_ray.model.stream_parts import MIN_SIDE, BatchNorm, GroupNorm, halved

MAX_GROUPS = 4


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
                self.append(GroupNorm(math.gcd(n_out, MAX_GROUPS), n_out))
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
        self.norm = GroupNorm(3, self.channels)
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
