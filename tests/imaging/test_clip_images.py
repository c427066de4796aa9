"""The dynamic images of one clip, and the laws of rank pooling on what makes them."""

import weakref

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dianet_ray.imaging.clip_images import HALVED_FROM, Recipe, clip_images, phase_images
from dianet_ray.imaging.faces import face_box
from dianet_ray.imaging.frames import FrameError, UnfitError, index_frames, read_frame
from dianet_ray.imaging.rank_pooling import coefficients, positive_sum
from dianet_ray.synth.filming import Files, Scene, film
from tests.support.casme2_files import write_frame


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


def rms_from_slow(shape, size, n_frames=9):
    frames = clip(n_frames, shape)
    images, _ = phase_images(frames, 1, 5, n_frames, size=size, kind="harmonic")
    runs = (frames[:5], frames[4:], frames)
    expected = np.array([slowly(run, size, "harmonic") for run in runs])
    return np.sqrt(((images - expected) ** 2).mean()), np.sqrt((expected**2).mean())


@pytest.mark.parametrize("size", [60, 120, 240])
def test_raw_frames_are_halved_first_which_only_rounds(size):
    error, _ = rms_from_slow((HALVED_FROM, HALVED_FROM), size)
    assert 0 < error < 0.4  # a mean of four is rounded by 0.3 grey levels (RMS)


@pytest.mark.parametrize(
    ("shape", "size"), [((128, 128), 64), ((280, 340), 64), ((480, 480), 256)]
)
def test_small_frames_and_large_images_are_pooled_exactly(shape, size):
    error, level = rms_from_slow(shape, size)
    assert error < 3e-4 * level  # float16 keeps 11 bits


kinds = st.sampled_from(["harmonic", "linear"])
lengths = st.integers(3, 40)
seeds = st.integers(0, 2**32 - 1)


def pooled(frames, kind):
    n_frames = len(frames)
    images, _ = phase_images(iter(frames), 1, n_frames // 2 + 1, n_frames, size=8, kind=kind)
    return images.astype(float)


def noise(n_frames, seed):
    shape = (n_frames, 8, 9, 3)
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.float32)


@given(n_frames=st.integers(3, 300), kind=kinds, level=st.integers(0, 255))
@settings(deadline=None)
def test_a_static_clip_maps_to_zero(n_frames, kind, level):
    assert np.abs(pooled(np.full((n_frames, 4, 5, 3), level, np.uint8), kind)).max() < 1e-3


@given(n_frames=lengths, kind=kinds, seed=seeds, a=st.floats(-1, 1), b=st.floats(-1, 1))
@settings(deadline=None)
def test_pooling_is_linear_in_the_frames(n_frames, kind, seed, a, b):
    x, y = noise(n_frames, seed), noise(n_frames, seed + 1)
    together = pooled((a * x + b * y).astype(np.float32), kind)
    np.testing.assert_allclose(together, a * pooled(x, kind) + b * pooled(y, kind), atol=0.3)


@given(half=st.integers(1, 20), seed=seeds)
@settings(deadline=None)
def test_reversing_time_swaps_the_phases_and_flips_linear_pooling(half, seed):
    frames = noise(2 * half + 1, seed)
    onset_apex, apex_offset, whole = pooled(frames[::-1], "linear")
    expected = -pooled(frames, "linear")[[1, 0, 2]]
    np.testing.assert_allclose([onset_apex, apex_offset, whole], expected, rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize("n_frames", [3, 61, 62, 63, 125, 400])
@pytest.mark.parametrize("kind", ["harmonic", "linear"])
def test_values_stay_within_255_in_the_worst_clip(n_frames, kind):
    apex = n_frames // 2
    for phase, run in enumerate((slice(0, apex + 1), slice(apex, n_frames), slice(0, n_frames))):
        frames = np.zeros((n_frames, 2, 3, 3), np.uint8)
        frames[run] = np.where(coefficients(len(frames[run]), kind) > 0, 255, 0).reshape(
            -1, 1, 1, 1
        )
        for worst in (frames, 255 - frames):
            images = pooled(worst, kind)
            assert np.abs(images).max() <= 255
            assert np.abs(images[phase]).max() == 255


def test_a_clip_is_never_held_only_the_frame_that_is_added():
    alive, most = weakref.WeakSet(), 0

    class Tracked(np.ndarray):
        """A frame that can be counted while somebody holds it or a view of it."""

        __hash__ = object.__hash__

    def film():
        nonlocal most
        for frame in clip(40, (20, 30)):
            tracked = frame.copy().view(Tracked)
            alive.add(tracked)
            most = max(most, len(alive))
            yield tracked
            del tracked

    images, _ = phase_images(film(), 1, 20, 40, size=16, kind="harmonic")
    assert images.any()
    assert most <= 3


def write_clip(folder, numbers, shape=(40, 48)):
    for number in numbers:
        write_frame(folder / f"img{number}.jpg", seed=number, shape=shape)
    return folder


RECIPE = Recipe(16)


def test_a_clip_is_pooled_from_its_files_and_frames_outside_do_not_matter(tmp_path):
    folder = write_clip(tmp_path / "a", range(3, 15))
    made = clip_images(folder, (5, 8, 12), RECIPE)
    frames = [read_frame(index_frames(folder)[k]) for k in range(5, 13)]
    expected = phase_images(frames, 5, 8, 12, size=16, kind="harmonic")
    np.testing.assert_array_equal(made.images, expected[0])
    np.testing.assert_array_equal(made.scales, expected[1])
    assert (made.apex, made.box, made.note) == (8, "", "")


@pytest.mark.parametrize("suffix", [".avi", ".mp4"])
def test_a_video_is_pooled_like_its_frames(tmp_path, suffix):
    folder, film = write_clip(tmp_path / "a", range(1, 13)), tmp_path / f"a{suffix}"
    code = cv2.VideoWriter.fourcc(*("MJPG" if suffix == ".avi" else "mp4v"))
    writer = cv2.VideoWriter(str(film), code, 30, (48, 40))
    for path in index_frames(folder).values():
        writer.write(cv2.imread(str(path)))
    writer.release()
    of_film = clip_images(film, (2, 6, 11), RECIPE).images.astype(float)
    of_folder = clip_images(folder, (2, 6, 11), RECIPE).images.astype(float)
    shifted = clip_images(folder, (1, 5, 10), RECIPE).images.astype(float)
    assert np.abs(of_film - of_folder).mean() < 0.3 * np.abs(shifted - of_folder).mean()


def test_a_missing_frame_is_named(tmp_path):
    folder = write_clip(tmp_path / "a", [1, 2, 4, 5])
    with pytest.raises(FrameError, match=r"frame 3 of 1\.\.5 is missing"):
        clip_images(folder, (1, 2, 5), RECIPE)


def test_a_broken_frame_is_named(tmp_path):
    folder = write_clip(tmp_path / "a", range(1, 6))
    (folder / "img4.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(FrameError, match=r"img4\.jpg"):
        clip_images(folder, (1, 2, 5), RECIPE)


def test_a_frame_of_another_size_is_named(tmp_path):
    folder = write_clip(tmp_path / "a", range(1, 6))
    write_frame(folder / "img4.jpg", seed=4, shape=(30, 48))
    with pytest.raises(FrameError, match="changing size: 48x40, but frame 4 48x30"):
        clip_images(folder, (1, 2, 5), RECIPE)


def test_without_an_apex_it_is_spotted_and_said(tmp_path):
    folder = write_clip(tmp_path / "a", range(1, 8))
    spotted = clip_images(folder, (1, None, 7), RECIPE)
    assert 1 < spotted.apex < 7
    given_it = clip_images(folder, (1, spotted.apex, 7), RECIPE)
    np.testing.assert_array_equal(spotted.images, given_it.images)


def test_a_clip_in_which_nothing_moves_has_no_apex_to_spot(tmp_path):
    for number in range(1, 8):
        write_frame(tmp_path / f"img{number}.png", seed=0)
    with pytest.raises(UnfitError, match=r"no motion: no frame of 1\.\.7"):
        clip_images(tmp_path, (1, None, 7), RECIPE)


def test_without_a_face_a_clip_is_unfit_or_its_centre_is_taken_when_asked_for(tmp_path):
    folder = write_clip(tmp_path / "a", range(1, 6))
    with pytest.raises(UnfitError, match="no face: "):
        clip_images(folder, (1, 3, 5), Recipe(16, crop="face"))
    made = clip_images(folder, (1, 3, 5), Recipe(16, crop="face-or-centre"))
    assert made.box == "4 0 40 40"
    assert "took the centre" in made.note
    centre = [read_frame(file)[:, 4:44] for file in index_frames(folder).values()]
    expected, _ = phase_images(centre, 1, 3, 5, size=16, kind="harmonic")
    np.testing.assert_array_equal(made.images, expected)


def test_one_box_of_the_onset_cuts_every_frame(tmp_path):
    film(Scene(0, 1, "a", Files("", "img{}.png"), "surprise", 10, 8, 96), tmp_path)
    numbers = sorted(index_frames(tmp_path))
    span = (numbers[0], numbers[len(numbers) // 2], numbers[-1])
    made = clip_images(tmp_path, span, Recipe(16, crop="face"))
    frames = [read_frame(file) for file in index_frames(tmp_path).values()]
    box = face_box(frames[0])
    assert made.box == box.text()
    cut = [box.cut(frame) for frame in frames]
    expected, _ = phase_images(cut, *span, size=16, kind="harmonic")
    np.testing.assert_array_equal(made.images, expected)


def test_the_signature_does_not_depend_on_the_apex_nor_on_the_recipe(tmp_path):
    folder = write_clip(tmp_path / "a", range(1, 10))
    one = clip_images(folder, (1, 3, 9), Recipe(16)).signature
    other = clip_images(folder, (1, 6, 9), Recipe(24, "linear", "face-or-centre")).signature
    np.testing.assert_array_equal(one, other)
    assert np.linalg.norm(one.astype(float)) == pytest.approx(1, abs=1e-2)
