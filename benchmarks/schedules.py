"""Which anytime schedule ends where a cosine of the same length ends.

An anytime schedule reads a training at several lengths: what it shows at step t is what a training
of t steps would have given. Compared with a cosine that is trained anew for each length:

- averaged g: a constant rate after the warm-up; the weights shown are the mean over the way with
  weights proportional to t^g (power-function average, Karras et al. 2024, arXiv 2312.02696);
- decay: a constant rate, and before each length a fifth of the way falls to 0, on a branch that
  is thrown away (Haegele et al. 2024, arXiv 2405.18392);
- schedule-free: schedule-free AdamW (Defazio et al. 2024, arXiv 2405.15682).

Three groups of subjects, so that each training tests a third of them. Trainings are kept in
FOLDER; the same command goes on from there.

    python -m benchmarks.schedules FOLDER [--workers 2] [--seeds 3] [--image-size 32]
"""

from __future__ import annotations

import argparse
import copy
import itertools
from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from torch.nn import functional

from benchmarks.paired import Counts, Predictions, asked, difference, joined, run, uf1
from dianet_ray.model.batches import Batch, Pixels, batch_of, steps
from dianet_ray.model.build import Network
from dianet_ray.model.fit import LabelledImages, Member, fit, predict, start
from dianet_ray.model.inputs import phase_numbers
from dianet_ray.model.optimisers import decaying, optimiser_of
from dianet_ray.model.stack import Alone, Average, State
from dianet_ray.model.training import targets
from dianet_ray.settings import Settings

LENGTHS = (100, 200, 400, 800, 1600)
POWERS = (2, 4, 7, 17)
"""Exponents of the averages: they forget all but about the last 40, 25, 16 and 7 % of the way."""
N_WARMUP = 20
DECAY = 0.2


def main() -> None:
    """Train, print."""
    given, _ = asked(argparse.ArgumentParser(description=str(__doc__).splitlines()[0]))
    _print(run(given, "schedules", train_fold))


class Fold:
    """A fold that can be trained again and again from the same start, with the same batches."""

    def __init__(self, clips: LabelledImages, member: Member) -> None:
        self.settings = Settings(warmup=N_WARMUP)
        self.clips, self.member, self.n_classes = clips, member, clips.n_classes
        self.held_out = clips.images[member.test]
        self.labels = torch.from_numpy(clips.labels)
        self.known = [(torch.from_numpy(member.train), member.seed)]
        place = torch.device("cpu")
        self.pixels = Pixels(clips.images, phase_numbers(self.settings), device=place)
        self.tables = targets(self.settings, clips.labels[member.train], self.n_classes)

    def network(self) -> Network:
        """Make the network as it is before the first step."""
        return start(self.settings, self.clips, self.known[0], self.pixels).train()

    def batches(self, first: int = 1) -> Iterator[Batch]:
        """Yield the batches from the step `first` on, the same ones whenever it is called."""
        n_features, place = self.network().n_features, torch.device("cpu")
        plan = steps([self.settings], self.known, n_features=n_features, device=place)
        chosen = itertools.islice(plan, first - 1, None)
        made = partial(batch_of, self.settings, pixels=self.pixels, labels=self.labels)
        return map(made, chosen)

    def backward(self, network: Network, batch: Batch) -> None:
        """Compute the gradients of one step."""
        logits = network(batch.images[0], batch.keep[0])
        wanted = self.tables[batch.labels[0]]
        for parameter in network.parameters():
            parameter.grad = None
        torch.autograd.backward(
            -(wanted * functional.log_softmax(logits, dim=-1)).sum(dim=-1).mean()
        )

    def predict(self, state: State) -> np.ndarray:
        """Predict the held-out clips."""
        (found,) = predict(self.settings, [state], self.held_out, n_classes=self.n_classes)
        return np.asarray(found)


def train_fold(clips: LabelledImages, member: Member) -> Predictions:
    """Train one fold by every schedule; names are such as "cosine 100"."""
    fold = Fold(clips, member)
    return cosine(fold) | constant(fold) | schedule_free(fold)


def cosine(fold: Fold) -> Predictions:
    """Train once for each length, with a cosine that ends there."""
    found = {}
    for length in LENGTHS:
        settings = fold.settings.model_copy(update={"schedule": "cosine", "steps": length})
        (fitted,) = fit(settings, fold.clips, [fold.member])
        found[f"cosine {length}"] = fitted.probabilities
    return found


def constant(fold: Fold) -> Predictions:
    """Train once at a constant rate; show averages and decayed branches at every length."""
    found: Predictions = {}
    network, rate = fold.network(), fold.settings.learning_rate
    optimiser = optimiser_of(fold.settings, network)
    trainee = Alone(network, fold.settings)
    averages = {power: Average(trainee.tensors, power) for power in POWERS}
    branches = {round(length * (1 - DECAY)): length for length in LENGTHS}
    for step, batch in zip(range(1, LENGTHS[-1] + 1), fold.batches(), strict=False):
        _set_rate(optimiser, rate * min(1, step / N_WARMUP))
        fold.backward(network, batch)
        optimiser.step()
        for average in averages.values():
            average.add(step)
        if step in branches:
            length = branches[step]
            branch = _decayed(fold, network, optimiser, begin=step, length=length)
            found[f"decay {length}"] = branch
        if step in LENGTHS:
            for power, average in averages.items():
                (state,) = trainee.states(average.tensors)
                found[f"averaged {power} {step}"] = fold.predict(state)
    return found


def _decayed(
    fold: Fold, trunk: Network, optimiser: torch.optim.Optimizer, *, begin: int, length: int
) -> np.ndarray:
    """Leave the trunk after the step `begin`, with a rate that falls to 0 at `length`."""
    network = copy.deepcopy(trunk)
    branch = optimiser_of(fold.settings, network)
    branch.load_state_dict(copy.deepcopy(optimiser.state_dict()))
    rate = branch.param_groups[0]["lr"]
    rest = fold.batches(begin + 1)
    for step, batch in zip(range(begin + 1, length + 1), rest, strict=False):
        # 1 - sqrt, the best of the shapes that the paper compares.
        _set_rate(branch, rate * (1 - ((step - begin) / (length - begin)) ** 0.5))
        fold.backward(network, batch)
        branch.step()
    return fold.predict(network.state_dict())


def schedule_free(fold: Fold) -> Predictions:
    """Train once with schedule-free AdamW (algorithm 1 of the paper, weights by squared rate).

    Gradients are taken at y = (1 - beta) z + beta x; z takes the steps and x, what is shown, is
    the average of z.
    """
    found: Predictions = {}
    settings, beta = fold.settings, 0.9
    shown, fast, at = fold.network(), fold.network(), fold.network()
    names = decaying(at)
    decayed = {id(p) for name, p in at.named_parameters() if name in names}
    squares = [torch.zeros_like(p) for p in at.parameters()]
    total = 0.0
    for step, batch in zip(range(1, LENGTHS[-1] + 1), fold.batches(), strict=False):
        fold.backward(at, batch)
        rate = settings.learning_rate * min(1, step / N_WARMUP)
        total += rate**2
        with torch.no_grad():
            for y, z, square in zip(at.parameters(), fast.parameters(), squares, strict=True):
                assert y.grad is not None
                square.mul_(0.999).addcmul_(y.grad, y.grad, value=1 - 0.999)
                size = (square / (1 - 0.999**step)).sqrt() + 1e-8
                if id(y) in decayed:
                    z.sub_(y, alpha=rate * settings.weight_decay)
                z.addcdiv_(y.grad, size, value=-rate)
            torch._foreach_lerp_(
                list(shown.parameters()), list(fast.parameters()), rate**2 / total
            )
            for y, z, x in zip(
                at.parameters(), fast.parameters(), shown.parameters(), strict=True
            ):
                y.copy_(torch.lerp(z, x, beta))
        if step in LENGTHS:
            found[f"schedule-free {step}"] = fold.predict(shown.state_dict())
    return found


def _set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate


def _print(found: dict[int, Counts]) -> None:
    names = list(dict.fromkeys(name.rsplit(" ", 1)[0] for name in next(iter(found.values()))))
    print("| schedule | subjects |", *(f"{length} |" for length in LENGTHS))
    for name in names:
        for n_subjects, counts in found.items():
            cells = [
                f"{uf1(counts[f'cosine {length}']):.1f}"
                if name == "cosine"
                else str(difference(counts, f"{name} {length}", f"cosine {length}"))
                for length in LENGTHS
            ]
            print(f"| {name} | {n_subjects} |", *(f"{cell} |" for cell in cells))
        means = [
            joined([difference(c, f"{name} {n}", f"cosine {n}") for c in found.values()])
            for n in LENGTHS
        ]
        if name != "cosine":
            print(f"| {name} | mean |", *(f"{mean} |" for mean in means))


if __name__ == "__main__":
    main()
