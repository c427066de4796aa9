"""Threads of a training: the number with which a search trains most."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from dianet_ray.search.threads import best_threads, measured_threads
from tests.support.toy import TINY

SPEEDS = st.dictionaries(
    st.sampled_from([1, 2, 4, 8]), st.floats(0.1, 1000), min_size=1, max_size=4
).map(lambda found: found | {1: found.get(1, 1.0)})


@given(SPEEDS, st.integers(8, 64), st.integers(1, 100))
def test_the_choice_is_within_two_percent_of_the_best_and_no_less_would_do(
    speeds, n_cores, n_ready
):
    total = {n: min(n_cores // n, n_ready) * speed for n, speed in speeds.items()}
    chosen = best_threads(speeds, n_cores, n_ready)
    best = max(total.values())
    assert total[chosen] >= 0.98 * best
    assert all(total[n] < 0.98 * best for n in speeds if n < chosen)


def test_with_more_trainings_than_cores_a_thread_each_is_best_unless_threads_gain_more():
    speeds = {1: 10.0, 2: 18.0, 4: 30.0}
    assert best_threads(speeds, n_cores=64, n_ready=1000) == 1
    assert best_threads(speeds, n_cores=64, n_ready=24) == 4
    assert best_threads(speeds, n_cores=64, n_ready=1) == 4
    assert best_threads({1: 10.0, 2: 25.0}, n_cores=64, n_ready=1000) == 2


def test_a_measurement_answers_with_a_number_that_fits_and_leaves_the_process_as_it_was():
    before = torch.get_num_threads()
    assert measured_threads(TINY, 16, 2, 48) in (1, 2)
    assert measured_threads(TINY, 16, 1, 48) == 1
    assert torch.get_num_threads() == before
