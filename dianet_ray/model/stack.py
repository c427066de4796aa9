"""What trains: one network as it is, or several of equal shape as one stack.

A stack holds the parameters and buffers of its members in tensors with one more axis, the first,
and computes through `torch.func.vmap`. So any module trains as a stack, one that the user wrote
included, and it never mixes members. Batches come with that axis, and `optimisers` has steps with
a rate and a decay per member; no module of a network knows of it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from dianet_ray.model.build import lay_out
from dianet_ray.model.optimisers import (
    StackedAdamW,
    StackedSgd,
    Updated,
    clipped,
    decaying,
    is_of_stream,
    optimiser_of,
)
from dianet_ray.settings import Settings

State = dict[str, Tensor]
"""The state dict of one network, on the CPU."""


class Trainee(Protocol):
    """M networks that train together; M is 1 for a network alone.

    Attributes:
        tensors: what an average of the networks is made of, each with the members along its
            first axis if there is a stack: parameters, and buffers of floats.
    """

    tensors: list[Tensor]

    def __call__(self, images: Tensor, keep: Tensor) -> Tensor:
        """Classify each member's batch (M, B, P, C, H, W): logits (M, B, classes)."""
        ...

    def set_rates(self, rates: Sequence[float]) -> None:
        """Take each member's learning rate for the steps from now on."""
        ...

    def restart(self, networks: Sequence[nn.Module], settings: Sequence[Settings]) -> None:
        """Train other networks of equal shape from their first step on, in the same memory.

        The networks are copied. Every step is given its rates, and of the settings only the decays
        of a stack are taken.
        """
        ...

    def update(self, loss: Tensor) -> None:
        """Do an optimiser step on the sum of the members' losses."""
        ...

    def changed(self) -> list[Tensor]:
        """List all that a step changes. What the optimiser adds in its first step begins at 0."""
        ...

    def snapshot(self) -> Callable[[], bool]:
        """Return a function that takes back all steps; called before the first one.

        The function says whether steps changed tensors in place, as a recorded step must.
        """
        ...

    def states(self, tensors: Sequence[Tensor] | None = None) -> list[State]:
        """Copy each member's state dict, with other values of `tensors` where they are given."""
        ...


def trainee_of(networks: Sequence[nn.Module], settings: Sequence[Settings]) -> Trainee:
    """Let networks train, each by its own settings; they are changed, or copied to a stack.

    Args:
        networks: on one device, with parameters and buffers of equal shapes.
        settings: one per network.
    """
    for network in networks:
        network.train()
    if len(networks) == 1:
        return Alone(networks[0], settings[0])
    return Stack(networks, settings)


class Alone:
    """A network that trains by itself: ordinary torch, and torch's own optimiser."""

    def __init__(self, network: nn.Module, settings: Settings) -> None:
        self.network = network
        self._clip_norm = settings.clip_norm
        self._named = dict(network.named_parameters()) | _float_buffers(network)
        self.tensors = list(self._named.values())
        self._optimiser = optimiser_of(settings, network)
        self.set_rates([settings.learning_rate])

    def __call__(self, images: Tensor, keep: Tensor) -> Tensor:
        """Classify the only batch."""
        logits: Tensor = self.network(images[0], keep[0])
        return logits.unsqueeze(0)

    def set_rates(self, rates: Sequence[float]) -> None:
        """Take the only rate."""
        for group in self._optimiser.param_groups:
            rate = rates[0] * group["share"]
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    @torch.no_grad()
    def restart(self, networks: Sequence[nn.Module], settings: Sequence[Settings]) -> None:
        """Take the values of the only network."""
        (other,) = networks
        mine, theirs = (chain(one.parameters(), one.buffers()) for one in (self.network, other))
        for value, new in zip(mine, theirs, strict=True):
            value.copy_(new)
        for value in self._memory():
            value.zero_()

    def update(self, loss: Tensor) -> None:
        """Do a step of torch's optimiser."""
        self._optimiser.zero_grad()
        torch.autograd.backward(loss)
        if self._clip_norm:
            nn.utils.clip_grad_norm_(self.network.parameters(), self._clip_norm)
        self._optimiser.step()

    def changed(self) -> list[Tensor]:
        """List parameters, buffers and what torch's optimiser remembers."""
        return [*self.network.parameters(), *self.network.buffers(), *self._memory()]

    def snapshot(self) -> Callable[[], bool]:
        """Keep parameters and buffers; the optimiser's memory begins at 0."""
        restore = _keeping(self.changed())
        modules = [(module, dict(module._buffers)) for module in self.network.modules()]

        def back() -> bool:
            is_in_place = True
            for module, buffers in modules:
                now = [(name, id(value)) for name, value in module._buffers.items()]
                is_in_place &= now == [(name, id(value)) for name, value in buffers.items()]
                module._buffers = dict(buffers)
            restore()
            for value in self._memory():
                value.zero_()
            return is_in_place

        return back

    def _memory(self) -> list[Tensor]:
        """List the tensors of the optimiser, which are made in its first step."""
        states = self._optimiser.state.values()
        found = (value for state in states for value in state.values())
        return [value for value in found if isinstance(value, Tensor)]

    def states(self, tensors: Sequence[Tensor] | None = None) -> list[State]:
        """Copy the state dict."""
        found = dict(self.network.state_dict())
        if tensors is not None:
            known = dict(zip(self._named, tensors, strict=True))
            found |= {k: known[v] for k, v in first_names(self.network).items() if v in known}
        return [{name: _copied(value) for name, value in found.items()}]


class Stack:
    """Networks of equal shape that train side by side."""

    def __init__(self, networks: Sequence[nn.Module], settings: Sequence[Settings]) -> None:
        for network in networks:  # group normalisation under vmap knows no other layout
            lay_out(network, torch.contiguous_format)
        self._parameters, self._buffers = stack_module_state(list(networks))
        self._names = first_names(networks[0])
        # Only the structure is needed; its own values are never read.
        structure = copy.deepcopy(networks[0]).to("meta")

        # A closure, not a method, which would keep the stack alive until garbage is collected.
        def call(parameters: State, buffers: State, images: Tensor, keep: Tensor) -> Any:
            return functional_call(structure, (parameters, buffers), (images, keep))

        self._forward = vmap(call)
        self._n = len(networks)
        floats = {name: self._buffers[name] for name in _float_buffers(networks[0])}
        self._named = self._parameters | floats
        self.tensors = list(self._named.values())
        self._trained = [value for value in self._parameters.values() if value.requires_grad]
        decay, share = decaying(networks[0]), settings[0].backbone_lr
        device = self.tensors[0].device
        self._decays = _decays(settings).to(device)
        rule = StackedAdamW if settings[0].optimiser == "adamw" else StackedSgd
        self._optimiser = rule(
            [
                Updated(
                    value,
                    self._decays if name in decay else None,
                    share if is_of_stream(name) else 1.0,
                )
                for name, value in self._parameters.items()
                if value.requires_grad
            ]
        )
        self._clip_norm = settings[0].clip_norm
        self._rates = torch.zeros(self._n, dtype=torch.float64, device=device)
        self.set_rates([one.learning_rate for one in settings])

    def __call__(self, images: Tensor, keep: Tensor) -> Tensor:
        """Classify each member's batch by its own parameters."""
        logits: Tensor = self._forward(self._parameters, self._buffers, images.contiguous(), keep)
        return logits

    def set_rates(self, rates: Sequence[float]) -> None:
        """Take a rate per member."""
        # From pinned memory, because another copy to a GPU would wait for it.
        is_gpu = self._rates.device.type == "cuda"
        values = torch.tensor(rates, dtype=torch.float64, pin_memory=is_gpu)
        self._rates.copy_(values, non_blocking=True)

    @torch.no_grad()
    def restart(self, networks: Sequence[nn.Module], settings: Sequence[Settings]) -> None:
        """Take the values of other members, and their decays."""
        for mine, theirs in zip(
            (self._parameters, self._buffers), stack_module_state(list(networks)), strict=True
        ):
            for name, value in theirs.items():
                mine[name].copy_(value)
        for value in self._optimiser.memory:
            value.zero_()
        self._decays.copy_(_decays(settings))

    def update(self, loss: Tensor) -> None:
        """Do a step for all members at once."""
        gradients = torch.autograd.grad(loss, self._trained)
        if self._clip_norm:
            gradients = clipped(gradients, self._clip_norm)
        self._optimiser.step(gradients, self._rates)

    def changed(self) -> list[Tensor]:
        """List parameters, buffers and what the optimiser remembers."""
        own = [*self._parameters.values(), *self._buffers.values()]
        return own + self._optimiser.memory

    def snapshot(self) -> Callable[[], bool]:
        """Keep all of it: a stack changes tensors in place."""
        restore = _keeping(self.changed())

        def back() -> bool:
            restore()
            return True

        return back

    def states(self, tensors: Sequence[Tensor] | None = None) -> list[State]:
        """Copy each member out of the stack."""
        found = self._parameters | self._buffers
        if tensors is not None:
            found |= dict(zip(self._named, tensors, strict=True))
        return [
            {name: _copied(found[first][member]) for name, first in self._names.items()}
            for member in range(self._n)
        ]


def _decays(settings: Sequence[Settings]) -> Tensor:
    return torch.tensor([one.weight_decay for one in settings], dtype=torch.float64)


def _keeping(tensors: Sequence[Tensor]) -> Callable[[], None]:
    """Copy tensors; return a function that puts the copies back."""
    kept = [(value, value.detach().clone()) for value in tensors]

    @torch.no_grad()
    def restore() -> None:
        for value, copied in kept:
            value.copy_(copied)

    return restore


def first_names(network: nn.Module) -> dict[str, str]:
    """Map each name of the state dict to the first one of its tensor: layers may share one."""
    tensors: dict[str, Tensor] = dict(network.named_parameters(remove_duplicate=False))
    tensors |= dict(network.named_buffers(remove_duplicate=False))
    first: dict[int, str] = {}
    for name, tensor in tensors.items():
        first.setdefault(id(tensor), name)
    return {name: first[id(tensors[name])] for name in network.state_dict()}


class Average:
    """The power-function average of networks over their training so far.

    At step t it is the mean of the weights after steps 1..t with shares s^p - (s - 1)^p, where p
    is `power` + 1, so it depends on nothing after t. The running statistics of batch
    normalisation are averaged in the same way. Reference: Karras et al. 2024, arXiv 2312.02696,
    section 3.1.
    """

    def __init__(self, tensors: Sequence[Tensor], power: int) -> None:
        """Average these tensors, as they are after each step."""
        self._theirs = list(tensors)
        self.tensors = [tensor.detach().clone() for tensor in tensors]
        self._power = power

    def add(self, step: int) -> None:
        """Add the weights after a step, from 1."""
        share = 1 - (1 - 1 / step) ** (self._power + 1)
        with torch.no_grad():
            torch._foreach_lerp_(self.tensors, self._theirs, share)


def _float_buffers(network: nn.Module) -> State:
    """Name the running statistics of batch normalisation: what is averaged beside parameters."""
    return {
        name: value
        for name, value in network.named_buffers()
        if name.rpartition(".")[2] in ("running_mean", "running_var")
    }


def _copied(value: Tensor) -> Tensor:
    # A copy, because a view would keep the weights of a whole stack alive.
    return value.detach().to("cpu", copy=True).contiguous()


Networks = Callable[[], list[State]]
"""Gives the networks as they are shown at a step; what it gives is a copy."""
