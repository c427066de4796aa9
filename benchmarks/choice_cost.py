"""Time the choice that the correction repeats: seconds of a core, and memory.

    python -m benchmarks.choice_cost [--configs 1000] [--subjects 68] [--replicates 1000]

Predictions are noise; time and memory do not depend on what they say.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np

from dianet_ray.protocol.correction import Choices, Tally

N_CLASSES = 5
CLIPS_PER_SUBJECT = 4


def main() -> None:
    """Measure a training that is read once, and one that is read at four points."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--configs", type=int, default=1000)
    parser.add_argument("--subjects", type=int, default=68)
    parser.add_argument("--replicates", type=int, default=1000)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    before = _peak()
    for n_points in (1, 4):
        shape = (n_points, options.subjects, N_CLASSES, N_CLASSES)
        found = {number: _tally(rng, shape) for number in range(options.configs)}
        started_at = time.process_time()
        Choices([found], "uf1", first=0, seed=0, n=options.replicates).score()
        seconds = time.process_time() - started_at
        print(f"{n_points} points: {seconds:.1f} s, {(_peak() - before) / 2**20:.0f} MiB")


def _tally(rng: np.random.Generator, shape: tuple[int, ...]) -> Tally:
    n_cells = shape[-1] ** 2
    hard = rng.poisson(CLIPS_PER_SUBJECT / n_cells, shape)
    soft = rng.exponential(CLIPS_PER_SUBJECT / n_cells, shape)
    return Tally(hard, soft)


def _peak() -> int:
    """Return the largest memory that this process has held so far, in bytes."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
