"""Moving the face of an invented subject: action units as smooth local warps of a portrait.

A frame is the portrait, displaced by the sum of one warp per action unit and of the head's motion;
skin folds darken with the units that make them. This module knows action units and pixels, but no
emotions, time or files.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from dianet_ray.synth.portraits import (
    FACE_SHARE,
    Appearance,
    Floats,
    Form,
    blob,
    draw_appearance,
    face_grid,
    paint,
)

OVERSAMPLING = 2
"""Portrait pixels per frame pixel and axis: sub-pixel displacements keep fine detail."""


@dataclass(frozen=True, slots=True)
class Patch:
    """A Gaussian patch of skin near a landmark, and the direction it is pulled in, in face units.

    The landmark is a pair of measures of the face ("" for the midline). Paired patches exist on
    the left and, mirrored, on the right.
    """

    landmark: tuple[str, str]
    offset: tuple[float, float]
    spread: tuple[float, float]
    pull: tuple[float, float] = (0.0, 0.0)
    paired: bool = True


_BROW, _EYE, _NOSE = ("", "brow_y"), ("eye_x", "eye_y"), ("", "nose_y")
_LIP, _CORNER, _CHIN = ("", "mouth_y"), ("mouth_w", "mouth_y"), ("", "chin_y")

ACTION_UNITS: dict[int, tuple[Patch, ...]] = {
    1: (Patch(_BROW, (0.22, -0.02), (0.15, 0.15), (0.0, -1.0)),),
    2: (Patch(_BROW, (0.58, -0.04), (0.17, 0.16), (0.0, -1.0)),),
    4: (Patch(_BROW, (0.26, 0.02), (0.20, 0.15), (-0.6, 0.8)),),
    5: (Patch(_EYE, (0.0, -0.08), (0.17, 0.07), (0.0, -0.7)),),
    6: (Patch(_EYE, (0.12, 0.30), (0.22, 0.14), (0.0, -0.8)),),
    7: (
        Patch(_EYE, (0.0, 0.08), (0.18, 0.07), (0.0, -0.7)),
        Patch(_EYE, (0.0, -0.09), (0.18, 0.06), (0.0, 0.5)),
    ),
    9: (Patch(_NOSE, (0.14, -0.14), (0.14, 0.18), (0.0, -0.6)),),
    10: (Patch(_LIP, (0.17, -0.09), (0.13, 0.11), (0.0, -1.0)),),
    12: (Patch(_CORNER, (0.0, 0.0), (0.16, 0.15), (0.7, -0.7)),),
    14: (Patch(_CORNER, (0.05, 0.0), (0.15, 0.12), (1.0, 0.05)),),
    15: (Patch(_CORNER, (0.0, 0.05), (0.15, 0.15), (0.1, 1.0)),),
    17: (
        Patch(_CHIN, (0.0, -0.20), (0.24, 0.13), (0.0, -0.9), paired=False),
        Patch(_LIP, (0.0, 0.11), (0.22, 0.08), (0.0, -0.7), paired=False),
    ),
    24: (
        Patch(_LIP, (0.0, -0.07), (0.26, 0.07), (0.0, 0.7), paired=False),
        Patch(_LIP, (0.0, 0.09), (0.26, 0.07), (0.0, -0.7), paired=False),
    ),
    26: (Patch(_LIP, (0.0, 0.26), (0.36, 0.22), (0.0, 1.0), paired=False),),
}
"""Action units (FACS) that can be shown, as pulls on the skin of the regions that define them."""

UNITS = tuple(ACTION_UNITS)
"""The order of action units in every array of activations, an axis of length K."""

FOLDS: dict[int, Patch] = {
    1: Patch(_BROW, (0.18, -0.26), (0.20, 0.022)),
    2: Patch(_BROW, (0.50, -0.24), (0.20, 0.022)),
    4: Patch(_BROW, (0.08, 0.04), (0.022, 0.11)),
    6: Patch(_EYE, (0.02, 0.15), (0.17, 0.025)),
    9: Patch(_EYE, (-0.33, 0.12), (0.06, 0.025)),
    10: Patch(_LIP, (0.28, -0.18), (0.035, 0.10)),
    12: Patch(_CORNER, (0.09, -0.12), (0.03, 0.12)),
    14: Patch(_CORNER, (0.07, 0.0), (0.03, 0.05)),
    15: Patch(_CORNER, (0.03, 0.13), (0.03, 0.07)),
    17: Patch(_CHIN, (0.0, -0.27), (0.16, 0.03), paired=False),
}
"""The fold of skin that darkens with an action unit."""

FOLD_DEPTH = 2.0
"""Share of the light that a fold takes away per face unit of displacement."""


@dataclass(frozen=True, slots=True)
class Face:
    """One subject, ready to be filmed at `size` pixels; float32 arrays.

    portrait, eyes_shut: (S, S, 3), S = OVERSAMPLING * size, RGB in 0..255.
    pulls: (K, 2, size, size), pixels of displacement, x then y, per face unit of activation.
    folds: (K, size, size), share of the light taken away per face unit of activation.
    head: (size, size), 1 on the head, falling to 0 on the background, which stays still.
    grid: (2, size, size), pixels x and y from the point between the eyes.
    """

    size: int
    portrait: Floats
    eyes_shut: Floats
    pulls: Floats
    folds: Floats
    head: Floats
    grid: Floats


def draw_face(rng: np.random.Generator, size: int) -> Face:
    """Invent a subject and prepare the face for frames of `size` x `size` pixels."""
    looks = draw_appearance(rng)
    pulls, folds = _fields(rng, looks, size)
    x, y = face_grid(looks, size)
    unit_px = np.float32(size * FACE_SHARE)
    # The background stays still, as a wall behind a moving head does.
    outside = np.clip((np.hypot(x / 1.15, (y + 0.1) / 1.35) - 1) / 0.35, 0, 1)
    return Face(
        size=size,
        portrait=paint(looks, size * OVERSAMPLING, eyes_open=1.0),
        eyes_shut=paint(looks, size * OVERSAMPLING, eyes_open=0.0),
        pulls=pulls * unit_px,
        folds=folds * np.float32(FOLD_DEPTH),
        head=1 - outside * outside * (3 - 2 * outside),
        grid=np.stack([x, y]) * unit_px,
    )


def pose(face: Face, activation: Floats, motion: Floats, blink: float) -> Floats:
    """Render one noiseless frame, (size, size, 3) float32 RGB.

    Args:
        face: the subject.
        activation: (K,) of the action units, in face units of displacement.
        motion: (4,) of the head: x and y in pixels, turn in radians, growth (0 is none).
        blink: 0 with the eyes open, 1 with the eyes shut.
    """
    shift_x, shift_y = np.tensordot(activation, face.pulls, axes=1)
    x, y = face.grid
    shift_x += face.head * (motion[0] - motion[2] * y + motion[3] * x)
    shift_y += face.head * (motion[1] + motion[2] * x + motion[3] * y)
    # A pixel shows what was moved there, so the displacement is subtracted. Both grids count from
    # the middle of their first pixel, hence + 0.5 and - 0.5.
    pixels = np.arange(face.size, dtype=np.float32) + np.float32(0.5)
    map_x = (pixels[None, :] - shift_x) * OVERSAMPLING - np.float32(0.5)
    map_y = (pixels[:, None] - shift_y) * OVERSAMPLING - np.float32(0.5)
    portrait = face.portrait
    if blink > 0:
        portrait = cv2.addWeighted(portrait, 1 - blink, face.eyes_shut, blink, 0)
    frame = cv2.remap(portrait, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    light = 1 - np.tensordot(activation, face.folds, axes=1)
    return frame * light[:, :, None]  # type: ignore[no-any-return]


def _fields(rng: np.random.Generator, looks: Appearance, size: int) -> tuple[Floats, Floats]:
    """Lay every action unit on this face, stronger on one side as on real faces."""
    x, y = face_grid(looks, size)
    pulls = np.zeros((len(UNITS), 2, size, size), dtype=np.float32)
    folds = np.zeros((len(UNITS), size, size), dtype=np.float32)
    for k, unit in enumerate(UNITS):
        # Cut off at 0.5: with more, one side of the face would hardly move.
        lean = float(np.clip(rng.normal(0, 0.15), -0.5, 0.5))
        wander = (float(rng.normal(0, 0.03)), float(rng.normal(0, 0.03)))
        for patch in ACTION_UNITS[unit]:
            for side, mask in _sides(patch, looks.form, (x, y), wander):
                strength = 1 + side * lean if patch.paired else 1.0
                pulls[k, 0] += strength * patch.pull[0] * (side if patch.paired else 1) * mask
                pulls[k, 1] += strength * patch.pull[1] * mask
        if unit in FOLDS:
            for side, mask in _sides(FOLDS[unit], looks.form, (x, y), wander):
                folds[k] += (1 + side * lean) * mask
    return pulls, folds


def _sides(
    patch: Patch, form: Form, grid: tuple[Floats, Floats], wander: tuple[float, float]
) -> list[tuple[int, Floats]]:
    at = [
        (form[name] if name else 0.0) + offset + step
        for name, offset, step in zip(patch.landmark, patch.offset, wander, strict=True)
    ]
    if not patch.paired:
        return [(1, blob(*grid, (at[0], at[1]), patch.spread))]
    return [(side, blob(*grid, (side * at[0], at[1]), patch.spread)) for side in (-1, 1)]
