"""Time a whole search whose trials are blocks against one that trains fold by fold.

    python -m benchmarks.search_blocks IMAGES FOLDER [--block auto] [--configs 8] [--rounds 2]
        [--max-workers 1] [--set NAME=VALUE ...]

Both searches draw at random with one seed and train every LOSO fold, so that their ledgers list
the same trainings. They take turns, each with a study of its own in FOLDER, which must not be
there. Time counts from when the first training of the ledger begins until the last one ends, so a
ledger tells all: trainings a second, and how many trained together. Start-up is printed apart.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import yaml

from dianet_ray.search.study_file import load_study

SPACES = Path(__file__).parents[1] / "search_spaces"


@dataclass(frozen=True, slots=True)
class Asked:
    """The command line."""

    images: Path
    folder: Path
    block: str
    configs: int
    rounds: int
    max_workers: int
    set: list[str]


@dataclass(frozen=True, slots=True)
class Searched:
    """What a ledger tells of a search, and the seconds of the command beside its trainings."""

    n_trainings: int
    seconds: float
    outside: float
    largest_block: int
    devices: str

    @property
    def rate(self) -> float:
        """Trainings a second."""
        return self.n_trainings / self.seconds


def main() -> None:
    """Search in turn, and print a line each and the ratio."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("images", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--block", default="auto", help="--folds-per-trial of the blocks")
    parser.add_argument("--configs", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--max-workers", type=int, default=1)
    parser.add_argument("--set", action="append", default=[])
    asked = Asked(**vars(parser.parse_args()))
    asked.folder.mkdir(parents=True)
    found: dict[str, list[Searched]] = {asked.block: [], "1": []}
    for number in range(asked.rounds):
        for block, searches in found.items():
            searches.append(_search(asked, block, asked.folder / f"study-{block}-{number}"))
            _print(block, searches[-1])
    ratios = [one.rate / other.rate for one, other in zip(*found.values(), strict=True)]
    print(f"blocks over one by one: {median(ratios):.2f}x trainings a second (of {ratios})")


def _search(asked: Asked, block: str, study_path: Path) -> Searched:
    content = yaml.safe_load((SPACES / "dianet.yaml").read_text())
    space = asked.folder / "space.yaml"
    space.write_text(yaml.safe_dump({**content, "sampler": "random"}))
    given = [word for text in asked.set for word in ("--set", text)]
    options = {
        **{"space": space, "configs": asked.configs, "folds-per-trial": block},
        **{"max-workers": asked.max_workers, "repeats": 0, "strategy": "exhaustive"},
    }
    words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
    command = ["search", str(asked.images), str(study_path), *words, *given]
    started_at = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "dianet_ray", *command], check=True, stdout=subprocess.DEVNULL
    )
    whole = time.perf_counter() - started_at
    results = [training.result for training in load_study(study_path).all_trainings()]
    started = min(result.started_at for result in results)
    seconds = max(result.finished_at for result in results) - started
    environments = [result.environment for result in results if result.environment]
    return Searched(
        n_trainings=len(results),
        seconds=seconds,
        outside=whole - seconds,
        largest_block=max(one.block for one in environments),
        devices=", ".join(sorted({one.device for one in environments})),
    )


def _print(block: str, searched: Searched) -> None:
    print(
        f"--folds-per-trial {block}: {searched.n_trainings} trainings in "
        f"{searched.seconds:.1f} s, {searched.rate:.2f} a second, up to "
        f"{searched.largest_block} together, on {searched.devices}; "
        f"{searched.outside:.0f} s beside them",
        flush=True,
    )


if __name__ == "__main__":
    main()
