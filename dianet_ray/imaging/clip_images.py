"""The dynamic images of one clip: each phase and the whole clip, in one pass over its frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from dianet_ray.imaging.duplicates import key_frames, signature, small
from dianet_ray.imaging.faces import Box, centre_box, face_box
from dianet_ray.imaging.frames import FrameError, UnfitError, read_frames
from dianet_ray.imaging.key_frames import spot_apex
from dianet_ray.imaging.rank_pooling import (
    Frame,
    Kind,
    RunningSums,
    positive_sum,
    scaled_coefficients,
)

Crop = Literal["none", "face", "face-or-centre"]

Span = tuple[int, int | None, int]
"""Onset, apex and offset by frame number; an apex of None is to be spotted."""

MOTIONLESS = 0.01
"""Grey levels of a dynamic image that are rounding: sensor noise alone makes ten times as much."""

HALVED_FROM = 480
"""Shorter side, pixels, of frames worth halving; smaller ones are pooled exactly."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What dynamic images are like: their side in pixels, coefficients, and which part is seen."""

    image_size: int
    coefficients: Kind = "harmonic"
    crop: Crop = "none"


@dataclass(frozen=True, slots=True)
class ClipImages:
    """The dynamic images of one clip, and what was found on the way.

    `images` (3, H, W, 3) float16 and `scales` (3,) float32 are as `phase_images` says. `apex` is
    the one that was given, or spotted; `box` the crop as `x y width height`, empty for whole
    frames; `note` what must be said of the clip. `signature` tells it from others (`duplicates`).
    """

    images: NDArray[np.float16]
    scales: NDArray[np.float32]
    apex: int
    box: str
    note: str
    signature: NDArray[np.float16]


def phase_images(  # noqa: PLR0913 - a clip is its frames and three numbers
    frames: Iterable[Frame], onset: int, apex: int, offset: int, *, size: int, kind: Kind
) -> tuple[NDArray[np.float16], NDArray[np.float32]]:
    """Pool the frames of a clip into its dynamic images, holding one frame at a time.

    The whole frame becomes a square of area means. Pooling is linear, so the three pooled
    images are resized and not every frame. Raw frames (HALVED_FROM) at least twice as large as
    the images are first halved by 8-bit 2 x 2 means: pooling then costs half. Of 60 frames of
    640 x 480 with a face that smiles, that moves an image by 0.13 grey levels (RMS) at 64 pixels,
    0.24 at 128 and 0.32 at 224: as much as sensor noise of 2 grey levels, 0.12, 0.24 and 0.37.

    Args:
        frames: The frames onset..offset in order, (H, W, 3) in 0..255, of one size.
        onset: Number of the first frame.
        apex: Number of the frame that both phases share.
        offset: Number of the last frame.
        size: Height and width of the images, pixels.
        kind: Which rank pooling coefficients.

    Returns:
        Images (3, size, size, 3) float16 in the order of `schemas.PHASES`, |value| <= 255, and
        the sums of positive coefficients (3,) float32 that they were divided by.
    """
    lengths = (apex - onset + 1, offset - apex + 1, offset - onset + 1)
    starts = (0, apex - onset, 0)
    weights = np.zeros((3, lengths[2]))
    for row, start, n_frames in zip(weights, starts, lengths, strict=True):
        row[start : start + n_frames] = scaled_coefficients(n_frames, kind)
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
    scales = [positive_sum(n_frames, kind) for n_frames in lengths]
    return np.stack(images).astype(np.float16), np.array(scales, np.float32)


def _pooling_size(shape: tuple[int, ...], size: int) -> tuple[int, int]:
    height, width = shape[:2]
    # Odd sizes have no exact 2 x 2 means, and OpenCV is fast at no others.
    if min(height, width) >= max(HALVED_FROM, 2 * size) and height % 2 == 0 and width % 2 == 0:
        return height // 2, width // 2
    return height, width


def clip_images(path: Path, span: Span, recipe: Recipe) -> ClipImages:
    """Make the dynamic images of one clip in one pass over its frames.

    A clip without an apex is read before, to spot it.

    Args:
        path: A folder of frames, or a video.
        span: Onset, apex and offset.
        recipe: What the images shall be like.

    Raises:
        FrameError: a frame of onset..offset is missing, cannot be read, or differs in size.
        UnfitError: no face is found, or nothing moves.
    """
    onset, apex, offset = span
    numbers = range(onset, offset + 1)
    if apex is None:
        apex = _spot(path, numbers)
    frames = read_frames(path, numbers)
    first = next(frames)
    box, note = choose_box(first, recipe.crop)
    keys, reduced = key_frames(onset, offset), []

    def passing() -> Iterator[Frame]:
        for number, frame in enumerate(chain([first], frames), onset):
            if frame.shape != first.shape:
                raise FrameError(_changing(path, number, frame, first))
            if number in keys:
                reduced.append(small(frame))
            yield frame if box is None else box.cut(frame)

    images, scales = phase_images(
        passing(), onset, apex, offset, size=recipe.image_size, kind=recipe.coefficients
    )
    if np.abs(images).max() < MOTIONLESS:
        raise UnfitError(f"no motion: the frames {onset}..{offset} are all equal")
    return ClipImages(
        images, scales, apex, "" if box is None else box.text(), note, signature(reduced)
    )


def choose_box(first: Frame, crop: Crop) -> tuple[Box | None, str]:
    """Choose the part of every frame that counts, by the onset frame.

    Returns:
        The box, None for whole frames, and what must be said of it, empty when nothing.

    Raises:
        UnfitError: a face was asked for and none is found.
    """
    if crop == "none":
        return None, ""
    if (face := face_box(first)) is not None:
        return face, ""
    if crop == "face":
        raise UnfitError("no face: none found on the onset frame")
    return centre_box(first.shape), "no face found on the onset frame, took the centre"


def _spot(path: Path, numbers: range) -> int:
    (last,) = read_frames(path, numbers[-1:])
    index = spot_apex(read_frames(path, numbers), last)
    if index is None:
        raise UnfitError(f"no motion: no frame of {numbers[0]}..{numbers[-1]} stands out")
    return numbers[index]


def _changing(path: Path, number: int, frame: Frame, first: Frame) -> str:
    sizes = [f"{f.shape[1]}x{f.shape[0]}" for f in (first, frame)]
    return f"frames of changing size: {sizes[0]}, but frame {number} {sizes[1]}, in {path}"
