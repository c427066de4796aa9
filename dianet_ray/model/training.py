"""The training loop: weighted loss, schedule, averaged weights and history.

The loss of a stack is the sum of its members' losses, so each member's gradient is what it would
be alone. This module sees training clips only; it knows nothing of held-out ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dianet_ray.artefacts import LoggedStep
from dianet_ray.model.batches import Batch, Step
from dianet_ray.model.stack import Average, Networks, Trainee
from dianet_ray.settings import Settings

AVERAGE_POWER = 7
"""Averaged weights are the mean over the way, weighted by the step to this power: about the last
tenth of the way counts. docs/decisions.md: Schedule that is read at points"""

CYCLE_UP = 0.3
"""Share of the steps in which the rate of `one_cycle` rises."""

LOOK_EVERY = 10
"""Steps of a GPU between two looks at the losses, which make the CPU wait for it."""

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

    The values of a GPU stay there for a few steps. Every fetch is reported, which arms the timer
    that ends a worker that hangs. docs/decisions.md: Detecting a worker that hangs
    """

    def __init__(
        self, n_steps: int, n_members: int, report: Callable[[int], None], device: torch.device
    ) -> None:
        self._look_every = 1 if device.type == "cpu" else LOOK_EVERY
        self._log_every = max(1, n_steps // N_LOGGED_STEPS)
        self._n_steps, self._report = n_steps, report
        self._waiting: list[Tensor] = []
        self._since_logged: list[np.ndarray] = []
        self.histories: list[list[LoggedStep]] = [[] for _ in range(n_members)]
        self.failures: dict[int, NonFiniteLoss] = {}

    @property
    def is_over(self) -> bool:
        """Whether every member has failed."""
        return len(self.failures) == len(self.histories)

    def add(self, step: int, outcome: Tensor, rates: Sequence[float]) -> None:
        """Record a step's losses and accuracies, `outcome` (2, M), and its learning rates.

        When values are fetched, a member with a loss that is not finite goes to `failures`, with
        the first such step.
        """
        self._waiting.append(outcome.clone())  # the next step may write there
        is_logged = step % self._log_every == 0 or step == self._n_steps
        if not is_logged and step % self._look_every:
            return
        seen = torch.stack(self._waiting).cpu().numpy()  # (steps, 2, M)
        places, members = np.nonzero(~np.isfinite(seen[:, 0]))
        for place, member in zip(places.tolist(), members.tolist(), strict=True):
            failure = NonFiniteLoss(float(seen[place, 0, member]), step - len(seen) + 1 + place)
            self.failures.setdefault(member, failure)
        self._waiting.clear()
        self._since_logged.append(seen)
        self._report(step)
        if is_logged:
            self._add_step(step, rates)

    def _add_step(self, step: int, rates: Sequence[float]) -> None:
        losses, hits = np.concatenate(self._since_logged).mean(axis=0, dtype=np.float64)
        self._since_logged.clear()
        for history, loss, hit, rate in zip(self.histories, losses, hits, rates, strict=True):
            history.append(LoggedStep(step, float(loss), float(hit), rate))


def class_weights(labels: np.ndarray, n_classes: int, beta: float = 1.0) -> np.ndarray:
    """Weigh each class, 0 for absent ones, with a mean of 1 over clips: float64 (n_classes,).

    Inversely to its effective number of clips, (1 - beta^n) / (1 - beta), Cui et al. 2019, arXiv
    1901.05555. With a beta of 1 that is n, and with 0 all classes weigh alike.

    >>> class_weights(np.array([0, 0, 0, 2]), 3).round(2).tolist()
    [0.67, 0.0, 2.0]
    """
    counts = np.bincount(labels, minlength=n_classes)
    present = counts > 0
    numbers = counts if beta == 1 else (1 - beta**counts) / (1 - beta)
    weights = np.zeros(n_classes)
    weights[present] = 1 / numbers[present]
    weights *= len(labels) / (weights @ counts)
    return weights


def targets(settings: Settings, labels: np.ndarray, n_classes: int) -> Tensor:
    """Tabulate the weighted, smoothed target of each true class: (n_classes, n_classes) float32.

    Label smoothing spreads its share over all classes of the study (Szegedy et al. 2016, arXiv
    1512.00567). Each row is then multiplied by the weight of its true class.
    """
    share = settings.label_smoothing
    table = np.eye(n_classes) * (1 - share) + share / n_classes
    if settings.class_weights:
        is_effective = settings.loss == "class_balanced"
        beta = settings.class_balanced_beta if is_effective else 1.0
        table *= class_weights(labels, n_classes, beta)[:, None]
    return torch.from_numpy(table.astype(np.float32))


def losses(settings: Settings, logits: Tensor, wanted: Tensor) -> Tensor:
    """Return each member's loss (M,) from logits and targets, both (M, B, n_classes).

    The focal loss multiplies the part of class k by (1 - p_k)^gamma, Lin et al. 2017, arXiv
    1708.02002.
    """
    logs = functional.log_softmax(logits, dim=-1)
    parts = wanted * logs
    if settings.loss == "focal":
        # Not 0: with a gamma below 1 the gradient of the power would be infinite.
        missing = (-torch.expm1(logs)).clamp(min=1e-12)
        parts = parts * missing**settings.focal_gamma
    return -parts.sum(dim=-1).mean(dim=-1)


def learning_rate(settings: Settings, step: int) -> float:
    """Return the learning rate of a step (from 1).

    A linear warm-up, then the schedule; `one_cycle` has its own way up, from a twenty-fifth
    along a cosine (Smith and Topin 2018, arXiv 1708.07120; the momentum stays).
    """
    if settings.schedule == "one_cycle":
        top = max(1, round(CYCLE_UP * settings.steps))
        if step <= top:
            low = settings.learning_rate / 25
            return low + (settings.learning_rate - low) * (1 - math.cos(math.pi * step / top)) / 2
        done = (step - top) / (settings.steps - top + 1)
        return settings.learning_rate * (1 + math.cos(math.pi * done)) / 2
    if step <= settings.warmup:
        return settings.learning_rate * step / settings.warmup
    if settings.schedule != "cosine":
        return settings.learning_rate
    # From the full rate at the first step after the warm-up to almost 0 at the last one.
    done = (step - 1 - settings.warmup) / (settings.steps - settings.warmup)
    return settings.learning_rate * (1 + math.cos(math.pi * done)) / 2


def optimiser_step(
    settings: Settings, trainee: Trainee, *, tables: Tensor, batch: Callable[[Step], Batch]
) -> Callable[[Step], Tensor]:
    """Return a function that does one step, and answers losses and accuracies, (2, M).

    It is a function of tensors on the device alone, so that a GPU can replay it.

    Args:
        settings: the common ones.
        trainee: the members, on their device; changed in place.
        tables: each member's `targets`, stacked: (M, n_classes, n_classes).
        batch: makes the batch of a step.
    """
    stack = torch.arange(len(tables), device=tables.device).unsqueeze(1)
    is_short = settings.precision == "bfloat16"
    if is_short and tables.is_cuda:
        # Autocast asks this, and keeps the answer. It takes a copy that no recording allows.
        torch.cuda.is_bf16_supported()

    def do(step: Step) -> Tensor:
        seen = batch(step)
        with torch.autocast(tables.device.type, torch.bfloat16, enabled=is_short):
            logits = trainee(seen.images, seen.keep).to(tables.dtype)
        wanted = tables[stack, seen.labels]
        if settings.mixup:
            own = seen.own.unsqueeze(-1)
            wanted = own * wanted + (1 - own) * wanted.roll(1, 1)
        of_members = losses(settings, logits, wanted)
        # The sum, not the mean: a member's gradient must not depend on how many it has beside it.
        trainee.update(of_members.sum())
        hits = (logits.argmax(dim=-1) == seen.labels).to(of_members.dtype).mean(dim=-1)
        return torch.stack([of_members.detach(), hits])

    return do


def train(
    settings: Sequence[Settings],
    trainee: Trainee,
    *,
    plan: Iterator[Step],
    do: Callable[[Step], Tensor],
    log: Log,
) -> Iterator[tuple[int, Networks]]:
    """Train networks for the number of steps in their settings.

    Args:
        settings: of each member; they differ in what a stack may differ in (`fit.Member`).
        trainee: the members.
        plan: at least one for each step.
        do: the `optimiser_step` of the trainee.
        log: receives each step's losses and accuracies.

    Yields:
        After each step its number, and the networks as they are shown there: averaged where the
        schedule says so. The next step changes them.
    """
    common = settings[0]
    is_averaged = common.schedule == "averaged"
    average = Average(trainee.tensors, AVERAGE_POWER) if is_averaged else None
    for number, step in zip(range(1, common.steps + 1), plan, strict=False):
        rates = [learning_rate(one, number) for one in settings]
        trainee.set_rates(rates)
        log.add(number, do(step), rates)
        if average is not None:
            average.add(number)
        yield number, partial(trainee.states, None if average is None else average.tensors)
        if log.is_over:
            return
