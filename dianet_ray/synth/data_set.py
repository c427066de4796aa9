"""Write a synthetic data set exactly as a real one is released: frames and annotations.

Faces with their own geometry, skin and light show emotions as action units over time, filmed with
drift, flicker, noise and compression. Of CASME II's emotions, disgust and others differ only in
how they rise, happiness and repression only in how they fade; surprise holds units of its own
(`expressions`). A seed means people, others in every layout: another seed is other people with
the same emotions.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

from dianet_ray.errors import InputError
from dianet_ray.progress import Progress
from dianet_ray.settings import derive_seed
from dianet_ray.storage.files import writing
from dianet_ray.storage.outputs import output_folder
from dianet_ray.synth import casting
from dianet_ray.synth.expressions import EMOTIONS
from dianet_ray.synth.filming import Marks, Scene, film
from dianet_ray.synth.layouts import LAYOUTS
from dianet_ray.synth.release_files import Oddity, Record, Release

FEWEST_PIXELS, FEWEST_FRAMES = 32, 10


@dataclass(frozen=True, slots=True)
class SynthResult:
    """What was written.

    Attributes:
        annotations: the tables; MEGC2019 has three.
        n_frames: images, or frames of videos.
        classes: labels as they were cast, before oddities.
        lost: (oddity, the clip's folder or video) of the clips that an oddity may make unusable.
    """

    annotations: tuple[Path, ...]
    n_subjects: int
    n_clips: int
    n_frames: int
    classes: dict[str, int]
    lost: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Part:
    """A release to be filled: its people's clips in the order of the rows, and its chances."""

    release: Release
    rng: np.random.Generator
    scenes: list[Scene]
    names: list[str]
    labels: list[str]


def write_data_set(  # noqa: PLR0913 - one parameter per option of `dianet-ray synth`
    root: Path,
    *,
    layout: str = "casme2",
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
        root: gets the frames and the table of annotations.
        layout: one of `layouts.LAYOUTS`.
        n_subjects: people; `casting.cast` deals them their clips.
        n_clips: clips in all; some of them get the oddities of the layout.
        image_size: side of a frame in pixels.
        n_frames: typical number of frames of a clip; real ones vary by a factor of two.
        seed: decides every byte, whatever the number of workers.
        null: draw the labels independently of the images; frames stay what they are.
        n_workers: processes; one per processor when None.
        progress: advanced by one after each clip.

    Raises:
        InputError: an unknown layout, too few people, clips, pixels or frames, or a folder that
            is not empty or cannot be written.
    """
    _check_at_least("image size", image_size, FEWEST_PIXELS)
    _check_at_least("frames", n_frames, FEWEST_FRAMES)
    sizes = _share_out(layout, n_subjects, n_clips)
    _check_empty(root)
    scene = partial(Scene, n_frames=n_frames, size=image_size)
    parts = [
        _plan(release, scene, size, seed=_part_seed(layout, release, seed), null=null)
        for release, size in zip(LAYOUTS[layout], sizes, strict=True)
    ]
    with output_folder(root) as folder:
        marks = []
        scenes = [scene for part in parts for scene in part.scenes]
        for mark in _film_all(scenes, folder, n_workers or n_processors()):
            marks.append(mark)
            if progress is not None:
                progress.advance()
        filmed = iter(marks)
        lost = [loss for part in parts for loss in _annotate(part, filmed, folder)]
    return SynthResult(
        annotations=tuple(_table(part.release, root) for part in parts),
        n_subjects=n_subjects,
        n_clips=n_clips,
        n_frames=sum(m.offset - m.onset + 1 for m in marks) + sum(s.lead + s.tail for s in scenes),
        classes=dict(Counter(label for part in parts for label in part.labels)),
        lost=tuple(lost),
    )


def _share_out(layout: str, n_subjects: int, n_clips: int) -> list[tuple[int, int]]:
    """Give each release of a layout its people, evenly, and its clips, as published."""
    if layout not in LAYOUTS:
        raise InputError(f"synth: layout must be one of {', '.join(LAYOUTS)}, got {layout}")
    releases = LAYOUTS[layout]
    _check_at_least("subjects", n_subjects, casting.FEWEST_SUBJECTS * len(releases))
    _check_at_least("clips", n_clips, sum(release.fewest_clips() for release in releases))
    people = [(n_subjects + k) // len(releases) for k in range(len(releases))]
    clips = [
        max(release.fewest_clips(), casting.FEWEST_EACH * n)
        for release, n in zip(releases, people, strict=True)
    ]
    if n_clips < sum(clips):
        raise InputError(
            f"synth: every subject needs {casting.FEWEST_EACH} clips, "
            f"got {n_clips} clips for {n_subjects} subjects"
        )
    for _ in range(n_clips - sum(clips)):
        shares = [n / sum(r.proportions.values()) for n, r in zip(clips, releases, strict=True)]
        clips[int(np.argmin(shares))] += 1
    return list(zip(people, clips, strict=True))


def _part_seed(layout: str, release: Release, seed: int) -> int:
    """Derive the seed of a release: nobody is in two; CASME II's alone is the seed as it is."""
    if layout == "casme2":
        return seed
    return derive_seed(seed, "synth", layout, release.folder)


def _plan(
    release: Release,
    scene: Callable[..., Scene],
    size: tuple[int, int],
    *,
    seed: int,
    null: bool,
) -> _Part:
    """Decide who shows what, under which names and from which frame on."""
    rng = np.random.default_rng(derive_seed(seed, "synth", "cast"))
    shown = casting.cast(rng, *size, release.proportions)
    # A generator of its own: the draws that shape names and frames stay in their places.
    mixing = np.random.default_rng(derive_seed(seed, "synth", "null"))
    written = casting.shuffle(mixing, shown) if null else shown
    part = _Part(release, rng, [], [], [label for hand in written for label in hand])
    filled: dict[str, int] = {}
    for k, hand in enumerate(shown):
        for clip, label in zip(release.name_clips(rng, k + 1, written[k]), hand, strict=True):
            files = replace(clip.files, folder=str(Path(release.folder, clip.files.folder)))
            first = int(rng.integers(*release.onsets))
            start = filled.get(files.folder, 0)
            new = scene(seed, k + 1, clip.key, files, release.emotion(label), start + first)
            if release.longer:
                new = replace(new, lead=first - 1, tail=int(rng.integers(0, 4)))
                filled[files.folder] = new.onset + new.length() - 1 + new.tail
            part.scenes.append(new)
            part.names.append(clip.name)
    return part


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


def n_processors() -> int:
    """Count the processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _film_all(scenes: list[Scene], root: Path, n_workers: int) -> Iterator[Marks]:
    work = partial(film, root=root)
    if n_workers == 1:
        yield from map(work, scenes)
        return
    # spawn: a fork copies the locks of torch and Ray threads, held by nobody in the child.
    pool = ProcessPoolExecutor(
        n_workers, mp_context=get_context("spawn"), initializer=cv2.setNumThreads, initargs=(1,)
    )
    with pool:
        yield from pool.map(work, scenes, chunksize=4)


def _annotate(part: _Part, filmed: Iterator[Marks], root: Path) -> list[tuple[str, str]]:
    """Make the oddities and write the table; return the clips that may be lost to them."""
    records = [
        Record(scene.subject, name, label, scene.files, marks.onset, marks.apex, marks.offset)
        for scene, name, label, marks in zip(
            part.scenes, part.names, part.labels, filmed, strict=False
        )
    ]
    lost: dict[int, str] = {}
    for oddity in part.release.oddities:
        k = _choose(part, oddity, lost)
        oddity.make(records[k], root)
        if oddity.loses:
            lost[k] = oddity.name
    for record, label in zip(records, part.labels, strict=True):
        record.units = _units(part.rng, part.release.emotion(label))
    part.release.write_table(_table(part.release, root), records)
    return [(name, records[k].files.folder) for k, name in lost.items()]


def _choose(part: _Part, oddity: Oddity, lost: Collection[int]) -> int:
    """Choose a clip, to be spared if it is lost: of the label, else of the largest class."""
    kept = [k for k in range(len(part.labels)) if k not in lost]
    if oddity.loses:
        clips = [(part.scenes[k].subject, part.labels[k]) for k in kept]
        kept = [kept[i] for i in casting.spare(clips)]
    proportions = part.release.proportions
    wanted = oddity.label or max(proportions, key=lambda label: proportions[label])
    choice = [k for k in kept if part.labels[k] == wanted] or kept
    return choice[int(part.rng.integers(len(choice)))]


def _units(rng: np.random.Generator, emotion: str) -> str:
    """Compose a cell of action units: those of the label, which may not be shown."""
    shown = EMOTIONS[emotion]
    units = sorted({*shown.hold, *shown.rise, *shown.fade})
    return "+".join(f"{rng.choice(['', '', '', '', 'L', 'R'])}{unit}" for unit in units)


def _table(release: Release, root: Path) -> Path:
    return root / release.folder / release.annotations
