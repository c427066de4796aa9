"""Compare with plain Ray Tune: one search by `Repeater(OptunaSearch)`, one by `dianet-ray search`.

Both commands get the same images, space, seed, number of configurations and workers. They run one
after the other, each in a Ray of its own, and are timed from Python's start to its end. The
Repeater trains every fold of every configuration (`repeater_driver`) with everything that helps
it: reused actors, no loggers, and our scheduler's rule that keeps starting workers.
`--stock-scheduler` and `--fresh-actors` show what these are worth. Our search takes its default
ladder and writes to MLflow. Both champions are scored by UF1 pooled over LOSO. They are also
trained a few times on all clips of the search, with equal seeds, and scored by their mean UF1 on
fresh clips of other subjects.

    python -m benchmarks.against_repeater [--configs 24] [--workers 2] [--json] [--out DIR]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.repeater_driver import SPACE
from dianet_ray.model.fit import LabelledImages, Member, fit
from dianet_ray.options import SearchOptions
from dianet_ray.prepare.images import load_images
from dianet_ray.processors import processors
from dianet_ray.protocol.metrics import confusion, scores
from dianet_ray.protocol.predictions import classify
from dianet_ray.protocol.standing import standing_of
from dianet_ray.search.plan import make_plan
from dianet_ray.search.space_file import read_space
from dianet_ray.search.study_file import load_study
from dianet_ray.settings import Settings, derive_seed
from tests.support.clusters import MARK, ROOT, kill_marked

FRAMES = ("--image-size", 96, "--frames", 24)
N_FRESH_SUBJECTS, N_FRESH_CLIPS = 104, 1000
N_REPEATS = 4
PATIENCE_S = 30.0
FOREIGN = ("RAY_ADDRESS", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME")


def run(*words: object, say: bool = True) -> tuple[float, str]:
    """Run a Python module to its end; return its seconds and what it printed.

    Whatever happens, no process of it stays: all that it starts inherit a mark.
    """
    mark = uuid.uuid4().hex
    environment = {k: v for k, v in os.environ.items() if k not in FOREIGN} | {MARK: mark}
    command = [sys.executable, "-m", *map(str, words)]
    started_at = time.monotonic()
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        output, _ = process.communicate()
        seconds = time.monotonic() - started_at
    finally:
        process.terminate()  # nothing where it has ended
        try:
            process.wait(PATIENCE_S)
        finally:
            kill_marked(mark)
    if process.returncode:
        raise SystemExit(f"status {process.returncode}: {' '.join(command)}")
    if say:
        print(output, end="", file=sys.stderr, flush=True)
    return seconds, output


def make_images(folder: Path, seed: int, n: Sequence[int], image_size: int) -> Path:
    """Invent subjects and clips, and prepare them."""
    data, images = folder / "data", folder / "images"
    sizes = ["--subjects", n[0], "--clips", n[1], "--seed", seed]
    run("dianet_ray", "synth", data, *sizes, *FRAMES)
    run("dianet_ray", "prepare", "casme2", data, images, "--image-size", image_size)
    return images


def by_repeater(images: Path, folder: Path, asked: argparse.Namespace) -> dict[str, Any]:
    """Search with plain Tune."""
    flags = ("stock_scheduler", "fresh_actors")
    chosen = [f"--{name.replace('_', '-')}" for name in flags if getattr(asked, name)]
    words = ["--workers", asked.workers, *common(asked), *chosen]
    folder.mkdir()
    seconds, output = run("benchmarks.repeater_driver", images, folder, *words, say=False)
    return {"wall_s": seconds, **json.loads(output.splitlines()[-1])}


def by_search(images: Path, folder: Path, asked: argparse.Namespace) -> dict[str, Any]:
    """Search with our command, as it is by default."""
    words = ["--space", SPACE, "--max-workers", asked.workers, *common(asked)]
    words += ["--address", "local", "--gpus-per-trial", 0, "--strategy", "ladder", "--repeats", 0]
    seconds, _ = run("dianet_ray", "search", images, folder / "study", *words)
    study = load_study(folder / "study")
    standing = standing_of(study)
    best = standing.champion()
    assert best is not None
    return {
        "wall_s": seconds,
        "trainings": len(study.trainings),
        "training_s": sum(training.seconds for training in study.trainings.values()),
        "settings": best.settings.model_dump(),
        "uf1": _uf1(study.labels(), standing.pooled(best.number)),
    }


def common(asked: argparse.Namespace) -> list[object]:
    """List the flags that both commands take."""
    fixed = [word for text in assignments(asked) for word in ("--set", text)]
    return ["--configs", asked.configs, "--seed", asked.seed, *fixed]


def assignments(asked: argparse.Namespace) -> list[str]:
    """Say what is fixed of the space, so that a training is short."""
    return [f"width={asked.width}", f"steps={asked.steps}"]


class FreshScore:
    """Trains champions on all clips of the search and scores them on fresh ones."""

    def __init__(self, images: Path, fresh: Path, asked: argparse.Namespace) -> None:
        space = read_space(SPACE, assignments(asked), None)
        data = [load_images(path) for path in (images, fresh)]
        plans = [
            make_plan(one, one.path / "none", space=space, options=SearchOptions()) for one in data
        ]
        chosen = [one.images[plan.rows] for one, plan in zip(data, plans, strict=True)]
        self._images = np.concatenate(chosen)
        self._labels = np.concatenate([plan.study.labels() for plan in plans])
        self._classes = plans[0].study.classes
        assert self._classes == plans[1].study.classes
        self._n_known, self._seed = len(chosen[0]), asked.seed
        torch.set_num_threads(asked.workers)

    @property
    def n_fresh(self) -> int:
        """Count the fresh clips."""
        return len(self._labels) - self._n_known

    def uf1(self, settings: Settings) -> float:
        """Average UF1 on the fresh clips over a few trainings."""
        known = np.arange(self._n_known)
        fresh = np.arange(self._n_known, len(self._labels))
        found = []
        for number in range(N_REPEATS):
            member = Member(known, fresh, derive_seed(self._seed, "judge", number))
            clips = LabelledImages(self._images, self._labels, len(self._classes))
            (fitted,) = fit(settings, clips, [member])
            found.append(_uf1(self._labels[fresh], fitted.probabilities))
        return float(np.mean(found))


def _uf1(labels: np.ndarray, probabilities: np.ndarray) -> float:
    counts = confusion(labels, classify(probabilities), probabilities.shape[1])
    return float(scores(counts)["uf1"])


def measure(folder: Path, asked: argparse.Namespace) -> dict[str, Any]:
    """Make the images, search twice, score both champions."""
    for name in ("search", "fresh"):
        (folder / name).mkdir(parents=True)
    n_searched = (asked.subjects, asked.clips)
    images = make_images(folder / "search", asked.seed, n_searched, asked.image_size)
    # Ours comes first: what the first of two commands reads from a cold disk, it pays for.
    ours = by_search(images, folder, asked)
    theirs = by_repeater(images, folder / "repeater", asked)
    n_fresh = (N_FRESH_SUBJECTS, asked.fresh_clips)
    fresh = make_images(folder / "fresh", asked.seed + 1, n_fresh, asked.image_size)
    truth = FreshScore(images, fresh, asked)
    for side in (theirs, ours):
        side["fresh_uf1"] = truth.uf1(Settings(**side["settings"]))
        side["busy"] = side["training_s"] / side["wall_s"] / asked.workers
    named = {k: v for k, v in vars(asked).items() if k not in ("json", "out")}
    return {
        "asked": named,
        "n_fresh_clips": truth.n_fresh,
        "n_repeats": N_REPEATS,
        "repeater": theirs,
        "search": ours,
        "times_faster": theirs["wall_s"] / ours["wall_s"],
        "times_fewer_trainings": theirs["trainings"] / ours["trainings"],
        "uf1_difference": ours["uf1"] - theirs["uf1"],
        "fresh_uf1_difference": ours["fresh_uf1"] - theirs["fresh_uf1"],
    }


def show(found: dict[str, Any], console: Console) -> None:
    """Print both sides, and the ratios."""
    searched = list(read_space(SPACE, [], None).dimensions)
    table = Table("", "wall s", "trainings", "s each", "busy", "champion", "UF1", "fresh UF1")
    for name in ("repeater", "search"):
        side = found[name]
        table.add_row(
            name,
            f"{side['wall_s']:.1f}",
            str(side["trainings"]),
            f"{side['training_s'] / side['trainings']:.2f}",
            f"{side['busy']:.2f}",
            ", ".join(f"{key} {side['settings'][key]:g}" for key in searched),
            f"{side['uf1']:.3f}",
            f"{side['fresh_uf1']:.3f}",
        )
    console.print(table)
    console.print(
        f"search: {found['times_faster']:.2f}x faster, "
        f"{found['times_fewer_trainings']:.2f}x fewer trainings, "
        f"UF1 {found['uf1_difference']:+.3f}, on {found['n_fresh_clips']} fresh clips "
        f"{found['fresh_uf1_difference']:+.3f} (mean of {found['n_repeats']} trainings)"
    )


@contextmanager
def place(out: Path | None) -> Iterator[Path]:
    """Name the folder of everything: `out`, else one that is deleted at the end."""
    with ExitStack() as stack:
        if out is None:
            name = stack.enter_context(tempfile.TemporaryDirectory(prefix="against-"))
            out = Path(name)
        yield out.absolute()


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    numbers = {"configs": 24, "subjects": 26, "clips": 250, "image-size": 32, "steps": 100}
    numbers |= {"width": 8, "seed": 0, "workers": 2, "fresh-clips": N_FRESH_CLIPS}
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=default, help=f"default {default}")
    parser.add_argument("--stock-scheduler", action="store_true", help="Repeater: Tune's FIFO")
    parser.add_argument("--fresh-actors", action="store_true", help="Repeater: none is reused")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", type=Path, help="a new folder; default: none is kept")
    asked = parser.parse_args()
    if asked.workers > processors().n:
        parser.error(f"--workers: {processors().n} CPUs are here, got {asked.workers}")
    if asked.out and asked.out.exists():
        parser.error(f"--out: a new folder, got {asked.out}")
    return asked


def main() -> None:
    """Measure, and print a table or JSON."""
    asked = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that nothing is left running
    with place(asked.out) as folder:
        found = measure(folder, asked)
    if asked.json:
        print(json.dumps(found, indent=1))
    else:
        show(found, Console(width=140))


if __name__ == "__main__":
    main()
