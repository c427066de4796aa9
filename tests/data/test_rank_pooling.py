"""The laws of rank pooling."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dianet_ray.data.rank_pooling import RankPool, coefficients, pool, positive_sum

KINDS = ("harmonic", "linear")
kinds = st.sampled_from(KINDS)
lengths = st.integers(1, 40)
seeds = st.integers(0, 2**32 - 1)


def published(n_frames):
    """alpha_t = 2(T - t + 1) - (T + 1)(H_T - H_{t-1}), term by term in exact fractions."""

    def harmonic(k):
        return sum((Fraction(1, i) for i in range(1, k + 1)), Fraction(0))

    return [
        2 * (n_frames - t + 1) - (n_frames + 1) * (harmonic(n_frames) - harmonic(t - 1))
        for t in range(1, n_frames + 1)
    ]


def clip(n_frames, seed, shape=(4, 5, 3)):
    return np.random.default_rng(seed).integers(0, 256, (n_frames, *shape), dtype=np.uint8)


def stacked(frames, kind):
    weights = coefficients(len(frames), kind) / positive_sum(len(frames), kind)
    return np.tensordot(weights, frames.astype(np.float64), 1)


@pytest.mark.parametrize(
    ("n_frames", "expected"),
    [
        (2, [-1 / 2, 1 / 2]),
        (3, [-4 / 3, 2 / 3, 2 / 3]),
        (5, [-37 / 10, 3 / 10, 13 / 10, 13 / 10, 4 / 5]),
    ],
)
def test_worked_examples(n_frames, expected):
    np.testing.assert_allclose(coefficients(n_frames), expected, atol=1e-12)


def test_equal_to_the_published_closed_form_for_2_to_100_frames():
    for n_frames in range(2, 101):
        expected = [float(value) for value in published(n_frames)]
        np.testing.assert_allclose(coefficients(n_frames), expected, atol=1e-5)


@given(n_frames=st.integers(2, 500), kind=kinds)
def test_coefficients_sum_to_zero(n_frames, kind):
    assert abs(coefficients(n_frames, kind).sum()) < 1e-9 * n_frames**2


@given(n_frames=st.integers(2, 500), kind=kinds)
def test_positive_sum_is_what_scales_the_positive_coefficients_to_one(n_frames, kind):
    weights = coefficients(n_frames, kind)
    assert weights[weights > 0].sum() == pytest.approx(positive_sum(n_frames, kind))


@pytest.mark.parametrize("kind", KINDS)
def test_a_single_frame_holds_no_motion(kind):
    assert coefficients(1, kind).tolist() == [0.0]
    assert positive_sum(1, kind) == 1.0
    assert not pool(clip(1, 0), kind).any()


@given(n_frames=st.integers(1, 300), kind=kinds, level=st.integers(0, 255))
def test_a_static_clip_maps_to_zero(n_frames, kind, level):
    frames = np.full((n_frames, 2, 3, 3), level, np.uint8)
    assert np.abs(pool(frames, kind)).max() < 1e-3


@given(n_frames=lengths, kind=kinds, seed=seeds)
def test_streaming_equals_the_stacked_weighted_sum(n_frames, kind, seed):
    frames = clip(n_frames, seed)
    running = RankPool(n_frames, kind, frames.shape[1:])
    for frame in frames:
        running.add(frame)
    # float16 keeps 11 bits: half a unit in the last place of 255 is 0.0625.
    np.testing.assert_allclose(running.image(), stacked(frames, kind), rtol=1e-3, atol=1e-3)


@given(n_frames=lengths, kind=kinds, seed=seeds, a=st.floats(-1, 1), b=st.floats(-1, 1))
def test_linear_in_the_frames(n_frames, kind, seed, a, b):
    x, y = clip(n_frames, seed).astype(float), clip(n_frames, seed + 1).astype(float)
    together = pool(a * x + b * y, kind).astype(float)
    apart = a * pool(x, kind).astype(float) + b * pool(y, kind).astype(float)
    np.testing.assert_allclose(together, apart, atol=0.3)


@given(n_frames=lengths, seed=seeds)
def test_reversing_time_flips_the_sign_of_linear_pooling(n_frames, seed):
    frames = clip(n_frames, seed)
    np.testing.assert_allclose(
        pool(frames[::-1], "linear"), -pool(frames, "linear"), rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize("n_frames", [2, 61, 62, 63, 400])
@pytest.mark.parametrize("kind", KINDS)
def test_values_stay_within_255_and_finite_in_the_worst_clip(n_frames, kind):
    weights = coefficients(n_frames, kind)
    worst = np.where(weights > 0, 255, 0).astype(np.uint8).reshape(-1, 1, 1, 1)
    for frames in (np.tile(worst, (1, 2, 2, 3)), 255 - np.tile(worst, (1, 2, 2, 3))):
        image = pool(frames, kind)
        assert image.dtype == np.float16
        assert np.isfinite(image).all()
        assert np.abs(image).max() == 255
