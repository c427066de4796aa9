"""The CNN streams: images (B, M*3, H, W) to feature maps (B, M*channels, side, side).

`Cnn` is the default and small enough for one core. `ResNet18` uses torchvision's parameter names,
so that a published weights file can be loaded at width 64. For small images both leave out
strides, so that the last map keeps 4 x 4 places where possible; no parameter's shape depends on
strides.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from dianet_ray.artefacts import N_CHANNELS
from dianet_ray.model.layers import Conv2d, GroupNorm

MIN_SIDE = 4
"""Places per side below which a map is not halved: attention needs some places to tell apart."""


def halved(side: int, n_times: int = 1) -> int:
    """Return the side of a map after `n_times` strides of two; an odd side rounds up.

    >>> halved(112, 5)
    4
    """
    for _ in range(n_times):
        side = (side + 1) // 2
    return side


class Cnn(nn.Module):
    """Four 3 x 3 convolutions with 1, 2, 2 and 4 x width channels; each halves the map.

    The first has a bias and no normalisation. Its ReLU thus compares the strength of a motion
    with a learned threshold, before the normalisation of each image divides the strength out.
    """

    def __init__(self, n_members: int, width: int, image_size: int) -> None:
        super().__init__()
        self.channels, self.side = 4 * width, image_size
        blocks: list[nn.Module] = []
        widths = (N_CHANNELS, width, 2 * width, 2 * width, 4 * width)
        for n_in, n_out in pairwise(widths):
            stride = 2 if halved(self.side) >= MIN_SIDE else 1
            self.side = halved(self.side) if stride == 2 else self.side
            first = not blocks
            blocks.append(Conv2d(n_members, (n_in, n_out), stride=stride, bias=first))
            if not first:
                blocks.append(GroupNorm(n_members, n_out))
            blocks.append(nn.ReLU(inplace=True))
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        """Return the last feature map."""
        features: Tensor = self.blocks(x)
        return features


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut, He et al. 2015, arXiv 1512.03385."""

    def __init__(self, n_members: int, channels: tuple[int, int], stride: int) -> None:
        super().__init__()
        n_in, n_out = channels
        self.conv1 = Conv2d(n_members, (n_in, n_out), stride=stride)
        self.bn1 = nn.BatchNorm2d(n_members * n_out)
        self.conv2 = Conv2d(n_members, (n_out, n_out))
        self.bn2 = nn.BatchNorm2d(n_members * n_out)
        self.downsample = nn.Sequential()
        if stride != 1 or n_in != n_out:
            self.downsample.append(Conv2d(n_members, channels, kernel=1, stride=stride))
            self.downsample.append(nn.BatchNorm2d(n_members * n_out))

    def forward(self, x: Tensor) -> Tensor:
        """Return relu(shortcut(x) + convolutions(x))."""
        inner = torch.relu_(self.bn1(self.conv1(x)))
        return torch.relu_(self.bn2(self.conv2(inner)) + self.downsample(x))


class ResNet18(nn.Module):
    """ResNet-18 without its classifier, width 64 being the published one.

    Batch normalisation has statistics per channel, so the members of a stack share none.
    """

    def __init__(self, n_members: int, width: int, image_size: int) -> None:
        super().__init__()
        self.channels = 8 * width
        self.pools = halved(image_size, 5) >= MIN_SIDE
        stride = 2 if halved(image_size, 4) >= MIN_SIDE else 1
        self.side = halved(image_size, 3 + self.pools + (stride == 2))
        self.conv1 = Conv2d(n_members, (N_CHANNELS, width), kernel=7, stride=stride)
        self.bn1 = nn.BatchNorm2d(n_members * width)
        self.layer1 = self._layer(n_members, (width, width), 1)
        self.layer2 = self._layer(n_members, (width, 2 * width), 2)
        self.layer3 = self._layer(n_members, (2 * width, 4 * width), 2)
        self.layer4 = self._layer(n_members, (4 * width, 8 * width), 2)

    @staticmethod
    def _layer(n_members: int, channels: tuple[int, int], stride: int) -> nn.Sequential:
        n_out = channels[1]
        return nn.Sequential(
            BasicBlock(n_members, channels, stride), BasicBlock(n_members, (n_out, n_out), 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the last feature map."""
        x = torch.relu_(self.bn1(self.conv1(x)))
        x = largest_of_three(x) if self.pools else x
        features: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return features


def largest_of_three(x: Tensor) -> Tensor:
    """Max-pool 3 x 3 windows with stride 2 and padding 1, for values of at least 0.

    The gradient of torch's own pooling adds atomically on CUDA, in an order that varies, so it
    does not repeat to the bit. The gradient of elementwise maxima does.
    """
    x = nn.functional.pad(x, (1, 1, 1, 1))
    rows = torch.maximum(x[..., :-2:2, :], x[..., 1:-1:2, :]).maximum(x[..., 2::2, :])
    return torch.maximum(rows[..., :-2:2], rows[..., 1:-1:2]).maximum(rows[..., 2::2])
