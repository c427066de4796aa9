"""Layers that hold M networks side by side; with one member they are ordinary layers.

A convolution is one grouped convolution, a linear layer one batched product, normalisation is
per member. Every parameter and buffer keeps its members along the first axis in equal parts, and
start values come only from the members' own generators. Letters: M members, B clips of a batch,
P phases, C channels, H and W pixels, T tokens, E channels of a token.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

FIXED_SCALE = 10.0
"""`fixed` divides by this. Stored images are divided by the sum of their positive coefficients,
so a value is a difference of grey levels: motion is typically within 30, its deviation 3 to 10."""

MAX_GROUPS = 4


class Stacked(nn.Module):
    """A layer of M members; `reset` gives each member start values from its own generator."""

    def __init__(self, n_members: int) -> None:
        super().__init__()
        self.n_members = n_members

    def reset(self, generators: Sequence[torch.Generator]) -> None:
        """Draw start values, one generator (on the CPU) per member."""
        raise NotImplementedError


def draw_normal(
    parameter: nn.Parameter, deviation: float, generators: Sequence[torch.Generator]
) -> None:
    """Fill each member's part of a parameter from that member's generator."""
    with torch.no_grad():
        parts = parameter.chunk(len(generators))
        for part, generator in zip(parts, generators, strict=True):
            part.copy_(torch.randn(part.shape, generator=generator) * deviation)


class Conv2d(Stacked):
    """M convolutions as one: (B, M*C, H, W) to (B, M*C', H', W'); padding keeps ceil(H / stride).

    `weight` is (M*C', C, kernel, kernel): with one member the shape of an ordinary convolution.
    """

    def __init__(
        self,
        n_members: int,
        channels: tuple[int, int],
        *,
        kernel: int = 3,
        stride: int = 1,
        bias: bool = False,
    ) -> None:
        super().__init__(n_members)
        n_in, n_out = channels
        self.stride, self.padding = stride, kernel // 2
        self.deviation = math.sqrt(2 / (n_in * kernel**2))  # He et al. 2015, arXiv 1502.01852
        self.weight = nn.Parameter(torch.empty(n_members * n_out, n_in, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(n_members * n_out)) if bias else None

    def reset(self, generators: Sequence[torch.Generator]) -> None:
        """Draw weights that keep the variance through ReLU; biases start at zero."""
        draw_normal(self.weight, self.deviation, generators)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve each member's channels with its own kernels."""
        stride = self.stride
        if self.weight.shape[-1] == 1 and stride > 1:
            # The same function. Given the stride, the weight gradient of oneDNN 3.x writes past
            # its workspace when a vector holds more channels than x (uxlfoundation/oneDNN#6035).
            # docs/decisions.md: Strided 1x1 convolutions
            x, stride = x[..., ::stride, ::stride], 1
        return functional.conv2d(
            x, self.weight, self.bias, stride, self.padding, groups=self.n_members
        )


class Linear(Stacked):
    """M linear layers as one batched product: (M, ..., n_in) to (M, ..., n_out)."""

    def __init__(self, n_members: int, n_in: int, n_out: int, *, bias: bool = True) -> None:
        super().__init__(n_members)
        self.deviation = math.sqrt(1 / n_in)
        self.weight = nn.Parameter(torch.empty(n_members, n_out, n_in))
        self.bias = nn.Parameter(torch.zeros(n_members, n_out)) if bias else None

    def reset(self, generators: Sequence[torch.Generator]) -> None:
        """Draw weights that keep the variance; biases start at zero."""
        draw_normal(self.weight, self.deviation, generators)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Multiply each member's rows with its own matrix."""
        rows, matrix = x.flatten(1, -2), self.weight.transpose(1, 2)
        if self.bias is None:
            y = torch.bmm(rows, matrix)
        else:
            y = torch.baddbmm(self.bias.unsqueeze(1), rows, matrix)
        return y.view(*x.shape[:-1], self.weight.shape[1])


class GroupNorm(nn.Module):
    """Group normalisation per member over (B, M*C, H, W), Wu and He 2018, arXiv 1803.08494.

    Statistics are those of one image. So a batch of any size and the held-out clips see the same
    function. There are no running statistics, which a short training would leave unfinished.
    """

    def __init__(self, n_members: int, channels: int) -> None:
        super().__init__()
        # docs/decisions.md: Normalisation in the small CNN
        self.n_groups = n_members * math.gcd(channels, MAX_GROUPS)
        self.weight = nn.Parameter(torch.ones(n_members * channels))
        self.bias = nn.Parameter(torch.zeros(n_members * channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise groups of channels, then scale and shift each channel."""
        return functional.group_norm(x, self.n_groups, self.weight, self.bias)


class LayerNorm(nn.Module):
    """Layer normalisation of tokens (M, B, T, E) with a scale and a shift per member."""

    def __init__(self, n_members: int, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(n_members, channels))
        self.bias = nn.Parameter(torch.zeros(n_members, channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise over the last axis."""
        weight, bias = self.weight[:, None, None], self.bias[:, None, None]
        if len(weight) == 1:  # one kernel instead of three
            return functional.layer_norm(x, x.shape[-1:], weight[0, 0, 0], bias[0, 0, 0])
        return functional.layer_norm(x, x.shape[-1:]) * weight + bias


class CrossAttention(nn.Module):
    """Multi-head attention of one token map to another, added to it and normalised.

    softmax(Q K^T / sqrt(E / heads)) V per head, Vaswani et al. 2017, arXiv 1706.03762. Written
    with batched products because their gradients repeat to the bit on every device.
    """

    def __init__(self, n_members: int, channels: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.query = Linear(n_members, channels, channels)
        # The softmax cancels a bias of the keys: AdamW would drive it by rounding errors alone.
        self.key = Linear(n_members, channels, channels, bias=False)
        self.value = Linear(n_members, channels, channels)
        self.out = Linear(n_members, channels, channels)
        self.norm = LayerNorm(n_members, channels)

    def forward(self, x: Tensor, other: Tensor) -> Tensor:
        """Let tokens `x` (M, B, T, E) read tokens `other` (M, B, T', E)."""
        query = self._split(self.query(x))
        key, value = self._split(self.key(other)), self._split(self.value(other))
        scores = torch.bmm(query * query.shape[-1] ** -0.5, key.transpose(1, 2))
        read = torch.bmm(scores.softmax(dim=-1), value)
        joined = read.view(*x.shape[:2], self.n_heads, *read.shape[1:]).transpose(2, 3).flatten(3)
        added: Tensor = self.norm(x + self.out(joined))
        return added

    def _split(self, x: Tensor) -> Tensor:
        parts = x.reshape(*x.shape[:-1], self.n_heads, -1)
        return parts.transpose(2, 3).flatten(0, 2)


class Normalisation(nn.Module):
    """The network's first layer: stored values (M, B, P, C, H, W) to a scale near one.

    `fixed` divides by FIXED_SCALE and keeps no motion at 0; `minmax` maps each image, all its
    channels together, to [-1, 1] and a static image to 0; `standard` subtracts the mean and
    divides by the deviation per phase and channel, buffers that hold what `set` was given.
    """

    def __init__(self, n_members: int, kind: str, n_phases: int, n_channels: int) -> None:
        super().__init__()
        self.kind = kind
        if kind == "standard":
            self.register_buffer("mean", torch.zeros(n_members, n_phases, n_channels))
            self.register_buffer("deviation", torch.ones(n_members, n_phases, n_channels))

    def set(self, member: int, mean: Tensor, deviation: Tensor) -> None:
        """Keep one member's statistics (P, C); a channel without any spread is only centred."""
        self.get_buffer("mean")[member] = mean
        self.get_buffer("deviation")[member] = torch.where(deviation > 0, deviation, 1.0)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise; the memory layout stays that of the input."""
        if self.kind == "fixed":
            return x * (1 / FIXED_SCALE)
        if self.kind == "standard":
            mean, deviation = self.get_buffer("mean"), self.get_buffer("deviation")
            return (x - mean[:, None, :, :, None, None]) / deviation[:, None, :, :, None, None]
        low, high = x.amin((3, 4, 5), keepdim=True), x.amax((3, 4, 5), keepdim=True)
        middle, half = (high + low) / 2, (high - low) / 2
        # A static image has half = 0, and 0 / 0 would make the whole batch NaN.
        return (x - middle) / torch.where(half > 0, half, 1.0)
