"""STSTNet (Liong et al. 2019, arXiv 1902.03634): an example of a network of your own.

Three shallow streams of 3, 5 and 8 kernels look at all dynamic images, and one linear layer at
what they found. A network file defines `Network`, and `Settings` if it adds settings of its own.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

import dianet_ray

KERNELS = (3, 5, 8)


class Settings(dianet_ray.Settings):
    """Our settings, and one more, which the space searches."""

    kernels: int = Field(1, ge=1, le=16, description="factor of the streams' numbers of kernels")


class Network(nn.Module):
    """Images (B, phases, 3, H, W), normalised, to logits (B, classes)."""

    def __init__(self, settings: Settings, n_classes: int, image_size: int) -> None:
        super().__init__()
        n_channels = 3 * settings.n_phases
        self.streams = nn.ModuleList(
            nn.Conv2d(n_channels, settings.kernels * n, 3, padding=1) for n in KERNELS
        )
        # With this attribute the second argument of `forward` is a dropout mask (B, n_features).
        self.n_features = settings.kernels * sum(KERNELS) * (image_size // 6) ** 2
        self.classifier = nn.Linear(self.n_features, n_classes)

    def forward(self, images: Tensor, keep: Tensor | None) -> Tensor:
        """Convolve, keep the largest of 3 x 3 places, average 2 x 2 of those, classify."""
        x = images.flatten(1, 2)
        maps = torch.cat([stream(x).relu() for stream in self.streams], dim=1)
        features = nn.functional.avg_pool2d(largest(maps, 3), 2).flatten(1)
        logits: Tensor = self.classifier(features if keep is None else features * keep)
        return logits


def largest(x: Tensor, size: int) -> Tensor:
    """Max-pool; unlike torch's own pooling its gradient repeats to the bit on every GPU."""
    side = x.shape[-1] // size
    x = x[..., : size * side, : size * side].unflatten(-1, (side, size))
    return x.unflatten(-3, (side, size)).amax((-3, -1))
