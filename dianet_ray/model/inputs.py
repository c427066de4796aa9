"""What a network sees: the phases of its settings, scaled.

Letters of shapes as in `network`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dianet_ray.artefacts import N_CHANNELS, PHASES
from dianet_ray.settings import Settings

FIXED_SCALE = 10.0
"""`fixed` divides by this. Stored images are divided by the sum of their positive coefficients,
so a value is a difference of grey levels: motion is typically within 30, its deviation 3 to 10."""

PICTURE_SCALE = 30.0
"""The same where streams start from weights of photographs, which expect -1 (black) to 1."""


def phase_numbers(settings: Settings) -> tuple[int, ...]:
    """List the positions in `artefacts.PHASES` of the phases that these settings use."""
    if settings.phases == "three":
        return tuple(range(len(PHASES)))
    names = PHASES[:2] if settings.phases == "both" else (settings.phases,)
    return tuple(PHASES.index(name) for name in names)


class Normalisation(nn.Module):
    """The network's first layer: stored values (B, P, C, H, W) to a scale near one.

    `fixed` divides by `scale` and keeps no motion at 0; `minmax` maps each image, all its
    channels together, to [-1, 1] and a static image to 0; `standard` subtracts the mean and
    divides by the deviation per phase and channel, buffers that hold what `set` was given.
    """

    def __init__(self, kind: str, n_phases: int, scale: float = FIXED_SCALE) -> None:
        super().__init__()
        self.kind, self.scale = kind, scale
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
            return x * (1 / self.scale)
        if self.kind == "standard":
            mean, deviation = self.get_buffer("mean"), self.get_buffer("deviation")
            return (x - mean[:, :, None, None]) / deviation[:, :, None, None]
        low, high = x.amin((2, 3, 4), keepdim=True), x.amax((2, 3, 4), keepdim=True)
        middle, half = (high + low) / 2, (high - low) / 2
        # A static image has half = 0, and 0 / 0 would make the whole batch NaN.
        return (x - middle) / torch.where(half > 0, half, 1.0)


class Picture(nn.Module):
    """Turns images from -1 (black) to 1 (white) into what torchvision's weights were trained on.

    Those expect each channel without the mean of ImageNet and divided by its deviation.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        mean, deviation = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])
        self.register_buffer("mean", (2 * mean - 1)[:, None, None])
        self.register_buffer("deviation", (2 * deviation)[:, None, None])

    def forward(self, x: Tensor) -> Tensor:
        """Scale (B, P, C, H, W)."""
        return (x - self.mean) / self.deviation
