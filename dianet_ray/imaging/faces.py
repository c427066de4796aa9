"""Where the face is: one box for a clip, found on its onset frame.

A box per frame would jitter by more than a micro-expression moves, so the onset frame's box crops
every frame of the clip. Faces are found by a frontal-face cascade that comes with OpenCV; nothing
is downloaded. Knows nothing of files or clips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
from cv2.data import haarcascades

from dianet_ray.imaging.rank_pooling import Frame

CASCADE = "haarcascade_frontalface_alt2.xml"
"""The fastest of the bundled cascades, and the only one that took no texture for a face."""

LOOKS = (60, 120)
"""Shorter side in pixels to which a frame is reduced; the second is tried if the first fails.

Measured on drawn faces in frames of 640 x 480 pixels, dark to bright, in front of flat, noisy,
striped and cluttered backgrounds: the first look takes 2 ms and finds 99 % of the faces that fill
at least half of the height; the second takes 9 ms and finds 99 % of those that fill a quarter.
"""

SMALLEST_FACE = 20
"""Side in pixels of the smallest face found in a reduced frame: the cascade's own window."""

STEP = 1.1
"""Ratio between successive face sizes that the cascade looks for."""

N_AGREEING = 3
"""Minimum number of overlapping detections of one face; texture rarely gives as many."""

MARGIN = 0.1
"""Share of the detected side that is added on each side: detections end at chin and brows."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels of the frame as it was read; x and y are its top left pixel."""

    x: int
    y: int
    width: int
    height: int

    def cut(self, frame: Frame) -> Frame:
        """Crop a frame (H, W, ...) to the box, as a view."""
        return frame[self.y : self.y + self.height, self.x : self.x + self.width]

    @classmethod
    def parse(cls, text: str) -> Box:
        """Read what `text` wrote."""
        return cls(*map(int, text.split()))

    def text(self) -> str:
        """Write the box for a table.

        >>> Box(10, 20, 300, 300).text()
        '10 20 300 300'
        """
        return f"{self.x} {self.y} {self.width} {self.height}"


def face_box(frame: Frame) -> Box | None:
    """Find the largest frontal face of a frame, and enlarge its box by MARGIN.

    The box lies inside the frame, and is square unless the frame is too small for that. It does
    not depend on the number of threads.

    Args:
        frame: (H, W, 3) RGB or (H, W) grey, uint8 or float32, of any size.

    Returns:
        None where no face is found.
    """
    grey = frame if frame.ndim == 2 else cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    for shorter_side in LOOKS:
        found = _largest_face(grey, shorter_side)
        if found is not None:
            return _grown(found, grey.shape)
        if min(grey.shape) <= shorter_side:
            break  # the next look would see the same pixels
    return None


def centre_box(frame_shape: Sequence[int]) -> Box:
    """Place the largest square in the middle of a frame of shape (H, W, ...).

    >>> centre_box((480, 640, 3))
    Box(x=80, y=0, width=480, height=480)
    """
    height, width = frame_shape[:2]
    side = min(height, width)
    return Box((width - side) // 2, (height - side) // 2, side, side)


def _largest_face(grey: Frame, shorter_side: int) -> tuple[float, float, float] | None:
    """Return x, y and side of a face, in pixels of the frame (H, W)."""
    height, width = grey.shape
    scale = max(1.0, min(height, width) / shorter_side)
    size = (round(width / scale), round(height / scale))
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    # The cascade skips windows of low contrast, and in a dark frame every window has it.
    stretched = cv2.normalize(small, None, 0, 255, cv2.NORM_MINMAX, cv2.CV_8U)
    smallest = (SMALLEST_FACE, SMALLEST_FACE)
    found = _cascade().detectMultiScale(
        stretched, scaleFactor=STEP, minNeighbors=N_AGREEING, minSize=smallest
    )
    if not len(found):
        return None
    # Threads report faces in any order, so a tie in size goes to the rightmost face.
    side, x, y = max((int(side), int(x), int(y)) for x, y, side, _ in found)
    return x * scale, y * scale, side * scale


@lru_cache(maxsize=1)
def _cascade() -> cv2.CascadeClassifier:
    # OpenCV 5 no longer has this file. docs/decisions.md: OpenCV without a window system
    return cv2.CascadeClassifier(str(Path(haarcascades) / CASCADE))


def _grown(face: tuple[float, float, float], frame_shape: tuple[int, int]) -> Box:
    x, y, side = face
    grown = round(side * (1 + 2 * MARGIN))
    # Near an edge the box moves instead of shrinking, so that faces keep one scale.
    height, width = (min(grown, available) for available in frame_shape)
    return Box(
        _start(x + side / 2, width, frame_shape[1]),
        _start(y + side / 2, height, frame_shape[0]),
        width,
        height,
    )


def _start(centre: float, length: int, available: int) -> int:
    return min(max(round(centre - length / 2), 0), available - length)
