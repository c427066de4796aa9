"""Film one clip of an invented person: what a camera makes of a performance, written as JPEGs.

Owns the nuisance of a recording (lamp flicker and drift, sensor noise, JPEG). Everything about a
clip follows from its scene, so clips can be filmed anywhere and in any order.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from dianet_ray.data.expressions import Manner, draw_manner, perform
from dianet_ray.data.faces import Face, draw_face, pose
from dianet_ray.data.portraits import Floats
from dianet_ray.settings import derive_seed

FLICKER = 0.008  # spread of a frame's exposure, share of the light
LAMP = 0.02  # slow change of the light from one side of the frame to the other
NOISE = (1.2, 2.8)  # sensor noise at middle grey, range over clips, grey levels
JPEG_QUALITY = 92


@dataclass(frozen=True, slots=True)
class Scene:
    """A clip to film: who, which emotion is shown, how long, and the number of its onset frame.

    `n_frames` is the typical length, the clip's own varies; frames are `size` x `size` pixels.
    """

    seed: int
    subject: int
    name: str
    emotion: str
    onset: int
    n_frames: int
    size: int

    @property
    def folder(self) -> str:
        """The clip's folder, as CASME II names it.

        >>> Scene(0, 1, "EP02_01f", "others", 46, 32, 128).folder
        'sub01/EP02_01f'
        """
        return f"sub{self.subject:02d}/{self.name}"


@dataclass(frozen=True, slots=True)
class Marks:
    """Frame numbers of a filmed clip; its files are exactly onset..offset."""

    onset: int
    apex: int
    offset: int


def film(scene: Scene, frames_path: Path) -> Marks:
    """Write the frames of a clip as FRAMES/subNN/CLIP/imgN.jpg."""
    face, manner = _person(scene.seed, scene.subject, scene.size)
    rng = np.random.default_rng(derive_seed(scene.seed, "synth", "clip", scene.folder))
    acted = perform(rng, manner, scene.emotion, n_frames=scene.n_frames)
    motion = acted.motion * np.array([scene.size, scene.size, 1, 1], dtype=np.float32)
    folder = frames_path / scene.folder
    folder.mkdir(parents=True)
    light = _light(rng, len(acted.blink), scene.size)
    noise = np.float32(rng.uniform(*NOISE))
    for t, blink in enumerate(acted.blink):
        frame = pose(face, acted.activation[t], motion[t], float(blink)) * light[t][None, :, None]
        grain = rng.standard_normal(frame.shape, dtype=np.float32)
        frame += noise * grain * np.sqrt(0.3 + np.maximum(frame, 0) / 180)
        pixels = np.clip(frame + 0.5, 0, 255).astype(np.uint8)
        _write(folder / f"img{scene.onset + t}.jpg", pixels)
    return Marks(scene.onset, scene.onset + acted.apex, scene.onset + len(acted.blink) - 1)


@lru_cache(maxsize=1)  # clips come person by person
def _person(seed: int, subject: int, size: int) -> tuple[Face, Manner]:
    looks = np.random.default_rng(derive_seed(seed, "synth", "face", subject))
    moves = np.random.default_rng(derive_seed(seed, "synth", "manner", subject))
    return draw_face(looks, size), draw_manner(moves)


def _light(rng: np.random.Generator, n_frames: int, size: int) -> Floats:
    """Draw the lamps: (n_frames, size) factors, a column of pixels sharing one."""
    time = np.arange(n_frames)
    beat = np.sin(2 * np.pi * (rng.uniform(0.05, 0.45) * time + rng.uniform()))
    exposure = 1 + FLICKER * (beat + rng.normal(0, 0.4, n_frames))
    lean = rng.normal(0, LAMP) * time / n_frames
    across = np.linspace(-1, 1, size)
    return (exposure[:, None] + lean[:, None] * across).astype(np.float32)  # type: ignore[no-any-return]


def _write(path: Path, pixels: np.ndarray) -> None:
    # imencode, not imwrite: imwrite returns False instead of raising on a full disk.
    quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    _, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), quality)
    path.write_bytes(data.tobytes())
