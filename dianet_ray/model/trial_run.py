"""Try a user's network before anything is trained: on one batch, alone and in a stack."""

from __future__ import annotations

import functools
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dianet_ray.artefacts import N_CHANNELS
from dianet_ray.errors import InputError, one_line
from dianet_ray.model.build import build
from dianet_ray.model.own_network import OwnNetwork
from dianet_ray.model.stack import trainee_of
from dianet_ray.progress import some
from dianet_ray.settings import Settings

_N_CLIPS = 3  # in evaluation; no batch size of a training is 3 by default
_N_NAMED = 4


# Cached: a command makes its plan several times, and a large network takes seconds.
@functools.cache
def check(settings: Settings, n_classes: int, image_size: int) -> None:
    """Build a user's network, and try it on one batch of noise.

    Raises:
        InputError: it fails; its logits have another shape or are not finite; a parameter gets no
            gradient; it replaces a buffer; equal images or an equal seed give something else; or,
            in evaluation, a clip's logits depend on other clips.
    """
    network = _built(settings, n_classes, image_size)
    _check_start(network, _built(settings, n_classes, image_size), settings)
    _check_training(network, settings, n_classes, image_size)
    _check_prediction(network.eval(), settings, n_classes, image_size)


def _check_start(network: OwnNetwork, again: OwnNetwork, settings: Settings) -> None:
    with network.blaming():
        one, other = network.state_dict(), again.state_dict()
    if not all(isinstance(value, Tensor) for value in one.values()):
        raise _refused(settings, "its state must be tensors")
    if not all(torch.equal(value, other[name]) for name, value in one.items()):
        raise _refused(settings, "its start values must follow from torch's seed alone")


def _check_training(
    network: OwnNetwork, settings: Settings, n_classes: int, image_size: int
) -> None:
    n_clips = settings.batch_size
    images, keep = _noise(settings, n_clips, image_size), torch.ones(n_clips, network.n_features)
    network.train()
    buffers = dict(network.named_buffers())
    with _without_drawing(settings):
        logits, again = (_called(network, images, keep) for _ in range(2))
    _check_logits(logits, settings, (n_clips, n_classes))
    if not torch.equal(logits, again):
        raise _refused(settings, "equal images must give equal logits")
    replaced = [
        name.removeprefix("network.")
        for name, value in network.named_buffers()
        if value is not buffers.get(name)
    ]
    if replaced:  # a stack, an average and a recording would keep the old ones
        raise _refused(
            settings,
            f"buffers must be changed in place (copy_), not replaced: {some(replaced, _N_NAMED)}",
        )
    if not logits.requires_grad:
        raise _refused(settings, "logits must depend on its parameters, with a gradient")
    loss = functional.cross_entropy(logits.float(), torch.arange(n_clips) % n_classes)
    with network.blaming():
        torch.autograd.backward(loss)
    idle = [
        name.removeprefix("network.")
        for name, parameter in network.named_parameters()
        if parameter.requires_grad and (parameter.grad is None or not parameter.grad.any())
    ]
    if idle:
        raise _refused(settings, f"every parameter needs a gradient: {some(idle, _N_NAMED)}")


def _check_prediction(
    network: OwnNetwork, settings: Settings, n_classes: int, image_size: int
) -> None:
    images = _noise(settings, _N_CLIPS, image_size)
    with torch.no_grad(), _without_drawing(settings):
        logits, alone = (_called(network, x, None) for x in (images, images[:1]))
    _check_logits(logits, settings, (_N_CLIPS, n_classes))
    _check_logits(alone, settings, (1, n_classes))
    if not torch.allclose(alone.float(), logits[:1].float(), rtol=1e-3, atol=1e-3):
        raise _refused(settings, "in evaluation a clip's logits must not depend on other clips")


@contextmanager
def _without_drawing(settings: Settings) -> Iterator[None]:
    before = _generators()
    yield
    if _generators() != before:
        raise _refused(
            settings,
            "it must draw no random numbers, or no training could be repeated; take dropout's "
            "mask as a second argument and say its length in n_features",
        )


def _generators() -> tuple[object, ...]:
    """Read the states of the global generators."""
    of_numpy: dict[str, Any] = np.random.get_state(legacy=False)
    key, place = (of_numpy["state"][name] for name in ("key", "pos"))
    return torch.get_rng_state().numpy().tobytes(), random.getstate(), key.tobytes(), place


def _check_logits(logits: Tensor, settings: Settings, wanted: tuple[int, int]) -> None:
    if logits.device.type == "meta" or logits.layout != torch.strided:
        raise _refused(settings, "logits must be a dense tensor with values")
    if logits.shape != wanted:
        raise _refused(
            settings, f"logits must be (clips, classes), here {wanted}, got {tuple(logits.shape)}"
        )
    if not logits.is_floating_point() or not torch.isfinite(logits).all():
        raise _refused(settings, "logits must be finite numbers with a fraction")


def _called(network: OwnNetwork, images: Tensor, keep: Tensor | None) -> Tensor:
    with network.blaming():
        logits: Any = network(images, keep)
        if not isinstance(logits, Tensor):
            raise TypeError(f"a network must return a tensor: got {type(logits).__name__}")
    return logits


def _refused(settings: Settings, rule: str) -> InputError:
    return InputError(f"{settings.network.rpartition('@')[0]}: {rule}")


@functools.cache
def stack_problem(settings: Settings, n_classes: int, image_size: int) -> str:
    """Say what keeps two such networks from training as one stack; empty when nothing does.

    `torch.func.vmap` allows no branch that depends on values, and knows not every operation.
    """
    networks = [_built(settings, n_classes, image_size, seed) for seed in range(2)]
    images = torch.stack([_noise(settings, _N_CLIPS, image_size)] * 2)
    keep = torch.ones(2, _N_CLIPS, networks[0].n_features)
    try:
        stack = trainee_of(networks, [settings] * 2)
        stack.update(stack(images, keep).float().square().sum())
        stack.states()
    except Exception as error:
        name = settings.network.rpartition("@")[0]
        return f"{name} cannot train as a stack: {one_line(error)}"
    return ""


def _built(settings: Settings, n_classes: int, image_size: int, seed: int = 0) -> OwnNetwork:
    network = build(settings, n_classes, image_size, seed)
    assert isinstance(network, OwnNetwork)
    return network


def _noise(settings: Settings, n_clips: int, image_size: int) -> Tensor:
    shape = (n_clips, settings.n_phases, N_CHANNELS, image_size, image_size)
    return 10 * torch.randn(shape, generator=torch.Generator().manual_seed(0))
