import numpy as np
import pytest

from dianet_ray.synth.faces import ACTION_UNITS, UNITS, draw_face, pose
from dianet_ray.synth.portraits import FACE_SHARE

SIZE = 64
STILL = np.zeros(len(UNITS), dtype=np.float32)
NO_MOTION = np.zeros(4, dtype=np.float32)


@pytest.fixture(scope="module")
def face():
    return draw_face(np.random.default_rng(5), SIZE)


def test_a_frame_is_an_rgb_picture_with_the_contrast_of_a_photograph(face):
    frame = pose(face, STILL, NO_MOTION, 0.0)
    assert frame.shape == (SIZE, SIZE, 3)
    assert frame.dtype == np.float32
    assert frame.min() >= 0
    assert frame.max() <= 255
    assert frame.std() > 20


def test_the_same_generator_draws_the_same_subject_and_another_draws_another():
    first, again, other = (draw_face(np.random.default_rng(n), SIZE).portrait for n in (1, 1, 2))
    assert np.array_equal(first, again)
    assert np.abs(first - other).mean() > 5


@pytest.mark.parametrize("unit", UNITS)
def test_every_action_unit_moves_its_own_region_and_leaves_the_corners_still(face, unit):
    activation = STILL.copy()
    activation[UNITS.index(unit)] = 0.06
    change = np.abs(pose(face, activation, NO_MOTION, 0.0) - pose(face, STILL, NO_MOTION, 0.0))
    assert change.max() > 8
    corners = np.stack([change[:6, :6], change[:6, -6:], change[-6:, :6], change[-6:, -6:]])
    assert corners.max() < 0.5
    share_below_the_nose = change[int(0.62 * SIZE) :].sum() / change.sum()
    assert (share_below_the_nose > 0.7) if unit >= 10 else (share_below_the_nose < 0.5)


def test_a_unit_displaces_its_landmark_by_its_activation_in_face_units(face):
    brow = np.abs(face.pulls[UNITS.index(2), 1]).max()
    assert brow == pytest.approx(SIZE * FACE_SHARE, rel=0.5)
    assert len(ACTION_UNITS) == len(face.pulls) == len(face.folds)


def test_the_head_moves_over_a_background_that_stays(face):
    moved = pose(face, STILL, np.array([2, 1, 0.05, 0.02], dtype=np.float32), 0.0)
    change = np.abs(moved - pose(face, STILL, NO_MOTION, 0.0))
    assert change[SIZE // 3 : 2 * SIZE // 3].mean() > 2
    assert change[: SIZE // 4, :3].max() < 0.5


def test_a_shift_of_the_head_moves_the_picture_by_as_many_pixels(face):
    still = pose(face, STILL, NO_MOTION, 0.0)
    moved = pose(face, STILL, np.array([2, 0, 0, 0], dtype=np.float32), 0.0)
    middle = slice(SIZE // 3, 2 * SIZE // 3)
    assert np.allclose(moved[middle, 24:42], still[middle, 22:40], atol=0.01)


def test_a_blink_shuts_the_eyes_and_nothing_else(face):
    change = np.abs(pose(face, STILL, NO_MOTION, 1.0) - pose(face, STILL, NO_MOTION, 0.0))
    rows = change.max(axis=(1, 2))
    assert rows[SIZE // 3 : SIZE // 2 + 2].max() > 30
    assert rows[: SIZE // 4].max() < 1
    assert rows[2 * SIZE // 3 :].max() < 1
