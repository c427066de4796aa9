"""Time an optimiser step: M networks stacked against M alone, channels_last against default.

    python -m benchmarks.stacking [--device cuda] [--sizes 64 112] [--members 1 2 4 8]

Both sides of a ratio are timed in turn in one process, on one core when the device is the CPU; a
figure is the median over rounds, a round the mean of a few steps. Everything of a step counts:
gathering and augmenting the batch, forward, backward, AdamW.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from dianet_ray.model.batches import Batch, Pixels, batch_of, steps
from dianet_ray.model.build import build, lay_out
from dianet_ray.model.fit import repeatable
from dianet_ray.model.inputs import phase_numbers
from dianet_ray.model.recording import recorded
from dianet_ray.model.stack import trainee_of
from dianet_ray.model.training import Log, optimiser_step, targets, train
from dianet_ray.settings import Settings

N_CLIPS, N_CLASSES, N_WARM = 250, 5, 3


def make_run(
    settings: Settings,
    size: int,
    n_members: int,
    *,
    device: torch.device,
    layout: torch.memory_format,
) -> Callable[[], float]:
    """Set up a stack; the result trains settings.steps steps and returns milliseconds a step.

    On a GPU steps are recorded and repeat to the bit, as in this project, unless the layout is
    torch's default: that stands for a plain script.
    """
    rng = np.random.default_rng(0)
    images = rng.normal(0, 8, (N_CLIPS, 3, size, size, 3)).astype(np.float16)
    labels = rng.integers(0, N_CLASSES, N_CLIPS)
    every = [settings] * n_members
    networks = [build(settings, N_CLASSES, size, seed).to(device) for seed in range(n_members)]
    for network in networks:
        lay_out(network, layout)
    trainee = trainee_of(networks, every)
    pixels = Pixels(images, phase_numbers(settings), device=device)
    classes = torch.from_numpy(labels).to(device)
    known = [(torch.arange(N_CLIPS), seed) for seed in range(n_members)]
    plan = steps(every, known, n_features=networks[0].n_features, device=device)
    tables = torch.stack([targets(settings, labels, N_CLASSES)] * n_members).to(device)
    made = partial(batch_of, settings, pixels=pixels, labels=classes)
    do = optimiser_step(
        settings, trainee, tables=tables, batch=lambda step: _laid_out(made(step), layout)
    )
    is_plain = layout is torch.contiguous_format
    if not is_plain:
        with repeatable(device):  # as in fit
            do = recorded(do, trainee, next(plan))

    def run() -> float:
        log = Log(settings.steps, n_members, lambda step: None, device)
        started_at = time.perf_counter()
        with nullcontext() if is_plain else repeatable(device):
            # The log waits for the device at the last step.
            deque(train(every, trainee, plan=plan, do=do, log=log), maxlen=0)
        return (time.perf_counter() - started_at) / settings.steps * 1e3

    return run


def _laid_out(batch: Batch, layout: torch.memory_format) -> Batch:
    """Copy the images where they shall not lie as convolutions like them best."""
    is_best = layout is torch.channels_last
    return batch if is_best else replace(batch, images=batch.images.contiguous())


def in_turn(runs: list[Callable[[], float]], n_rounds: int) -> list[float]:
    """Return each run's median over rounds in which all of them take turns."""
    times = [[run() for run in runs] for _ in range(N_WARM + n_rounds)][N_WARM:]
    return [statistics.median(column) for column in zip(*times, strict=True)]


def main() -> None:
    """Measure and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 112])
    parser.add_argument("--members", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument("--backbone", default="cnn", choices=["cnn", "resnet18"])
    parser.add_argument("--steps", type=int, default=5, help="steps a round")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(1)
    device = torch.device(options.device)
    settings = Settings(backbone=options.backbone, steps=options.steps)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "one CPU core"
    print(f"torch {torch.__version__}, {name}, {options.backbone}, default settings otherwise")
    last = torch.channels_last
    for size in options.sizes:
        alone = make_run(settings, size, 1, device=device, layout=last)
        default = make_run(settings, size, 1, device=device, layout=torch.contiguous_format)
        fast, slow = in_turn([alone, default], options.rounds)
        print(
            f"{size:4d} px  layout    channels_last {fast:7.1f} ms/step   "
            f"default {slow:7.1f} ms/step   {slow / fast:.2f}x"
        )
        for n_members in options.members:
            stack = make_run(settings, size, n_members, device=device, layout=last)
            one, together = in_turn([alone, stack], options.rounds)
            print(
                f"{size:4d} px  stack {n_members:3d} {together:7.1f} ms/step   "
                f"{n_members} alone {n_members * one:7.1f} ms/step   "
                f"{n_members * one / together:.2f}x"
            )


if __name__ == "__main__":
    main()
