"""The `demo` command: the whole pipeline on synthetic data, run as a user would type it."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

# Large enough for a champion above chance, small enough for three minutes.
# docs/decisions.md: Size of the demo
N_SUBJECTS, N_CLIPS = 12, 132
SEARCH = ("--space", "quick", "--configs", 4, "--wave-size", 2, "--repeats", 0)
NEWCOMER_SEED = 1  # gives other subjects than those of the study


def run_demo(folder: Path, console: Console) -> None:
    """Run every stage into `folder`, printing each command; data sets that exist are kept.

    Raises:
        SystemExit: a command failed; with its exit status.
    """
    people, newcomers = folder / "data" / "people", folder / "data" / "newcomers"
    images, study = folder / "images", folder / "study"
    models, page = folder / "models", folder / "report.html"
    size = ["--image-size", "96", "--frames", "24"]
    commands = [
        (people, ["synth", people, "--subjects", N_SUBJECTS, "--clips", N_CLIPS, *size]),
        (
            newcomers,
            ["synth", newcomers, "--subjects", 3, "--clips", 12, *size, "--seed", NEWCOMER_SEED],
        ),
        (None, ["validate", "casme2", people]),
        (None, ["prepare", "casme2", people, images]),
        # Repeats would take as long again as the search.
        (None, ["search", images, study, *SEARCH]),
        (None, ["report", study, "--html", page]),
        (None, ["collect", models, "--study", study]),
    ]
    for made, words in commands:
        # synth refuses a folder that is not empty; the other commands resume by themselves.
        if made is None or not made.exists():
            _run(words, console)
    clips = sorted({path.parent for path in newcomers.rglob("img*.jpg")})
    _run(["predict", models, *clips[:2]], console)


def _run(words: Sequence[object], console: Console) -> None:
    command = [str(word) for word in words]
    console.print(f"$ dianet-ray {shlex.join(command)}", style="bold")
    # A process per command, as for a user: nothing is handed over but files.
    result = subprocess.run([sys.executable, "-m", "dianet_ray", *command])
    if result.returncode:
        raise SystemExit(result.returncode)
