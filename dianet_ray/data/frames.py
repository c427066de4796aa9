"""The frames of one clip: image files in a folder, numbered by the last integer in their names.

Knows nothing of sheets or data sets. What is wrong with a clip is a FrameError: it leaves that
clip out and never ends a run.
"""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp"})
_LAST_INTEGER = re.compile(r"(\d+)\D*$")


class FrameError(Exception):
    """The frames of one clip cannot be used; the message names the file or folder."""


class FolderError(FrameError):
    """The folder of a clip does not open."""


def index_frames(folder: Path) -> dict[int, Path]:
    """Find the frames of a clip, in the order of their numbers.

    The number is the last integer in the name, with or without leading zeros: `img46.jpg`,
    `reg_img46.jpg` and `006_05562.jpg` are frames 46, 46 and 5562. Other files are ignored.

    Raises:
        FolderError: the folder cannot be read.
        FrameError: two files have the same number.
    """
    found: dict[int, Path] = {}
    try:
        files = sorted(folder.iterdir())
    except OSError as error:
        raise FolderError(f"the folder does not open: {folder} ({error.strerror})") from error
    for file in files:
        match = _LAST_INTEGER.search(file.stem)
        if match is None or file.suffix.lower() not in SUFFIXES:
            continue
        number = int(match[1])
        if number in found:
            raise FrameError(
                f"two files for frame {number}: {found[number].name} and {file.name} in {folder}"
            )
        found[number] = file
    return dict(sorted(found.items()))


def read_frame(path: Path) -> NDArray[np.uint8]:
    """Decode one frame.

    Returns:
        (H, W, 3) uint8 RGB; a greyscale file is repeated over the channels.

    Raises:
        FrameError: the file is missing, empty, cut short or no image.
    """
    try:
        encoded = np.fromfile(path, np.uint8)
    except OSError as error:
        raise FrameError(f"the file does not open: {path} ({error.strerror})") from error
    frame = cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB) if encoded.size else None
    if frame is None:
        raise FrameError(f"not a whole image: {path} ({encoded.size} bytes)")
    return np.asarray(frame, np.uint8)
