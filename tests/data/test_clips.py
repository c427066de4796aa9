"""The dynamic images of one clip."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dianet_ray.data.clips import clip_images, phase_images
from dianet_ray.data.frames import FrameError, index_frames, read_frame
from dianet_ray.data.rank_pooling import coefficients, positive_sum
from tests.data.casme2_files import write_frame


def slowly(frames, size, kind):
    """Stack, weigh, sum, resize: the usual way, in float64."""
    weights = coefficients(len(frames), kind) / positive_sum(len(frames), kind)
    pooled = np.tensordot(weights, np.stack(frames).astype(np.float64), 1).astype(np.float32)
    return cv2.resize(pooled, (size, size), interpolation=cv2.INTER_AREA)


def clip(n_frames, shape, seed=0):
    noise = np.random.default_rng(seed).integers(0, 256, (n_frames, *shape, 3), dtype=np.uint8)
    return [cv2.GaussianBlur(frame, (0, 0), 1) for frame in noise]


@settings(deadline=None, max_examples=30)
@given(
    before=st.integers(1, 12),
    after=st.integers(1, 12),
    onset=st.integers(0, 500),
    kind=st.sampled_from(["harmonic", "linear"]),
    shape=st.sampled_from([(40, 48), (33, 47), (16, 16), (10, 12)]),
)
def test_phases_share_the_apex_and_equal_the_usual_way(before, after, onset, kind, shape):
    frames = clip(before + after + 1, shape, seed=before)
    images, scales = phase_images(
        iter(frames), onset, onset + before, onset + before + after, size=16, kind=kind
    )
    runs = (frames[: before + 1], frames[before:], frames)
    expected = [slowly(run, 16, kind) for run in runs]
    assert images.dtype == np.float16
    np.testing.assert_allclose(images, expected, rtol=1e-3, atol=2e-3)
    np.testing.assert_allclose(scales, [positive_sum(len(run), kind) for run in runs], rtol=1e-6)


def test_large_frames_are_halved_first_which_only_rounds():
    frames = clip(13, (128, 128))
    images, _ = phase_images(frames, 1, 7, 13, size=32, kind="harmonic")
    expected = [slowly(run, 32, "harmonic") for run in (frames[:7], frames[6:], frames)]
    # A 2 x 2 mean is rounded by at most half a level, weights add up to 2, four means average.
    assert np.abs(images - np.array(expected)).max() < 1
    assert np.sqrt(((images - np.array(expected)) ** 2).mean()) < 0.15


def test_a_frame_of_another_size_is_resized_to_the_first():
    frames = clip(5, (20, 30))
    frames[3] = cv2.resize(frames[3], (60, 40), interpolation=cv2.INTER_NEAREST)
    mixed, _ = phase_images(frames, 0, 2, 4, size=16, kind="linear")
    plain, _ = phase_images(clip(5, (20, 30)), 0, 2, 4, size=16, kind="linear")
    np.testing.assert_array_equal(mixed, plain)


def write_clip(folder, numbers):
    for number in numbers:
        write_frame(folder / f"img{number}.jpg", seed=number)
    return folder


def test_a_clip_is_pooled_from_its_files_and_frames_outside_do_not_matter(tmp_path):
    folder = write_clip(tmp_path / "a", range(3, 15))
    images, scales = clip_images(folder, 5, 8, 12, image_size=16, coefficients="harmonic")
    frames = [read_frame(index_frames(folder)[k]) for k in range(5, 13)]
    expected = phase_images(frames, 5, 8, 12, size=16, kind="harmonic")
    np.testing.assert_array_equal(images, expected[0])
    np.testing.assert_array_equal(scales, expected[1])


def test_a_missing_frame_is_named(tmp_path):
    folder = write_clip(tmp_path / "a", [1, 2, 4, 5])
    with pytest.raises(FrameError, match=r"frame 3 of 1\.\.5 is missing"):
        clip_images(folder, 1, 2, 5, image_size=16, coefficients="harmonic")


def test_a_broken_frame_is_named(tmp_path):
    folder = write_clip(tmp_path / "a", range(1, 6))
    (folder / "img4.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(FrameError, match=r"img4\.jpg"):
        clip_images(folder, 1, 2, 5, image_size=16, coefficients="harmonic")
