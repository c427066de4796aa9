"""Spot a missing apex: the frame that differs most from onset and offset while motion pauses.

Reads the frames of one clip in one pass; knows nothing of files, sheets or data sets. The measure
is that of Van Quang, Chun and Tokuyama, "CapsuleNet for Micro-Expression Recognition" (FG 2019,
doi:10.1109/FG.2019.8756544; github.com/davidnvq/me_recognition), made robust against head
movement, changing light and sensor noise. Measured, docs/decisions.md: Apex spotting
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain

import cv2
import numpy as np
from numpy.typing import NDArray

from dianet_ray.imaging.frames import halve_grey
from dianet_ray.imaging.rank_pooling import Frame

Floats = NDArray[np.floating]

SIDE = 64  # pixels: shorter side of the grey frames that are compared
BLUR = 2.0  # pixels: standard deviation of their Gaussian blur
REGIONS = 8  # motion is averaged over REGIONS x REGIONS parts of the frame
PAUSE = 0.05  # share of the mean speed that is added to every speed: a pause alone must not win
_NOTHING = 0.01  # grey levels: less motion is rounding
_TINY = 1e-9  # avoids a division by 0 in a clip of three frames, whose only speed may be 0


def spot_apex(frames: Iterable[Frame], last: Frame) -> int | None:
    """Find the frame that is far from both onset and offset while the face pauses.

    The published score is (|t - onset| + |t - offset|) / |t - before|, pixel by pixel with one
    grey level added to each difference, averaged over ten regions around facial landmarks. The
    released code leaves the offset out. This version differs:

    - It compares small, blurred grey frames, each averaged with its neighbours, over a grid of
      regions. So it needs no landmarks.
    - Head movement and exposure are fitted and subtracted.
    - The smaller of the two distances counts instead of their sum: an apex is far from both.
    - Speed is measured from the frame before to the frame after, over all regions at once. Its
      minimum, which is sensor noise, is subtracted, and a share of its mean is added.

    Known limits: the peak of an asymmetric motion is found a frame or two on its slower side. Of
    two pauses the larger motion wins, even if it is a blink. A region that differs in a single
    frame has no speed there and can be mistaken for an apex.

    Args:
        frames: The frames onset..offset in order, (H, W, 3) RGB or (H, W) grey, uint8; read
            once, and none is kept.
        last: The offset frame, which is also the last of `frames`.

    Returns:
        The index of the apex within 1..T-2, where the onset has index 0; the lowest of ties. None
        for fewer than 3 frames, or when nothing moves.
    """
    distances, speeds = _courses(frames, last)
    if max(distances, default=0) < _NOTHING:
        return None
    speed = np.array(speeds)
    # Sensor noise alone gives every frame some speed, so the smallest speed is subtracted.
    pace = speed - speed.min() + PAUSE * speed.mean() + _TINY
    return 1 + int(np.argmax(np.array(distances) / pace))


def _courses(frames: Iterable[Frame], last: Frame) -> tuple[list[float], list[float]]:
    """Measure frames 1..T-2: distance to the nearer of onset and offset, and speed."""
    remaining = iter(frames)
    first = next(remaining, None)
    if first is None:
        return [], []
    onset = _Onset(first)
    start, end = onset.changes(first), onset.changes(last)
    # Each end is repeated once, so that smoothing does not shorten the clip.
    changes = chain([start, start], map(onset.changes, remaining), [end])
    smoothed = ((a + 2 * b + c) / 4 for a, b, c in _triples(changes))
    distances, speeds = [], []
    for before, now, after in _triples(smoothed):
        distances.append(min(_rms(now - start), _rms(now - end)))
        speeds.append(_rms(after - before))
    return distances, speeds


class _Onset:
    """The onset frame, with which all others are compared."""

    def __init__(self, frame: Frame) -> None:
        height, width = frame.shape[:2]
        scale = min(1.0, SIDE / min(height, width))
        self._size = round(width * scale), round(height * scale)
        self._grey = self._small(frame)
        self._nuisance = _head_and_lamp(self._grey)

    def changes(self, frame: Frame) -> Floats:
        """Measure what changed since the onset: (REGIONS, REGIONS) means in grey levels."""
        change = self._small(frame) - self._grey
        fitted = self._nuisance @ (self._nuisance.T @ change.ravel())
        own = change - fitted.reshape(change.shape)
        return cv2.resize(own, (REGIONS, REGIONS), interpolation=cv2.INTER_AREA)  # type: ignore[no-any-return]

    def _small(self, frame: Frame) -> Floats:
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) if frame.ndim == 3 else frame
        small = cv2.resize(halve_grey(grey, SIDE), self._size, interpolation=cv2.INTER_AREA)
        return cv2.GaussianBlur(small.astype(np.float32), (0, 0), BLUR)  # type: ignore[no-any-return]


def _head_and_lamp(grey: Floats) -> Floats:
    """Return an orthonormal basis (pixels, 6) of the changes that are no expression.

    To first order, a head that shifts, approaches or turns changes a frame by its gradients times
    the displacement. Light changes it by a factor and a constant.
    """
    across_y, across_x = np.gradient(grey)
    height, width = grey.shape
    y = np.linspace(-height, height, height, dtype=np.float32)[:, None]
    x = np.linspace(-width, width, width, dtype=np.float32)
    nearing, turning = across_x * x + across_y * y, across_y * x - across_x * y
    spanning = [across_x, across_y, nearing, turning, grey, np.ones_like(grey)]
    basis, _ = np.linalg.qr(np.stack([image.ravel() for image in spanning], axis=1))
    return basis


def _triples(items: Iterable[Floats]) -> Iterator[tuple[Floats, Floats, Floats]]:
    """Yield every inner item between its two neighbours."""
    window: deque[Floats] = deque(maxlen=3)
    for item in items:
        window.append(item)
        if len(window) == 3:
            yield window[0], window[1], window[2]


def _rms(difference: Floats) -> float:
    return float(np.sqrt(np.mean(difference**2)))
