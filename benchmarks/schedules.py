"""Which anytime schedule ends where a cosine of the same length ends.

An anytime schedule reads a training at several lengths: what it shows at step t is what a training
of t steps would have given. Compared with a cosine that is trained anew for each length:

- averaged g: a constant rate after the warm-up; the weights shown are the mean over the way with
  weights proportional to t^g (power-function average, Karras et al. 2024, arXiv 2312.02696);
- decay: a constant rate, and before each length a fifth of the way falls to 0, on a branch that
  is thrown away (Haegele et al. 2024, arXiv 2405.18392);
- schedule-free: schedule-free AdamW (Defazio et al. 2024, arXiv 2405.15682).

Three groups of subjects, so that each training tests a third of them. Scores are UF1 of the pooled
predictions in points, differences are paired over subjects. Trainings are kept in FOLDER; the same
command goes on from there.

    python -m benchmarks.schedules FOLDER [--workers 2] [--seeds 3] [--image-size 32]
"""

from __future__ import annotations

import argparse
import copy
import itertools
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from benchmarks.arrays import make_arrays
from benchmarks.replay.record import Data, read_data
from dianet_ray.model.batches import Batch, Pixels, batches, steps
from dianet_ray.model.fit import LabelledImages, Member, fit, predict, start
from dianet_ray.model.network import DIANet, build, member_state, phase_numbers
from dianet_ray.model.training import Average, adamw, targets
from dianet_ray.progress import Progress
from dianet_ray.protocol.folds import groups
from dianet_ray.protocol.metrics import scores
from dianet_ray.settings import Settings, derive_seed
from dianet_ray.synth.data_set import n_processors
from dianet_ray.synth.planning import SynthOptions

LENGTHS = (100, 200, 400, 800, 1600)
CLASSES = "casme2:5"
DATA_SETS = {12: 115, 26: 250, 68: 650}
"""Subjects and clips of the data sets; the number of subjects is the seed, too."""
POWERS = (2, 4, 7, 17)
"""Exponents of the averages: they forget all but about the last 40, 25, 16 and 7 % of the way."""
RATES = (1.0, 0.5)
"""Constant rates, as shares of the largest rate of the cosine."""
N_WARMUP = 20
DECAY = 0.2
N_GROUPS = 3

Predictions = dict[str, np.ndarray]
"""By schedule and length, such as "cosine 100": (held-out clips, classes) float32."""


@dataclass(frozen=True)
class Job:
    """One fold of a data set, trained by every schedule with one seed."""

    folder: Path
    n_subjects: int
    seed: int
    fold: int

    @property
    def path(self) -> Path:
        """The file of its predictions."""
        return self.folder / "parts" / f"{self.n_subjects}-{self.seed}-{self.fold}.npz"


def main() -> None:
    """Make the data, train, print."""
    asked = _arguments()
    (asked.folder / "parts").mkdir(parents=True, exist_ok=True)
    for n_subjects, n_clips in DATA_SETS.items():
        place = asked.folder / str(n_subjects)
        if not (place / "subjects.npy").exists():
            place.mkdir(exist_ok=True)
            options = SynthOptions(n_subjects=n_subjects, n_clips=n_clips, seed=n_subjects)
            make_arrays(place, options, n_workers=asked.workers, image_size=asked.image_size)
    jobs = [
        Job(asked.folder, n_subjects, seed, fold)
        for seed in range(asked.seeds)
        for n_subjects in DATA_SETS
        for fold in range(N_GROUPS)
    ]
    waiting = [job for job in jobs if not job.path.exists()]
    with (
        Progress("schedules", len(waiting), unit="folds") as progress,
        ProcessPoolExecutor(asked.workers, mp_context=get_context("spawn")) as pool,
    ):
        for _ in pool.map(train_fold, waiting):
            progress.advance()
    _print(asked.folder, asked.seeds)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, default=n_processors())
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--image-size", type=int, default=32)
    return parser.parse_args()


class Fold:
    """A fold that can be trained again and again from the same start, with the same batches."""

    def __init__(self, data: Data, train: np.ndarray, test: np.ndarray, seed: int) -> None:
        self.settings = Settings(warmup=N_WARMUP)
        self.n_classes = int(data.labels.max()) + 1
        self.clips = LabelledImages(data.images, data.labels, self.n_classes)
        self.member = Member(train, test, seed)
        self.held_out = data.images[test]
        self.labels = torch.from_numpy(data.labels)
        self.known = [(torch.from_numpy(train), seed)]
        place = torch.device("cpu")
        self.pixels = Pixels(data.images, phase_numbers(self.settings), device=place)
        self.tables = targets(self.settings, data.labels[train], self.n_classes)[None]

    def network(self) -> DIANet:
        """Make the network as it is before the first step."""
        size = self.held_out.shape[2]
        network = build(self.settings, self.n_classes, size)
        start(network, self.known, self.pixels)
        return network.train()

    def batches(self, first: int = 1) -> Iterator[Batch]:
        """Yield the batches from the step `first` on, the same ones whenever it is called."""
        n_features = build(self.settings, self.n_classes, self.held_out.shape[2]).n_features
        plan = steps(self.settings, self.known, n_features=n_features, device=torch.device("cpu"))
        chosen = itertools.islice(plan, first - 1, None)
        return batches(self.settings, chosen, pixels=self.pixels, labels=self.labels)

    def backward(self, network: DIANet, batch: Batch) -> None:
        """Compute the gradients of one step."""
        logits = network(batch.images, batch.keep)
        wanted = self.tables[torch.zeros(1, 1, dtype=torch.long), batch.labels]
        for parameter in network.parameters():
            parameter.grad = None
        torch.autograd.backward(
            -(wanted * functional.log_softmax(logits, dim=-1)).sum(dim=-1).mean()
        )

    def predict(self, network: DIANet) -> np.ndarray:
        """Predict the held-out clips."""
        state = member_state(network, 0)
        (found,) = predict(self.settings, [state], self.held_out, n_classes=self.n_classes)
        return np.asarray(found)


def train_fold(job: Job) -> None:
    """Train one fold by every schedule, and write the predictions."""
    torch.set_num_threads(1)
    data = read_data(job.folder / str(job.n_subjects), CLASSES)
    names = [str(k) for k in range(int(data.labels.max()) + 1)]
    test = np.array(groups(data.clips, names, 0, N_GROUPS)[job.fold].test_clips)
    train = np.setdiff1d(np.arange(len(data.clips)), test)
    fold = Fold(data, train, test, derive_seed(job.seed, job.n_subjects, job.fold))
    started_at = time.process_time()
    found = cosine(fold)
    for rate in RATES:
        found |= constant(fold, rate)
    found |= schedule_free(fold)
    found["seconds"] = np.array(time.process_time() - started_at)
    found["test"] = test
    with job.path.with_suffix(".new").open("wb") as file:
        np.savez(file, allow_pickle=False, **found)
    job.path.with_suffix(".new").rename(job.path)


def cosine(fold: Fold) -> Predictions:
    """Train once for each length, with a cosine that ends there."""
    found = {}
    for length in LENGTHS:
        settings = fold.settings.model_copy(update={"schedule": "cosine", "steps": length})
        (fitted,) = fit(settings, fold.clips, [fold.member])
        found[f"cosine {length}"] = fitted.probabilities
    return found


def constant(fold: Fold, share: float) -> Predictions:
    """Train once at a constant rate; show averages and decayed branches at every length."""
    found: Predictions = {}
    network, rate = fold.network(), share * fold.settings.learning_rate
    optimiser = adamw(fold.settings, network)
    averages = {power: Average(network, power) for power in POWERS}
    branches = {round(length * (1 - DECAY)): length for length in LENGTHS}
    for step, batch in zip(range(1, LENGTHS[-1] + 1), fold.batches(), strict=False):
        _set_rate(optimiser, rate * min(1, step / N_WARMUP))
        fold.backward(network, batch)
        optimiser.step()
        for average in averages.values():
            average.add(step)
        if step in branches:
            length = branches[step]
            found[f"decay x{share:g} {length}"] = _decayed(
                fold, network, optimiser, begin=step, length=length
            )
        if step in LENGTHS:
            for power, average in averages.items():
                found[f"averaged {power} x{share:g} {step}"] = fold.predict(average.network)
    return found


def _decayed(
    fold: Fold, trunk: DIANet, optimiser: torch.optim.AdamW, *, begin: int, length: int
) -> np.ndarray:
    """Leave the trunk after the step `begin`, with a rate that falls to 0 at `length`."""
    network = copy.deepcopy(trunk)
    branch = adamw(fold.settings, network)
    branch.load_state_dict(copy.deepcopy(optimiser.state_dict()))
    rate = branch.param_groups[0]["lr"]
    batch_of = fold.batches(begin + 1)
    for step, batch in zip(range(begin + 1, length + 1), batch_of, strict=False):
        # 1 - sqrt, the best of the shapes that the paper compares.
        _set_rate(branch, rate * (1 - ((step - begin) / (length - begin)) ** 0.5))
        fold.backward(network, batch)
        branch.step()
    return fold.predict(network)


def schedule_free(fold: Fold) -> Predictions:
    """Train once with schedule-free AdamW (algorithm 1 of the paper, weights by squared rate).

    Gradients are taken at y = (1 - beta) z + beta x; z takes the steps and x, what is shown, is
    the average of z.
    """
    found: Predictions = {}
    settings, beta = fold.settings, 0.9
    shown, fast, at = fold.network(), fold.network(), fold.network()
    decaying = {id(p) for p in adamw(settings, at).param_groups[0]["params"]}
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
                if id(y) in decaying:
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
            found[f"schedule-free {step}"] = fold.predict(shown)
    return found


def _set_rate(optimiser: torch.optim.AdamW, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate


def _print(folder: Path, n_seeds: int) -> None:
    counts = {n: _counts(folder, n, n_seeds) for n in DATA_SETS}
    names = list(dict.fromkeys(name.rsplit(" ", 1)[0] for name in counts[min(counts)]))
    print("| schedule | subjects |", *(f"{length} |" for length in LENGTHS))
    for name, n_subjects in itertools.product(names, DATA_SETS):
        found = counts[n_subjects]
        cells = [_cell(found, name, length) for length in LENGTHS]
        print(f"| {name} | {n_subjects} |", *(f"{cell} |" for cell in cells))
    for name in names:
        of = partial(_difference, name=name)
        means = [
            np.mean([of(found, length=length)[0] for found in counts.values()])
            for length in LENGTHS
        ]
        print(f"| {name} | mean difference |", *(f"{mean:+.1f} |" for mean in means))


def _cell(found: Mapping[str, np.ndarray], name: str, length: int) -> str:
    if name == "cosine":
        return f"{_uf1(found[f'cosine {length}']):.1f}"
    mean, deviation = _difference(found, name=name, length=length)
    return f"{mean:+.1f} ±{2 * deviation:.1f}"


def _difference(found: Mapping[str, np.ndarray], *, name: str, length: int) -> tuple[float, float]:
    """Return the mean over seeds of UF1 less cosine's, and its deviation over subjects."""
    mine, cosine_ = found[f"{name} {length}"], found[f"cosine {length}"]
    generator = np.random.default_rng(0)
    n_subjects = mine.shape[1]
    weights = generator.multinomial(n_subjects, np.full(n_subjects, 1 / n_subjects), size=300)
    spread = [_uf1(mine, one) - _uf1(cosine_, one) for one in weights]
    return _uf1(mine) - _uf1(cosine_), float(np.std(spread))


def _uf1(counts: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return the mean over seeds of the pooled UF1 of (seeds, S, C, C) counts, in points."""
    used = counts if weights is None else counts * weights[:, None, None]
    return float(100 * scores(used.sum(axis=1), present_only=True)["uf1"].mean())


def _counts(folder: Path, n_subjects: int, n_seeds: int) -> dict[str, np.ndarray]:
    """Count predictions by subject: (seeds, S, C, C) by schedule and length."""
    data = read_data(folder / str(n_subjects), CLASSES)
    subjects = sorted({clip.subject for clip in data.clips})
    place = np.array([subjects.index(clip.subject) for clip in data.clips])
    n_classes = int(data.labels.max()) + 1
    counts: dict[str, np.ndarray] = {}
    for seed, fold in itertools.product(range(n_seeds), range(N_GROUPS)):
        with np.load(Job(folder, n_subjects, seed, fold).path) as found:
            test = found["test"]
            for name in found.files:
                if name in ("test", "seconds"):
                    continue
                shape = (n_seeds, len(subjects), n_classes, n_classes)
                one = counts.setdefault(name, np.zeros(shape, dtype=np.int64))
                predicted = found[name].argmax(axis=1)
                np.add.at(one, (seed, place[test], data.labels[test], predicted), 1)
    return counts


if __name__ == "__main__":
    main()
