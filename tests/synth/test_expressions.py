import numpy as np
import pytest

from dianet_ray.synth import expressions
from dianet_ray.synth.expressions import EMOTIONS, Manner, draw_manner, perform
from dianet_ray.synth.faces import UNITS
from dianet_ray.synth.layout import read_layouts
from dianet_ray.synth.layouts import LAYOUTS

HOLD, RISE, FADE = range(3)


@pytest.fixture
def plain(monkeypatch):
    """A subject without manners or randomness, except in timing."""
    for name in ("JITTER", "TWITCH_RATE", "BLINK_RATE"):
        monkeypatch.setattr(expressions, name, 0.0)
    monkeypatch.setattr(expressions, "STRENGTH", (0.0, 0.0))
    nothing = {name: np.zeros((3, len(UNITS))) for name in EMOTIONS}
    return Manner(np.ones(len(UNITS)), nothing, {n: np.zeros((2, 4)) for n in EMOTIONS}, 0.0)


def act(manner, emotion, seed=0, n_frames=40):
    return perform(np.random.default_rng(seed), manner, emotion, n_frames=n_frames)


def test_the_emotions_are_those_that_releases_show():
    releases = [release for name in LAYOUTS for release in read_layouts(name)]
    assert set(EMOTIONS) == {r.emotion(label) for r in releases for label in r.proportions}


def test_disgust_and_others_differ_only_in_how_they_rise(plain):
    one, other = act(plain, "disgust"), act(plain, "others")
    apex = one.apex
    assert np.allclose(one.activation[apex:], other.activation[apex:], atol=1e-7)
    assert np.array_equal(one.activation[0], other.activation[0])
    assert np.abs(one.activation[:apex] - other.activation[:apex]).max() > 0.02


def test_happiness_and_repression_differ_only_in_how_they_fade(plain):
    one, other = act(plain, "happiness"), act(plain, "repression")
    apex = one.apex
    assert np.allclose(one.activation[: apex + 1], other.activation[: apex + 1], atol=1e-7)
    assert np.allclose(one.activation[-1], other.activation[-1], atol=1e-7)
    assert np.abs(one.activation[apex:] - other.activation[apex:]).max() > 0.02


def test_surprise_holds_units_that_no_other_emotion_of_casme2_holds():
    others = set(read_layouts("casme2")[0].labels) - {"surprise"}
    held = {unit for name in others for unit in EMOTIONS[name].hold}
    assert not held & set(EMOTIONS["surprise"].hold)


@pytest.mark.parametrize("emotion", EMOTIONS)
@pytest.mark.parametrize("seed", range(5))
def test_what_is_held_starts_at_nothing_peaks_at_the_apex_and_is_nearly_gone_at_offset(
    plain, emotion, seed
):
    acted = act(plain, emotion, seed)
    held = acted.activation[:, [UNITS.index(unit) for unit in EMOTIONS[emotion].hold]]
    assert np.all(held[0] == 0)
    assert np.all(held.argmax(axis=0) == acted.apex)
    assert np.all(np.diff(held[: acted.apex + 1], axis=0) >= 0)
    assert np.all(np.diff(held[acted.apex :], axis=0) <= 0)
    assert np.all(held[-1] <= 0.21 * held[acted.apex])
    plainest = expressions.AMPLITUDE * max(EMOTIONS[emotion].hold.values())
    assert held.max() == pytest.approx(plainest, rel=0.15)


def test_skin_gives_only_so_far(monkeypatch):
    monkeypatch.setattr(expressions, "AMPLITUDE", 5.0)
    activation = act(draw_manner(np.random.default_rng(0)), "others").activation
    assert np.abs(activation).max() <= np.float32(expressions.LIMIT)


def test_clips_differ_in_length_and_in_where_the_apex_lies():
    manner = draw_manner(np.random.default_rng(0))
    clips = [act(manner, "others", seed) for seed in range(50)]
    lengths = [len(clip.blink) for clip in clips]
    assert np.median(lengths) == pytest.approx(41, abs=5)
    assert max(lengths) > 1.7 * min(lengths)
    shares = [clip.apex / (length - 1) for clip, length in zip(clips, lengths, strict=True)]
    assert min(shares) < 0.4
    assert max(shares) > 0.6


def test_a_subject_repeats_a_manner_that_another_does_not_have():
    mine, yours = (draw_manner(np.random.default_rng(seed)) for seed in (0, 1))
    again = draw_manner(np.random.default_rng(0))
    assert all(np.array_equal(mine.habits[name], again.habits[name]) for name in EMOTIONS)
    assert not np.allclose(mine.habits["others"], yours.habits["others"])
