"""What the streams share: the sizes of their maps, and normalisation layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

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


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation that can keep the statistics that it was loaded with.

    `is_held` says so. A batch of one fold would soon move those of a million photographs.
    """

    is_held = False

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, C, H, W) in full precision."""
        return super().forward(_in_full(x))

    def train(self, mode: bool = True) -> BatchNorm:
        """Train, or do not; the statistics of a held layer never do."""
        return super().train(mode and not self.is_held)


class GroupNorm(nn.GroupNorm):
    """Group normalisation in full precision."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, C, H, W)."""
        return super().forward(_in_full(x))


def _in_full(x: Tensor) -> Tensor:
    # Autocast sees to that for a network alone, but not below vmap: there statistics would be in
    # bfloat16, and those of a batch beside running ones in float32, which CUDA refuses.
    return x.float() if x.dtype == torch.bfloat16 else x
