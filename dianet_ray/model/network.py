"""DIANet: one CNN stream per phase, cross-attention in both directions, and a classifier.

Other fusions and single-phase variants are settings of the same network. Letters of shapes: B
clips of a batch, P phases, C channels, H and W pixels, T tokens, E channels of a token.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from dianet_ray.artefacts import N_CHANNELS, PHASES
from dianet_ray.model.streams import Cnn, ResNet18
from dianet_ray.settings import Settings

FIXED_SCALE = 10.0
"""`fixed` divides by this. Stored images are divided by the sum of their positive coefficients,
so a value is a difference of grey levels: motion is typically within 30, its deviation 3 to 10."""

MAX_SIDE = 8
"""Maximum number of tokens per side; larger feature maps are averaged down to it."""

# 1.2 times as fast as the default layout on a CPU.
MEMORY_FORMAT = torch.channels_last


def phase_numbers(settings: Settings) -> tuple[int, ...]:
    """List the positions in `artefacts.PHASES` of the phases that these settings use."""
    names = PHASES[:2] if settings.phases == "both" else (settings.phases,)
    return tuple(PHASES.index(name) for name in names)


class Normalisation(nn.Module):
    """The network's first layer: stored values (B, P, C, H, W) to a scale near one.

    `fixed` divides by FIXED_SCALE and keeps no motion at 0; `minmax` maps each image, all its
    channels together, to [-1, 1] and a static image to 0; `standard` subtracts the mean and
    divides by the deviation per phase and channel, buffers that hold what `set` was given.
    """

    def __init__(self, kind: str, n_phases: int) -> None:
        super().__init__()
        self.kind = kind
        if kind == "standard":
            self.register_buffer("mean", torch.zeros(n_phases, N_CHANNELS))
            self.register_buffer("deviation", torch.ones(n_phases, N_CHANNELS))

    def set(self, mean: Tensor, deviation: Tensor) -> None:
        """Keep statistics (P, C); a channel without any spread is only centred."""
        self.get_buffer("mean").copy_(mean)
        self.get_buffer("deviation").copy_(torch.where(deviation > 0, deviation, 1.0))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise; the memory layout stays that of the input."""
        if self.kind == "fixed":
            return x * (1 / FIXED_SCALE)
        if self.kind == "standard":
            mean, deviation = self.get_buffer("mean"), self.get_buffer("deviation")
            return (x - mean[:, :, None, None]) / deviation[:, :, None, None]
        low, high = x.amin((2, 3, 4), keepdim=True), x.amax((2, 3, 4), keepdim=True)
        middle, half = (high + low) / 2, (high - low) / 2
        # A static image has half = 0, and 0 / 0 would make the whole batch NaN.
        return (x - middle) / torch.where(half > 0, half, 1.0)


class Tokens(nn.Module):
    """Turns a feature map (B, C, side, side) into tokens (B, T, E) with positions."""

    def __init__(self, channels: int, side: int, embedding: int) -> None:
        super().__init__()
        self.pool = math.ceil(side / MAX_SIDE)
        self.project = nn.Linear(channels, embedding)
        self.position = nn.Parameter(torch.empty(math.ceil(side / self.pool) ** 2, embedding))
        self.norm = nn.LayerNorm(embedding)
        nn.init.normal_(self.position, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Average neighbours in a large map, project, add positions, normalise."""
        if self.pool > 1:
            # Adaptive pooling would do, but its gradient does not repeat to the bit on CUDA.
            x = functional.avg_pool2d(x, self.pool, ceil_mode=True)
        tokens: Tensor = self.norm(self.project(x.flatten(2).transpose(1, 2)) + self.position)
        return tokens


class CrossAttention(nn.Module):
    """Multi-head attention of one token map to another, added to it and normalised.

    softmax(Q K^T / sqrt(E / heads)) V per head, Vaswani et al. 2017, arXiv 1706.03762. Written
    as two products, because the gradients of the fused kernels do not repeat to the bit on CUDA.
    """

    def __init__(self, channels: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.query = nn.Linear(channels, channels)
        # The softmax cancels a bias of the keys: AdamW would drive it by rounding errors alone.
        self.key = nn.Linear(channels, channels, bias=False)
        self.value = nn.Linear(channels, channels)
        self.out = nn.Linear(channels, channels)
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor, other: Tensor) -> Tensor:
        """Let tokens `x` (B, T, E) read tokens `other` (B, T', E)."""
        query = self._split(self.query(x))
        key, value = self._split(self.key(other)), self._split(self.value(other))
        scores = query * query.shape[-1] ** -0.5 @ key.transpose(-1, -2)
        read = scores.softmax(dim=-1) @ value
        added: Tensor = self.norm(x + self.out(read.transpose(1, 2).flatten(2)))
        return added

    def _split(self, x: Tensor) -> Tensor:
        """Give each head its channels: (B, T, E) to (B, heads, T, E / heads)."""
        return x.view(*x.shape[:2], self.n_heads, -1).transpose(1, 2)


class DIANet(nn.Module):
    """The network of the paper, and its variants.

    `n_features` is the number of features that the classifier reads.
    """

    def __init__(self, settings: Settings, n_classes: int, image_size: int) -> None:
        super().__init__()
        n_phases = len(phase_numbers(settings))
        self.n_features = n_phases * settings.embedding
        self.normalise = Normalisation(settings.normalisation, n_phases)
        backbone = ResNet18 if settings.backbone == "resnet18" else Cnn
        streams = [backbone(settings.width, image_size) for _ in range(n_phases)]
        self.streams = nn.ModuleList(streams)
        self.tokens = nn.ModuleList(
            Tokens(stream.channels, stream.side, settings.embedding) for stream in streams
        )
        crosses = settings.fusion == "cross_attention"
        self.attention = nn.ModuleList(
            CrossAttention(settings.embedding, settings.heads)
            for _ in range(n_phases if crosses else 0)
        )
        self.classifier = nn.Linear(self.n_features, n_classes)
        for module in self.modules():
            _draw(module)

    def forward(self, images: Tensor, keep: Tensor | None = None) -> Tensor:
        """Classify clips.

        Args:
            images: (B, P, C, H, W) float32, stored values, phases in storage order.
            keep: (B, n_features) dropout mask that multiplies the fused features: 0 or
                1 / (1 - dropout); None outside training.

        Returns:
            Logits (B, n_classes).
        """
        phases = self.normalise(images).unbind(1)
        maps = [stream(phase) for stream, phase in zip(self.streams, phases, strict=True)]
        tokens = [embed(each) for embed, each in zip(self.tokens, maps, strict=True)]
        if self.attention:
            first, second = tokens
            tokens = [self.attention[0](first, second), self.attention[1](second, first)]
        features = torch.cat([each.mean(dim=1) for each in tokens], dim=-1)
        if keep is not None:
            features = features * keep
        logits: Tensor = self.classifier(features)
        return logits


def _draw(module: nn.Module) -> None:
    """Draw the start values of a layer, so that it keeps the variance; biases start at zero."""
    if isinstance(module, nn.Conv2d):  # through ReLU, He et al. 2015, arXiv 1502.01852
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    elif isinstance(module, nn.Linear):
        nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
    else:
        return
    if module.bias is not None:
        nn.init.zeros_(module.bias)


def build(settings: Settings, n_classes: int, image_size: int, seed: int = 0) -> DIANet:
    """Build a network on the CPU.

    Args:
        settings: what the network looks like.
        n_classes: length of the logits.
        image_size: side of the images in pixels.
        seed: decides its start values.
    """
    with _seeded(seed):
        network = DIANet(settings, n_classes, image_size)
    lay_out(network, MEMORY_FORMAT)
    return network


def lay_out(network: nn.Module, layout: torch.memory_format) -> None:
    """Lay kernels out as the maps are, or each forward pass would convert them again."""
    for parameter in network.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=layout)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed torch's generator of the CPU, and give it back as it was."""
    before = torch.get_rng_state()
    # Not torch.manual_seed, which seeds CUDA's generators as well.
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(before)
