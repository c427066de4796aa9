"""What the invented subjects do: emotions as action units over time, in each subject's manner.

An emotion holds action units at the apex. Other units flare up only on the way to the apex (rise)
or back from it (fade), and are gone at onset, apex and offset. Of CASME II's five emotions,
disgust and others differ only in the rise, happiness and repression only in the fade; surprise
holds units of its own. A network that sees one phase must therefore confuse one pair. The other
emotions hold the units of their prototypes (EMFACS). This module knows no pixels and no files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from dianet_ray.synth.faces import UNITS
from dianet_ray.synth.portraits import Floats


@dataclass(frozen=True, slots=True)
class Emotion:
    """Strengths of action units, 1 being plain: held at the apex, flaring in rise or fade."""

    hold: Mapping[int, float]
    rise: Mapping[int, float] = field(default_factory=dict)
    fade: Mapping[int, float] = field(default_factory=dict)

    def weights(self) -> Floats:
        """Return (3, K), the strengths of every unit in hold, rise and fade."""
        parts = (self.hold, self.rise, self.fade)
        rows = [[part.get(unit, 0.0) for unit in UNITS] for part in parts]
        return np.array(rows, dtype=np.float32)


_FROWN = {4: 0.9, 7: 0.6}
_SMILE = {6: 0.6, 12: 1.0}
EMOTIONS = {
    "others": Emotion(hold=_FROWN, rise={14: 0.9, 24: 0.6}),
    "disgust": Emotion(hold=_FROWN, rise={9: 1.0, 10: 0.8}),
    "happiness": Emotion(hold=_SMILE),
    "repression": Emotion(hold=_SMILE, fade={15: 1.2, 17: 1.2, 24: 0.5}),
    "surprise": Emotion(hold={1: 1.0, 2: 0.9, 5: 0.5}, rise={26: 0.6}),
    "anger": Emotion(hold={4: 0.9, 5: 0.5, 7: 0.8, 24: 0.8}),
    "fear": Emotion(hold={1: 0.9, 2: 0.6, 4: 0.7, 5: 0.8}),
    "sadness": Emotion(hold={1: 0.8, 4: 0.5, 15: 1.0}),
    "contempt": Emotion(hold={12: 0.4, 14: 1.0}),
}
"""They do not depend on the seed: another seed is other subjects with the same emotions."""

_FIRST, _LATER = list(EMOTIONS)[:5], list(EMOTIONS)[5:]

# These numbers decide how hard the task is; benchmarks/synth_difficulty.py measures it.
AMPLITUDE = 0.065  # displacement by a unit of strength 1, face units
LIMIT = 0.12  # largest displacement, face units: beyond it the image would fold
STRENGTH = (0.25, 0.25)  # log-normal spread of all units together, over subjects and over clips
GAIN = 0.30  # log-normal spread of each unit over subjects
HABIT = 0.23  # spread of what a subject adds to an emotion, the same in all their clips of it
JITTER = 0.12  # spread of what a clip adds
NOD = 0.0018  # spread of a subject's head movement with an emotion, share of the frame
DRIFT = 0.0013  # head drift without meaning, share of the frame
TWITCH_RATE = 0.6  # flares of units without meaning per clip
BLINK_RATE = 0.15  # blinks per clip


@dataclass(frozen=True, slots=True)
class Manner:
    """How one subject moves.

    gain: (K,) factor of each unit. habits: emotion -> (3, K) added to its weights.
    nods: emotion -> (2, 4) head movement in its rise and fade, as `faces.pose` takes motion
    but x and y as shares of the frame. drift: size of head movement without meaning.
    """

    gain: Floats
    habits: Mapping[str, Floats]
    nods: Mapping[str, Floats]
    drift: float


@dataclass(frozen=True, slots=True)
class Performance:
    """One clip as time courses, float32; frame `apex` of `len(blink)` is the apex.

    activation: (T, K) face units. motion: (T, 4) as `faces.pose` takes it, x and y as shares of
    the frame. blink: (T,) 0..1.
    """

    apex: int
    activation: Floats
    motion: Floats
    blink: Floats


def draw_manner(rng: np.random.Generator) -> Manner:
    """Invent how a subject moves."""
    # The order of these draws is part of every data set: a new draw may only be added last.
    gain = np.exp(rng.normal(0, STRENGTH[0]) + rng.normal(0, GAIN, len(UNITS)))
    habits, nods = _habits(rng, _FIRST)
    drift = DRIFT * float(np.exp(rng.normal(0, 0.3)))
    # Drawn last, so that emotions added later leave the subjects of CASME II as they were.
    later_habits, later_nods = _habits(rng, _LATER)
    return Manner(gain, habits | later_habits, nods | later_nods, drift)


def _habits(
    rng: np.random.Generator, emotions: Sequence[str]
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    turn = np.array([1.0, 1.0, 2.0, 1.0])
    habits: dict[str, Floats] = {name: rng.normal(0, HABIT, (3, len(UNITS))) for name in emotions}
    return habits, {name: rng.normal(0, NOD, (2, 4)) * turn for name in emotions}


def perform(
    rng: np.random.Generator, manner: Manner, emotion: str, *, n_frames: int
) -> Performance:
    """Act one clip of an emotion; `n_frames` is the typical length, the actual one varies."""
    spans = draw_spans(rng, n_frames)
    n_total = sum(spans) + 1
    time = np.arange(n_total, dtype=np.float64)
    rising = np.clip(time / spans[0], 0, 1)
    fading = np.clip((time - spans[0]) / spans[1], 0, 1)
    weights = EMOTIONS[emotion].weights() + manner.habits[emotion]
    weights = weights + rng.normal(0, JITTER, weights.shape)
    courses = np.stack([_held(rng, rising, fading), _flare(rng, rising), _flare(rng, fading)])
    activation = courses.T @ (weights * manner.gain * np.exp(rng.normal(0, STRENGTH[1])))
    for _ in range(rng.poisson(TWITCH_RATE)):
        width = float(rng.uniform(0.15, 0.5))
        at = np.clip((time / n_total - rng.uniform(-0.2, 1.0)) / width, 0, 1)
        activation[:, rng.integers(len(UNITS))] += rng.normal(0, 0.8) * _flare(rng, at)
    motion = courses[1:].T @ manner.nods[emotion] + manner.drift * _wander(rng, n_total)
    return Performance(
        apex=spans[0],
        activation=(LIMIT * np.tanh(AMPLITUDE / LIMIT * activation)).astype(np.float32),
        motion=motion.astype(np.float32),
        blink=_blinks(rng, time),
    )


def draw_spans(rng: np.random.Generator, n_frames: int) -> tuple[int, int]:
    """Draw the numbers of frames to the apex and back; `perform` draws them before all else."""
    up, down = (max(4, round(n_frames / 2 * np.exp(rng.normal(0, 0.35)))) for _ in range(2))
    return up, down


def _held(rng: np.random.Generator, rising: Floats, fading: Floats) -> Floats:
    """Rise from 0 to 1 at the apex and fall to a small remainder, each at its own speed."""
    up, down = (_ease(part ** float(np.exp(rng.normal(0, 0.3)))) for part in (rising, fading))
    return up * (1 - down * (1 - float(rng.uniform(0, 0.2))))


def _flare(rng: np.random.Generator, part: Floats) -> Floats:
    """Rise from 0 to 1 and fall back to 0 within a phase, with the peak near its middle."""
    power = np.log(0.5) / np.log(float(rng.uniform(0.36, 0.54)))
    return np.sin(np.pi * part**power) ** 2  # type: ignore[no-any-return]


def _ease(part: Floats) -> Floats:
    return part * part * (3 - 2 * part)


def _wander(rng: np.random.Generator, n_frames: int) -> Floats:
    """Draw slow movement without meaning, (n_frames, 4), that starts at 0."""
    time = np.arange(n_frames)[:, None] / n_frames
    waves = [
        rng.normal(0, 1 / cycles, 4) * np.sin(2 * np.pi * (cycles * time + rng.uniform(0, 1, 4)))
        for cycles in (0.35, 0.8, 1.9)
    ]
    path = np.sum(waves, axis=0) * np.array([1.0, 1.0, 1.2, 0.6])
    return path - path[0]  # type: ignore[no-any-return]


def _blinks(rng: np.random.Generator, time: Floats) -> Floats:
    blink = np.zeros(len(time))
    for _ in range(rng.poisson(BLINK_RATE)):
        blink += np.exp(-0.5 * ((time - rng.uniform(0, len(time))) / 1.3) ** 2)
    return np.where(blink > 0.02, np.clip(blink, 0, 1), 0).astype(np.float32)
