"""The training loop of a stack: weighted loss, AdamW, schedule, averaged weights and history.

The loss of a stack is the sum of its members' losses, so each member's gradient is what it would
be alone. This module sees training clips only; it knows nothing of held-out ones.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dianet_ray.artefacts import LoggedStep
from dianet_ray.model.batches import Batch
from dianet_ray.model.layers import Conv2d, Linear
from dianet_ray.model.network import DIANet
from dianet_ray.settings import Settings

AVERAGE_POWER = 7
"""Averaged weights are the mean over the way, weighted by the step to this power: about the last
tenth of the way counts. docs/decisions.md: Schedule that is read at points"""

N_LOGGED_STEPS = 15
"""Approximate number of steps in a history."""


class NonFiniteLoss(RuntimeError):
    """The loss is infinite or not a number: these settings cannot be trained on this fold."""

    def __init__(self, loss: float, step: int) -> None:
        super().__init__(f"the loss must stay finite: got {loss} at step {step}")
        self.loss, self.step = loss, step

    def __reduce__(self) -> tuple[type[NonFiniteLoss], tuple[float, int]]:
        # Ray pickles it, and pickle would call the class with the message.
        return NonFiniteLoss, (self.loss, self.step)


class Log:
    """Collects the losses and accuracies of a stack's steps into one history per member.

    Values stay on the device and are fetched every few steps, because each fetch makes the CPU
    wait for the device.
    """

    def __init__(self, n_steps: int, n_members: int, report: Callable[[int], None]) -> None:
        # At least every tenth step, because the worker's hang timer is armed by these reports.
        # docs/decisions.md: Detecting a worker that hangs
        self._look_every = max(1, min(10, n_steps // 100))
        self._log_every = max(1, n_steps // N_LOGGED_STEPS)
        self._n_steps, self._report = n_steps, report
        self._waiting: list[Tensor] = []
        self._since_logged: list[np.ndarray] = []
        self.histories: list[list[LoggedStep]] = [[] for _ in range(n_members)]

    def add(self, step: int, losses: Tensor, hits: Tensor, rate: float) -> None:
        """Record a step's losses (M,), its accuracies `hits` (M,) and its learning rate.

        Raises:
            NonFiniteLoss: when values are fetched; it names the first step with a loss that is
                not finite.
        """
        self._waiting.append(torch.stack([losses, hits]))
        is_logged = step % self._log_every == 0 or step == self._n_steps
        if not is_logged and step % self._look_every:
            return
        seen = torch.stack(self._waiting).cpu().numpy()  # (steps, 2, M)
        for at, loss in enumerate(seen[:, 0].sum(axis=-1), start=step - len(seen) + 1):
            if not math.isfinite(loss):
                raise NonFiniteLoss(float(loss), at)
        self._waiting.clear()
        self._since_logged.append(seen)
        self._report(step)
        if is_logged:
            self._add_step(step, rate)

    def _add_step(self, step: int, rate: float) -> None:
        losses, hits = np.concatenate(self._since_logged).mean(axis=0, dtype=np.float64)
        self._since_logged.clear()
        for history, loss, hit in zip(self.histories, losses, hits, strict=True):
            history.append(LoggedStep(step, float(loss), float(hit), rate))


def class_weights(labels: np.ndarray, n_classes: int) -> np.ndarray:
    """Return n / (classes present x count) per class, 0 for absent ones: float64 (n_classes,).

    >>> class_weights(np.array([0, 0, 0, 2]), 3).round(2).tolist()
    [0.67, 0.0, 2.0]
    """
    counts = np.bincount(labels, minlength=n_classes)
    present = counts > 0
    weights = np.zeros(n_classes)
    weights[present] = len(labels) / (present.sum() * counts[present])
    return weights


def targets(settings: Settings, labels: np.ndarray, n_classes: int) -> Tensor:
    """Tabulate the weighted, smoothed target of each true class: (n_classes, n_classes) float32.

    Label smoothing spreads its share over all classes of the study (Szegedy et al. 2016, arXiv
    1512.00567). Each row is then multiplied by the weight of its true class.
    """
    share = settings.label_smoothing
    table = np.eye(n_classes) * (1 - share) + share / n_classes
    if settings.class_weights:
        table *= class_weights(labels, n_classes)[:, None]
    return torch.from_numpy(table.astype(np.float32))


def learning_rate(settings: Settings, step: int) -> float:
    """Return the learning rate of a step (from 1): a linear warm-up, then the schedule."""
    if step <= settings.warmup:
        return settings.learning_rate * step / settings.warmup
    if settings.schedule != "cosine":
        return settings.learning_rate
    # From the full rate at the first step after the warm-up to almost 0 at the last one.
    done = (step - 1 - settings.warmup) / (settings.steps - settings.warmup)
    return settings.learning_rate * (1 + math.cos(math.pi * done)) / 2


class Average:
    """The power-function average of a network's weights over its training so far.

    The running statistics of batch normalisation are averaged in the same way.

    At step t it is the mean of the weights after steps 1..t with shares s^p - (s - 1)^p, where p
    is `power` + 1, so it depends on nothing after t. Reference: Karras et al. 2024, arXiv
    2312.02696, section 3.1.
    """

    def __init__(self, network: DIANet, power: int = AVERAGE_POWER) -> None:
        self.network = copy.deepcopy(network)
        self._power = power
        self._mine, self._theirs = _averaged(self.network), _averaged(network)

    def add(self, step: int) -> None:
        """Add the weights after a step, from 1."""
        share = 1 - (1 - 1 / step) ** (self._power + 1)
        with torch.no_grad():
            torch._foreach_lerp_(self._mine, self._theirs, share)


def _averaged(network: DIANet) -> list[Tensor]:
    """List what is averaged: all but the numbers of batches, which are integers."""
    buffers = (buffer for buffer in network.buffers() if buffer.is_floating_point())
    return [*network.parameters(), *buffers]


def adamw(settings: Settings, network: DIANet) -> torch.optim.AdamW:
    """Make the optimiser; weight decay applies to kernels and matrices only.

    Biases, the parameters of normalisation layers and token positions do not decay.
    """
    # Decay would pull scales towards 0, where they switch their layer off.
    decaying = [m.weight for m in network.modules() if isinstance(m, Conv2d | Linear)]
    known = {id(parameter) for parameter in decaying}
    others = [p for p in network.parameters() if id(p) not in known]
    groups = [
        {"params": decaying, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    # Fused makes one call for all parameters. It is elementwise, so it repeats to the bit.
    return torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)


def train(
    settings: Settings, network: DIANet, *, batches: Iterator[Batch], tables: Tensor, log: Log
) -> Iterator[tuple[int, DIANet]]:
    """Train a network for the number of steps in its settings.

    Args:
        settings: number of steps, optimiser and schedule.
        network: the stack, on its device; changed in place.
        batches: at least one per step.
        tables: each member's `targets`, stacked: (M, n_classes, n_classes).
        log: receives each step's losses and accuracies.

    Yields:
        After each step its number, and the network as it is shown there: averaged where the
        schedule says so. The next step changes it.
    """
    stack = torch.arange(network.n_members, device=tables.device).unsqueeze(1)
    optimiser = adamw(settings, network)
    average = Average(network) if settings.schedule == "averaged" else None
    network.train()
    for step, batch in zip(range(1, settings.steps + 1), batches, strict=False):
        rate = learning_rate(settings, step)
        for group in optimiser.param_groups:
            group["lr"] = rate
        logits = network(batch.images, batch.keep)
        wanted = tables[stack, batch.labels]
        losses = -(wanted * functional.log_softmax(logits, dim=-1)).sum(dim=-1).mean(dim=-1)
        optimiser.zero_grad()
        # The sum, not the mean: a member's gradient must not depend on how many it has beside it.
        torch.autograd.backward(losses.sum())
        optimiser.step()
        hits = (logits.argmax(dim=-1) == batch.labels).float().mean(dim=-1)
        log.add(step, losses.detach(), hits, rate)
        if average is not None:
            average.add(step)
        yield step, network if average is None else average.network
