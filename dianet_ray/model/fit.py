"""Train a stack of networks, and predict with trained ones.

Arrays in, arrays out: no Ray, no clock, no file, no global random state. The budget is a number
of optimiser steps. The networks after the last step are the result, or those at several points
of the way, all of them, so no held-out clip influences which weights are kept.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dianet_ray.artefacts import LoggedStep
from dianet_ray.model.batches import Pixels, batches, steps
from dianet_ray.model.network import DIANet, build, member_state, phase_numbers
from dianet_ray.model.training import Log, NonFiniteLoss, targets, train
from dianet_ray.settings import Settings, derive_seed

__all__ = ["Fitted", "LabelledImages", "Member", "NonFiniteLoss", "fit", "predict", "repeatable"]

CLIPS_AT_ONCE = 64
"""Clips that are predicted together. Fixed, because the size of a batch changes the rounding."""


@dataclass(frozen=True, slots=True)
class LabelledImages:
    """All clips of a study, which folds index by position.

    Attributes:
        images: (N, 3, H, W, 3) float16, dynamic images as stored; phases as in `artefacts.PHASES`.
        labels: (N,) int64, class numbers from 0.
        n_classes: number of classes; a class may have no clip.
    """

    images: np.ndarray
    labels: np.ndarray
    n_classes: int


@dataclass(frozen=True, slots=True)
class Member:
    """One network of a stack: the fold that it is trained for.

    Attributes:
        train: (n,) int64, positions of the training clips; at least one.
        test: (m,) int64, positions of the held-out clips; may be empty.
        seed: decides start values, order of clips, augmentation and dropout.
    """

    train: np.ndarray
    test: np.ndarray
    seed: int


@dataclass(frozen=True, slots=True)
class Shown:
    """A network as it is shown at one point of its way.

    Attributes:
        steps: the number of steps done.
        probabilities: (m, n_classes) float32, of the held-out clips in the order of
            `Member.test`; rows add up to 1.
        weights: state dict of the network without its stack, on the CPU.
    """

    steps: int
    probabilities: np.ndarray
    weights: dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Fitted:
    """The result of training one member.

    Attributes:
        shown: the network at each point; the last one is the end of the training.
        history: some of the steps (from 1): the mean loss and accuracy over the
            training batches since the point before, and the learning rate of the step.
    """

    shown: tuple[Shown, ...]
    history: tuple[LoggedStep, ...]

    @property
    def probabilities(self) -> np.ndarray:
        """The held-out probabilities at the end, (m, n_classes) float32."""
        return self.shown[-1].probabilities

    @property
    def weights(self) -> dict[str, Tensor]:
        """The state dict at the end."""
        return self.shown[-1].weights


def fit(
    settings: Settings,
    clips: LabelledImages,
    members: Sequence[Member],
    *,
    device: str = "cpu",
    on_progress: Callable[[int], None] | None = None,
) -> list[Fitted]:
    """Train one network per member, side by side, and predict each one's held-out clips.

    With the averaged schedule, what is shown at a point equals, to the bit, the end of a training
    of so many steps.

    Equal arguments give equal results to the bit on one kind of device, torch build and number
    of threads, whatever the process did before.

    Args:
        settings: the configuration.
        clips: images and labels; only the labels of training clips are read.
        members: the folds.
        device: where to train, as torch names it.
        on_progress: called with the number of steps done, at least at every tenth step.

    Raises:
        NonFiniteLoss: a member's loss or its prediction is not a finite number.
    """
    log = Log(settings.steps, len(members), on_progress or _ignore)
    states = _train(settings, clips, members, device=torch.device(device), log=log)
    fitted = []
    for member, history, weights in zip(members, log.histories, states, strict=True):
        probabilities = predict(
            settings, weights, clips.images[member.test], n_classes=clips.n_classes, device=device
        )
        if not np.isfinite(probabilities).all():
            raise NonFiniteLoss(math.nan, settings.steps)
        shown = map(Shown, settings.shown_at, probabilities, weights)
        fitted.append(Fitted(tuple(shown), tuple(history)))
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
        weights: state dicts, as in `Fitted.weights`.
        images: (N, 3, H, W, 3), any float type, as in `LabelledImages.images`.
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
    """Make CUDA compute the same bits every time, in full float32; a CPU always does.

    The process's own choices come back at the end.
    """
    if device.type != "cuda":
        yield
        return
    # cuBLAS is deterministic only with a fixed workspace, and torch refuses to run without it.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled()
    warns = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        with torch.backends.cudnn.flags(benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warns)


def _train(
    settings: Settings,
    clips: LabelledImages,
    members: Sequence[Member],
    *,
    device: torch.device,
    log: Log,
) -> list[list[dict[str, Tensor]]]:
    """Return, for each member, its state dict at each point."""
    # Copies, because arrays out of Ray's object store are read-only, which torch refuses.
    known = [(torch.from_numpy(np.array(member.train)), member.seed) for member in members]
    labels = torch.from_numpy(np.array(clips.labels)).to(device)
    tables = [targets(settings, clips.labels[member.train], clips.n_classes) for member in members]
    shown: list[list[dict[str, Tensor]]] = [[] for _ in members]
    points = set(settings.shown_at)
    with repeatable(device):
        pixels = Pixels(clips.images, phase_numbers(settings), device=device)
        network = build(settings, clips.n_classes, clips.images.shape[2], len(members))
        start(network, known, pixels)
        plan = steps(settings, known, n_features=network.n_features, device=device)
        way = train(
            settings,
            network.to(device),
            batches=batches(settings, plan, pixels=pixels, labels=labels),
            tables=torch.stack(tables).to(device),
            log=log,
        )
        for step, there in way:
            if step in points:
                for number, states in enumerate(shown):
                    states.append(member_state(there, number))
    return shown


def start(network: DIANet, known: Sequence[tuple[Tensor, int]], pixels: Pixels) -> None:
    """Draw each member's start values and keep the statistics of its training images."""
    seeds = [derive_seed(seed, "start") for _, seed in known]
    # A seed per purpose: a setting that changes one draw leaves the others as they are.
    network.reset([torch.Generator().manual_seed(seed) for seed in seeds])
    if network.normalise.kind == "standard":
        for number, (clips, _) in enumerate(known):
            # Of training clips only: statistics of all clips would leak the held-out subjects.
            mean, deviation = pixels.statistics(clips)
            network.normalise.set(number, mean.cpu(), deviation.cpu())


def _ignore(step: int) -> None:
    """Stand in for a callback that was not given."""
