"""The coefficients of rank pooling, and sums over one pass; its laws are in test_clips."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dianet_ray.imaging.rank_pooling import (
    RunningSums,
    coefficients,
    positive_sum,
    scaled_coefficients,
)

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


@given(n_frames=lengths, kind=kinds, seed=seeds)
def test_streaming_equals_the_stacked_weighted_sum(n_frames, kind, seed):
    frames = clip(n_frames, seed)
    running = RunningSums(scaled_coefficients(n_frames, kind)[None], frames.shape[1:])
    for frame in frames:
        running.add(frame)
    np.testing.assert_allclose(running.sums()[0], stacked(frames, kind), rtol=1e-5, atol=1e-3)
