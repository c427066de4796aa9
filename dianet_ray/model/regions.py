"""Where a trained network looks: which places of which phase speak for its prediction.

Class activation maps after Selvaraju et al. 2017 (Grad-CAM, arXiv 1610.02391), and how much
attention each place gets from the other phases. They show what moved a prediction, not why.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dianet_ray.model.build import build
from dianet_ray.model.inputs import phase_numbers
from dianet_ray.model.network import CrossAttention, DIANet
from dianet_ray.model.own_network import OwnNetwork
from dianet_ray.model.stack import State
from dianet_ray.settings import Settings


@dataclass(frozen=True, slots=True)
class Regions:
    """Where a network looked in one clip.

    Attributes:
        phases: positions in `artefacts.PHASES` of the images that it sees.
        activation: (phases, side, side) float32, 0..1; 1 is the place of all phases that speaks
            most for the predicted class.
        attention: (phases, side, side) float32, the share of the others' attention that each
            place gets, with a sum of 1 per phase; None without cross-attention.
        predicted: the class.
    """

    phases: tuple[int, ...]
    activation: np.ndarray
    attention: np.ndarray | None
    predicted: int


def regions(settings: Settings, weights: State, images: np.ndarray, n_classes: int) -> Regions:
    """Predict one clip, and find the places that speak for the predicted class.

    Args:
        settings: the configuration that the weights belong to.
        weights: state dict of one fold model.
        images: (3, H, W, 3), any float type, dynamic images as stored.
        n_classes: number of classes.

    Raises:
        InputError: a network file that is not trusted in this process, or fails.
    """
    phases = phase_numbers(settings)
    network = build(settings, n_classes, images.shape[1]).eval()
    network.load_state_dict(weights)
    x = torch.from_numpy(images[list(phases)].astype(np.float32)).permute(0, 3, 1, 2)[None]
    blaming = network.blaming() if isinstance(network, OwnNetwork) else nullcontext()
    with _watched(network, len(phases)) as seen, blaming:
        logits = network(x.requires_grad_())
        predicted = int(logits.argmax())
        # Another network has no known feature maps: its images stand for them.
        sources = seen.maps or [x]
        found = torch.autograd.grad(logits[0, predicted], sources, materialize_grads=True)
    maps, gradients = (sources, found) if seen.maps else (x.unbind(1), found[0].unbind(1))
    activation = torch.stack([_activation(*pair) for pair in zip(maps, gradients, strict=True)])
    return Regions(
        phases=phases,
        activation=(activation / activation.max().clamp(min=1e-12)).numpy(),
        attention=_attention(seen.attended, len(phases)),
        predicted=predicted,
    )


def _activation(values: Tensor, gradient: Tensor) -> Tensor:
    """Weigh channels (1, C, h, w) by their mean gradient, and keep what speaks for the class."""
    shares = gradient.mean(dim=(2, 3), keepdim=True)
    return (shares * values.detach()).sum(dim=1)[0].relu()


@dataclass(slots=True)
class _Seen:
    """What a forward pass left behind: feature maps, and what the last layer attended to."""

    maps: list[Tensor]
    attended: list[Tensor]


@contextmanager
def _watched(network: nn.Module, n_phases: int) -> Iterator[_Seen]:
    """Collect what DIANet computes on its way; of another network nothing."""
    seen = _Seen([], [])

    def keep_map(module: nn.Module, args: Any, output: Tensor) -> None:
        seen.maps.append(output)

    def keep_attention(
        module: CrossAttention, args: tuple[Tensor, Tensor], output: Tensor
    ) -> None:
        seen.attended.append(module.attention(*args).detach())

    handles = []
    if isinstance(network, DIANet):
        handles += [stream.register_forward_hook(keep_map) for stream in network.streams]
        last = [m for m in network.modules() if isinstance(m, CrossAttention)][-n_phases:]
        handles += [attend.register_forward_hook(keep_attention) for attend in last]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _attention(attended: list[Tensor], n_phases: int) -> np.ndarray | None:
    """Average what all others read of each phase; each (1, heads, T, (phases - 1) x T)."""
    if not attended:
        return None
    side = round(attended[0].shape[2] ** 0.5)
    received = np.zeros((n_phases, side, side), dtype=np.float32)
    for reader, weights in enumerate(attended):
        parts = weights.mean(dim=(0, 1, 2)).chunk(n_phases - 1)
        others = [phase for phase in range(n_phases) if phase != reader]
        for phase, part in zip(others, parts, strict=True):
            received[phase] += part.view(side, side).numpy()
    received /= received.sum(axis=(1, 2), keepdims=True)
    return received
