"""DIANet: one CNN stream per phase, cross-attention in both directions, and a classifier.

Other fusions and single-phase variants are settings of the same network. Letters of shapes: B
clips of a batch, P phases, C channels, H and W pixels, T tokens, E channels of a token.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from dianet_ray.model.inputs import (
    FIXED_SCALE,
    PICTURE_SCALE,
    Normalisation,
    Picture,
)
from dianet_ray.model.stream_parts import BatchNorm
from dianet_ray.model.streams import BACKBONES, Stream
from dianet_ray.settings import Settings

MAX_SIDE = 8
"""Maximum number of tokens per side; larger feature maps are averaged down to it."""


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
    With a gate, what was read is added by shares from 0 to 1, which are learned from both, per
    token and channel: Arevalo et al. 2017, arXiv 1702.01992.
    """

    def __init__(self, channels: int, n_heads: int, *, is_gated: bool = False) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.query = nn.Linear(channels, channels)
        # The softmax cancels a bias of the keys: AdamW would drive it by rounding errors alone.
        self.key = nn.Linear(channels, channels, bias=False)
        self.value = nn.Linear(channels, channels)
        self.out = nn.Linear(channels, channels)
        self.gate = nn.Linear(2 * channels, channels) if is_gated else None
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor, other: Tensor) -> Tensor:
        """Let tokens `x` (B, T, E) read tokens `other` (B, T', E)."""
        value = self._split(self.value(other))
        read = self.out((self.attention(x, other) @ value).transpose(1, 2).flatten(2))
        if self.gate is not None:
            read = read * self.gate(torch.cat([x, read], dim=-1)).sigmoid()
        added: Tensor = self.norm(x + read)
        return added

    def attention(self, x: Tensor, other: Tensor) -> Tensor:
        """Return how much each of `x` reads of each of `other`, per head: (B, heads, T, T')."""
        query, key = self._split(self.query(x)), self._split(self.key(other))
        scores = query * query.shape[-1] ** -0.5 @ key.transpose(-1, -2)
        shares: Tensor = scores.softmax(dim=-1)
        return shares

    def _split(self, x: Tensor) -> Tensor:
        """Give each head its channels: (B, T, E) to (B, heads, T, E / heads)."""
        return x.view(*x.shape[:2], self.n_heads, -1).transpose(1, 2)


class Exchange(nn.Module):
    """A layer of cross-attention: the tokens of each phase read those of all others."""

    def __init__(self, n_phases: int, channels: int, n_heads: int, *, is_gated: bool) -> None:
        super().__init__()
        self.phases = nn.ModuleList(
            CrossAttention(channels, n_heads, is_gated=is_gated) for _ in range(n_phases)
        )

    def forward(self, tokens: list[Tensor]) -> list[Tensor]:
        """Read (B, T, E) of each phase; all read what the layer was given."""
        return [
            attend(tokens[k], torch.cat(tokens[:k] + tokens[k + 1 :], dim=1))
            for k, attend in enumerate(self.phases)
        ]


class LateClassifier(nn.Module):
    """A classifier per phase, whose probabilities are averaged."""

    def __init__(self, n_phases: int, channels: int, n_classes: int) -> None:
        super().__init__()
        self.phases = nn.ModuleList(nn.Linear(channels, n_classes) for _ in range(n_phases))

    def forward(self, features: Tensor) -> Tensor:
        """Return the logarithms of the mean probabilities: (B, P x E) to (B, classes)."""
        parts = features.chunk(len(self.phases), dim=-1)
        logits = [classify(part) for classify, part in zip(self.phases, parts, strict=True)]
        logs = torch.stack(logits).log_softmax(dim=-1)
        return logs.logsumexp(dim=0) - math.log(len(self.phases))


class DIANet(nn.Module):
    """The network of the paper, and its variants.

    `n_features` is the number of features that the classifier reads.
    """

    def __init__(self, settings: Settings, n_classes: int, image_size: int) -> None:
        super().__init__()
        n_phases = settings.n_phases
        self.sums = settings.fusion == "sum"
        self.n_features = settings.embedding * (1 if self.sums else n_phases)
        scale = PICTURE_SCALE if _know_pictures(settings) else FIXED_SCALE
        self.normalise = Normalisation(settings.normalisation, n_phases, scale)
        backbone = BACKBONES[settings.backbone]
        streams = [backbone(settings.width, image_size) for _ in range(settings.n_streams)]
        self.streams = nn.ModuleList(streams)
        self.picture = Picture() if _expects_pictures(settings) else None
        self.tokens = nn.ModuleList(
            Tokens(streams[0].channels, streams[0].side, settings.embedding)
            for _ in range(n_phases)
        )
        n_layers = settings.layers if settings.fusion == "cross_attention" else 0
        self.attention = nn.ModuleList(
            Exchange(n_phases, settings.embedding, settings.heads, is_gated=settings.gate)
            for _ in range(n_layers)
        )
        self.classifier = (
            LateClassifier(n_phases, settings.embedding, n_classes)
            if settings.fusion == "late"
            else nn.Linear(self.n_features, n_classes)
        )
        for module in self.modules():
            _draw(module)
        if settings.pretrained != "none":
            _hold(streams, settings.frozen_stages)

    def forward(self, images: Tensor, keep: Tensor | None = None) -> Tensor:
        """Classify clips.

        Args:
            images: (B, P, C, H, W) float32, stored values, phases in storage order.
            keep: (B, n_features) dropout mask that multiplies the fused features: 0 or
                1 / (1 - dropout); None outside training.

        Returns:
            Logits (B, n_classes).
        """
        x = self.normalise(images)
        phases = (x if self.picture is None else self.picture(x)).unbind(1)
        streams = itertools.cycle(self.streams)  # a shared one takes every phase
        maps = [stream(phase) for stream, phase in zip(streams, phases, strict=False)]
        tokens = [embed(each) for embed, each in zip(self.tokens, maps, strict=True)]
        for layer in self.attention:
            tokens = layer(tokens)
        means = [each.mean(dim=1) for each in tokens]
        features = torch.stack(means).sum(dim=0) if self.sums else torch.cat(means, dim=-1)
        if keep is not None:
            features = features * keep
        logits: Tensor = self.classifier(features)
        return logits


def _hold(streams: Sequence[Stream], n_stages: int) -> None:
    """Keep the first stages as they are loaded, and all statistics of batch normalisation."""
    for stream in streams:
        for module in itertools.chain(*stream.stages()[:n_stages]):
            module.requires_grad_(False)
        for module in stream.modules():
            if isinstance(module, BatchNorm):
                module.is_held = True


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


def _know_pictures(settings: Settings) -> bool:
    # Other files are of streams that this program trained.
    return settings.pretrained == "imagenet" or _expects_pictures(settings)


def _expects_pictures(settings: Settings) -> bool:
    # EfficientNet-Lite0's own weights expect the scale from -1 to 1 as it is.
    return settings.pretrained != "none" and settings.backbone == "resnet18"
