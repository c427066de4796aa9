"""Spot a missing apex: the frame of largest motion against onset and offset, where it pauses.

Reads the frames of one clip in one pass; knows nothing of files, sheets or data sets. The measure
is that of Van Quang, Chun and Tokuyama, "CapsuleNet for Micro-Expression Recognition" (FG 2019,
doi:10.1109/FG.2019.8756544; github.com/davidnvq/me_recognition), made to stand head movement,
lamps and sensor noise.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain

import cv2
import numpy as np
from numpy.typing import NDArray

from dianet_ray.imaging.frames import halved
from dianet_ray.imaging.rank_pooling import Frame

Floats = NDArray[np.floating]

SIDE = 64  # shorter side of the grey frames that are compared, pixels
BLUR = 2.0  # Gaussian blur of those, pixels
REGIONS = 8  # motion is averaged over REGIONS x REGIONS parts of the frame
PAUSE = 0.05  # what is added to the speed, share of its mean: a pause alone must not decide
_NOTHING = 0.01  # motion below this is rounding, grey levels
_TINY = 1e-9  # keeps three frames, which have one speed that may be 0, from a division by 0


def spot_apex(frames: Iterable[Frame], last: Frame) -> int | None:
    """Find the frame that is far from both onset and offset while the face pauses.

    The published score is (|t - onset| + |t - offset|) / |t - before|, pixel by pixel with one
    grey level added to each difference, averaged over ten regions around the face's landmarks;
    the released code has the offset switched off. Changed here:

    - Small blurred grey frames and a grid of regions, so no landmarks; three frames are averaged.
    - Head movement and exposure are fitted and deducted.
    - The smaller of the two distances counts, not their sum: the apex is far from both.
    - Speed is taken from the frame before to the frame after, over all regions at once. Its
      smallest value, which is sensor noise, is deducted, and a share of its mean added.

    The peak of a lopsided motion is found a frame or two on its slower side.
    Pauses are told apart only by distance: of eyes held shut and a smile, the larger wins. A
    region that differs in one frame alone has no speed there and can be mistaken for an apex.

    Args:
        frames: The frames onset..offset in order, (H, W, 3) RGB or (H, W) grey, uint8; read
            once, and none is kept.
        last: The offset frame, also the last of `frames`.

    Returns:
        The index of the apex, 0 being the onset, within 1..T-2 and the lowest of equals; None
        for fewer than 3 frames or when nothing moves.
    """
    distances, speeds = _courses(frames, last)
    if max(distances, default=0) < _NOTHING:
        return None
    speed = np.array(speeds)
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
    # One more of each end, so that smoothing does not shorten the clip.
    changes = chain([start, start], map(onset.changes, remaining), [end])
    smoothed = ((a + 2 * b + c) / 4 for a, b, c in _triples(changes))
    distances, speeds = [], []
    for before, now, after in _triples(smoothed):
        distances.append(min(_rms(now - start), _rms(now - end)))
        speeds.append(_rms(after - before))
    return distances, speeds


class _Onset:
    """The onset frame, as what the others are compared with."""

    def __init__(self, frame: Frame) -> None:
        height, width = frame.shape[:2]
        scale = min(1.0, SIDE / min(height, width))
        self._size = round(width * scale), round(height * scale)
        self._grey = self._small(frame)
        self._nuisance = _head_and_lamp(self._grey)

    def changes(self, frame: Frame) -> Floats:
        """Return what changed since the onset, (REGIONS, REGIONS) means in grey levels."""
        change = self._small(frame) - self._grey
        fitted = self._nuisance @ (self._nuisance.T @ change.ravel())
        own = change - fitted.reshape(change.shape)
        return cv2.resize(own, (REGIONS, REGIONS), interpolation=cv2.INTER_AREA)  # type: ignore[no-any-return]

    def _small(self, frame: Frame) -> Floats:
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) if frame.ndim == 3 else frame
        small = cv2.resize(halved(grey, SIDE), self._size, interpolation=cv2.INTER_AREA)
        return cv2.GaussianBlur(small.astype(np.float32), (0, 0), BLUR)  # type: ignore[no-any-return]


def _head_and_lamp(grey: Floats) -> Floats:
    """Span the changes of a frame that are no expression, (pixels, 6) orthonormal.

    To first order a head that shifts, nears or turns changes a frame by its gradients times the
    displacement; a lamp changes it by a factor and a constant.
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
    """Give every inner item with its neighbours."""
    window: deque[Floats] = deque(maxlen=3)
    for item in items:
        window.append(item)
        if len(window) == 3:
            yield window[0], window[1], window[2]


def _rms(difference: Floats) -> float:
    return float(np.sqrt(np.mean(difference**2)))
