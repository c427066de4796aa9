import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dianet_ray.data import casting


@st.composite
def sizes(draw):
    n_subjects = draw(st.integers(casting.FEWEST_SUBJECTS, 30))
    fewest = max(casting.FEWEST_CLIPS, casting.FEWEST_EACH * n_subjects)
    return n_subjects, draw(st.integers(fewest, fewest + 250))


def flat(hands):
    return [label for hand in hands for label in hand]


def people_of(label, hands):
    return sum(label in hand for hand in hands)


@given(sizes(), st.integers(0, 2**32))
def test_every_clip_is_dealt_once_and_every_class_keeps_two_people(size, seed):
    n_subjects, n_clips = size
    hands = casting.cast(np.random.default_rng(seed), n_subjects, n_clips)
    assert len(hands) == n_subjects
    assert sum(map(len, hands)) == n_clips
    assert min(map(len, hands)) >= casting.FEWEST_EACH
    assert all(people_of(label, hands) >= 2 for label in casting.PROPORTIONS)
    spare = casting.spare(hands)
    assert spare
    subject, clip = spare[seed % len(spare)]
    left = [list(hand) for hand in hands]
    del left[subject][clip]
    assert all(people_of(label, left) >= 2 for label in casting.PROPORTIONS)


@pytest.mark.parametrize("seed", range(20))
def test_the_defaults_imitate_casme2(seed):
    hands = casting.cast(np.random.default_rng(seed), 26, 250)
    sizes = [len(hand) for hand in hands]
    totals = [sum(hand.count(label) for hand in hands) for label in casting.PROPORTIONS]
    assert min(sizes) >= 2
    assert max(sizes) <= 34
    assert max(sizes) >= 2 * np.median(sizes)
    shares = np.array([99, 63, 32, 27, 25]) * 250 / 246
    assert np.abs(np.array(totals) - shares).max() < 1
    assert sum(len(set(hand)) == 1 for hand in hands) >= 3


@given(sizes(), st.integers(0, 2**32))
def test_null_labels_are_a_permutation_that_leaves_every_class_two_people(size, seed):
    rng = np.random.default_rng(seed)
    hands = casting.cast(rng, *size)
    drawn = casting.shuffle(rng, hands)
    assert [len(hand) for hand in drawn] == [len(hand) for hand in hands]
    assert sorted(flat(drawn)) == sorted(flat(hands))
    assert all(people_of(label, drawn) >= 2 for label in casting.PROPORTIONS)


def test_null_labels_say_nothing_of_what_is_shown():
    rng = np.random.default_rng(0)
    hands = casting.cast(rng, 26, 250)
    shown = np.array(flat(hands))
    agree = [np.mean(np.array(flat(casting.shuffle(rng, hands))) == shown) for _ in range(50)]
    expected = sum(np.mean(shown == label) ** 2 for label in casting.PROPORTIONS)
    assert np.mean(agree) == pytest.approx(expected, abs=0.02)
