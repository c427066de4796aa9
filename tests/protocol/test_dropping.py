"""The bootstrap that drops a configuration: when it does, and when it must not."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dianet_ray.artefacts import METRICS
from dianet_ray.protocol import comparison
from dianet_ray.protocol.comparison import N_REPLICATES, Pair, ends_behind

N_CLASSES = 3


def pair(seed, mine, rival, n=80, n_subjects=9, n_left=17, lead=0.0):
    """Predictions that are right with the given probabilities; wrong ones are random."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, N_CLASSES, n)

    def predict(skill):
        return np.where(rng.random(n) < skill, labels, rng.integers(0, N_CLASSES, n))

    mine, rival = certain(predict(mine)), certain(predict(rival))
    return Pair(mine, rival, labels, np.arange(n) % n_subjects, n_left, lead)


def certain(predicted):
    """Give every clip whole to its predicted class."""
    return np.eye(N_CLASSES, dtype=np.int64)[predicted]


def accuracy(shares, labels):
    return shares[np.arange(len(labels)), labels].mean()


def ask(found, objective="uf1", seed=0, confidence=0.95):
    asked = {"objective": objective, "confidence": confidence, "seed": seed}
    return ends_behind(found, **asked)


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.995])
def test_stopping_early_changes_no_verdict(monkeypatch, confidence):
    pairs = [pair(seed, 0.5, 0.5 + seed % 4 / 10, n_left=seed % 18) for seed in range(40)]
    early = [ask(found, confidence=confidence) for found in pairs]
    assert set(early) == {False, True}
    for chunk in (1 + N_REPLICATES // 3, N_REPLICATES):
        monkeypatch.setattr(comparison, "CHUNK", chunk)
        assert [ask(found, confidence=confidence) for found in pairs] == early


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.sampled_from(METRICS))
def test_nobody_is_dropped_against_itself(seed, objective):
    same = pair(seed, 0.3, 0.3)
    assert not ask(replace(same, rival=same.mine), objective=objective)


@pytest.mark.parametrize("objective", METRICS)
def test_a_hopeless_configuration_is_dropped_and_a_better_one_is_not(objective):
    for seed in range(4):
        assert ask(pair(seed, 0.1, 0.9), objective=objective)
        assert not ask(pair(seed, 0.9, 0.1), objective=objective)


@pytest.mark.parametrize("confidence", [0.9, 0.99])
def test_those_that_would_have_ended_ahead_are_dropped_as_rarely_as_the_confidence_says(
    confidence,
):
    """Equal skills: ask after a third of the subjects; the others tell who was right."""
    n_asked = n_dropped = n_wrong = 0
    for seed in range(400):
        whole = pair(seed, 0.6, 0.6, n=240, n_subjects=27)
        first = whole.subjects < 9
        known = (a[first] for a in (whole.mine, whole.rival, whole.labels, whole.subjects))
        mine, rival = (accuracy(a, whole.labels) for a in (whole.mine, whole.rival))
        is_dropped = ask(Pair(*known, n_left=18), objective="accuracy", confidence=confidence)
        n_asked, n_dropped = n_asked + 1, n_dropped + is_dropped
        n_wrong += is_dropped and mine > rival
    assert n_dropped > 0 or confidence == 0.99
    assert n_wrong <= 1.5 * (1 - confidence) * max(n_dropped, 0.05 * n_asked)


def test_what_is_finished_is_certain():
    """With nobody left to test, the side that is behind ends behind, however narrowly."""
    for seed in range(20):
        found = pair(seed, 0.5, 0.5, n_left=0)
        mine, rival = (accuracy(a, found.labels) for a in (found.mine, found.rival))
        for confidence in (0.8, 0.99):
            is_dropped = ask(found, objective="accuracy", confidence=confidence)
            assert is_dropped == (mine < rival)


def test_what_the_rungs_below_gave_counts():
    equal = [pair(seed, 0.6, 0.6) for seed in range(30)]
    ahead, behind = (
        np.mean([ask(replace(found, lead=lead)) for found in equal]) for lead in (0.3, -0.3)
    )
    assert ahead == 0
    assert behind > 0.8


def test_the_seed_alone_decides_the_doubtful():
    """Some pairs are so near the threshold that the replicates decide; the seed decides these."""
    pairs = [pair(seed, 0.5, 0.6) for seed in range(20)]
    first = [[ask(found, seed=seed) for seed in range(4)] for found in pairs]
    doubtful = [n for n, verdicts in enumerate(first) if len(set(verdicts)) == 2]
    assert doubtful
    for n in doubtful:
        assert first[n] == [ask(pairs[n], seed=seed) for seed in range(4)]


def test_the_noise_within_subjects_counts():
    """One subject alone has no spread over subjects: the clips must carry the doubt."""
    labels = np.arange(12) % N_CLASSES
    wrong = (labels + 1) % N_CLASSES
    rival = certain(np.where(np.arange(12) < 7, labels, wrong))
    right = (np.arange(12) >= 3) & (np.arange(12) < 9)  # 2 won, 3 lost
    mine = certain(np.where(right, labels, wrong))
    found = Pair(mine, rival, labels, np.zeros(12, dtype=int), n_left=2)
    assert not ask(found, objective="accuracy")


def test_few_subjects_who_differ_much_drop_nobody_wrongly():
    """Each of two equal configurations understands some people and not others."""
    n_dropped, n_wrong = 0, 0
    for n_tested in (2, 3, 18):
        for seed in range(100):
            rng = np.random.default_rng(seed)
            subjects = np.repeat(np.arange(26), 8)
            labels = rng.integers(0, N_CLASSES, len(subjects))
            skills = rng.random((2, 26))[:, subjects]
            right = rng.random(skills.shape) < skills
            mine, rival = certain(np.where(right, labels, (labels + 1) % N_CLASSES))
            first = subjects < n_tested
            known = (a[first] for a in (mine, rival, labels, subjects))
            is_dropped = ask(Pair(*known, n_left=26 - n_tested), "accuracy", confidence=0.995)
            n_dropped += is_dropped
            n_wrong += is_dropped and right[0].mean() > right[1].mean()
    assert n_dropped > 0
    assert n_wrong <= 1


def test_confidence_decides_between_configurations_that_predict_the_same_classes():
    """Both are right about the same clips; one of them is surer of these."""
    for seed in range(5):
        found = pair(seed, 0.6, 0.6)
        right = found.mine[np.arange(80), found.labels] == 1
        unsure = 4 * found.mine + 2
        sure = np.where(right[:, None], 8 * found.mine, unsure)
        assert ask(replace(found, mine=unsure, rival=sure))
        assert not ask(replace(found, mine=sure, rival=unsure))
