"""Batches of a stack: which clips they hold, their augmentation, blends, masks and pixels.

Each member draws its random numbers from its own generators on the CPU. So a member of a stack
sees what it would see alone, on any device. Pixels are gathered by index from one tensor that
stays on the device. This module knows nothing of networks or losses.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dianet_ray.settings import Settings, derive_seed

STEPS_AT_ONCE = 32
"""Steps whose random numbers are drawn together. Larger saves calls and takes more memory."""

N_DRAWS = 10  # vertical and horizontal shift, flip, erase, height, width, top, left, turn, scale
ERASED_SHARE = (0.1, 0.4)
"""Smallest and largest side of an erased rectangle, as shares of the image's side."""


@dataclass(frozen=True, slots=True)
class Step:
    """The random choices of one optimiser step, on the device.

    Attributes:
        clips: (M, B) int64, positions of the clips.
        draws: (M, B, N_DRAWS) uniform in [0, 1), from which the augmentation follows.
        keep: (M, B, F) float32 dropout mask: 0 or 1 / (1 - dropout).
        own: (M, B) float32, the share that a clip has of its image, where `mixup` blends it with
            the clip before it; 1 where it does not.
    """

    clips: Tensor
    draws: Tensor
    keep: Tensor
    own: Tensor


@dataclass(frozen=True, slots=True)
class Batch:
    """The input of the network and its loss in one step.

    Attributes:
        images: (M, B, P, C, H, W) float32, stored values after augmentation.
        labels: (M, B) int64.
        keep: as in `Step`.
        own: as in `Step`.
    """

    images: Tensor
    labels: Tensor
    keep: Tensor
    own: Tensor


def index_stream(clips: Tensor, batch_size: int, seed: int) -> Iterator[Tensor]:
    """Yield batches (batch_size,) from an endless sequence of shuffled epochs.

    A batch may span epochs. So it is always full, even when it is larger than the training set,
    and the numbers of times that two clips have been drawn never differ by more than one.
    """
    generator = torch.Generator().manual_seed(seed)
    waiting = clips[:0]
    while True:
        while len(waiting) < batch_size:
            # The CPU's generator for every device: CUDA's own draws other numbers.
            epoch = clips[torch.randperm(len(clips), generator=generator)]
            waiting = torch.cat([waiting, epoch])
        yield waiting[:batch_size]
        waiting = waiting[batch_size:]


def member_steps(
    settings: Settings, clips: Tensor, *, seed: int, n_features: int
) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Yield one member's steps without end, STEPS_AT_ONCE of each part of `Step` at a time.

    Clips, augmentation, dropout and mixup have a generator each, so that a setting which changes
    one of them leaves the others as they are.
    """
    order = index_stream(clips, STEPS_AT_ONCE * settings.batch_size, derive_seed(seed, "order"))
    # All draws are made whatever the settings, so that comparing settings compares equal noise.
    augment = torch.Generator().manual_seed(derive_seed(seed, "augmentation"))
    dropout = torch.Generator().manual_seed(derive_seed(seed, "dropout"))
    mixup = np.random.default_rng(derive_seed(seed, "mixup"))  # torch has no seeded beta
    shape = (STEPS_AT_ONCE, settings.batch_size)
    own = torch.ones(shape)
    for batch in order:
        draws = torch.rand((*shape, N_DRAWS), generator=augment)
        uniform = torch.rand((*shape, n_features), generator=dropout)
        keep = (uniform >= settings.dropout) / (1 - settings.dropout)
        if settings.mixup:
            shares = mixup.beta(settings.mixup, settings.mixup, shape)
            own = torch.from_numpy(shares.astype(np.float32))
        yield batch.view(shape), draws, keep, own


def steps(
    settings: Sequence[Settings],
    members: Sequence[tuple[Tensor, int]],
    *,
    n_features: int,
    device: torch.device,
) -> Iterator[Step]:
    """Yield the steps of a stack without end; a member is its training clips and its seed.

    `settings` has one per member.
    """
    streams = [
        member_steps(mine, clips, seed=seed, n_features=n_features)
        for mine, (clips, seed) in zip(settings, members, strict=True)
    ]
    while True:
        parts = zip(*(next(stream) for stream in streams), strict=True)
        stacked = (torch.stack(part, dim=1).to(device) for part in parts)
        for step in zip(*stacked, strict=True):
            yield Step(*step)


class Pixels:
    """The used phases of all clips, float32 on the device, followed by one pixel of zeros.

    The zeros mean "no motion" and fill what augmentation uncovers or erases.
    """

    def __init__(self, images: np.ndarray, phases: Sequence[int], *, device: torch.device) -> None:
        """Take images (N, phases, H, W, C), any float type, and the phases to keep."""
        n_clips, _, self.height, self.width, n_channels = images.shape
        self.n_pixels = n_clips * self.height * self.width
        values = np.zeros((len(phases), self.n_pixels + 1, n_channels), dtype=np.float32)
        for kept, phase in zip(values, phases, strict=True):
            kept[:-1] = images[:, phase].reshape(-1, n_channels)
        self.values = torch.from_numpy(values).to(device)

    def gather(self, clips: Tensor, settings: Settings, draws: Tensor | None = None) -> Tensor:
        """Gather clips (M, B); with draws, augment all phases of a clip in the same way.

        Returns:
            (M, B, P, C, H, W) float32. Its memory order is P, B, H, W, M, C, so that the
            streams get their channels_last input without a copy.
        """
        rows, columns, erased = self._window(clips, settings, draws)
        if draws is None or not (settings.rotation or settings.scale):
            return self._take(clips, rows, columns, erased)
        rows, columns = self._turned(rows, columns, settings, draws)
        top, left = rows.floor(), columns.floor()
        down, right = rows - top, columns - left
        # Between four pixels: their values, weighted by nearness.
        corners = [
            (top, left, (1 - down) * (1 - right)),
            (top, left + 1, (1 - down) * right),
            (top + 1, left, down * (1 - right)),
            (top + 1, left + 1, down * right),
        ]
        parts = [
            self._take(clips, row.long(), column.long(), erased)
            * share.permute(3, 0, 1, 2)[:, :, None, None]
            for row, column, share in corners
        ]
        return parts[0] + parts[1] + parts[2] + parts[3]

    def statistics(self, clips: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation (P, C) of the stored pixels of some clips."""
        n_phases, _, n_channels = self.values.shape
        side = self.height * self.width
        grid = self.values[:, :-1].view(n_phases, -1, side, n_channels)
        variance, mean = torch.var_mean(grid[:, clips], dim=(1, 2), correction=0)
        return mean, variance.sqrt()

    def _window(
        self, clips: Tensor, settings: Settings, draws: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Say which row (B, H, 1, M) and column (B, 1, W, M) each pixel comes from."""
        rows = torch.arange(self.height, device=clips.device)[None, :, None, None]
        columns = torch.arange(self.width, device=clips.device)[None, None, :, None]
        if draws is None:
            shape = (clips.shape[1], self.height, self.width, clips.shape[0])
            return rows.expand(shape), columns, None
        draw = [each.T[:, None, None] for each in draws.unbind(-1)]  # (B, 1, 1, M) each
        erased = (
            (draw[3] < settings.erasing)
            & _inside(rows, self.height, draw[4], draw[6])
            & _inside(columns, self.width, draw[5], draw[7])
        )
        rows = rows - _shift(draw[0], settings.shift, self.height)
        columns = columns - _shift(draw[1], settings.shift, self.width)
        if settings.flip:
            columns = torch.where(draw[2] < 0.5, self.width - 1 - columns, columns)
        return rows, columns, erased

    def _turned(
        self, rows: Tensor, columns: Tensor, settings: Settings, draws: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Rotate and scale about the centre: where each pixel comes from, (B, H, W, M) float."""
        turn, size = (draws[..., k].T[:, None, None] * 2 - 1 for k in (8, 9))
        angle = turn * math.radians(settings.rotation)
        # Equally likely to be made larger or smaller by the same factor.
        smaller = (1 + settings.scale) ** -size
        middle, centre = (self.height - 1) / 2, (self.width - 1) / 2
        down, right = (rows - middle) * smaller, (columns - centre) * smaller
        return (
            middle + down * angle.cos() - right * angle.sin(),
            centre + down * angle.sin() + right * angle.cos(),
        )

    def _take(self, clips: Tensor, rows: Tensor, columns: Tensor, erased: Tensor | None) -> Tensor:
        """Gather these pixels of clips (M, B), zeros where one is erased or outside."""
        hidden = (rows < 0) | (rows >= self.height) | (columns < 0) | (columns >= self.width)
        if erased is not None:
            hidden = hidden | erased
        # One gather does shift, flip and erasing, with no random operation on the device.
        pixels = (clips.T[:, None, None] * self.height + rows) * self.width + columns
        pixels = torch.where(hidden, self.n_pixels, pixels)  # (B, H, W, M)
        values = self.values.index_select(1, pixels.flatten())
        return values.view(-1, *pixels.shape, values.shape[-1]).permute(4, 1, 0, 5, 2, 3)


def batch_of(settings: Settings, step: Step, *, pixels: Pixels, labels: Tensor) -> Batch:
    """Make the batch of a step; `labels` are those of all clips, (N,) int64, on the device."""
    images = pixels.gather(step.clips, settings, step.draws)
    if settings.mixup:
        before = pixels.gather(step.clips.roll(1, 1), settings, step.draws.roll(1, 1))
        images = before.lerp(images, step.own[:, :, None, None, None, None])
    return Batch(images, labels[step.clips], step.keep, step.own)


def _shift(uniform: Tensor, share: float, side: int) -> Tensor:
    """Map uniform numbers to whole pixels between -share and +share of the side."""
    largest = round(share * side)
    return (uniform * (2 * largest + 1)).long() - largest


def _inside(positions: Tensor, side: int, size: Tensor, start: Tensor) -> Tensor:
    """Tell which positions lie within an interval of random size and start."""
    low, high = ERASED_SHARE
    length = (side * (low + (high - low) * size)).round().clamp(min=1)
    first = (start * (side - length + 1)).floor()
    return (positions >= first) & (positions < first + length)
