"""Fit a stack of networks, predict with fitted ones, keep their weights.

Arrays in, arrays out: no Ray, no clock but the stopwatch, no global random state. The budget is
optimiser steps and the last step is what counts: no held-out clip chooses anything.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from dianet_ray.model.batches import Pixels, batches, steps
from dianet_ray.model.network import DIANet, build, member_state, phase_numbers
from dianet_ray.model.training import Log, NonFiniteLoss, Point, targets, train
from dianet_ray.settings import Settings, derive_seed
from dianet_ray.storage import files

__all__ = [
    "Fitted",
    "Member",
    "NonFiniteLoss",
    "fit",
    "load_weights",
    "predict",
    "repeatable",
    "save_weights",
]

CLIPS_AT_ONCE = 64
"""Clips evaluated together, fixed so that a list of clips is always cut in the same places."""


@dataclass(frozen=True, slots=True)
class Member:
    """One network of a stack: indices (int64) of its training and held-out clips, and its seed."""

    train: np.ndarray
    test: np.ndarray
    seed: int


@dataclass(frozen=True, slots=True)
class Fitted:
    """What became of a member.

    `probabilities` is (test clips, classes) float32 in the order of `Member.test`; `history` one
    dict per point with the step (from 1), the mean loss and accuracy on the training batches
    since the point before, and the learning rate; `seconds` the member's share of the stack's
    time; `weights` the state dict of the ordinary network, on the CPU.
    """

    probabilities: np.ndarray
    history: list[Point]
    seconds: float
    weights: dict[str, Tensor]


def fit(  # noqa: PLR0913 - a stack of trainings needs its data, its people and its device
    settings: Settings,
    images: np.ndarray,
    labels: np.ndarray,
    members: Sequence[Member],
    *,
    n_classes: int,
    device: str = "cpu",
    on_progress: Callable[[int], None] | None = None,
) -> list[Fitted]:
    """Train one network per member, side by side, and predict each one's held-out clips.

    Equal arguments give equal results to the bit on one kind of device, torch build and number
    of threads, whatever the process did before.

    Args:
        settings: the configuration.
        images: (N, 3, H, W, 3) float16, phases as in `schemas.PHASES`.
        labels: (N,) int64; only the training clips' are read.
        members: the folds; each has at least one training clip.
        n_classes: number of classes.
        device: where to train, as torch names it.
        on_progress: called with the step now and then, at least every tenth.

    Raises:
        NonFiniteLoss: a member's loss or its prediction is not a finite number.
    """
    started_at = time.perf_counter()
    place = torch.device(device)
    log = Log(settings.steps, len(members), on_progress or _ignore)
    known = [(torch.from_numpy(np.array(member.train)), member.seed) for member in members]
    tables = [targets(settings, labels[member.train], n_classes) for member in members]
    with repeatable(place):
        pixels = Pixels(images, phase_numbers(settings), device=place)
        network = build(settings, n_classes, images.shape[2], len(members))
        _start(network, known, pixels)
        plan = steps(settings, known, n_features=network.n_features, device=place)
        answers = torch.from_numpy(np.array(labels)).to(place)
        train(
            settings,
            network.to(place),
            batches=batches(settings, plan, pixels=pixels, labels=answers),
            tables=torch.stack(tables).to(place),
            log=log,
        )
    weights = [member_state(network, number) for number in range(len(members))]
    fitted = []
    for state, member, points in zip(weights, members, log.points, strict=True):
        held_out = images[member.test]
        chances = predict(settings, [state], held_out, n_classes=n_classes, device=device)[0]
        if not np.isfinite(chances).all():
            raise NonFiniteLoss(math.nan, settings.steps)
        seconds = (time.perf_counter() - started_at) / len(members)
        fitted.append(Fitted(chances, points, seconds, state))
    return fitted


def predict(
    settings: Settings,
    weights: Sequence[dict[str, Tensor]],
    images: np.ndarray,
    *,
    n_classes: int,
    device: str = "cpu",
) -> np.ndarray:
    """Return each model's class probabilities: (n_models, N, n_classes) float32.

    Args:
        settings: the configuration that the weights belong to.
        weights: state dicts of ordinary networks.
        images: (N, 3, H, W, 3), phases as in `schemas.PHASES`, stored values.
        n_classes: number of classes.
        device: where to compute, as torch names it.
    """
    place = torch.device(device)
    network = build(settings, n_classes, images.shape[2]).to(place).eval()
    phases = list(phase_numbers(settings))
    out = np.zeros((len(weights), len(images), n_classes), dtype=np.float32)
    with repeatable(place), torch.no_grad():
        for number, state in enumerate(weights):
            network.load_state_dict(state)
            for first in range(0, len(images), CLIPS_AT_ONCE):
                some = slice(first, first + CLIPS_AT_ONCE)
                chunk = torch.from_numpy(images[some][:, phases].astype(np.float32)).to(place)
                logits = network(chunk.permute(0, 1, 4, 2, 3).unsqueeze(0))[0]
                out[number, some] = logits.softmax(dim=-1).cpu().numpy()
    return out


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """Choose CUDA algorithms that repeat to the bit in full float32; the CPU's always do.

    What was chosen before comes back at the end.
    """
    if device.type != "cuda":
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled()
    warns = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        with torch.backends.cudnn.flags(benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warns)


def save_weights(
    path: Path, weights: dict[str, Tensor], metadata: dict[str, str]
) -> tuple[int, str]:
    """Write a safetensors file whole or not at all; equal content gives equal bytes.

    Returns:
        Its size in bytes and its sha256 in hex.
    """
    content = _canonical(safetensors.torch.save(weights, metadata))
    files.make_folder(path.parent, parents=False)  # not above: STUDY may be unmounted
    files.put(path, content)
    return len(content), hashlib.sha256(content).hexdigest()


def load_weights(path: Path) -> dict[str, Tensor]:
    """Read what `save_weights` wrote, to the CPU."""
    return safetensors.torch.load_file(path)


def _start(network: DIANet, known: Sequence[tuple[Tensor, int]], pixels: Pixels) -> None:
    """Draw start values and keep what the training clips say of the images, for each member."""
    seeds = [derive_seed(seed, "start") for _, seed in known]
    network.reset([torch.Generator().manual_seed(seed) for seed in seeds])
    if network.normalise.kind == "standard":
        for number, (clips, _) in enumerate(known):
            mean, deviation = pixels.statistics(clips)
            network.normalise.set(number, mean.cpu(), deviation.cpu())


def _canonical(content: bytes) -> bytes:
    """Sort a safetensors header, whose metadata come in an order that differs per process."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:end]), sort_keys=True, separators=(",", ":"))
    padded = header.encode() + b" " * (-len(header.encode()) % 8)  # keeps tensors aligned
    return len(padded).to_bytes(8, "little") + padded + content[end:]


def _ignore(step: int) -> None:
    """Take progress that nobody asked for."""
