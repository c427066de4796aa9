"""Painting the still portrait of an invented subject: geometry, relief, skin, hair and light.

Pure numpy and OpenCV on arrays, without motion, emotions or files. Lengths are in face
units: 1 is half the width of the face at the cheekbones, the origin lies between the eyes, x
grows to the image's right and y downwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Form = dict[str, float]

FACE_SHARE = 0.345
"""One face unit as a share of the frame's side."""

FORMS = {
    "aspect": (1.0, 0.04),
    "jaw": (0.84, 0.05),
    "eye_x": (0.43, 0.022),
    "eye_y": (-0.12, 0.03),
    "eye_w": (0.185, 0.013),
    "eye_h": (0.075, 0.010),
    "brow_y": (-0.36, 0.03),
    "brow_tilt": (0.08, 0.03),
    "brow_h": (0.045, 0.010),
    "nose_y": (0.34, 0.035),
    "nose_w": (0.15, 0.018),
    "mouth_y": (0.68, 0.03),
    "mouth_w": (0.33, 0.028),
    "lip": (0.078, 0.012),
    "chin_y": (1.20, 0.05),
    "hairline": (-0.92, 0.07),
}
"""Mean and standard deviation over subjects of every measure of a face, in face units."""


@dataclass(frozen=True, slots=True)
class Appearance:
    """What a subject looks like. Colours are RGB in 0..1; `light` points to the lamp, length 1."""

    form: Form
    tone: Floats
    lip: Floats
    hair: Floats
    iris: Floats
    cloth: Floats
    wall: Floats
    light: Floats
    ambient: float
    stubble: float
    texture_seed: int


def draw_appearance(rng: np.random.Generator) -> Appearance:
    """Invent what a subject looks like."""
    tone = np.array([0.88, 0.70, 0.58]) * rng.uniform(0.62, 1.05) + rng.normal(0, 0.010, 3)
    light = np.array([rng.uniform(-0.7, 0.7), rng.uniform(-0.8, -0.1), 1.0])
    return Appearance(
        form={name: float(rng.normal(mean, sd)) for name, (mean, sd) in FORMS.items()},
        tone=tone,
        lip=tone * np.array([0.92, 0.64, 0.66]) + rng.normal(0, 0.012, 3),
        hair=np.array([0.13, 0.10, 0.08]) * rng.uniform(0.5, 2.2),
        iris=np.array([0.25, 0.16, 0.10]) * rng.uniform(0.5, 1.6),
        cloth=rng.uniform(0.1, 0.6) + rng.normal(0, 0.05, 3),
        wall=np.full(3, rng.uniform(0.35, 0.7)) + rng.normal(0, 0.012, 3),
        light=light / np.linalg.norm(light),
        ambient=float(rng.uniform(0.35, 0.55)),
        stubble=float(max(0.0, rng.normal(0.0, 0.12))),
        texture_seed=int(rng.integers(2**31)),
    )


def face_grid(looks: Appearance, size: int) -> tuple[Floats, Floats]:
    """Return x and y in face units of every pixel of a `size` x `size` picture."""
    at = ((np.arange(size) + 0.5) / size - 0.5) / FACE_SHARE
    x, y = np.meshgrid(at, at / looks.form["aspect"])
    return x.astype(np.float32), y.astype(np.float32)


def blob(x: Floats, y: Floats, at: tuple[float, float], spread: tuple[float, float]) -> Floats:
    """Evaluate a Gaussian of height 1."""
    squares = ((x - at[0]) / spread[0]) ** 2 + ((y - at[1]) / spread[1]) ** 2
    return np.exp(-0.5 * squares).astype(np.float32)


def paint(looks: Appearance, size: int, *, eyes_open: float) -> Floats:
    """Paint the portrait: (size, size, 3) float32 RGB in 0..255."""
    rng = np.random.default_rng(looks.texture_seed)
    x, y = face_grid(looks, size)
    skin = _soft(_half_width(looks.form, y) - np.abs(x), 0.05)
    colour: Floats = np.broadcast_to(looks.wall, (*x.shape, 3)) * (1.08 - 0.07 * y)[..., None]
    cut = 1.33 + 0.10 * _cloud(rng, size, size / 7)
    hair = _soft(1.0 - np.hypot(x / (1.13 * cut / 1.33), (y + 0.28) / cut), 0.08)
    hair *= _soft(0.55 - y, 0.3)
    strands = 1 + 0.35 * _cloud(rng, size, size / 90, stretch=6)
    colour = _over(colour, looks.hair * strands[..., None], hair)
    neck = _soft(0.62 - np.abs(x), 0.08) * _soft(y - 0.8, 0.1)
    colour = _over(colour, np.broadcast_to(looks.tone * 0.62, colour.shape), neck)
    shoulders = _soft(y - 1.38 - 0.12 * np.abs(x), 0.06)
    colour = _over(colour, np.broadcast_to(looks.cloth, colour.shape), shoulders)
    face: Floats = _skin(looks, rng, x, y) * _light(looks, x, y)[..., None]
    face = _eyes(face, looks, x, y, eyes_open)
    face = _brows(face, looks, rng, x, y)
    line = looks.form["hairline"] + 0.05 * _cloud(rng, size, size / 12) + 0.30 * x**4
    colour = _over(colour, face, skin * _soft(y - line, 0.10))
    # The lens blurs a little, by the same share of the frame at every size.
    colour = cv2.GaussianBlur(colour.astype(np.float32), (0, 0), size / 320)
    return np.clip(colour * 255, 0, 255).astype(np.float32)


def _half_width(form: Form, y: Floats) -> Floats:
    upper = np.sqrt(np.clip(1 - (y / 1.38) ** 2, 0, 1))
    down = np.clip(y / form["chin_y"], 0, 1)
    lower = (1 - down**3.2) ** 0.55 * (1 - (1 - form["jaw"]) * down)
    return np.where(y < 0, upper, lower) * 0.97  # type: ignore[no-any-return]


def _relief(form: Form, x: Floats, y: Floats) -> Floats:
    """Compute the height of the face towards the camera, in face units."""
    side = np.abs(x)
    eye, nose, mouth = form["eye_y"], form["nose_y"], form["mouth_y"]
    height = 0.85 * np.sqrt(np.clip(1.25 - x**2 - (0.62 * (y - 0.05)) ** 2, 0.02, None))
    height += 0.07 * blob(side, y, (0.28, form["brow_y"]), (0.32, 0.10))
    height -= 0.10 * blob(side, y, (form["eye_x"] - 0.05, eye), (0.20, 0.12))
    height += 0.05 * blob(side, y, (form["eye_x"], eye), (0.13, 0.07))
    height += 0.16 * blob(x, y, (0, nose - 0.20), (0.085, 0.24))
    height += 0.15 * blob(x, y, (0, nose - 0.02), (0.11, 0.09))
    height += 0.07 * blob(side, y, (form["nose_w"], nose + 0.02), (0.06, 0.06))
    height += 0.06 * blob(side, y, (0.55, eye + 0.38), (0.20, 0.18))
    height -= 0.035 * blob(x, y, (0, mouth - 0.15), (0.04, 0.07))
    height += 0.06 * blob(x, y, (0, mouth - 0.04), (0.24, 0.05))
    height += 0.07 * blob(x, y, (0, mouth + 0.07), (0.20, 0.05))
    height -= 0.06 * blob(x, y, (0, mouth + 0.19), (0.22, 0.05))
    height += 0.09 * blob(x, y, (0, form["chin_y"] - 0.18), (0.20, 0.13))
    return height  # type: ignore[no-any-return]


def _light(looks: Appearance, x: Floats, y: Floats) -> Floats:
    step = float(x[0, 1] - x[0, 0])
    slope_y, slope_x = np.gradient(_relief(looks.form, x, y), step)
    facing = looks.light[2] - slope_x * looks.light[0] - slope_y * looks.light[1]
    facing = np.clip(facing / np.sqrt(1 + slope_x**2 + slope_y**2), 0, 1)
    shine = 0.16 * facing**24
    return looks.ambient + (1.05 - looks.ambient) * facing + shine  # type: ignore[no-any-return]


def _skin(looks: Appearance, rng: np.random.Generator, x: Floats, y: Floats) -> Floats:
    form, side, size = looks.form, np.abs(x), x.shape[0]
    grain = 0.045 * _cloud(rng, size, size / 18) + 0.035 * _cloud(rng, size, size / 150)
    colour = looks.tone * (1 + grain)[..., None]
    red = blob(side, y, (0.52, 0.28), (0.22, 0.18)) + 0.8 * blob(
        x, y, (0, form["nose_y"]), (0.12, 0.10)
    )
    colour = colour * (1 - 0.10 * red[..., None] * np.array([0.0, 1.0, 0.9]))
    beard = _soft(y - 0.42 - 0.35 * (1 - side), 0.3) * looks.stubble
    colour = colour * (1 - beard * (1 + 0.5 * _cloud(rng, size, size / 200)))[..., None]
    for _ in range(int(rng.integers(0, 4))):
        at = (float(rng.uniform(-0.8, 0.8)), float(rng.uniform(-0.7, 1.0)))
        spread = float(rng.uniform(0.012, 0.03))
        colour = colour * (1 - 0.5 * blob(x, y, at, (spread, spread)))[..., None]
    nostril = blob(side, y, (form["nose_w"] * 0.62, form["nose_y"] + 0.075), (0.045, 0.022))
    wing = blob(side, y, (form["nose_w"] + 0.055, form["nose_y"] + 0.01), (0.018, 0.06))
    crease = blob(side - 0.35 * (y - 0.45), y, (0.26, 0.48), (0.025, 0.11))
    colour = colour * (1 - 0.75 * nostril - 0.25 * wing - 0.10 * crease)[..., None]
    return _mouth(colour, looks, x, y)


def _mouth(colour: Floats, looks: Appearance, x: Floats, y: Floats) -> Floats:
    form = looks.form
    across = np.clip(1 - (x / form["mouth_w"]) ** 2, 0, 1)
    bow = 1 - 0.35 * blob(x, y * 0, (0, 0), (0.05, 1.0))
    middle = form["mouth_y"] - 0.012 * across
    top = middle - form["lip"] * across**0.7 * bow
    bottom = middle + 1.25 * form["lip"] * across**0.6
    lips = _soft(np.minimum(y - top, bottom - y), 0.03) * (across > 0)
    colour = _over(colour, np.broadcast_to(looks.lip, colour.shape), 0.85 * lips)
    seam = np.exp(-0.5 * ((y - middle) / 0.014) ** 2) * _soft(
        form["mouth_w"] * 1.04 - np.abs(x), 0.06
    )
    shade = blob(x, y, (0, form["mouth_y"] + 1.25 * form["lip"] + 0.06), (0.16, 0.03))
    return colour * (1 - 0.72 * seam - 0.14 * shade)[..., None]  # type: ignore[no-any-return]


def _eyes(colour: Floats, looks: Appearance, x: Floats, y: Floats, eyes_open: float) -> Floats:
    form = looks.form
    u = (np.abs(x) - form["eye_x"]) / form["eye_w"]
    across = np.clip(1 - u**2, 0, 1)
    lid = form["eye_y"] + 0.015 - form["eye_h"] * (2 * eyes_open - 1) * across**0.7
    low = form["eye_y"] + 0.015 + 0.8 * form["eye_h"] * across
    inside = _soft(np.minimum(y - lid, low - y), 0.02) * (across > 0)
    white = np.broadcast_to(np.array([0.80, 0.77, 0.74]), colour.shape)
    far = np.hypot(np.abs(x) - form["eye_x"], y - form["eye_y"])
    ball = _over(white * 0.92, np.broadcast_to(looks.iris, colour.shape), _soft(0.082 - far, 0.02))
    ball = _over(ball, np.full(colour.shape, 0.03), _soft(0.036 - far, 0.015))
    glint = blob(x - np.sign(x) * form["eye_x"], y, (0.02, form["eye_y"] - 0.025), (0.014, 0.014))
    ball = np.clip(ball * (0.75 + 3 * np.clip(y - lid, 0, 0.08))[..., None], 0, 1)
    colour = _over(colour, ball + 0.8 * glint[..., None], inside)
    ends = _soft(across - 0.1, 0.2)
    lash = np.exp(-0.5 * ((y - lid) / 0.016) ** 2) * ends
    fold = np.exp(-0.5 * ((y - form["eye_y"] + 1.9 * form["eye_h"] * across**0.5) / 0.016) ** 2)
    under = blob(np.abs(x), y, (form["eye_x"], form["eye_y"] + 0.15), (0.15, 0.025))
    dark = 0.8 * lash + 0.28 * fold * ends * eyes_open + 0.10 * under
    return colour * np.clip(1 - dark, 0, 1)[..., None]  # type: ignore[no-any-return]


def _brows(
    colour: Floats, looks: Appearance, rng: np.random.Generator, x: Floats, y: Floats
) -> Floats:
    form, side = looks.form, np.abs(x)
    along = (side - 0.18) / 0.48
    middle = form["brow_y"] - form["brow_tilt"] * np.sin(np.clip(along, 0, 1.2) * 2.2)
    thick = form["brow_h"] * (1.15 - 0.75 * np.clip(along, 0, 1))
    strands = 1 + 0.15 * _cloud(rng, x.shape[0], x.shape[0] / 160)
    mask = (
        _soft(thick - np.abs(y - middle), 0.05)
        * _soft(along + 0.06, 0.2)
        * _soft(1.02 - along, 0.2)
    )
    hair = np.broadcast_to(looks.hair * 0.9, colour.shape)
    return _over(colour, hair, np.clip(0.85 * mask * strands, 0, 1))


def _over(below: Floats, above: Floats, mask: Floats) -> Floats:
    return below + (above - below) * mask[..., None]


def _soft(distance: Floats, width: float) -> Floats:
    """Turn a signed distance into a mask that rises from 0 to 1 over `width`."""
    t = np.clip(distance / width + 0.5, 0, 1)
    return t * t * (3 - 2 * t)  # type: ignore[no-any-return]


def _cloud(rng: np.random.Generator, size: int, grain_px: float, *, stretch: float = 1) -> Floats:
    """Draw smooth noise of mean 0 and deviation 1; grains are `stretch` times as tall as wide."""
    noise = rng.standard_normal((size, size)).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), grain_px, sigmaY=grain_px * stretch)
    return (noise - noise.mean()) / noise.std()  # type: ignore[no-any-return]
