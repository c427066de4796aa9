"""Time all LOSO folds of one configuration: a plain loop, a process per fold, and this project.

    python -m benchmarks.fold_training [--device cuda] [--sizes 64 112 224] [--folds 26]

(a) is what a script does: one fold after the other, torch's default memory layout and threads.
(b) is a process per fold, all at once. (c) is this project: on CPUs a training per core in the
layout that convolutions like, on a GPU all folds as one stack. The images are noise, and only a
few steps are trained, because all steps take equally long. Start-up is not timed. Each way runs
in processes of its own, whose peak memory is added up. A share of a limit is what a training
needs at least (operations as torch counts them, bytes that its operators read and write) over
what the device did in a product of large matrices and in a copy.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from threading import BrokenBarrierError
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.stacking import make_run
from dianet_ray.settings import Settings

WIDTHS = {"cnn": 16, "resnet18": 64}
"""Channels of the first layer, as published."""

START_S = 600
"""Processes that need longer to start and to warm up are given up."""


@dataclass(frozen=True, slots=True)
class Job:
    """Folds to train in one process, one after the other or as one stack."""

    settings: Settings
    size: int
    n_folds: int
    device: str
    threads: int
    stacks: bool
    layout: torch.memory_format


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds of training, and peak memory in bytes."""

    seconds: float
    n_bytes: int


def train(job: Job) -> Spent:
    """Train the folds of a job; the first step, which warms up, is not timed."""
    try:
        return _train(job)
    except Exception:
        for barrier in _BARRIERS:
            barrier.abort()  # nobody has to wait for this one
        raise


def _train(job: Job) -> Spent:
    torch.set_num_threads(job.threads)
    device = torch.device(job.device)
    n_together = job.n_folds if job.stacks else 1
    torch.backends.cudnn.allow_tf32 = False  # the same precision for all
    warm = job.settings.model_copy(update={"steps": 1})
    make_run(warm, job.size, n_together, device=device, layout=job.layout)()
    run = make_run(job.settings, job.size, n_together, device=device, layout=job.layout)
    for barrier in _BARRIERS:
        barrier.wait()
    n_runs = 1 if job.stacks else job.n_folds
    seconds = sum(run() for _ in range(n_runs)) / 1e3 * job.settings.steps
    if device.type == "cuda":
        return Spent(seconds, torch.cuda.max_memory_allocated(device))
    return Spent(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


_BARRIERS: list[Barrier] = []


def _begin(barrier: Barrier) -> None:
    """Tell a worker what to wait at."""
    _BARRIERS[:] = [barrier]


def in_processes(jobs: Sequence[Job]) -> Spent:
    """Run jobs at once, a process each: the slowest one's seconds, and the sum of their memory."""
    context = get_context("spawn")
    # Together after their warm-up: one that came later would have had the device to itself.
    barrier = context.Barrier(len(jobs), timeout=START_S)
    with ProcessPoolExecutor(
        len(jobs), mp_context=context, initializer=_begin, initargs=(barrier,)
    ) as pool:
        running = [pool.submit(train, job) for job in jobs]
        errors = [one.exception() for one in running]
    for error in errors:
        if error is not None and not isinstance(error, BrokenBarrierError):
            raise error
    spent = [one.result() for one in running]
    return Spent(max(one.seconds for one in spent), sum(one.n_bytes for one in spent))


def ways(job: Job, n_cores: int) -> dict[str, Callable[[], Spent]]:
    """Name the three ways to train the folds of a job."""
    default = replace(job, layout=torch.contiguous_format, threads=n_cores, stacks=False)
    ours = replace(job, threads=1, stacks=job.device != "cpu")
    split = [
        replace(ours, n_folds=len(part))
        for part in np.array_split(np.arange(job.n_folds), 1 if ours.stacks else n_cores)
        if len(part)
    ]
    apart = [replace(default, n_folds=1, threads=1)] * job.n_folds
    return {
        "(a) loop": partial(in_processes, [default]),
        "(b) process per fold": partial(in_processes, apart),
        "(c) dianet_ray": partial(in_processes, split),
    }


class Bytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up what operators read and write."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.n = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count the tensors of one call."""
        out = func(*args, **(kwargs or {}))
        tensors = [
            one for one in tree_leaves((args, kwargs, out)) if isinstance(one, torch.Tensor)
        ]
        self.n += sum(one.numel() * one.element_size() for one in tensors)
        return out


def needs(job: Job) -> tuple[float, float]:
    """Count the floating-point operations and the bytes of one step of one fold."""
    one = replace(job, settings=job.settings.model_copy(update={"steps": 1}))
    run = make_run(one.settings, one.size, 1, device=torch.device("cpu"), layout=one.layout)
    with FlopCounterMode(display=False) as operations:
        run()
    counted = Bytes()
    with counted:
        run()
    return float(operations.get_total_flops()), float(counted.n)


def limits(device: torch.device) -> tuple[float, float]:
    """Measure operations per second of a product, and bytes per second of a copy."""
    side = 2048 if device.type == "cpu" else 8192
    a, b = (torch.randn(side, side, device=device) for _ in range(2))
    long = torch.empty(64 * 2**20, device=device)
    product = _fastest(lambda: a @ b, device)
    copy = _fastest(long.clone, device)
    return 2 * side**3 / product, 2 * long.numel() * long.element_size() / copy


def _fastest(call: Callable[[], object], device: torch.device) -> float:
    seconds = []
    for _ in range(8):
        with _synchronised(device):
            started_at = time.perf_counter()
            call()
        seconds.append(time.perf_counter() - started_at)
    return min(seconds)


@contextmanager
def _synchronised(device: torch.device) -> Iterator[None]:
    yield
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 112, 224])
    parser.add_argument("--backbones", nargs="+", choices=WIDTHS, default=list(WIDTHS))
    parser.add_argument("--folds", type=int, default=26)
    parser.add_argument("--steps", type=int, default=20)
    options = parser.parse_args()
    n_cores = len(os.sched_getaffinity(0))
    device = torch.device(options.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{n_cores} CPU cores"
    print(f"torch {torch.__version__}, {name}, {options.folds} folds, {options.steps} steps each")
    torch.set_num_threads(n_cores)
    product, copy = limits(device)
    print(f"limits: {product / 1e9:.0f} GFLOP/s in a product, {copy / 1e9:.1f} GB/s in a copy")
    for backbone in options.backbones:
        for size in options.sizes:
            settings = Settings(backbone=backbone, width=WIDTHS[backbone], steps=options.steps)
            job = Job(settings, size, options.folds, options.device, 1, False, torch.channels_last)
            operations, n_bytes = needs(job)
            n_steps = options.folds * options.steps
            times = {way: run() for way, run in ways(job, n_cores).items()}
            ours = times["(c) dianet_ray"].seconds
            for way, spent in times.items():
                share = n_steps * operations / spent.seconds / product
                of_copy = n_steps * n_bytes / spent.seconds / copy
                print(
                    f"{backbone:9s} {size:4d} px  {way:21s} {spent.seconds:8.1f} s "
                    f"{spent.seconds / ours:6.2f}x  {spent.n_bytes / 2**30:6.2f} GiB  "
                    f"{n_steps * settings.batch_size / spent.seconds:8.0f} samples/s  "
                    f"{share:5.1%} of the product, {of_copy:6.1%} of the copy"
                )


if __name__ == "__main__":
    main()
