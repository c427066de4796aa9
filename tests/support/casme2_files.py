"""Tiny data sets in CASME II's layout, written frame by frame; independent of `synth`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import openpyxl

HEADER = (
    "Subject",
    "Filename",
    None,  # the released sheets have two columns without a title
    "OnsetFrame",
    "ApexFrame",
    "OffsetFrame",
    None,
    "Action Units",
    "Estimated Emotion",
)
WORKBOOK = "CASME2-coding-20140508.xlsx"
FRAMES = "CASME2_RAW_selected"


@dataclass(frozen=True)
class Clip:
    """A row of the sheet; `frames` are the files that exist, None for onset..offset."""

    subject: int = 1
    name: str = "EP01_01"
    onset: int | str | None = 10
    apex: int | str | None = 13
    offset: int | str | None = 16
    label: str | None = "happiness"
    frames: tuple[int, ...] | None = None
    folder: bool = True


def clips(n: int = 6) -> list[Clip]:
    """Good clips of three subjects."""
    return [Clip(subject=1 + k % 3, name=f"EP{k:02d}_01", onset=8 + k % 4) for k in range(n)]


def write_workbook(
    path: Path,
    rows: Sequence[Clip],
    header: Sequence[str | None] = HEADER,
    sheet: str = "Sheet1",
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    book = openpyxl.Workbook()
    book.active.title = sheet
    book.active.append(header)
    for c in rows:
        book.active.append(
            (c.subject, c.name, None, c.onset, c.apex, c.offset, None, "4+7", c.label)
        )
    book.save(path)
    return path


def write_frame(path: Path, seed: int, shape: tuple[int, int] = (40, 48)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)
    cv2.imwrite(str(path), cv2.GaussianBlur(noise, (0, 0), 2))


def write_data_set(
    root: Path, rows: Sequence[Clip], frames_dir: str = FRAMES, pattern: str = "img{}.jpg"
) -> Path:
    """Write the workbook and the frames; returns root."""
    write_workbook(root / WORKBOOK, rows)
    for k, clip in enumerate(rows):
        folder = root / frames_dir / f"sub{clip.subject:02d}" / clip.name
        if not clip.folder:
            continue
        folder.mkdir(parents=True, exist_ok=True)
        for number in _numbers(clip):
            write_frame(folder / pattern.format(number), seed=1000 * k + number)
    return root


def _numbers(clip: Clip) -> Sequence[int]:
    if clip.frames is not None:
        return clip.frames
    if not (isinstance(clip.onset, int) and isinstance(clip.offset, int)):
        raise TypeError(f"a clip without numbers as onset and offset lists its frames: {clip}")
    return range(clip.onset, clip.offset + 1)
