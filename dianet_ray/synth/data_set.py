"""Writing a synthetic data set exactly as a real one is released: frames and annotations.

Invented faces show emotions as action units over time, filmed with drift, flicker, noise and
compression. Of CASME II's emotions, disgust and others differ only on the way to the apex,
happiness and repression only on the way back; `expressions` says how.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

from dianet_ray.errors import InputError
from dianet_ray.processors import processors
from dianet_ray.progress import Progress
from dianet_ray.storage.files import writing
from dianet_ray.storage.outputs import output_folder
from dianet_ray.synth import casting
from dianet_ray.synth.annotation_table import TableRow, write_table
from dianet_ray.synth.expressions import EMOTIONS
from dianet_ray.synth.filming import Marks, Scene, film
from dianet_ray.synth.layout import Layout, Oddity
from dianet_ray.synth.oddities import apply_oddity, join_rows
from dianet_ray.synth.planning import Plan, SynthOptions, plan_data_set


@dataclass(frozen=True, slots=True)
class LostClip:
    """A clip that an oddity may make unusable, by its folder or video below the data set."""

    oddity: str
    path: str


@dataclass(frozen=True, slots=True)
class SynthResult:
    """What was written.

    Attributes:
        annotations: the tables; a composite has several.
        n_subjects: number of subjects.
        n_clips: number of clips.
        n_frames: number of images and of frames in videos.
        classes: label -> clips, before oddities.
        lost: clips that may be unusable.
    """

    annotations: tuple[Path, ...]
    n_subjects: int
    n_clips: int
    n_frames: int
    classes: dict[str, int]
    lost: tuple[LostClip, ...]


def write_data_set(
    root: Path,
    options: SynthOptions,
    *,
    n_workers: int | None = None,
    progress: Progress | None = None,
) -> SynthResult:
    """Write a data set as `root`, a new or empty folder, whole or not at all.

    Args:
        root: gets the frames and the table of annotations.
        options: what is written.
        n_workers: number of processes, which changes no byte; None is one per processor.
        progress: advanced by one after each clip.

    Raises:
        InputError: an unknown layout, too few subjects, clips, pixels or frames, or a folder that
            is not empty or cannot be written.
    """
    plans = plan_data_set(options)
    _check_empty(root)
    scenes = [clip.scene for plan in plans for clip in plan.clips]
    # Whole or not at all: half a data set would be read as one with missing frames.
    with output_folder(root) as folder:
        marks = []
        for mark in _film_all(scenes, folder, n_workers or processors().n):
            marks.append(mark)
            if progress is not None:
                progress.advance()
        filmed = iter(marks)
        lost = [one for plan in plans for one in _annotate(plan, filmed, folder)]
    return SynthResult(
        annotations=tuple(
            _table_path(plan.layout, root) for plan in plans if plan.layout.annotations
        ),
        n_subjects=options.n_subjects,
        n_clips=options.n_clips,
        n_frames=_n_frames(scenes, marks),
        classes=dict(Counter(clip.label for plan in plans for clip in plan.clips)),
        lost=tuple(lost),
    )


def _check_empty(root: Path) -> None:
    with writing(root):
        if root.exists() and not root.is_dir():
            raise InputError(
                f"synth: the output must be a new or empty folder, got a file: {root}"
            )
        if root.is_dir() and any(root.iterdir()):
            raise InputError(f"synth: the output must be a new or empty folder, not empty: {root}")


def _n_frames(scenes: Sequence[Scene], marks: Sequence[Marks]) -> int:
    in_clips = sum(mark.offset - mark.onset + 1 for mark in marks)
    return in_clips + sum(scene.lead + scene.tail for scene in scenes)


def _film_all(scenes: Sequence[Scene], root: Path, n_workers: int) -> Iterator[Marks]:
    work = partial(film, root=root)
    if n_workers == 1:
        yield from map(work, scenes)
        return
    # spawn: a forked child inherits locks that threads of torch and Ray held, and waits forever.
    pool = ProcessPoolExecutor(
        n_workers, mp_context=get_context("spawn"), initializer=cv2.setNumThreads, initargs=(1,)
    )
    with pool:
        yield from pool.map(work, scenes, chunksize=4)


def _annotate(plan: Plan, filmed: Iterator[Marks], root: Path) -> list[LostClip]:
    """Make the oddities and write the table; return the clips that they may make unusable."""
    rows = [
        TableRow(
            subject=clip.scene.subject,
            name=clip.name,
            film=clip.film,
            label=clip.label,
            files=clip.scene.files,
            onset=marks.onset,
            apex=marks.apex,
            offset=marks.offset,
        )
        # The clips come first: zip must not take a mark that belongs to the next release.
        for clip, marks in zip(plan.clips, filmed, strict=False)
    ]
    lost: dict[int, str] = {}  # place of the clip -> oddity
    # One clip may have several oddities that leave it usable, but at most one that loses it.
    for oddity in plan.layout.oddities:
        k = _choose(plan, oddity, lost)
        apply_oddity(oddity, rows[k], root)
        if oddity.joins:
            join_rows(oddity, rows, k)
        if oddity.loses:
            lost[k] = oddity.name
    for row, clip in zip(rows, plan.clips, strict=True):
        row.units = _units(plan.rng, plan.layout.emotion(clip.label))
    if plan.layout.annotations:
        written = [row for row in rows if not row.is_joined]
        write_table(_table_path(plan.layout, root), plan.layout, written)
    return [LostClip(name, rows[k].files.folder) for k, name in lost.items()]


def _choose(plan: Plan, oddity: Oddity, lost: Collection[int]) -> int:
    """Choose a clip for an oddity: of its label, else of the commonest label.

    If the oddity loses the clip, its label must keep two subjects without it.
    """
    kept = [k for k in range(len(plan.clips)) if k not in lost]
    if oddity.loses:
        clips = [(plan.clips[k].scene.subject, plan.clips[k].label) for k in kept]
        kept = [kept[i] for i in casting.spare(clips)]
    proportions = plan.layout.proportions
    wanted = oddity.label or max(proportions, key=lambda label: proportions[label])
    choice = [k for k in kept if plan.clips[k].label == wanted] or kept
    return choice[int(plan.rng.integers(len(choice)))]


def _units(rng: np.random.Generator, emotion: str) -> str:
    """Write the action units of a label as coders do, some with a side; not all are shown."""
    shown = EMOTIONS[emotion]
    units = sorted({*shown.hold, *shown.rise, *shown.fade})
    return "+".join(f"{rng.choice(['', '', '', '', 'L', 'R'])}{unit}" for unit in units)


def _table_path(layout: Layout, root: Path) -> Path:
    return root / layout.folder / layout.annotations
