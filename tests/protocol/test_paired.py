"""Paired differences over subjects: what they equal, and what their intervals and p promise."""

from __future__ import annotations

import numpy as np
import pytest

from dianet_ray.artefacts import METRICS
from dianet_ray.protocol.metrics import scores
from dianet_ray.protocol.paired import Difference, differences


def counts_of(generator, accuracy, labels):
    """Count predictions of (S, N) labels of three classes that are right with a probability."""
    predicted = np.where(
        generator.random(labels.shape) < accuracy, labels, generator.integers(3, size=labels.shape)
    )
    counts = np.zeros((len(labels), 3, 3), dtype=np.int64)
    np.add.at(counts, (np.arange(len(labels))[:, None], labels, predicted), 1)
    return counts


def pair_of(seed, accuracies, n_subjects=20):
    """Two configurations; each subject is as hard for one as for the other."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(3, size=(n_subjects, 9))
    ease = generator.uniform(-0.2, 0.2, size=(n_subjects, 1))
    return [counts_of(generator, accuracy + ease, labels) for accuracy in accuracies]


def test_a_configuration_does_not_differ_from_itself():
    one, _ = pair_of(0, (0.5, 0.5))
    assert set(differences(one, one, 0).values()) == {Difference(0.0, (0.0, 0.0), 1.0)}


def test_the_difference_is_that_of_the_pooled_scores_and_changes_sign_with_the_sides():
    one, other = pair_of(1, (0.6, 0.4))
    found, back = differences(one, other, 0), differences(other, one, 0)
    for metric in METRICS:
        pooled = [float(scores(counts.sum(axis=0))[metric]) for counts in (one, other)]
        assert found[metric].value == pytest.approx(pooled[0] - pooled[1])
        assert found[metric].value == -back[metric].value
        swapped = [-end for end in reversed(back[metric].ci95)]
        assert found[metric].ci95 == pytest.approx(swapped)
        assert found[metric].p == back[metric].p


def test_which_of_two_equally_good_ones_is_subtracted_changes_the_sign_alone():
    one, other = pair_of(12, (0.5, 0.5))
    assert np.trace(one.sum(axis=0)) == np.trace(other.sum(axis=0))
    found, back = differences(one, other, 0), differences(other, one, 0)
    for metric in METRICS:
        assert found[metric].p == back[metric].p
        swapped = [-end for end in reversed(back[metric].ci95)]
        assert found[metric].ci95 == pytest.approx(swapped)


@pytest.mark.parametrize("seed", range(5))
def test_a_difference_knows_no_names_of_subjects_or_classes(seed):
    one, other = pair_of(seed, (0.6, 0.4))
    generator = np.random.default_rng(seed)
    subjects, classes = generator.permutation(20), generator.permutation(3)
    found = differences(one, other, 0)
    assert differences(one[subjects], other[subjects], 0) == found
    renamed = (counts[..., classes, :][..., classes] for counts in (one, other))
    for metric, again in differences(*renamed, 0).items():
        assert again.value == pytest.approx(found[metric].value)
        assert again.ci95 == pytest.approx(found[metric].ci95)
        assert again.p == found[metric].p


@pytest.mark.parametrize("metric", METRICS)
def test_where_both_are_alike_five_in_a_hundred_have_a_p_below_a_twentieth(metric):
    found = [differences(*pair_of(seed, (0.5, 0.5)), seed, n=200)[metric] for seed in range(400)]
    assert 0.02 < np.mean([one.p <= 0.05 for one in found]) < 0.08
    assert 0.90 < np.mean([one.ci95[0] <= 0 <= one.ci95[1] for one in found]) < 0.98


def test_the_interval_holds_a_true_difference_and_is_narrower_than_that_of_strangers():
    truth, narrower = (0.6 - 0.4) * 2 / 3, []
    found = []
    for seed in range(200):
        one, other = pair_of(seed, (0.6, 0.4), n_subjects=40)
        found.append(differences(one, other, seed, n=300)["accuracy"])
        shuffled = np.random.default_rng(seed).permutation(other)
        alone = differences(one, shuffled, seed, n=300)["accuracy"]
        narrower.append(np.ptp(found[-1].ci95) < np.ptp(alone.ci95))
    covered = [one.ci95[0] <= truth <= one.ci95[1] for one in found]
    assert 0.90 < np.mean(covered) < 0.98
    assert np.mean(narrower) > 0.6
    assert np.median([one.p for one in found]) < 0.01
