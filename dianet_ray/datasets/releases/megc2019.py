"""The MEGC2019 composite: CASME II, SAMM and SMIC-HS below one folder, each as released.

Subjects carry their data set's name, so equal numbers are different people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dianet_ray.datasets.release import Source, given_path, read_release
from dianet_ray.datasets.releases import casme2, samm, smic
from dianet_ray.errors import InputError

PARTS = {"casme2": casme2.RELEASE, "samm": samm.RELEASE, "smic": smic.RELEASE}
_FOLDERS = {"casme2": ("casme2", "casmeii"), "samm": ("samm",), "smic": ("smic",)}
_NOT_LISTED = {("sub04", "EP12_01f"), ("sub05", "EP12_03f")}
"""Clips of CASME II that the composite's published list lacks [tvaranka/meb, Apache-2.0]."""


def read(root: Path, annotations: Sequence[Path], frames_dirs: Sequence[Path]) -> list[Source]:
    """Read the three parts; a sheet or frame folder that is given belongs to the part it lies in.

    Raises:
        InputError: a part's folder is missing or there are several, or a part does not read.
    """
    folders = {part: _part_folder(root, part) for part in PARTS}
    sheets = _by_part(folders, [given_path(path, root, "--annotations") for path in annotations])
    frames = _by_part(folders, [given_path(path, root, "--frames-dir") for path in frames_dirs])
    sources = []
    for part, release in PARTS.items():
        source = read_release(release, folders[part], sheets.get(part), frames.get(part))
        listed = tuple(
            replace(clip, problem="composite: not in MEGC2019's published list")
            if part == "casme2" and clip.key in _NOT_LISTED
            else clip
            for clip in source.annotated
        )
        sources.append(replace(source, annotated=listed))
    return sources


def _part_folder(root: Path, part: str) -> Path:
    found = [
        path
        for path in sorted(root.iterdir())
        if path.is_dir() and _plain(path.name).startswith(_FOLDERS[part])
    ]
    if len(found) != 1:
        listed = ", ".join(map(str, found)) or "none"
        raise InputError(
            "megc2019 is one folder with casme2, samm and smic in it (links will do): "
            f"{part} is there {len(found)} times under {root}: {listed}"
        )
    return found[0]


def _plain(name: str) -> str:
    return "".join(c for c in name.casefold() if c.isalnum())


def _by_part(folders: dict[str, Path], given: Sequence[Path]) -> dict[str, Path]:
    chosen: dict[str, Path] = {}
    for path in given:
        real = path.resolve()
        inside = (p for p, folder in folders.items() if real.is_relative_to(folder.resolve()))
        part = next(inside, None)
        if part is None or part in chosen:
            raise InputError(f"one sheet and one frame folder per part, inside its folder: {path}")
        chosen[part] = path
    return chosen
