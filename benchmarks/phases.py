"""Compare phases and fusions: paired differences in pooled UF1, with intervals over subjects.

The command runs `search --space phases` on IMAGES once per seed; a finished search is not
repeated. It averages the difference over the seeds and bootstraps the subjects, the same ones for
both variants.

    python -m benchmarks.phases IMAGES OUT [--seeds 0 1 2] [--json]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from dianet_ray.protocol.metrics import scores
from dianet_ray.protocol.predictions import quantiles
from dianet_ray.protocol.standing import standing_of
from dianet_ray.protocol.study import Study
from dianet_ray.search.study_file import load_study

REFERENCE = ("both", "cross_attention")
N_REPLICATES = 5000


def confusions(study: Study) -> dict[tuple[str, str], np.ndarray]:
    """Count per variant and subject: (S, C, C)."""
    standing = standing_of(study)
    return {
        (c.settings.phases, c.settings.fusion): standing.confusions(c.number)
        for c in standing.complete()
    }


def uf1(counts: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Score replicates: weights (B, S) and counts (S, C, C) to (B,)."""
    n_classes = counts.shape[-1]
    pooled = (weights @ counts.reshape(len(counts), -1)).reshape(-1, n_classes, n_classes)
    return scores(pooled, present_only=True)["uf1"]


def compare(studies: list[Study]) -> list[dict[str, Any]]:
    """Score every variant and its paired difference to the reference, averaged over seeds."""
    found = [confusions(study) for study in studies]
    n_subjects = len(next(iter(found[0].values())))
    once = np.ones((1, n_subjects))
    drawn = np.random.default_rng(0).multinomial(
        n_subjects, np.full(n_subjects, 1 / n_subjects), size=N_REPLICATES
    )
    rows = []
    for variant in found[0]:
        difference = [uf1(f[REFERENCE], once)[0] - uf1(f[variant], once)[0] for f in found]
        replicates = np.mean([uf1(f[REFERENCE], drawn) - uf1(f[variant], drawn) for f in found], 0)
        rows.append(
            {
                "phases": variant[0],
                "fusion": variant[1],
                "uf1": float(np.mean([uf1(f[variant], once)[0] for f in found])),
                "accuracy": float(np.mean([scores(f[variant].sum(0))["accuracy"] for f in found])),
                "difference": float(np.mean(difference)),
                "ci95": list(quantiles(replicates)),
            }
        )
    return rows


def main() -> None:
    """Search once per seed, then compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    paths = [asked.out / f"phases-seed-{seed}" for seed in asked.seeds]
    for seed, path in zip(asked.seeds, paths, strict=True):
        command = ["search", str(asked.images), str(path), "--space", "phases", "--configs", "5"]
        command += ["--repeats", "0"]
        command += ["--strategy", "exhaustive"]
        subprocess.run(
            [sys.executable, "-m", "dianet_ray", *command, "--seed", str(seed)],
            check=True,
            stdout=sys.stderr,
        )
    rows = compare([load_study(path) for path in paths])
    if asked.json:
        print(json.dumps(rows, indent=1))
        return
    print(f"{'phases':12} {'fusion':16} {'UF1':>6} {'acc':>6}  cross-attention minus this [95 %]")
    for row in rows:
        low, high = row["ci95"]
        print(
            f"{row['phases']:12} {row['fusion']:16} {row['uf1']:6.3f} {row['accuracy']:6.3f}  "
            f"{row['difference']:+.3f} [{low:+.3f}, {high:+.3f}]"
        )


if __name__ == "__main__":
    main()
