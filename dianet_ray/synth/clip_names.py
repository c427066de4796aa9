"""How each release names its clips, their folders and their frames.

A function per release: a person's number and labels in, that person's clips out, in the order of
the table's rows. Chances are keyed without labels where labels are part of a path, so that other
labels are other names of the same images.
"""

from __future__ import annotations

import numpy as np

from dianet_ray.synth.filming import Files
from dianet_ray.synth.release_files import Clip

_MMEW_FOLDERS = ("happiness", "surprise", "disgust", "repression", "fear", "sadness", "anger")
_SMIC_SHORT = {"negative": "ne", "positive": "po", "surprise": "sur"}


def casme2_clips(rng: np.random.Generator, subject: int, hand: list[str]) -> list[Clip]:
    """Name clips by film and take, in the order of the real sheet: `EP02_01f`."""
    takes = _takes(rng, 20, len(hand))
    ends = rng.choice(["", "f"], len(hand))
    names = [
        f"EP{film:02d}_{take:02d}{end}" for (film, take), end in zip(takes, ends, strict=True)
    ]
    keys = [f"sub{subject:02d}/{name}" for name in names]
    return [
        Clip(name, Files(f"CASME2_RAW_selected/{key}", "img{}.jpg"), key)
        for name, key in zip(names, keys, strict=True)
    ]


def samm_clips(rng: np.random.Generator, subject: int, hand: list[str]) -> list[Clip]:
    """Name clips by subject, film and take: `006_1_2`; every fourth has 5 digits or more."""
    clips = []
    for k, (film, take) in enumerate(_takes(rng, 7, len(hand))):
        name = f"{subject:03d}_{film}_{take}"
        frame = f"{subject:03d}_{{:0{5 if k % 4 == 0 else 4}d}}.jpg"
        clips.append(
            Clip(name, Files(f"{subject:03d}/{name}", frame, grey=True), f"{subject}/{k}")
        )
    return clips


def mmew_clips(_: np.random.Generator, subject: int, hand: list[str]) -> list[Clip]:
    """Name clips by person, emotion and sample: `S03-01-002`, below the emotion's folder."""
    clips = []
    for k, (label, nth) in enumerate(zip(hand, _nth_of_label(hand), strict=True)):
        folder = "repression" if label == "others" else label
        name = f"S{subject:02d}-{_MMEW_FOLDERS.index(folder) + 1:02d}-{nth:03d}"
        files = Files(f"Micro_Expression/{folder}/{name}", "{}.jpg")
        clips.append(Clip(name, files, f"{subject}/{k}"))
    return clips


def smic_clips(_: np.random.Generator, subject: int, hand: list[str]) -> list[Clip]:
    """Name clips by person, class and sample: `s1_ne_01`, below the class's folder."""
    clips = []
    for k, (label, nth) in enumerate(zip(hand, _nth_of_label(hand), strict=True)):
        name = f"s{subject}_{_SMIC_SHORT[label]}_{nth:02d}"
        files = Files(f"HS/s{subject}/micro/{label}/{name}", "image{:06d}.bmp")
        clips.append(Clip(name, files, f"{subject}/{k}"))
    return clips


def casme3_clips(_: np.random.Generator, subject: int, hand: list[str]) -> list[Clip]:
    """Name recordings by a letter, each holding two clips."""
    clips = []
    for k in range(len(hand)):
        recording = k // 2
        name = f"{chr(ord('a') + recording % 26)}{recording // 26 or ''}"
        files = Files(f"part_A/spNO.{subject}/{name}/color", "{}.jpg")
        clips.append(Clip(name, files, f"{subject}/{k}"))
    return clips


def fourdme_clips(_: np.random.Generator, subject: int, hand: list[str]) -> list[Clip]:
    """Name a person's clips by their numbers: names repeat between people."""
    clips = []
    for k in range(len(hand)):
        name = f"{k + 1:03d}_01_1"
        files = Files(f"gray_micro/S{subject:02d}/{name}", "Frame_{:09d}.jpg", grey=True)
        clips.append(Clip(name, files, f"{subject}/{k}"))
    return clips


def table_clips(_: np.random.Generator, subject: int, hand: list[str]) -> list[Clip]:
    """Name folders by person and take; the first of every second person is a video."""
    clips = []
    suffix = {1: ".mp4", 3: ".avi"}.get(subject % 4)
    for k in range(len(hand)):
        files = Files(f"clips/p{subject:02d}_{k + 1:02d}", "img{:03d}.png")
        if suffix and k == 0:
            files = Files(f"videos/p{subject:02d}_{k + 1:02d}{suffix}", "")
        clips.append(Clip(files.folder, files, f"{subject}/{k}"))
    return clips


def _takes(rng: np.random.Generator, n_films: int, n_clips: int) -> list[tuple[int, int]]:
    """Number a person's clips by the film they watched and how many they made of it so far."""
    films = np.sort(rng.integers(1, n_films + 1, n_clips))
    return [(int(film), 1 + int(np.sum(films[:i] == film))) for i, film in enumerate(films)]


def _nth_of_label(hand: list[str]) -> list[int]:
    return [1 + hand[:i].count(label) for i, label in enumerate(hand)]
