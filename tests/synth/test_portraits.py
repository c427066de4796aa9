import numpy as np
import pytest

from dianet_ray.synth.portraits import FORMS, draw_appearance, face_grid, paint

SIZE = 128


@pytest.fixture(scope="module")
def looks():
    return draw_appearance(np.random.default_rng(3))


def test_a_portrait_is_a_colour_picture_that_the_appearance_decides(looks):
    first, again = (paint(looks, SIZE, eyes_open=1.0) for _ in range(2))
    assert first.shape == (SIZE, SIZE, 3)
    assert first.dtype == np.float32
    assert (first.min() >= 0) & (first.max() <= 255)
    assert np.array_equal(first, again)


def test_subjects_differ_in_every_measure():
    appearances = [draw_appearance(np.random.default_rng(seed)) for seed in range(40)]
    for name, (mean, spread) in FORMS.items():
        values = [one.form[name] for one in appearances]
        assert np.mean(values) == pytest.approx(mean, abs=spread)
        assert np.std(values) == pytest.approx(spread, rel=0.5)


def test_lips_are_redder_than_cheeks(looks):
    portrait = paint(looks, SIZE, eyes_open=1.0)
    x, y = face_grid(looks, SIZE)
    lip_y = looks.form["mouth_y"] + 0.06
    lips = portrait[(np.abs(x) < 0.15) & (np.abs(y - lip_y) < 0.02)].mean(axis=0)
    cheeks = portrait[(np.abs(np.abs(x) - 0.5) < 0.1) & (np.abs(y - 0.1) < 0.1)].mean(axis=0)
    assert lips[0] / lips[1] > 1.15 * cheeks[0] / cheeks[1]


def test_shutting_the_eyes_changes_only_the_eyes(looks):
    change = np.abs(paint(looks, SIZE, eyes_open=1.0) - paint(looks, SIZE, eyes_open=0.0))
    x, y = face_grid(looks, SIZE)
    at_eyes = (np.abs(np.abs(x) - looks.form["eye_x"]) < 0.3) & (
        np.abs(y - looks.form["eye_y"]) < 0.25
    )
    assert change[at_eyes].max() > 50
    assert change[~at_eyes].max() < 1
