"""Clips that share frames: two spans of one folder, or of folders with the same files.

Frames that two subjects share teach a network what it is tested on. In one folder that is certain,
and the sheet is refused. Files that were copied are only named, because a copy can be harmless.
Copies are known by their files, so other clips of equal motion are never taken for one.
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from dianet_ray.artefacts import Duplicate, Record
from dianet_ray.datasets.manifest import Manifest, Row
from dianet_ray.errors import InputError
from dianet_ray.imaging.frames import FrameError, index_frames, is_video

_EVERY = 4  # frames: of a clip, the files whose numbers are divisible by this are compared
_SHORT = 8  # frames: of a shorter clip all files are compared
_BYTES = 4096  # compared, from the middle of a file: its head is much alike in all files

Place = tuple[int, int] | str
"""A folder or video on disk, the same by whatever path it is reached."""


@dataclass(frozen=True, slots=True)
class Overlap(Record):
    """Two used clips that share frames.

    Attributes:
        clips: their clip_ids.
        n_shared: frames of both.
        n_frames: frames of the longer one.
        across_subjects: they are filed under two subjects.
        copied: the frames are files of two folders, or two videos, with the same content.
    """

    clips: tuple[str, str]
    n_shared: int
    n_frames: int
    across_subjects: bool
    copied: bool

    def __str__(self) -> str:
        leak = ", two subjects: one is tested on what the other has taught"
        return (
            f"{' and '.join(self.clips)} ({self.n_shared} of {self.n_frames} frames"
            f"{', in copied files' if self.copied else ''}{leak if self.across_subjects else ''})"
        )


def refuse_two_subjects(manifest: Manifest) -> None:
    """Refuse a sheet that gives the same frames of one folder to two subjects.

    Raises:
        InputError: names the folder, both spans and subjects, and the number of further pairs.
    """
    found = [
        (earlier, row)
        for rows in _by_place(manifest).values()
        for earlier, row in combinations(rows, 2)
        if earlier.subject != row.subject and _n_shared(earlier, row) > 0
    ]
    if not found:
        return
    (first, second), n_more = found[0], len(found) - 1
    more = f" (and {n_more} more {'pair' if n_more == 1 else 'pairs'})" if n_more else ""
    raise InputError(
        f"frames may belong to one subject only: {first.frames_path} has {_span(first)} of "
        f"{first.subject} and {_span(second)} of {second.subject}{more}; name the subject "
        "equally, or correct onset and offset"
    )


def find_overlaps(manifest: Manifest) -> tuple[Overlap, ...]:
    """Find used clips that share frames; each is paired once, with the worst earlier one.

    Clips of one subject count if they share at least half of the longer one, others always.
    """
    found: dict[str, Overlap] = {}
    for copied, pairs in ((False, _of_one_place(manifest)), (True, _of_copies(manifest))):
        for earlier, row in pairs:
            one = _overlap(earlier, row, copied=copied)
            is_half = 2 * one.n_shared >= one.n_frames
            if one.n_shared > 0 and (one.across_subjects or is_half):
                best = found.get(row.clip_id, one)
                found[row.clip_id] = max(best, one, key=_badness)
    return tuple(found.values())


def other_overlaps(manifest: Manifest, duplicates: Sequence[Duplicate]) -> tuple[Overlap, ...]:
    """Find the overlaps that are not among the duplicates, which are named already."""
    named = {frozenset((one.first, one.second)) for one in duplicates}
    return tuple(one for one in find_overlaps(manifest) if frozenset(one.clips) not in named)


def _badness(one: Overlap) -> tuple[bool, int]:
    return one.across_subjects, one.n_shared


def _overlap(earlier: Row, row: Row, *, copied: bool) -> Overlap:
    return Overlap(
        clips=(earlier.clip_id, row.clip_id),
        n_shared=_n_shared(earlier, row),
        n_frames=max(earlier.n_frames, row.n_frames),
        across_subjects=earlier.subject != row.subject,
        copied=copied,
    )


def _n_shared(one: Row, other: Row) -> int:
    """Count the frame numbers that lie in both spans; a used clip has onset and offset."""
    return min(one.offset or 0, other.offset or 0) - max(one.onset or 0, other.onset or 0) + 1


def _span(row: Row) -> str:
    return f"{row.onset}..{row.offset}"


def _by_place(manifest: Manifest) -> dict[Place, list[Row]]:
    places: dict[Place, list[Row]] = defaultdict(list)
    for row in manifest.usable():
        places[_place(manifest.frames(row))].append(row)
    return places


def _place(path: Path) -> Place:
    # Not the path: links, `a/../b` and the case of letters give one folder several.
    try:
        found = path.stat()
    except OSError:
        return os.path.realpath(path)
    return (found.st_dev, found.st_ino) if found.st_ino else os.path.realpath(path)


def _of_one_place(manifest: Manifest) -> Iterator[tuple[Row, Row]]:
    for rows in _by_place(manifest).values():
        yield from combinations(rows, 2)


def _of_copies(manifest: Manifest) -> Iterator[tuple[Row, Row]]:
    """Pair clips of different places that have a file in common."""
    contents: dict[str, Mapping[int, str]] = {}
    holders: dict[tuple[int, str], list[Row]] = defaultdict(list)
    for rows in _by_place(manifest).values():
        for row in rows:
            contents[row.clip_id] = _contents(manifest.frames(row), row)
        # Clips of this place are added after all of them were compared, so only others are met.
        for row in rows:
            mine = contents[row.clip_id]
            met = {other.clip_id: other for file in mine.items() for other in holders[file]}
            yield from ((o, row) for k, o in met.items() if _are_equal(contents[k], mine))
        for row in rows:
            for file in contents[row.clip_id].items():
                holders[file].append(row)


def _are_equal(one: Mapping[int, str], other: Mapping[int, str]) -> bool:
    """Whether most of the compared frames are equal: single ones may be black in both."""
    common = one.keys() & other.keys()
    return 2 * sum(one[number] == other[number] for number in common) > len(common)


def _contents(path: Path, row: Row) -> dict[int, str]:
    """Hash some of a clip's files, by frame number; a video is one file with the number 0."""
    try:
        if is_video(path):
            return {0: _digest(path)}
        files = index_frames(path)
        onset, offset = row.onset or 0, row.offset or 0
        every = 1 if offset - onset + 1 < _SHORT else _EVERY
        numbers = (number for number in range(onset, offset + 1) if number % every == 0)
        return {number: _digest(files[number]) for number in numbers if number in files}
    except (OSError, FrameError):
        return {}  # validate and prepare say so when they decode the clip


def _digest(path: Path) -> str:
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size // 2 - _BYTES // 2))
        return f"{size} {hashlib.sha256(file.read(_BYTES)).hexdigest()}"
