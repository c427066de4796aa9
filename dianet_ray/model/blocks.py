"""A block on its device: networks that train together, and their step.

A worker keeps the last block whose step was recorded. The next one of equal shape begins anew in
the same memory, and replays the same recording.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from dianet_ray.model.batches import Pixels, Step, batch_of
from dianet_ray.model.build import Network
from dianet_ray.model.recording import Do, recorded
from dianet_ray.model.stack import Trainee, trainee_of
from dianet_ray.model.training import optimiser_step
from dianet_ray.settings import Settings

OWN = frozenset({"learning_rate", "weight_decay", "dropout", "label_smoothing", "class_weights"})
"""Settings in which the members of a stack may differ: they change no shape and no plan."""

_OUTSIDE = frozenset({"steps", "points", "schedule", "warmup"})
"""Settings that no step knows."""


@dataclass(frozen=True, slots=True)
class Clips:
    """The clips of a study on a device.

    Attributes:
        pixels: those of the phases that a network sees.
        labels: (N,) int64, on the device.
    """

    pixels: Pixels
    labels: Tensor


@dataclass(frozen=True, slots=True)
class Block:
    """Networks that train together.

    Attributes:
        trainee: the networks.
        tables: each member's `training.targets`, (M, n_classes, n_classes), on the device.
        do: does one step of them.
    """

    trainee: Trainee
    tables: Tensor
    do: Do


class Workplace:
    """A device, and what a process keeps there for its next block: clips, and a recorded block.

    Attributes:
        device: where blocks train.
    """

    def __init__(self, device: str) -> None:
        """Begin with nothing on a device, as torch names it."""
        self.device = torch.device(device)
        self._origin: tuple[object, ...] = ()
        self._clips: Clips | None = None
        self._shape: tuple[object, ...] = ()
        self._block: Block | None = None

    def clips(self, images: np.ndarray, labels: np.ndarray, phases: Sequence[int]) -> Clips:
        """Bring these phases of images (N, 3, H, W, 3) to the device, unless they are there."""
        origin = (images, labels, tuple(phases))
        if self._clips is None or not all(map(_is_same, origin, self._origin)):
            self._clips = self._block = None  # the memory goes before more is taken
            pixels = Pixels(images, phases, device=self.device)
            # A copy, because arrays out of Ray's object store are read-only, which torch refuses.
            self._clips = Clips(pixels, torch.from_numpy(np.array(labels)).to(self.device))
            self._origin = origin
        return self._clips

    def block(
        self,
        networks: Sequence[Network],
        settings: Sequence[Settings],
        *,
        tables: Tensor,
        first: Step,
    ) -> Block:
        """Prepare networks of the CPU to train on the clips that came last.

        Args:
            networks: of equal shape.
            settings: one per network; they differ in `OWN` at most.
            tables: as in `Block`, on the CPU.
            first: any step of the block.
        """
        assert self._clips is not None
        shape = (_shape(settings), tables.shape)
        if self._block is not None and shape == self._shape:
            self._block.trainee.restart(networks, settings)
            self._block.tables.copy_(tables)
            return self._block
        self._block = None
        trainee = trainee_of([network.to(self.device) for network in networks], settings)
        tables = tables.to(self.device)
        batch = partial(
            batch_of, settings[0], pixels=self._clips.pixels, labels=self._clips.labels
        )
        do = optimiser_step(settings[0], trainee, tables=tables, batch=batch)
        block = Block(trainee, tables, recorded(do, trainee, first))
        # A user's network may hold values that are no tensors.
        if block.do is not do and settings[0].network == "dianet":
            self._block, self._shape = block, shape
        return block


def _is_same(one: object, other: object) -> bool:
    return one is other if isinstance(one, np.ndarray) else one == other


def _shape(settings: Sequence[Settings]) -> Settings:
    """Return what two blocks must share to share a recording, and nothing else."""
    # torch's own optimiser, which a network alone has, records the decay as a number.
    free = (OWN if len(settings) > 1 else OWN - {"weight_decay"}) | _OUTSIDE
    neutral = Settings().model_dump(include=set(free))
    return settings[0].model_copy(update=neutral)
