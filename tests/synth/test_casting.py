import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dianet_ray.synth import casting

SHARES = {"others": 99, "disgust": 63, "happiness": 32, "repression": 27, "surprise": 25}
SETS = [SHARES, {"a": 70, "b": 51, "c": 43}, dict.fromkeys("abcdefgh", 9) | {"a": 57, "b": 26}]


@st.composite
def sizes(draw):
    shares = draw(st.sampled_from(SETS))
    n_subjects = draw(st.integers(casting.FEWEST_SUBJECTS, 30))
    fewest = max(casting.fewest_clips(len(shares)), casting.FEWEST_EACH * n_subjects)
    return n_subjects, draw(st.integers(fewest, fewest + 250)), shares


def flat(hands):
    return [label for hand in hands for label in hand]


def clips(hands):
    return [(subject, label) for subject, hand in enumerate(hands) for label in hand]


def subjects_of(label, hands):
    return sum(label in hand for hand in hands)


@given(sizes(), st.integers(0, 2**32))
def test_every_clip_is_dealt_once_and_every_class_keeps_two_subjects(size, seed):
    n_subjects, n_clips, shares = size
    hands = casting.cast(np.random.default_rng(seed), n_subjects, n_clips, shares)
    assert len(hands) == n_subjects
    assert sum(map(len, hands)) == n_clips
    assert min(map(len, hands)) >= casting.FEWEST_EACH
    assert all(subjects_of(label, hands) >= 2 for label in shares)


@given(sizes(), st.integers(0, 2**32))
def test_all_but_two_clips_of_a_label_can_be_lost_one_by_one(size, seed):
    rng = np.random.default_rng(seed)
    left = clips(casting.cast(rng, *size))
    n_labels = len(size[2])
    n_lost = min(len(left) - 2 * n_labels, 20)
    for _ in range(n_lost):
        spare = casting.spare(left)
        del left[spare[int(rng.integers(len(spare)))]]
    subjects = {label: {subject for subject, of in left if of == label} for label in size[2]}
    assert all(len(held) >= 2 for held in subjects.values())


@pytest.mark.parametrize("seed", range(20))
def test_the_defaults_imitate_casme2(seed):
    hands = casting.cast(np.random.default_rng(seed), 26, 250, SHARES)
    sizes = [len(hand) for hand in hands]
    totals = [sum(hand.count(label) for hand in hands) for label in SHARES]
    assert min(sizes) >= 2
    assert max(sizes) <= 34
    assert max(sizes) >= 2 * np.median(sizes)
    shares = np.array([99, 63, 32, 27, 25]) * 250 / 246
    assert np.abs(np.array(totals) - shares).max() < 1
    assert sum(len(set(hand)) == 1 for hand in hands) >= 3


@settings(deadline=None)  # drawn again and again until they are
@given(sizes(), st.integers(0, 2**32))
def test_null_labels_are_a_permutation_that_leaves_every_class_two_subjects(size, seed):
    rng = np.random.default_rng(seed)
    hands = casting.cast(rng, *size)
    drawn = casting.shuffle(rng, hands)
    assert [len(hand) for hand in drawn] == [len(hand) for hand in hands]
    assert sorted(flat(drawn)) == sorted(flat(hands))
    assert all(subjects_of(label, drawn) >= 2 for label in size[2])


def test_null_labels_say_nothing_of_what_is_shown():
    rng = np.random.default_rng(0)
    hands = casting.cast(rng, 26, 250, SHARES)
    shown = np.array(flat(hands))
    agree = [np.mean(np.array(flat(casting.shuffle(rng, hands))) == shown) for _ in range(50)]
    expected = sum(np.mean(shown == label) ** 2 for label in SHARES)
    assert np.mean(agree) == pytest.approx(expected, abs=0.02)
