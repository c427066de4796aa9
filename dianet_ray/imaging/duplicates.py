"""Clips that show the same frames under two names: a leak when the names are two subjects.

A clip's motion is told from a few of its frames, reduced to small grey images: what changes from
the onset to each of the others, sensor noise included, is nobody else's. Appearance cancels, so
clips of one person do not look alike. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from dianet_ray.imaging.frames import halved
from dianet_ray.imaging.rank_pooling import Frame

ALIKE = 0.95
"""Correlation of the signatures of two clips that are named; copies of the files have 1. On 250
synthetic clips of 320 pixels different ones reach 0.93, and copies that were compressed anew (JPEG
quality 80) stay above 0.96 at 280 pixels, but fall to 0.89 at 128, where the compression hides the
motion: among small frames only copies of the files are sure to be found."""

SIDE = 16
N_FRAMES = 5
_BLOCK = 512  # rows compared at once: memory stays small for thousands of clips


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Two clips with the same frames, by clip_id; `correlation` of their signatures.

    `across_subjects`: they are named as different people, so one would test what the other taught.
    """

    first: str
    second: str
    correlation: float
    across_subjects: bool


def key_frames(onset: int, offset: int) -> tuple[int, ...]:
    """Choose the frames that a signature is made of; the apex, which may change, plays no part.

    >>> key_frames(10, 30), key_frames(10, 12)
    ((10, 15, 20, 25, 30), (10, 11, 12))
    """
    steps = ((offset - onset) * k // (N_FRAMES - 1) for k in range(N_FRAMES))
    return tuple(dict.fromkeys(onset + step for step in steps))


def small(frame: Frame) -> NDArray[np.float32]:
    """Reduce a frame, (H, W, 3) uint8 of any size, to (SIDE, SIDE) grey."""
    grey = halved(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), 2 * SIDE)
    return np.asarray(cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.float32)


def signature(smalls: Sequence[NDArray[np.float32]]) -> NDArray[np.float16]:
    """Sum up a clip's motion.

    Args:
        smalls: The `key_frames`, made `small`.

    Returns:
        ((N_FRAMES - 1) * SIDE * SIDE,) float16 of length 1; all 0 for a clip in which nothing
        moves. What a clip of fewer frames lacks is 0.
    """
    first, *later = smalls
    motion = np.zeros((N_FRAMES - 1, SIDE * SIDE), np.float32)
    for row, frame in zip(motion, later, strict=False):
        row[:] = (frame - first).ravel()
    motion -= motion.mean()
    length = float(np.linalg.norm(motion))
    return (motion / length if length else motion).ravel().astype(np.float16)


def find_duplicates(
    clip_ids: Sequence[str],
    subjects: Sequence[str],
    signatures: Sequence[NDArray[np.float16]],
) -> list[Duplicate]:
    """Name every clip whose signature is ALIKE an earlier one's.

    Each with the first such clip of another person, else of the same: so there are never more of
    them than clips, however many copies a clip has, and no leak between people is hidden.
    """
    if not clip_ids:
        return []
    stacked = np.stack(signatures).astype(np.float32)
    found = []
    for start in range(0, len(stacked), _BLOCK):
        block = stacked[start : start + _BLOCK]
        alike = np.tril(block @ stacked[: start + len(block)].T, start - 1)
        for row in np.flatnonzero((alike >= ALIKE).any(axis=1)).tolist():
            second = start + row
            earlier = np.flatnonzero(alike[row] >= ALIKE).tolist()
            others = [k for k in earlier if subjects[k] != subjects[second]]
            first = (others or earlier)[0]
            correlation = round(float(alike[row, first]), 3)
            names = (clip_ids[first], clip_ids[second])
            found.append(Duplicate(*names, correlation, bool(others)))
    return found
