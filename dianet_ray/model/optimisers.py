"""The rules of a step: torch's for a network alone, and the same for networks in a stack.

They know what decays and which parameters learn more slowly, by name and kind of layer. In a stack
each member has a rate and a decay of its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dianet_ray.model.own_network import OwnNetwork
from dianet_ray.settings import Settings

BETAS, EPSILON = (0.9, 0.999), 1e-8
"""Of AdamW, as torch sets them."""

_NORMS = (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._BatchNorm)

MOMENTUM = 0.9
"""Of stochastic gradient descent."""


def decaying(network: nn.Module) -> set[str]:
    """Name what weight decay applies to: kernels and matrices.

    Biases, the parameters of normalisation layers and token positions do not decay. Of a user's
    network everything decays that has two dimensions and is of no normalisation layer.
    """
    # Decay would pull scales towards 0, where they switch their layer off.
    kinds: tuple[type[nn.Module], ...] = (nn.Conv2d, nn.Linear)
    if isinstance(network, OwnNetwork):
        return {
            f"{name}.{own}"
            for name, module in network.named_modules()
            if not isinstance(module, _NORMS)
            for own, value in module.named_parameters(recurse=False)
            if value.dim() > 1
        }
    return {
        f"{name}.weight" for name, module in network.named_modules() if isinstance(module, kinds)
    }


def is_of_stream(name: str) -> bool:
    """Tell whether a parameter belongs to a stream, by its name."""
    return name.startswith(("streams.", "network.streams."))


def on_device(device: torch.device) -> bool:
    """Say whether an optimiser reads its rates from a device, as recorded steps must."""
    return device.type == "cuda"


def optimiser_of(settings: Settings, network: nn.Module) -> torch.optim.Optimizer:
    """Make the optimiser of one network."""
    decay = decaying(network)
    named = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    groups = [
        {
            "params": [p for name, p in named if kind == (name in decay, is_of_stream(name))],
            "weight_decay": settings.weight_decay if kind[0] else 0.0,
            "share": settings.backbone_lr if kind[1] else 1.0,
        }
        for kind in itertools.product((True, False), (True, False))
    ]
    rate, device = settings.learning_rate, next(network.parameters()).device
    is_recorded = on_device(device)
    # Fused makes one call for all parameters. It is elementwise, so it repeats to the bit.
    made: torch.optim.Optimizer
    if settings.optimiser == "adamw":
        made = torch.optim.AdamW(
            groups, lr=rate, betas=BETAS, eps=EPSILON, fused=True, capturable=is_recorded
        )
    else:
        made = torch.optim.SGD(groups, lr=rate, momentum=MOMENTUM, nesterov=True, fused=True)
    if is_recorded:
        for group in made.param_groups:
            group["lr"] = torch.zeros((), device=device)
    return made


@dataclass(frozen=True, slots=True)
class Updated:
    """A stacked parameter that an optimiser changes.

    Attributes:
        value: (M, ...).
        decay: the decay of each member, (M,) float64; None where nothing decays.
        share: of the learning rate.
    """

    value: Tensor
    decay: Tensor | None
    share: float


class StackedAdamW:
    """AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101) with a rate and a decay per member.

    `memory` is what it changes beside the parameters; all of it begins at 0.
    """

    def __init__(self, parameters: Sequence[Updated]) -> None:
        """Take what it changes."""
        self._parameters = parameters
        self._means = [torch.zeros_like(one.value) for one in parameters]
        self._squares = [torch.zeros_like(one.value) for one in parameters]
        # On the device, because a recorded step counts by itself.
        device = parameters[0].value.device
        self._n_steps = torch.zeros((), dtype=torch.float64, device=device)
        self.memory = [*self._means, *self._squares, self._n_steps]

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], rates: Tensor) -> None:
        """Update every parameter by its gradient; `rates` is (M,)."""
        self._n_steps += 1
        first, second = (1 - torch.pow(beta, self._n_steps) for beta in BETAS)
        rows = zip(self._parameters, gradients, self._means, self._squares, strict=True)
        for one, gradient, mean, square in rows:
            parameter, rate = one.value, _per_member(rates * one.share, one.value)
            if one.decay is not None:
                parameter.mul_(1 - rate * _per_member(one.decay, parameter))
            mean.lerp_(gradient, 1 - BETAS[0])
            square.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
            scale = (square.sqrt() / second.sqrt()).add_(EPSILON)
            parameter.addcdiv_(mean * (-rate / first), scale)


class StackedSgd:
    """Gradient descent with Nesterov's momentum and a rate and a decay per member.

    Sutskever et al. 2013, with the decay added to the gradient, as torch does both. `memory` is as
    in `StackedAdamW`.
    """

    def __init__(self, parameters: Sequence[Updated]) -> None:
        """Take what it changes."""
        self._parameters = parameters
        self._momenta = [torch.zeros_like(one.value) for one in parameters]
        self.memory = self._momenta

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], rates: Tensor) -> None:
        """Update every parameter by its gradient; `rates` is (M,)."""
        rows = zip(self._parameters, gradients, self._momenta, strict=True)
        for one, of_loss, momentum in rows:
            gradient = of_loss
            if one.decay is not None:
                gradient = gradient + one.value * _per_member(one.decay, one.value)
            momentum.mul_(MOMENTUM).add_(gradient)
            step = gradient + MOMENTUM * momentum
            one.value.sub_(step * _per_member(rates * one.share, one.value))


def clipped(gradients: Sequence[Tensor], largest: float) -> tuple[Tensor, ...]:
    """Scale each member's gradient down to a norm, taken over all its parameters."""
    squares = [gradient.flatten(1).square().sum(dim=1) for gradient in gradients]
    norms = torch.stack(squares).sum(dim=0).sqrt()
    # The small number is torch's: `clip_grad_norm_` divides by it as well.
    shares = (largest / (norms + 1e-6)).clamp(max=1)
    return tuple(gradient * _per_member(shares, gradient) for gradient in gradients)


def _per_member(values: Tensor, like: Tensor) -> Tensor:
    """Shape values (M,) so that they multiply a tensor (M, ...)."""
    return values.to(like.dtype).view(-1, *[1] * (like.dim() - 1))
