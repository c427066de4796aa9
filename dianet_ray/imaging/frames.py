"""The numbered frames of one clip: image files in a folder, or a video.

A file's number is the last integer in its name; a video's first frame is number 1. Knows nothing
of sheets or data sets. Whatever is wrong with a clip is a FrameError, which leaves that clip out
and never ends a run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dianet_ray.errors import one_line
from dianet_ray.imaging.gaps import stand_ins

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp"})
VIDEO_SUFFIXES = frozenset({".mp4", ".avi"})
_LAST_INTEGER = re.compile(r"(\d+)\D*$")
# The content decides, not the name: other formats under these names may have 16 bits a channel.
_JPEG, _BMP = b"\xff\xd8", b"BM"
_PNG = b"\x89PNG\r\n\x1a\n"
SMALLEST = 4  # pixels of a side; a smaller image shows no face
_PNG_DEPTH_AT = 24  # byte of the PNG header that holds the bits per channel


class FrameError(Exception):
    """The frames of one clip cannot be used; the message names the file or folder."""


class UnfitError(FrameError):
    """The frames can be read, but a rule leaves the clip out; the message is `kind: detail`."""


class FolderError(FrameError):
    """The folder or video of a clip cannot be opened."""


def is_video(path: Path) -> bool:
    """Whether a path names a video and not a folder of frames.

    >>> is_video(Path("clips/a.MP4")), is_video(Path("clips/a"))
    (True, False)
    """
    return path.suffix.lower() in VIDEO_SUFFIXES


def frame_numbers(path: Path) -> Sequence[int]:
    """List the numbers of a clip's frames, ascending; of a video, as its header counts them.

    Raises:
        FolderError: the folder or video cannot be opened.
        FrameError: two files have the same number.
    """
    if is_video(path):
        return range(1, _count(path) + 1)
    # In a folder the file names decide, so a rule can name the frames that are missing.
    return tuple(index_frames(path))


def index_frames(folder: Path) -> dict[int, Path]:
    """Find the frames in a folder, in the order of their numbers.

    The number is the last integer in the name, with or without leading zeros: `img46.jpg`,
    `reg_img46.jpg` and `006_05562.jpg` are frames 46, 46 and 5562. Other files are ignored. So are
    hidden files, because archives made on a Mac hold a `._img46.jpg` beside each frame.

    Raises:
        FolderError: the folder cannot be read.
        FrameError: two files have the same number.
    """
    found: dict[int, Path] = {}
    try:
        files = sorted(folder.iterdir())
    except OSError as error:
        raise FolderError(f"the folder does not open: {folder} ({one_line(error)})") from error
    for file in files:
        match = _LAST_INTEGER.search(file.stem)
        if match is None or file.suffix.lower() not in SUFFIXES or file.name.startswith("."):
            continue
        number = int(match[1])
        if number in found:
            raise FrameError(
                f"two files for frame {number}: {found[number].name} and {file.name} in {folder}"
            )
        found[number] = file
    return dict(sorted(found.items()))


def clip_numbers(path: Path, first: int, last: int, fill_gaps: int) -> Sequence[int]:
    """Name the frame to read for each frame of a clip; the nearest stands in for a missing one.

    Args:
        path: A folder or a video.
        first: Number of the clip's first frame.
        last: Number of its last frame.
        fill_gaps: Number of missing frames in a row for which others stand in. Longer gaps keep
            their numbers, so that reading them fails.

    Raises:
        FolderError: the folder or video cannot be opened.
        FrameError: two files have the same number.
    """
    if not fill_gaps:
        return range(first, last + 1)
    present = [number for number in frame_numbers(path) if first <= number <= last]
    return stand_ins(present, first, last, fill_gaps)


def read_frames(path: Path, numbers: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
    """Decode some frames of a clip, one after the other.

    Args:
        path: A folder or a video.
        numbers: Which frames, ascending; one that is named twice is yielded twice.

    Yields:
        (H, W, 3) uint8 RGB; greyscale is repeated over the channels.

    Raises:
        FrameError: a frame is missing, or cannot be read.
    """
    if is_video(path):
        yield from _read_video(path, numbers)
        return
    files = index_frames(path)
    for number in numbers:
        if number not in files:
            span = f"{numbers[0]}..{numbers[-1]}"
            raise FrameError(f"frame {number} of {span} is missing in {path}")
        yield read_frame(files[number])


def read_frame(path: Path) -> NDArray[np.uint8]:
    """Decode one image file.

    Returns:
        (H, W, 3) uint8 RGB; a greyscale file is repeated over the channels.

    Raises:
        FrameError: the file is missing, empty, truncated or no image; or it has 16 bits per
            channel, and only its maker knows how those map to 8.
    """
    try:
        # imread would return None for whatever goes wrong, and print its own warning.
        encoded = np.fromfile(path, np.uint8)
    except OSError as error:
        raise FrameError(f"the file does not open: {path} ({one_line(error)})") from error
    # OpenCV would keep the upper 8 of 16 bits, whatever range the levels use.
    if encoded[: len(_PNG)].tobytes() == _PNG and encoded[_PNG_DEPTH_AT : _PNG_DEPTH_AT + 1] == 16:
        raise FrameError(f"a frame has 8 bits a channel: {path} has 16, convert it to 8")
    # At full size: decoding at half size is faster but depends on libjpeg's own scaling.
    # Measured, docs/decisions.md: Decoding JPEGs at half size
    known = encoded[: len(_PNG)].tobytes().startswith((_JPEG, _PNG, _BMP))
    try:
        frame = cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB) if known else None
    except cv2.error:  # the header claims an absurd size
        frame = None
    if frame is None or min(frame.shape[:2]) < SMALLEST:
        raise FrameError(f"not a whole image: {path} ({encoded.size} bytes)")
    return np.asarray(frame, np.uint8)


def halve_grey(grey: NDArray[Any], shorter_side: int) -> NDArray[Any]:
    """Halve a grey frame by 2 x 2 means for as long as its shorter side stays long enough.

    OpenCV computes no other area means fast. An odd row or column at the end is cut off.

    Args:
        grey: (H, W) of any dtype.
        shorter_side: Smallest shorter side of the result, pixels.
    """
    while min(grey.shape) >= 2 * shorter_side:
        height, width = grey.shape[0] // 2, grey.shape[1] // 2
        even = grey[: 2 * height, : 2 * width]
        grey = np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA))
    return grey


def file_stamps(path: Path, first: int, last: int) -> list[tuple[str, int, int]]:
    """Stamp the files of frames first..last with name, size in bytes and time of change in ns.

    Raises:
        FrameError: the folder or a file cannot be opened.
    """
    files = [path]
    if not is_video(path):
        files = [file for number, file in index_frames(path).items() if first <= number <= last]
    try:
        return [(f.name, (s := f.stat()).st_size, s.st_mtime_ns) for f in files]
    except OSError as error:
        raise FrameError(
            f"the file does not open: {error.filename} ({one_line(error)})"
        ) from error


def _count(path: Path) -> int:
    video = _open_video(path)
    n_frames = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
    video.release()
    return n_frames


def _open_video(path: Path) -> cv2.VideoCapture:
    video = cv2.VideoCapture(str(path)) if path.is_file() else None
    if video is None or not video.isOpened():
        raise FolderError(f"the video does not open: {path}")
    return video


def _read_video(path: Path, numbers: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
    # Frames are decoded in order, because seeking is inexact in most formats.
    video, at = _open_video(path), 0
    try:
        for number in numbers:
            while at < number and video.grab():
                at += 1
            frame = video.retrieve()[1] if at == number else None
            if frame is None:
                raise FrameError(f"the video ends early: frame {number} is missing in {path}")
            yield np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8)
    finally:
        video.release()
