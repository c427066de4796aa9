"""The dynamic images of one clip: each phase and the whole clip, in one pass over its frames."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dianet_ray.data.frames import FrameError, index_frames, read_frame
from dianet_ray.data.rank_pooling import (
    Frame,
    Kind,
    RunningSums,
    positive_sum,
    scaled_coefficients,
)

HALVED_FROM = 480
"""Shorter side, pixels, of frames worth halving; smaller ones are pooled exactly."""


def phase_images(  # noqa: PLR0913 - a clip is its frames and three numbers
    frames: Iterable[Frame], onset: int, apex: int, offset: int, *, size: int, kind: Kind
) -> tuple[NDArray[np.float16], NDArray[np.float32]]:
    """Pool the frames of a clip into its dynamic images, holding one frame at a time.

    The whole frame becomes a square of area means. Pooling is linear, so the three pooled
    images are resized and not every frame. Raw frames (HALVED_FROM) at least twice as large as
    the images are first halved by 8-bit 2 x 2 means: pooling then costs half. Of 60 frames of
    640 x 480 that moves an image by 0.04 grey levels (RMS) at 64 pixels, 0.13 at 128 and 0.22 at
    224, where sensor noise of 2 grey levels moves it by 0.12, 0.24 and 0.37.

    Args:
        frames: The frames onset..offset in order, (H, W, 3) in 0..255; one of another size than
            the first is resized to it.
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


def clip_images(  # noqa: PLR0913 - a clip is its folder and three numbers
    folder: Path, onset: int, apex: int, offset: int, *, image_size: int, coefficients: Kind
) -> tuple[NDArray[np.float16], NDArray[np.float32]]:
    """Make the dynamic images of one clip from the frame files in its folder.

    Returns:
        As `phase_images`.

    Raises:
        FrameError: a frame of onset..offset is missing or cannot be read.
    """
    files = index_frames(folder)
    missing = next((number for number in range(onset, offset + 1) if number not in files), None)
    if missing is not None:
        raise FrameError(f"frame {missing} of {onset}..{offset} is missing in {folder}")
    frames = (read_frame(files[number]) for number in range(onset, offset + 1))
    return phase_images(frames, onset, apex, offset, size=image_size, kind=coefficients)
