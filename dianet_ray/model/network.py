"""DIANet: one CNN stream per phase, cross-attention in both directions, and a classifier.

Other fusions and single-phase variants are settings of the same network. The network draws no
random numbers by itself: `reset` draws start values, and the caller passes dropout masks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from dianet_ray.artefacts import N_CHANNELS, PHASES
from dianet_ray.model.layers import (
    CrossAttention,
    LayerNorm,
    Linear,
    Normalisation,
    Stacked,
    draw_normal,
)
from dianet_ray.model.streams import Cnn, ResNet18
from dianet_ray.settings import Settings

MAX_SIDE = 8
"""Maximum number of tokens per side; larger feature maps are averaged down to it."""


def phase_numbers(settings: Settings) -> tuple[int, ...]:
    """List the positions in `artefacts.PHASES` of the phases that these settings use."""
    names = PHASES[:2] if settings.phases == "both" else (settings.phases,)
    return tuple(PHASES.index(name) for name in names)


class Tokens(Stacked):
    """Turns a feature map (B, M*C, side, side) into tokens (M, B, T, E) with positions."""

    def __init__(self, n_members: int, channels: int, side: int, embedding: int) -> None:
        super().__init__(n_members)
        self.pool = math.ceil(side / MAX_SIDE)
        self.project = Linear(n_members, channels, embedding)
        n_tokens = math.ceil(side / self.pool) ** 2
        self.position = nn.Parameter(torch.empty(n_members, n_tokens, embedding))
        self.norm = LayerNorm(n_members, embedding)

    def reset(self, generators: Sequence[torch.Generator]) -> None:
        """Draw small positions; the projection resets itself."""
        draw_normal(self.position, 0.02, generators)

    def forward(self, x: Tensor) -> Tensor:
        """Average neighbours in a large map, project, add positions, normalise."""
        if self.pool > 1:
            # Adaptive pooling would do, but its gradient does not repeat to the bit on CUDA.
            x = functional.avg_pool2d(x, self.pool, ceil_mode=True)
        rows = x.permute(0, 2, 3, 1).flatten(1, 2)  # (B, T, M*C)
        tokens = rows.view(*rows.shape[:2], self.n_members, -1).permute(2, 0, 1, 3)
        normed: Tensor = self.norm(self.project(tokens) + self.position.unsqueeze(1))
        return normed


class DIANet(nn.Module):
    """M networks with equal settings, side by side; use `build` to make them.

    `memory_format` is the layout in which the streams compute. Only `benchmarks/stacking.py`
    changes it, to show that channels_last is faster.
    """

    # 1.2 times as fast as the default layout on a CPU.
    memory_format = torch.channels_last

    def __init__(
        self, settings: Settings, n_classes: int, image_size: int, n_members: int = 1
    ) -> None:
        super().__init__()
        n_phases = len(phase_numbers(settings))
        self.n_members, self.n_features = n_members, n_phases * settings.embedding
        self.normalise = Normalisation(n_members, settings.normalisation, n_phases, N_CHANNELS)
        backbone = ResNet18 if settings.backbone == "resnet18" else Cnn
        streams = [backbone(n_members, settings.width, image_size) for _ in range(n_phases)]
        self.streams = nn.ModuleList(streams)
        self.tokens = nn.ModuleList(
            Tokens(n_members, stream.channels, stream.side, settings.embedding)
            for stream in streams
        )
        crosses = settings.fusion == "cross_attention"
        self.attention = nn.ModuleList(
            CrossAttention(n_members, settings.embedding, settings.heads)
            for _ in range(n_phases if crosses else 0)
        )
        self.classifier = Linear(n_members, self.n_features, n_classes)

    def reset(self, generators: Sequence[torch.Generator]) -> None:
        """Draw all start values, each member's from its own generator (on the CPU)."""
        for module in self.modules():
            if isinstance(module, Stacked):
                module.reset(generators)

    def forward(self, images: Tensor, keep: Tensor | None = None) -> Tensor:
        """Classify clips.

        Args:
            images: (M, B, P, C, H, W) float32, stored values, phases in storage order.
            keep: (M, B, n_features) dropout mask that multiplies the fused features: 0 or
                1 / (1 - dropout); None outside training.

        Returns:
            Logits (M, B, n_classes).
        """
        x = self.normalise(images).permute(2, 1, 0, 3, 4, 5).flatten(2, 3)
        maps = [
            stream(phase.contiguous(memory_format=self.memory_format))
            for stream, phase in zip(self.streams, x, strict=True)
        ]
        tokens = [embed(each) for embed, each in zip(self.tokens, maps, strict=True)]
        if self.attention:
            first, second = tokens
            tokens = [self.attention[0](first, second), self.attention[1](second, first)]
        features = torch.cat([each.mean(dim=2) for each in tokens], dim=-1)
        if keep is not None:
            features = features * keep
        logits: Tensor = self.classifier(features)
        return logits


def build(settings: Settings, n_classes: int, image_size: int, n_members: int = 1) -> DIANet:
    """Build a network on the CPU; member k's start values come from seed k.

    Args:
        settings: what the network looks like.
        n_classes: length of the logits.
        image_size: side of the images in pixels.
        n_members: number of networks in the stack.
    """
    network = DIANet(settings, n_classes, image_size, n_members)
    network.reset([torch.Generator().manual_seed(member) for member in range(n_members)])
    for parameter in network.parameters():
        # Kernels in the layout of the maps, or each forward pass would convert them again.
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=DIANet.memory_format)
    return network


def member_state(network: DIANet, member: int) -> dict[str, Tensor]:
    """Copy one member out of a stack: the state dict of a network with one member, on the CPU."""
    parts = {}
    for name, value in network.state_dict().items():
        if value.dim():  # a scalar counts batches, which is the same for every member
            value = value.chunk(network.n_members)[member]
        # A copy, because a view would keep the weights of the whole stack alive.
        parts[name] = value.detach().to("cpu", copy=True).contiguous()
    return parts
