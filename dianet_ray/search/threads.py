"""How many CPU threads a training takes, measured: the number with which a search trains most.

A single training gains from more threads, but every thread is a core that no other training has.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping

import numpy as np
import torch

from dianet_ray.artefacts import PHASES
from dianet_ray.model.fit import LabelledImages, Member, fit
from dianet_ray.settings import Settings

N_WARM, N_STEPS = 2, 8


def best_threads(steps_per_s: Mapping[int, float], n_cores: int, n_ready: int) -> int:
    """Choose the number of threads with the most steps per second over all workers.

    Args:
        steps_per_s: of one training, by its threads.
        n_cores: of the machine.
        n_ready: trainings that can run at once.

    Returns:
        The least of the numbers that are within 2 % of the best.

    >>> best_threads({1: 10, 2: 18, 4: 24}, n_cores=4, n_ready=48)
    1
    >>> best_threads({1: 10, 2: 18, 4: 24}, n_cores=4, n_ready=2)
    2
    """
    total = {n: min(n_cores // n, n_ready) * speed for n, speed in steps_per_s.items()}
    enough = 0.98 * max(total.values())
    return min(n for n, steps in total.items() if steps >= enough)


@functools.cache
def measured_threads(settings: Settings, image_size: int, n_cores: int, n_ready: int) -> int:
    """Measure trainings on noise with 1, 2, 4, ... threads, and choose as `best_threads` does.

    Args:
        settings: what is trained.
        image_size: side of a dynamic image in pixels.
        n_cores: CPUs of a worker's machine; taken to be like this one.
        n_ready: trainings that can run at once.
    """
    numbers = [2**k for k in range(n_cores.bit_length()) if 2**k <= n_cores]
    before = torch.get_num_threads()
    try:
        speeds = {n: _steps_per_s(settings, image_size, n) for n in numbers}
    finally:
        torch.set_num_threads(before)
    return best_threads(speeds, n_cores, n_ready)


def _steps_per_s(settings: Settings, image_size: int, n_threads: int) -> float:
    torch.set_num_threads(n_threads)
    shape = (settings.batch_size, len(PHASES), image_size, image_size, 3)
    images = np.random.default_rng(0).normal(0, 8, shape).astype(np.float16)
    clips = LabelledImages(images, np.arange(settings.batch_size) % 2, 2)
    member = Member(np.arange(settings.batch_size), np.arange(0), 0)
    seconds = []
    for n_steps in (N_WARM, N_STEPS):
        short = settings.model_copy(update={"steps": n_steps, "points": 1, "pretrained": "none"})
        started_at = time.perf_counter()
        fit(short, clips, [member])
        seconds.append(time.perf_counter() - started_at)
    return N_STEPS / seconds[-1]
