"""Frames that stand in for missing ones: the laws, and the images that are made of them."""

import shutil

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dianet_ray.artefacts import Recipe
from dianet_ray.imaging.clip_images import FrameSpan, clip_images
from dianet_ray.imaging.frames import FrameError
from dianet_ray.imaging.gaps import longest, missing_runs, stand_ins
from tests.support.casme2_files import write_frame

FIRST, LAST = 5, 24
PRESENT = st.sets(st.integers(FIRST, LAST), min_size=1).map(sorted)
MOST = st.integers(0, 30)


@given(PRESENT, MOST)
def test_every_frame_is_itself_or_the_nearest_of_the_clip(present, most):
    taken = stand_ins(present, FIRST, LAST, most)
    assert len(taken) == LAST - FIRST + 1
    for number, found in zip(range(FIRST, LAST + 1), taken, strict=True):
        if found != number:
            assert number not in present
            assert found == min(present, key=lambda one: (abs(one - number), one))


@given(PRESENT, MOST)
def test_gaps_are_filled_exactly_up_to_the_limit(present, most):
    taken = stand_ins(present, FIRST, LAST, most)
    for first, last in missing_runs(present, FIRST, LAST):
        of_run = taken[first - FIRST : last - FIRST + 1]
        is_filled = set(of_run) <= set(present)
        assert is_filled == (last - first + 1 <= most)
        if not is_filled:
            assert of_run == list(range(first, last + 1))


@given(PRESENT, MOST)
def test_frames_stay_in_their_order(present, most):
    taken = stand_ins(present, FIRST, LAST, most)
    assert taken == sorted(taken)


@given(PRESENT)
def test_runs_and_present_frames_make_up_the_clip(present):
    runs = missing_runs(present, FIRST, LAST)
    missing = [number for a, b in runs for number in range(a, b + 1)]
    assert sorted([*present, *missing]) == list(range(FIRST, LAST + 1))
    assert longest(runs) == max([b - a + 1 for a, b in runs], default=0)


def test_a_clip_without_frames_is_filled_by_none():
    assert stand_ins([], 1, 3, 9) == [1, 2, 3]


@pytest.fixture
def folder(tmp_path):
    for number in range(1, 12):
        write_frame(tmp_path / "clip" / f"{number}.png", number)
    return tmp_path / "clip"


@pytest.mark.parametrize(
    ("missing", "copies"),
    [
        ([4], {4: 3}),
        ([4, 5], {4: 3, 5: 6}),
        ([1, 2], {1: 3, 2: 3}),
        ([11], {11: 10}),
        ([6, 7, 8], {6: 5, 7: 5, 8: 9}),
    ],
)
def test_the_images_are_those_of_a_folder_with_copies_in_the_gaps(folder, missing, copies):
    for number in missing:
        (folder / f"{number}.png").unlink()
    copied = shutil.copytree(folder, folder.with_name("copied"))
    for number, source in copies.items():
        shutil.copy(copied / f"{source}.png", copied / f"{number}.png")
    span = FrameSpan(1, 6, 11)
    filled = clip_images(folder, span, Recipe(16, fill_gaps=3))
    expected = clip_images(copied, span, Recipe(16))
    np.testing.assert_array_equal(filled.images, expected.images)
    np.testing.assert_array_equal(filled.signature, expected.signature)


def test_a_longer_gap_is_an_error_that_names_the_frame(folder):
    for number in (4, 5, 6):
        (folder / f"{number}.png").unlink()
    with pytest.raises(FrameError, match=r"frame 4 of 1\.\.11 is missing"):
        clip_images(folder, FrameSpan(1, 7, 11), Recipe(16, fill_gaps=2))


def test_a_whole_clip_is_the_same_with_and_without(folder):
    span = FrameSpan(2, None, 10)
    one, other = (clip_images(folder, span, Recipe(16, fill_gaps=n)) for n in (0, 4))
    assert one.apex == other.apex
    np.testing.assert_array_equal(one.images, other.images)


def test_a_spotted_apex_is_a_frame_that_exists(tmp_path):
    """Copies do not move, and a pause is what an apex is known by."""
    still = np.random.default_rng(0).integers(0, 200, (40, 48, 3), np.uint8)
    for number in range(1, 20):
        frame = still.copy()
        size = max(0, 8 - abs(number - 12))  # grows up to frame 12, then shrinks
        frame[10 : 10 + size, 10 : 10 + size] = 255
        cv2.imwrite(str(tmp_path / f"{number}.png"), frame)
    whole = clip_images(tmp_path, FrameSpan(1, None, 19), Recipe(16)).apex
    for number in (6, 7, 8, 15):
        (tmp_path / f"{number}.png").unlink()
    filled = clip_images(tmp_path, FrameSpan(1, None, 19), Recipe(16, fill_gaps=3)).apex
    assert abs(filled - whole) <= 1
