"""A small good data set, functions that damage one thing of it, and what the reading steps say.

After the damage the same steps follow as in `validate` and `prepare`: the manifest is read, a few
frames of each clip are decoded, then all of them.
"""

import io
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import openpyxl
import pytest
from rich.console import Console

from dianet_ray.artefacts import Crop, Recipe
from dianet_ray.datasets.annotations import ChosenPaths
from dianet_ray.datasets.rules import read_manifest
from dianet_ray.datasets.summary import summarise
from dianet_ray.datasets.validation import inspect
from dianet_ray.errors import InputError
from dianet_ray.imaging.clip_images import FrameSpan, clip_images
from dianet_ray.imaging.frames import FrameError
from dianet_ray.progress import Progress
from tests.support.casme2_files import FRAMES, HEADER, WORKBOOK, Clip, clips, write_workbook

VICTIM = Clip(subject=1, name="EP00_01", onset=8)  # the first of clips()
AT = f"{FRAMES}/sub01/EP00_01"
NAME = "casme2/sub01/EP00_01"
ROWS = clips(3)
OTHERS = {"casme2/sub02/EP01_01", "casme2/sub03/EP02_01"}


def judge(
    root: Path,
    dataset: str = "casme2",
    *,
    crop: Crop = "none",
    chosen: ChosenPaths | None = None,
) -> list[tuple[str, str, str]]:
    """Read, inspect and decode as prepare does; return clip_id, state and reason of every clip."""
    manifest = read_manifest(dataset, root, chosen=chosen)
    quiet = Progress("", 0, unit="", console=Console(file=io.StringIO()))
    found = inspect(manifest, crop=crop, progress=quiet)
    summary = summarise(found, manifest.hash())
    assert sum(summary.states.values()) == summary.n_clips == len(manifest.rows)
    judged = [(row.clip_id, row.state, row.reason) for row in found.manifest.rows]
    for k, row in enumerate(found.manifest.rows):
        assert (row.state == "used") == (row.reason == "")
        if row.state == "left_out":
            continue
        try:
            assert row.onset is not None
            assert row.offset is not None
            span = FrameSpan(row.onset, row.apex, row.offset)
            clip_images(manifest.frames(row), span, Recipe(16, crop=crop))
        except FrameError as error:
            judged[k] = (row.clip_id, "left_out", f"decoding: {error}")
    return judged


def refusal(root: Path, dataset: str = "casme2", *, chosen: ChosenPaths | None = None) -> str:
    """Return the one line with which a data set is refused."""
    with pytest.raises(InputError) as refused:
        judge(root, dataset, chosen=chosen)
    said = str(refused.value)
    assert "\n" not in said
    assert len(said) < 700
    return said


def rewrite(
    root: Path,
    rows: Sequence[Clip],
    *,
    header: Sequence[str | None] = HEADER,
    sheet: str = "Sheet1",
) -> None:
    write_workbook(root / WORKBOOK, rows, header, sheet)


def change(root: Path, **changes: Any) -> None:
    rewrite(root, [replace(VICTIM, **changes), *ROWS[1:]])


def edit(root: Path, do: Callable[[openpyxl.Workbook], object]) -> None:
    """Let a function change the workbook."""
    book = openpyxl.load_workbook(root / WORKBOOK)
    do(book)
    book.save(root / WORKBOOK)


def frame_path(root: Path, number: int = 11, suffix: str = ".jpg") -> Path:
    return root / AT / f"img{number}{suffix}"


def cut(share: float, number: int = 11, suffix: str = ".jpg") -> Callable[[Path], None]:
    """Cut one frame short, after writing it in another format where one is asked for."""

    def write(root: Path) -> None:
        path = frame_path(root, number, suffix)
        image = cv2.imread(str(frame_path(root, number)))
        frame_path(root, number).unlink()
        cv2.imwrite(str(path), image)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])

    return write


def lose_columns(root: Path) -> None:
    rewrite(root, ROWS, header=["Subject", "Clip", *HEADER[2:4], "Apex", *HEADER[5:]])


def no_frames(root: Path) -> None:
    shutil.rmtree(root / FRAMES)


def cropped_beside_raw(root: Path) -> None:
    shutil.copytree(root / FRAMES, root / "Cropped")


def assert_victim_left_out(root: Path, reason: str) -> None:
    """The damaged clip is left out for the reason, in one line, and the others are used."""
    judged = {name: (state, said) for name, state, said in judge(root)}
    assert set(judged) == {NAME} | OTHERS
    assert {judged[name] for name in OTHERS} == {("used", "")}
    state, said = judged[NAME]
    assert state == "left_out"
    assert said.startswith(reason)
    assert "\n" not in said
