"""Inspect a data set by decoding a few frames of every clip.

It finds files that do not open, frames of changing size, clips without a face and frames that
occur twice, before `prepare` reads everything.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from dianet_ray.artefacts import LEFT_OUT, Crop, Duplicate
from dianet_ray.datasets.manifest import UNREADABLE, Manifest, Row, with_crop
from dianet_ray.datasets.overlaps import Overlap, other_overlaps
from dianet_ray.imaging.clip_images import choose_box
from dianet_ray.imaging.duplicates import find_duplicates, signature, signature_frames, small
from dianet_ray.imaging.frames import FrameError, UnfitError, clip_numbers, read_frames
from dianet_ray.processors import processors
from dianet_ray.progress import Progress


@dataclass(frozen=True, slots=True)
class Inspected:
    """A manifest after inspection.

    Attributes:
        manifest: its rows say what was found.
        sizes: `WIDTHxHEIGHT` in pixels -> clips, the commonest first.
        duplicates: clips that show the same frames.
        overlaps: other clips that share files or frames of one folder.
    """

    manifest: Manifest
    sizes: dict[str, int]
    duplicates: tuple[Duplicate, ...]
    overlaps: tuple[Overlap, ...] = ()


@dataclass(frozen=True, slots=True)
class _Inspection:
    row: Row
    size: str = ""
    signature: NDArray[np.float16] | None = None


def inspect(
    manifest: Manifest, *, crop: Crop, progress: Progress, fill_gaps: int = 0
) -> Inspected:
    """Decode a few frames of every clip that no rule left out."""
    cv2.setNumThreads(1)  # one thread per clip, as many as processors
    inspections: dict[str, _Inspection] = {}
    # Threads are enough: OpenCV decodes without holding Python's lock.
    with ThreadPoolExecutor(processors().n) as pool:
        work = functools.partial(_inspect, manifest, crop=crop, fill_gaps=fill_gaps)
        for found in pool.map(work, manifest.usable()):
            inspections[found.row.clip_id] = found
            progress.advance()
    rows = tuple(
        inspections[row.clip_id].row if row.state != LEFT_OUT else row for row in manifest.rows
    )
    inspected = replace(manifest, rows=rows)
    duplicates = _duplicates(list(inspections.values()))
    return Inspected(
        inspected,
        dict(Counter(one.size for one in inspections.values() if one.size).most_common()),
        duplicates,
        other_overlaps(inspected, duplicates),
    )


def _duplicates(inspections: Sequence[_Inspection]) -> tuple[Duplicate, ...]:
    signed = [(one.row, one.signature) for one in inspections if one.signature is not None]
    found = find_duplicates(
        [row.clip_id for row, _ in signed],
        [row.subject for row, _ in signed],
        [signature for _, signature in signed],
    )
    return tuple(found)


def _inspect(manifest: Manifest, row: Row, *, crop: Crop, fill_gaps: int) -> _Inspection:
    onset, offset = row.onset or 0, row.offset or 0  # a usable clip has both
    try:
        path = manifest.frames(row)
        numbers = clip_numbers(path, onset, offset, fill_gaps)
        wanted = [numbers[number - onset] for number in signature_frames(onset, offset)]
        frames = list(read_frames(path, wanted))
        sizes = {f"{frame.shape[1]}x{frame.shape[0]}" for frame in frames}
        if len(sizes) > 1:
            raise FrameError(f"frames of changing size: {' and '.join(sorted(sizes))}")
        box, note = choose_box(frames[0], crop)
    except UnfitError as error:
        return _Inspection(replace(row, state=LEFT_OUT, reason=str(error)))
    except FrameError as error:
        reason = UNREADABLE + str(error).replace(f"{manifest.root}/", "")
        return _Inspection(replace(row, state=LEFT_OUT, reason=reason))
    row = with_crop(row, "" if box is None else box.text(), note)
    return _Inspection(row, sizes.pop(), signature([small(frame) for frame in frames]))
