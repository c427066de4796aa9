"""Try a user's network before anything is trained: on one batch, alone and in a stack."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from dianet_ray.artefacts import N_CHANNELS
from dianet_ray.errors import InputError, one_line
from dianet_ray.model.build import build
from dianet_ray.model.inputs import phase_numbers
from dianet_ray.model.own_network import OwnNetwork
from dianet_ray.model.stack import trainee_of
from dianet_ray.progress import some
from dianet_ray.settings import Settings

_N_CLIPS = 4
_N_NAMED = 4


def check(settings: Settings, n_classes: int, image_size: int) -> None:
    """Build a user's network, and try it on one batch of noise.

    Raises:
        InputError: it fails, its logits have another shape or are not finite, a parameter gets
            no gradient, or equal input gives another output: it draws random numbers itself.
    """
    network = _built(settings, n_classes, image_size)
    images, keep = _noise(settings, image_size), torch.ones(_N_CLIPS, network.n_features)
    network.train()
    before = torch.get_rng_state()
    with network.blaming():
        logits, again = (_called(network, images, keep) for _ in range(2))
    if logits.shape != (_N_CLIPS, n_classes):
        raise _refused(
            settings,
            f"logits must be (clips, classes), here {(_N_CLIPS, n_classes)}, got "
            f"{tuple(logits.shape)}",
        )
    if not torch.isfinite(logits).all():
        raise _refused(settings, "logits must be finite")
    if not torch.equal(torch.get_rng_state(), before):
        raise _refused(
            settings,
            "it must draw no random numbers, or no training could be repeated; take dropout's "
            "mask as a second argument and say its length in n_features",
        )
    if not torch.equal(logits, again):
        raise _refused(settings, "equal images must give equal logits")
    loss = functional.cross_entropy(logits, torch.arange(_N_CLIPS) % n_classes)
    torch.autograd.backward(loss)
    idle = [
        name.removeprefix("network.")
        for name, parameter in network.named_parameters()
        if parameter.requires_grad and (parameter.grad is None or not parameter.grad.any())
    ]
    if idle:
        raise _refused(settings, f"every parameter needs a gradient: {some(idle, _N_NAMED)}")


def _called(network: OwnNetwork, images: Tensor, keep: Tensor) -> Tensor:
    logits: Any = network(images, keep)
    if not isinstance(logits, Tensor):
        raise TypeError(f"a network must return a tensor: got {type(logits).__name__}")
    return logits


def _refused(settings: Settings, rule: str) -> InputError:
    return InputError(f"{settings.network.rpartition('@')[0]}: {rule}")


def stack_problem(settings: Settings, n_classes: int, image_size: int) -> str:
    """Say what keeps two such networks from training as one stack; empty when nothing does.

    `torch.func.vmap` allows no branch that depends on values, and knows not every operation.
    """
    networks = [_built(settings, n_classes, image_size, seed) for seed in range(2)]
    images = torch.stack([_noise(settings, image_size)] * 2)
    keep = torch.ones(2, _N_CLIPS, networks[0].n_features)
    try:
        stack = trainee_of(networks, [settings] * 2)
        stack.update(stack(images, keep).square().sum(), [1e-3] * 2)
    except RuntimeError as error:
        name = settings.network.rpartition("@")[0]
        return f"{name} cannot train as a stack: {one_line(error)}"
    return ""


def _built(settings: Settings, n_classes: int, image_size: int, seed: int = 0) -> OwnNetwork:
    network = build(settings, n_classes, image_size, seed)
    assert isinstance(network, OwnNetwork)
    return network


def _noise(settings: Settings, image_size: int) -> Tensor:
    shape = (_N_CLIPS, len(phase_numbers(settings)), N_CHANNELS, image_size, image_size)
    return 10 * torch.randn(shape, generator=torch.Generator().manual_seed(0))
