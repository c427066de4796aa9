"""Write a synthetic data set exactly as CASME II is released: frames and annotation workbook.

Faces with their own geometry, skin and light show emotions as action units over time, filmed with
drift, flicker, noise and JPEG. Disgust and others differ only in how they rise, happiness and
repression only in how they fade; surprise holds units of its own (`expressions`). A seed means
people: another seed is other people with the same emotions.
"""

from __future__ import annotations

import io
import os
import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import openpyxl

from dianet_ray.data import casting
from dianet_ray.data.expressions import EMOTIONS
from dianet_ray.data.filming import Marks, Scene, film
from dianet_ray.data.outputs import output_folder, writing
from dianet_ray.errors import InputError
from dianet_ray.progress import Progress
from dianet_ray.settings import derive_seed

WORKBOOK = "CASME2-coding-20140508.xlsx"
FRAMES_FOLDER = "CASME2_RAW_selected"
HEADER = (
    "Subject",
    "Filename",
    None,  # two columns of the real sheet have no name: readers call them "Unnamed: 2" and "6"
    "OnsetFrame",
    "ApexFrame",
    "OffsetFrame",
    None,
    "Action Units",
    "Estimated Emotion",
)
MISSING_APEX = "/"
FEWEST_PIXELS, FEWEST_FRAMES = 32, 10

Row = tuple[int | str | None, ...]


@dataclass(frozen=True, slots=True)
class SynthResult:
    """What was written; `classes` counts the sheet's labels, `without_apex` names one clip."""

    annotations: Path
    n_subjects: int
    n_clips: int
    n_frames: int
    classes: dict[str, int]
    without_apex: str


def write_casme2(  # noqa: PLR0913 - one parameter per option of `dianet-ray synth`
    root: Path,
    *,
    n_subjects: int = 26,
    n_clips: int = 250,
    image_size: int = 128,
    n_frames: int = 32,
    seed: int = 0,
    null: bool = False,
    n_workers: int | None = None,
    progress: Progress | None = None,
) -> SynthResult:
    """Write a data set as `root`, a new or empty folder; it is there when it is complete.

    Args:
        root: gets CASME2_RAW_selected/subNN/CLIP/imgN.jpg and the workbook.
        n_subjects: people; `casting.cast` deals them their clips.
        n_clips: clips in all; the sheet has no apex for one of them.
        image_size: side of a frame in pixels.
        n_frames: typical number of frames of a clip; real ones vary by a factor of two.
        seed: decides every byte, whatever the number of workers.
        null: draw the sheet's labels independently of the images; frames stay what they are.
        n_workers: processes; one per processor when None.
        progress: advanced by one after each clip.

    Raises:
        InputError: too few people, clips, pixels or frames, or a folder that is not empty or
            cannot be written.
    """
    _check_cast(n_subjects, n_clips)
    _check_at_least("image size", image_size, FEWEST_PIXELS)
    _check_at_least("frames", n_frames, FEWEST_FRAMES)
    _check_empty(root)
    rng = np.random.default_rng(derive_seed(seed, "synth", "cast"))
    shown = casting.cast(rng, n_subjects, n_clips)
    # A generator of its own: the draws that shape names and frames stay in their places.
    mixing = np.random.default_rng(derive_seed(seed, "synth", "null"))
    written = casting.shuffle(mixing, shown) if null else shown
    scenes = [
        Scene(seed, subject + 1, name, emotion, int(rng.integers(2, 400)), n_frames, image_size)
        for subject, hand in enumerate(shown)
        for name, emotion in zip(_names(rng, len(hand)), hand, strict=True)
    ]
    labels = [label for hand in written for label in hand]
    missing = _missing_apex(rng, written)
    with output_folder(root) as folder:
        marks = []
        for mark in _film_all(scenes, folder / FRAMES_FOLDER, n_workers or n_processors()):
            marks.append(mark)
            if progress is not None:
                progress.advance()
        rows = [_row(rng, *clip) for clip in zip(scenes, marks, labels, strict=True)]
        rows[missing] = (*rows[missing][:4], MISSING_APEX, *rows[missing][5:])
        _write_workbook(folder / WORKBOOK, rows)
    return SynthResult(
        annotations=root / WORKBOOK,
        n_subjects=n_subjects,
        n_clips=n_clips,
        n_frames=sum(mark.offset - mark.onset + 1 for mark in marks),
        classes=dict(Counter(labels)),
        without_apex=scenes[missing].folder,
    )


def _check_cast(n_subjects: int, n_clips: int) -> None:
    _check_at_least("subjects", n_subjects, casting.FEWEST_SUBJECTS)
    _check_at_least("clips", n_clips, casting.FEWEST_CLIPS)
    if n_clips < casting.FEWEST_EACH * n_subjects:
        raise InputError(
            f"synth: every subject needs {casting.FEWEST_EACH} clips, "
            f"got {n_clips} clips for {n_subjects} subjects"
        )


def _check_at_least(name: str, found: int, least: int) -> None:
    if found < least:
        raise InputError(f"synth: {name} must be at least {least}, got {found}")


def _check_empty(root: Path) -> None:
    with writing(root):
        if root.exists() and not root.is_dir():
            raise InputError(
                f"synth: the output must be a new or empty folder, got a file: {root}"
            )
        if root.is_dir() and any(root.iterdir()):
            raise InputError(f"synth: the output must be a new or empty folder, not empty: {root}")


def _names(rng: np.random.Generator, n_clips: int) -> list[str]:
    """Name a person's clips after the film they watched, in the order of the real sheet."""
    films = np.sort(rng.integers(1, 21, n_clips))
    takes = [1 + int(np.sum(films[:i] == film)) for i, film in enumerate(films)]
    ends = rng.choice(["", "f"], n_clips)
    return [f"EP{f:02d}_{take:02d}{end}" for f, take, end in zip(films, takes, ends, strict=True)]


def _missing_apex(rng: np.random.Generator, written: list[list[str]]) -> int:
    """Choose the clip without an apex: of the largest class that can spare one."""
    spare = casting.spare(written)
    largest = max(casting.PROPORTIONS, key=lambda name: casting.PROPORTIONS[name])
    choice = [at for at in spare if written[at[0]][at[1]] == largest] or spare
    subject, clip = choice[int(rng.integers(len(choice)))]
    return sum(len(hand) for hand in written[:subject]) + clip


def n_processors() -> int:
    """Count the processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _film_all(scenes: list[Scene], frames_path: Path, n_workers: int) -> Iterator[Marks]:
    work = partial(film, frames_path=frames_path)
    if n_workers == 1:
        yield from map(work, scenes)
        return
    # spawn: a fork copies the locks of torch and Ray threads, held by nobody in the child.
    pool = ProcessPoolExecutor(
        n_workers, mp_context=get_context("spawn"), initializer=cv2.setNumThreads, initargs=(1,)
    )
    with pool:
        yield from pool.map(work, scenes, chunksize=4)


def _row(rng: np.random.Generator, scene: Scene, marks: Marks, label: str) -> Row:
    """Compose a row of the sheet; the units are those of the label, which may not be shown."""
    emotion = EMOTIONS[label]
    units = sorted({*emotion.hold, *emotion.rise, *emotion.fade})
    text = "+".join(f"{rng.choice(['', '', '', '', 'L', 'R'])}{unit}" for unit in units)
    return (
        scene.subject,
        scene.name,
        None,
        marks.onset,
        marks.apex,
        marks.offset,
        None,
        int(text) if text.isdigit() else text,
        label,
    )


def _write_workbook(path: Path, rows: list[Row]) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Sheet1"
    for row in (HEADER, *rows):
        sheet.append(row)
    buffer = io.BytesIO()
    book.save(buffer)
    path.write_bytes(_without_clock(buffer.getvalue()))


def _without_clock(data: bytes) -> bytes:
    """Pack a workbook again without the time of day, so that equal rows are equal bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "docProps/core.xml":
                content = re.sub(rb"\d{4}-\d\d-\d\dT[\d:]+Z", b"2014-05-08T00:00:00Z", content)
            entry = zipfile.ZipInfo(name, date_time=(2014, 5, 8, 0, 0, 0))
            new.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return out.getvalue()
