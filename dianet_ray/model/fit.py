"""Train networks, one or several side by side, and predict with trained ones.

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
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dianet_ray.artefacts import LoggedStep
from dianet_ray.model.batches import Pixels, steps
from dianet_ray.model.blocks import OWN, Workplace
from dianet_ray.model.build import Network, build
from dianet_ray.model.inputs import phase_numbers
from dianet_ray.model.network import DIANet
from dianet_ray.model.pretrained import put
from dianet_ray.model.stack import State
from dianet_ray.model.training import Log, NonFiniteLoss, targets, train
from dianet_ray.settings import Settings, derive_seed

__all__ = ["Fitted", "LabelledImages", "Member", "NonFiniteLoss", "fit", "predict", "repeatable"]


def own_settings(settings: Settings) -> frozenset[str]:
    """Name the settings in which the members of a stack may differ.

    None with a user's network, which may read any of them, and a stack computes with one module.
    """
    return OWN if settings.network == "dianet" else frozenset()


# cuBLAS is deterministic only with a fixed workspace, and torch refuses to run without it. It is
# asked for here, because it is looked up once, before the first product.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

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
        settings: those of this member alone, where it has its own; they differ from the common
            ones in `OWN` at most.
        pretrained: the weights that the settings name, where they name some; of
            `pretrained.read_weights`.
    """

    train: np.ndarray
    test: np.ndarray
    seed: int
    settings: Settings | None = None
    pretrained: State | None = None


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
    weights: State


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
    def weights(self) -> State:
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
        ValueError: a member's settings do not fit into the stack.
    """
    found = fit_block(settings, clips, members, Workplace(device), on_progress=on_progress)
    for one in found:
        if isinstance(one, NonFiniteLoss):
            raise one
    return [one for one in found if isinstance(one, Fitted)]


def fit_block(
    settings: Settings,
    clips: LabelledImages,
    members: Sequence[Member],
    workplace: Workplace,
    *,
    on_progress: Callable[[int], None] | None = None,
) -> list[Fitted | NonFiniteLoss]:
    """Train as `fit` does; a member that fails is answered with its error, and harms no other.

    The next block in the same workplace may begin with what this one leaves there. That changes no
    result.
    """
    log = Log(settings.steps, len(members), on_progress or _ignore, workplace.device)
    states = _train(
        [_own(settings, member) for member in members],
        clips,
        members,
        workplace=workplace,
        log=log,
    )
    found: list[Fitted | NonFiniteLoss] = []
    for number, (member, history) in enumerate(zip(members, log.histories, strict=True)):
        if number in log.failures:
            found.append(log.failures[number])
            continue
        weights = states[number]
        probabilities = predict(
            settings,
            weights,
            clips.images[member.test],
            n_classes=clips.n_classes,
            device=str(workplace.device),
        )
        if not np.isfinite(probabilities).all():
            found.append(NonFiniteLoss(math.nan, settings.steps))
            continue
        shown = map(Shown, settings.shown_at, probabilities, weights)
        found.append(Fitted(tuple(shown), tuple(history)))
    return found


def predict(
    settings: Settings,
    weights: Sequence[State],
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
                logits = network(chunk.permute(0, 1, 4, 2, 3))
                out[number, some] = logits.float().softmax(dim=-1).cpu().numpy()
    return out


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """Make CUDA compute the same bits every time, in full float32; a CPU always does.

    The process's own choices come back at the end.
    """
    if device.type != "cuda":
        yield
        return
    before = torch.are_deterministic_algorithms_enabled()
    warns = torch.is_deterministic_algorithms_warn_only_enabled()
    mode: Any = torch.utils.deterministic  # a module whose types are not known
    fills = mode.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    # A help to find what reads memory before it is written. Each fill would be one more kernel.
    mode.fill_uninitialized_memory = False
    try:
        with torch.backends.cudnn.flags(
            enabled=True,  # not the default of `flags`
            benchmark=False,
            deterministic=True,
            allow_tf32=False,
        ):
            yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warns)
        mode.fill_uninitialized_memory = fills


def _own(settings: Settings, member: Member) -> Settings:
    """Return a member's settings; they must share the shapes and the plan of the common ones."""
    mine = member.settings or settings
    theirs = settings.model_dump()
    for name, value in mine.model_dump().items():
        if value != theirs[name] and name not in own_settings(settings):
            raise ValueError(f"members of a stack share {name}: got {value} beside {theirs[name]}")
    return mine


def _train(
    settings: Sequence[Settings],
    clips: LabelledImages,
    members: Sequence[Member],
    *,
    workplace: Workplace,
    log: Log,
) -> list[list[State]]:
    """Return, for each member, its state dict at each point."""
    common = settings[0]
    # Copies, because arrays out of Ray's object store are read-only, which torch refuses.
    known = [(torch.from_numpy(np.array(member.train)), member.seed) for member in members]
    tables = [
        targets(mine, clips.labels[member.train], clips.n_classes)
        for mine, member in zip(settings, members, strict=True)
    ]
    points = set(common.shown_at)
    with repeatable(workplace.device):
        pixels = workplace.clips(clips.images, clips.labels, phase_numbers(common)).pixels
        networks = [start(common, clips, one, pixels) for one in known]
        for network, member in zip(networks, members, strict=True):
            if isinstance(network, DIANet) and common.pretrained != "none":
                put(network.streams, member.pretrained or {}, common.pretrained)
        plan = steps(settings, known, n_features=networks[0].n_features, device=workplace.device)
        first = next(plan)
        block = workplace.block(networks, settings, tables=torch.stack(tables), first=first)
        plan = chain([first], plan)
        way = train(settings, block.trainee, plan=plan, do=block.do, log=log)
        shown = [states() for step, states in way if step in points]
    if len(log.failures) == len(members):
        return []
    return [list(of_member) for of_member in zip(*shown, strict=True)]


def start(
    settings: Settings, clips: LabelledImages, known: tuple[Tensor, int], pixels: Pixels
) -> Network:
    """Build a member's network, with the statistics of its training images where it needs them.

    `known` are its training clips and its seed.
    """
    train_clips, seed = known
    # A seed per purpose: a setting that changes one draw leaves the others as they are.
    start_seed = derive_seed(seed, "start")
    network = build(settings, clips.n_classes, clips.images.shape[2], start_seed)
    if network.normalise.kind == "standard":
        # Of training clips only: statistics of all clips would leak the held-out subjects.
        mean, deviation = pixels.statistics(train_clips)
        network.normalise.set(mean.cpu(), deviation.cpu())
    return network


def _ignore(step: int) -> None:
    """Stand in for a callback that was not given."""
