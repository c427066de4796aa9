"""Planning a data set: who shows what, under which names, and from which frame number on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dianet_ray.errors import InputError
from dianet_ray.settings import derive_seed
from dianet_ray.synth import casting
from dianet_ray.synth.filming import Scene
from dianet_ray.synth.layout import Layout, read_layouts
from dianet_ray.synth.naming import name_clips

FEWEST_PIXELS, FEWEST_FRAMES = 32, 10
MOST_PIXELS, MOST_FRAMES, MOST_CLIPS = 4096, 10_000, 100_000


@dataclass(frozen=True, slots=True)
class SynthOptions:
    """What `synth` writes.

    Attributes:
        layout: one of `layouts.LAYOUTS`.
        n_subjects: number of invented subjects.
        n_clips: number of clips in all; some of them get the oddities of the layout.
        image_size: side of a frame in pixels.
        n_frames: typical number of frames of a clip; actual ones vary by a factor of two.
        seed: decides every byte. Another seed is other subjects, in every layout.
        null: draw labels independently of the images; the frames stay the same.
    """

    layout: str = "casme2"
    n_subjects: int = 26
    n_clips: int = 250
    image_size: int = 128
    n_frames: int = 32
    seed: int = 0
    null: bool = False


@dataclass(frozen=True, slots=True)
class PlannedClip:
    """A clip that will be filmed: its name in the table, the label written there, its scene."""

    name: str
    film: int
    label: str
    scene: Scene


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of one release.

    Attributes:
        layout: how it is written.
        rng: random generator of what is left to draw: oddities and action units.
        clips: in the order of the table's rows.
    """

    layout: Layout
    rng: np.random.Generator
    clips: tuple[PlannedClip, ...]


def plan_data_set(options: SynthOptions) -> list[Plan]:
    """Plan every release of a layout.

    Raises:
        InputError: an unknown layout, or too few subjects, clips, pixels or frames.
    """
    _check_at_least("image size", options.image_size, FEWEST_PIXELS)
    _check_at_least("frames", options.n_frames, FEWEST_FRAMES)
    _check_at_most("image size", options.image_size, MOST_PIXELS)
    _check_at_most("frames", options.n_frames, MOST_FRAMES)
    _check_at_most("clips", options.n_clips, MOST_CLIPS)
    layouts = read_layouts(options.layout)
    sizes = _share_out(layouts, options.n_subjects, options.n_clips)
    return [_plan(layout, options, size) for layout, size in zip(layouts, sizes, strict=True)]


def _check_at_most(name: str, found: int, most: int) -> None:
    if found > most:
        raise InputError(f"synth: {name} must be at most {most}, got {found}")


def _check_at_least(name: str, found: int, least: int) -> None:
    if found < least:
        raise InputError(f"synth: {name} must be at least {least}, got {found}")


def _share_out(layouts: Sequence[Layout], n_subjects: int, n_clips: int) -> list[tuple[int, int]]:
    """Give each release its numbers of subjects (equal) and clips (in published proportions)."""
    _check_at_least("subjects", n_subjects, casting.FEWEST_SUBJECTS * len(layouts))
    _check_at_least("clips", n_clips, sum(layout.fewest_clips() for layout in layouts))
    subjects = [(n_subjects + k) // len(layouts) for k in range(len(layouts))]
    clips = [
        max(layout.fewest_clips(), casting.FEWEST_EACH * n)
        for layout, n in zip(layouts, subjects, strict=True)
    ]
    if n_clips < sum(clips):
        raise InputError(
            f"synth: every subject needs {casting.FEWEST_EACH} clips, "
            f"got {n_clips} clips for {n_subjects} subjects"
        )
    # The release that has the smallest share of its published clips gets the next clip.
    published = [sum(layout.proportions.values()) for layout in layouts]
    for _ in range(n_clips - sum(clips)):
        shares = [n / total for n, total in zip(clips, published, strict=True)]
        clips[int(np.argmin(shares))] += 1
    return list(zip(subjects, clips, strict=True))


def _release_seed(options: SynthOptions, layout: Layout) -> int:
    """Derive the seed of a release, so that no subject appears in two of them."""
    # CASME II alone has the seed itself: the task's difficulty was calibrated on these bytes.
    if options.layout == "casme2":
        return options.seed
    return derive_seed(options.seed, "synth", options.layout, layout.folder)


def _plan(layout: Layout, options: SynthOptions, size: tuple[int, int]) -> Plan:
    seed = _release_seed(options, layout)
    rng = np.random.default_rng(derive_seed(seed, "synth", "cast"))
    shown = casting.cast(rng, *size, layout.proportions)
    written = shown
    if options.null:
        # A generator of its own, so that names and frame numbers are drawn as without `null`.
        written = casting.shuffle(np.random.default_rng(derive_seed(seed, "synth", "null")), shown)
    clips: list[PlannedClip] = []
    filled: dict[str, int] = {}
    for subject, (labels, shown_labels) in enumerate(zip(written, shown, strict=True), 1):
        named = name_clips(layout, rng, subject, labels)
        for clip, label, shown_label in zip(named, labels, shown_labels, strict=True):
            scene = Scene(
                seed=seed,
                subject=subject,
                key=clip.seed_key,
                files=replace(clip.files, folder=str(Path(layout.folder, clip.files.folder))),
                emotion=layout.emotion(shown_label),
                onset=0,
                n_frames=options.n_frames,
                size=options.image_size,
            )
            scene = _place(scene, layout, rng, filled)
            clips.append(PlannedClip(clip.name, clip.film, label, scene))
    return Plan(layout, rng, tuple(clips))


def _place(
    scene: Scene, layout: Layout, rng: np.random.Generator, filled: dict[str, int]
) -> Scene:
    """Number the frames of a scene, behind the clips that its folder already holds.

    Args:
        scene: without frame numbers.
        layout: of its release.
        rng: draws the first number, and the frames around the clip where folders are longer.
        filled: folder -> last frame number in it; updated.
    """
    first = int(rng.integers(*layout.onsets))
    folder = scene.files.folder
    scene = replace(scene, onset=filled.get(folder, 0) + first)
    if layout.longer:
        scene = replace(scene, lead=first - 1, tail=int(rng.integers(0, 4)))
        filled[folder] = scene.onset + scene.length() - 1 + scene.tail
    return scene
