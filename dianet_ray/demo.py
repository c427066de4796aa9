"""The whole pipeline on a small synthetic data set, as the commands that a user would type."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

from rich.console import Console

N_SUBJECTS, N_CLIPS = 12, 132
NEWCOMER_SEED = 1  # other people than those of the study


def run_demo(folder: Path, console: Console) -> None:
    """Run every stage into `folder`, printing each command; what is done is not done again.

    Raises:
        SystemExit: a command failed, with its exit status.
    """
    people, newcomers = folder / "data" / "people", folder / "data" / "newcomers"
    images, study = folder / "images", folder / "study"
    models, page = folder / "models", folder / "report.html"
    size = f"--subjects {N_SUBJECTS} --clips {N_CLIPS} --image-size 96 --frames 24"
    commands = [
        (people, f"synth {people} {size}"),
        (
            newcomers,
            f"synth {newcomers} --subjects 3 --clips 12 --image-size 96 --frames 24"
            f" --seed {NEWCOMER_SEED}",
        ),
        (None, f"validate casme2 {people}"),
        (None, f"prepare casme2 {people} {images}"),
        (None, f"search {images} {study} --space quick --configs 4 --wave-size 2"),
        (None, f"report {study} --html {page}"),
        (None, f"collect {models} --study {study}"),
    ]
    for done, command in commands:
        if done is None or not any(done.glob("*.xlsx")):
            _run(command, console)
    clips = sorted(path.parent for path in newcomers.rglob("img*.jpg"))
    shown = list(dict.fromkeys(clips))[:2]
    _run(f"predict {models} {' '.join(shlex.quote(str(clip)) for clip in shown)}", console)


def _run(command: str, console: Console) -> None:
    console.print(f"$ dianet-ray {command}", style="bold")
    result = subprocess.run([sys.executable, "-m", "dianet_ray", *shlex.split(command)])
    if result.returncode:
        raise SystemExit(result.returncode)
