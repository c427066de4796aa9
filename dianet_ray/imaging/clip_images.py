"""The dynamic images of one clip: one per phase and one of the whole clip, in a single pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from dianet_ray.artefacts import Crop, Recipe
from dianet_ray.imaging.duplicates import signature, signature_frames, small
from dianet_ray.imaging.faces import Box, centre_box, face_box
from dianet_ray.imaging.frames import FrameError, UnfitError, clip_numbers, read_frames
from dianet_ray.imaging.key_frames import spot_apex
from dianet_ray.imaging.rank_pooling import (
    Frame,
    RunningSums,
    positive_sum,
    scaled_coefficients,
)

MOTIONLESS = 0.01
"""Grey levels. A dynamic image that stays below is rounding: sensor noise makes ten times more."""

HALVED_FROM = 480
"""Shorter side in pixels from which frames may be halved; smaller frames are pooled exactly."""


class FrameSpan(NamedTuple):
    """The frames of a clip by number, onset and offset included.

    An `apex` of None is unknown: `clip_images` spots it.
    """

    onset: int
    apex: int | None
    offset: int


@dataclass(frozen=True, slots=True)
class ClipImages:
    """The dynamic images of one clip, and what was found while they were made.

    Attributes:
        images: (3, H, W, 3) float16, as `phase_images` returns them.
        scales: (3,) float32, as `phase_images` returns them.
        apex: number of the apex frame, annotated or spotted.
        box: the crop as `x y width height` in pixels; empty for whole frames.
        note: what the manifest must say of this clip; empty when there is nothing to say.
        signature: (1024,) float16; `imaging.duplicates` compares it with those of other clips.
    """

    images: NDArray[np.float16]
    scales: NDArray[np.float32]
    apex: int
    box: str
    note: str
    signature: NDArray[np.float16]


MOST_FRAMES = 100_000
"""Of a clip: more are a slip of the number, or a damaged video."""


def phase_images(
    frames: Iterable[Frame], *, n_frames: int, apex: int, recipe: Recipe
) -> tuple[NDArray[np.float16], NDArray[np.float32]]:
    """Pool the frames of a clip into its dynamic images, holding one frame at a time.

    The whole frame becomes a square of area means, whatever the recipe says of a crop. Pooling is
    linear, so the three pooled images are resized instead of every frame.

    Args:
        frames: Onset to offset in order, each (H, W, 3) in 0..255, all of one size.
        n_frames: Number of frames, at least 1.
        apex: Index of the frame that both phases share; the onset has index 0.
        recipe: Size and coefficients of the images.

    Returns:
        Images (3, size, size, 3) float16 in the order of `artefacts.PHASES`, |value| <= 255, and
        the sums of positive coefficients (3,) float32 that they were divided by.
    """
    size, kind = recipe.image_size, recipe.coefficients
    runs = ((0, apex + 1), (apex, n_frames), (0, n_frames))
    weights = np.zeros((len(runs), n_frames))
    for row, (start, end) in zip(weights, runs, strict=True):
        row[start:end] = scaled_coefficients(end - start, kind)
    # The first frame's shape sizes the sums, before it is added like the others.
    remaining = iter(frames)
    first = next(remaining)
    height, width = _pooling_size(first.shape, size)
    running = RunningSums(weights, (height, width, *first.shape[2:]))
    for frame in chain([first], remaining):
        if frame.shape[:2] != (height, width):
            frame = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
        running.add(frame)
    images = [
        cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA) for image in running.sums()
    ]
    scales = [positive_sum(end - start, kind) for start, end in runs]
    return np.stack(images).astype(np.float16), np.array(scales, np.float32)


def _pooling_size(shape: tuple[int, ...], size: int) -> tuple[int, int]:
    height, width = shape[:2]
    # Halving first makes pooling faster; its error is about that of sensor noise.
    # Measured, docs/decisions.md: Halving large frames
    # Odd sizes have no exact 2 x 2 means, and OpenCV is fast at no other means.
    if min(height, width) >= max(HALVED_FROM, 2 * size) and height % 2 == 0 and width % 2 == 0:
        return height // 2, width // 2
    return height, width


def clip_images(path: Path, span: FrameSpan, recipe: Recipe) -> ClipImages:
    """Make the dynamic images of one clip in one pass over its frames.

    A clip without an apex is read twice: first to spot the apex, then to pool.

    Args:
        path: A folder of frames, or a video.
        span: The frames to pool.
        recipe: How the images are made.

    Raises:
        FrameError: a frame of onset..offset is missing, cannot be read, or differs in size.
        UnfitError: a face is required and none is found, or nothing moves.
    """
    onset, apex, offset = span
    if offset - onset >= MOST_FRAMES:
        raise FrameError(
            f"a clip has at most {MOST_FRAMES} frames: {onset}..{offset} are more, in {path}"
        )
    numbers = clip_numbers(path, onset, offset, recipe.fill_gaps)
    if apex is None:
        apex = _spot(path, numbers)
    frames = read_frames(path, numbers)
    first = next(frames)
    # One box for all frames: a box per frame would jitter by more than a micro-expression moves.
    box, note = choose_box(first, recipe.crop)
    chosen, reduced = signature_frames(onset, offset), []

    def checked() -> Iterator[Frame]:
        """Pass the frames on, cropped; those of the signature are kept, reduced, on the way."""
        for number, frame in enumerate(chain([first], frames), onset):
            if frame.shape != first.shape:
                raise FrameError(_size_change(path, number, frame, first))
            if number in chosen:
                reduced.append(small(frame))
            yield frame if box is None else box.cut(frame)

    images, scales = phase_images(
        checked(), n_frames=len(numbers), apex=apex - onset, recipe=recipe
    )
    # A clip of copies of one frame would teach the network nothing but its label.
    if np.abs(images).max() < MOTIONLESS:
        raise UnfitError(f"no motion: the frames {onset}..{offset} are all equal")
    return ClipImages(
        images, scales, apex, "" if box is None else box.text(), note, signature(reduced)
    )


def choose_box(first: Frame, crop: Crop) -> tuple[Box | None, str]:
    """Choose the part of a clip's frames that is used, from its onset frame.

    Returns:
        The box, None for whole frames; and a note for the manifest, empty where none is needed.

    Raises:
        UnfitError: the crop requires a face and none is found.
    """
    if crop == "none":
        return None, ""
    if (face := face_box(first)) is not None:
        return face, ""
    if crop == "face":
        raise UnfitError("no face: none found on the onset frame")
    return centre_box(first.shape), "no face found on the onset frame, took the centre"


def _spot(path: Path, numbers: Sequence[int]) -> int:
    # Each file once: a frame that stands in for others would look like a pause.
    numbers = list(dict.fromkeys(numbers))
    (last,) = read_frames(path, numbers[-1:])
    index = spot_apex(read_frames(path, numbers), last)
    if index is None:
        raise UnfitError(f"no motion: no frame of {numbers[0]}..{numbers[-1]} stands out")
    return numbers[index]


def _size_change(path: Path, number: int, frame: Frame, first: Frame) -> str:
    sizes = [f"{f.shape[1]}x{f.shape[0]}" for f in (first, frame)]
    return f"frames of changing size: {sizes[0]}, but frame {number} {sizes[1]}, in {path}"
