"""Images whose class is where and in which order something moves, small enough to learn fast."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from dianet_ray.settings import Settings

SIGNS = ((1, 1), (1, -1), (-1, 1))  # of the blob in onset_apex and apex_offset, per class

TINY = Settings(width=4, embedding=8, heads=2, batch_size=6, steps=5, warmup=1)
"""Settings for tests that compare and do not learn."""


def state_of(network: nn.Module) -> dict[str, torch.Tensor]:
    """Copy a network's state dict as files hold it."""
    return {name: value.clone().contiguous() for name, value in network.state_dict().items()}


def toy_images(n_clips: int = 30, size: int = 32, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Make images (N, 3, size, size, 3) float16 and labels (N,): blobs at random places."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n_clips) % len(SIGNS)
    images = rng.normal(0, 2, (n_clips, 3, size, size, 3))
    y, x = np.mgrid[:size, :size] / size
    for image, label in zip(images, labels, strict=True):
        cy, cx = rng.uniform(0.3, 0.7, 2)
        blob = rng.uniform(8, 15) * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 0.01)[..., None]
        first, second = SIGNS[label]
        image += np.stack([first * blob, second * blob, (first + second) * blob])
    return images.astype(np.float16), labels.astype(np.int64)
