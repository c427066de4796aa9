"""The CNN streams: images (B, 3, H, W) to feature maps (B, channels, side, side).

`Cnn` is the default and small enough for one core. `ResNet18` uses torchvision's parameter names,
so that a published weights file can be loaded at width 64. For small images both leave out
strides, so that the last map keeps 4 x 4 places where possible; no parameter's shape depends on
strides.
"""

from __future__ import annotations

import math
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
        self.bn1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.downsample = nn.Sequential()
        if stride != 1 or n_in != n_out:
            self.downsample.append(Shortcut(n_in, n_out, stride))
            self.downsample.append(nn.BatchNorm2d(n_out))

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
        self.bn1 = nn.BatchNorm2d(width)
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
