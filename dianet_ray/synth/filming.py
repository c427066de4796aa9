"""Filming one clip of an invented subject: what a camera makes of a performance.

This module owns the disturbances of a recording: flicker and drift of the light, sensor noise and
compression. A scene decides everything about its clip, so clips can be filmed in any process and
in any order.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dianet_ray.settings import derive_seed
from dianet_ray.synth.expressions import Manner, Performance, draw_manner, draw_spans, perform
from dianet_ray.synth.faces import Face, draw_face, pose
from dianet_ray.synth.portraits import Floats

FLICKER = 0.008  # spread of a frame's exposure, share of the light
LAMP = 0.02  # slow change of the light from one side of the frame to the other
NOISE = (1.2, 2.8)  # sensor noise at middle grey, range over clips, grey levels
JPEG_QUALITY = 92
VIDEOS = {".mp4": (cv2.CAP_FFMPEG, "mp4v"), ".avi": (cv2.CAP_OPENCV_MJPEG, "MJPG")}
VIDEO_FPS = 100.0


@dataclass(frozen=True, slots=True)
class Files:
    """Where the frames of a clip are written, below the data set.

    `frame` formats a frame's number into a file name. If it is empty, `folder` is a video file,
    whose first frame is number 1.
    """

    folder: str
    frame: str
    grey: bool = False


@dataclass(frozen=True, slots=True)
class Scene:
    """A clip to be filmed.

    Attributes:
        seed: of the release.
        subject: number of the subject.
        key: tells the clip from all others of the seed; seeds its random generator.
        files: where the frames are written.
        emotion: what is shown.
        onset: number of the onset frame.
        n_frames: typical number of frames; the clip's own varies.
        size: side of a frame in pixels.
        lead: frames before the onset, in which nothing is acted.
        tail: frames after the offset, likewise.
    """

    seed: int
    subject: int
    key: str
    files: Files
    emotion: str
    onset: int
    n_frames: int
    size: int
    lead: int = 0
    tail: int = 0

    def generator(self) -> np.random.Generator:
        """Start the clip's own random generator."""
        return np.random.default_rng(derive_seed(self.seed, "synth", "clip", self.key))

    def length(self) -> int:
        """Count the frames from onset to offset, as `film` will draw them."""
        return sum(draw_spans(self.generator(), self.n_frames)) + 1


@dataclass(frozen=True, slots=True)
class Marks:
    """Frame numbers of a filmed clip."""

    onset: int
    apex: int
    offset: int


def film(scene: Scene, root: Path) -> Marks:
    """Write the frames onset - lead..offset + tail of a clip below the data set's folder."""
    face, manner = _subject(scene.seed, scene.subject, scene.size)
    rng = scene.generator()
    acted = perform(rng, manner, scene.emotion, n_frames=scene.n_frames)
    path = root / scene.files.folder
    (path if scene.files.frame else path.parent).mkdir(parents=True, exist_ok=True)
    pictures = _shoot(rng, face, acted, scene)
    if scene.files.frame:
        for number, pixels in enumerate(pictures, start=scene.onset - scene.lead):
            _write(path / scene.files.frame.format(number), pixels)
    else:
        _write_video(path, pictures, scene.size)
    return Marks(scene.onset, scene.onset + acted.apex, scene.onset + len(acted.blink) - 1)


def _shoot(
    rng: np.random.Generator, face: Face, acted: Performance, scene: Scene
) -> Iterator[NDArray[np.uint8]]:
    """Yield the frames of a clip, uint8: (size, size, 3) RGB, or (size, size) where grey."""
    still = (scene.lead, scene.tail)
    activation = np.pad(acted.activation, (still, (0, 0)), mode="edge")
    motion = np.pad(acted.motion, (still, (0, 0)), mode="edge")
    motion = motion * np.array([scene.size, scene.size, 1, 1], dtype=np.float32)
    blinks = np.pad(acted.blink, still, mode="edge")
    light = _light(rng, len(blinks), scene.size)
    noise = np.float32(rng.uniform(*NOISE))
    for t, blink in enumerate(blinks):
        frame = pose(face, activation[t], motion[t], float(blink)) * light[t][None, :, None]
        grain = rng.standard_normal(frame.shape, dtype=np.float32)
        # Shot noise grows with the root of the light; the factor is about 1 at middle grey.
        frame += noise * grain * np.sqrt(0.3 + np.maximum(frame, 0) / 180)
        # Rounded: cutting off would darken every frame by half a grey level.
        pixels = np.clip(frame + 0.5, 0, 255).astype(np.uint8)
        yield cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY) if scene.files.grey else pixels


@lru_cache(maxsize=1)  # the clips of a subject follow each other
def _subject(seed: int, subject: int, size: int) -> tuple[Face, Manner]:
    looks = np.random.default_rng(derive_seed(seed, "synth", "face", subject))
    moves = np.random.default_rng(derive_seed(seed, "synth", "manner", subject))
    return draw_face(looks, size), draw_manner(moves)


def _light(rng: np.random.Generator, n_frames: int, size: int) -> Floats:
    """Draw the light as factors (n_frames, size), one for each column of pixels."""
    time = np.arange(n_frames)
    beat = np.sin(2 * np.pi * (rng.uniform(0.05, 0.45) * time + rng.uniform()))
    exposure = 1 + FLICKER * (beat + rng.normal(0, 0.4, n_frames))
    lean = rng.normal(0, LAMP) * time / n_frames
    across = np.linspace(-1, 1, size)
    return (exposure[:, None] + lean[:, None] * across).astype(np.float32)  # type: ignore[no-any-return]


def _write(path: Path, pixels: NDArray[np.uint8]) -> None:
    # imencode, not imwrite, which returns False on a full disk instead of raising.
    quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if path.suffix == ".jpg" else []
    image = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.ndim == 3 else pixels
    _, data = cv2.imencode(path.suffix, image, quality)
    path.write_bytes(data.tobytes())


def _write_video(path: Path, pictures: Iterable[NDArray[np.uint8]], size: int) -> None:
    api, code = VIDEOS[path.suffix]
    video = cv2.VideoWriter(str(path), api, cv2.VideoWriter.fourcc(*code), VIDEO_FPS, (size, size))
    if not video.isOpened():
        raise OSError(errno.EIO, "the video cannot be written", str(path))
    video.set(cv2.VIDEOWRITER_PROP_QUALITY, JPEG_QUALITY)  # only MJPG obeys
    for pixels in pictures:
        video.write(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    video.release()
