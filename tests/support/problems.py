"""A data set with every kind of problem, and what `validate` says of a data set."""

import io
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from dianet_ray.artefacts import Crop
from dianet_ray.datasets.annotations import ApexRule, ClipName, Rules
from dianet_ray.datasets.corrections import Correction
from dianet_ray.datasets.rules import read_manifest
from dianet_ray.datasets.summary import Summary, summarise
from dianet_ray.datasets.terminal import render
from dianet_ray.datasets.validation import Inspected, inspect
from dianet_ray.progress import Progress
from tests.support.casme2_files import FRAMES, Clip, clips, write_data_set, write_frame

GOOD = Clip()


def look(
    root: Path,
    *,
    dataset: str = "casme2",
    crop: Crop = "none",
    apex: ApexRule | None = None,
    corrections: Sequence[Correction] = (),
) -> tuple[Inspected, Summary]:
    """Read and inspect a data set as `validate` does."""
    manifest = read_manifest(dataset, root, rules=Rules(apex), corrections=corrections)
    quiet = Progress("", 0, unit="", console=Console(file=io.StringIO()))
    found = inspect(manifest, crop=crop, progress=quiet)
    return found, summarise(found, manifest.hash())


def said_of(summary: Summary, width: int = 100) -> str:
    said = io.StringIO()
    render(summary, Console(file=said, width=width))
    return said.getvalue()


def frame(root: Path, clip: Clip, number: int) -> Path:
    return root / FRAMES / f"sub{clip.subject:02d}" / clip.name / f"img{number}.jpg"


def every_problem(root: Path, n_good: int = 6) -> Path:
    """Every kind of problem that one data set can have, three or more of some."""
    odd = [
        *(replace(GOOD, name=f"NOAPEX{k}", apex="/") for k in range(5)),
        replace(GOOD, name="EDGE", apex=10),
        replace(GOOD, name="BACK", onset=20, offset=10, frames=()),
        replace(GOOD, name="LOST", folder=False),
        replace(GOOD, name="LONG", offset=5000, frames=(10, 11)),
        replace(GOOD, name="TEXT", onset="abc", frames=(10,)),
        replace(GOOD, name="NOLABEL", label=None),
        replace(GOOD, name="GAP", frames=(10, 11, 16)),
        replace(GOOD, name="TWICE"),
        replace(GOOD, name="TWICE", onset=11),
        replace(GOOD, name="SIZES"),
        replace(GOOD, name="BROKEN"),
        replace(GOOD, name="TWOFILES"),
        replace(GOOD, name="FILE", frames=()),
        replace(GOOD, name="COPY1", label="Others"),
        replace(GOOD, subject=2, name="COPY2", label="other"),
        replace(GOOD, name="FIXED"),
    ]
    good = [
        replace(c, subject=1 + k, label=("fear", "anger", "sadness")[k % 3])
        for k, c in enumerate(clips(n_good))
    ]
    write_data_set(root, [*good, *odd])
    folder = root / FRAMES / "sub01"
    write_frame(folder / "SIZES" / "img16.jpg", 0, shape=(20, 20))
    (folder / "BROKEN" / "img10.jpg").write_bytes(b"")
    shutil.copy(folder / "TWOFILES" / "img12.jpg", folder / "TWOFILES" / "img012.jpg")
    (folder / "FILE").rmdir()
    (folder / "FILE").touch()
    for file in (folder / "COPY1").iterdir():
        shutil.copy(file, root / FRAMES / "sub02" / "COPY2" / file.name)
    for k in range(4):
        shutil.copytree(folder / "EDGE", root / FRAMES / "sub99" / f"NOROW{k}")
    return root


FIXES = [
    Correction("casme2", ClipName("sub01", "FIXED"), "apex", "", "12", "me"),
    *(
        Correction("casme2", ClipName("sub01", f"GONE{k}"), "apex", "", "12", "me")
        for k in range(5)
    ),
]
KINDS = {
    "left_out": {
        "impossible apex": 1,
        "missing apex": 5,
        "onset after offset": 1,
        "no frame folder": 1,
        "too long": 1,
        "no onset or offset": 1,
        "no label": 1,
        "frames missing": 1,
        "duplicate rows": 2,
        "unreadable": 3,
        "unclear frames": 1,
        "no row": 4,
    },
    "corrected": {"correction": 1},
}
