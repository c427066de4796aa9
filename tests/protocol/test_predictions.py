import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dianet_ray.artefacts import METRICS
from dianet_ray.protocol.folds import Fold
from dianet_ray.protocol.metrics import confusion, scores
from dianet_ray.protocol.predictions import (
    PARTS,
    by_content,
    chance,
    classify,
    interval,
    majority_predictions,
    shares,
    soft_score,
    subject_confusions,
)
from tests.support.studies import make_study


def test_ties_between_classes_go_to_the_lower_index():
    assert classify(np.array([[0.4, 0.4, 0.2], [0.2, 0.4, 0.4]])).tolist() == [0, 1]


@pytest.mark.parametrize("objective", METRICS)
def test_certain_predictions_have_the_soft_score_of_their_classes(objective):
    study = make_study()
    labels, predicted = study.labels(), classify(study.pooled(1))
    found = soft_score(labels, np.eye(3)[predicted], objective=objective)
    assert found == float(scores(confusion(labels, predicted, 3))[objective])


@pytest.mark.parametrize("objective", METRICS)
@given(st.data())
def test_a_soft_score_knows_no_order_of_clips_and_no_names_of_classes(objective, data):
    study = make_study(n_subjects=4)
    labels, probabilities = study.labels(), study.pooled(0)
    found = soft_score(labels, probabilities, objective=objective)
    order = data.draw(st.permutations(range(len(labels))))
    assert soft_score(labels[order], probabilities[order], objective=objective) == found
    name = np.array(data.draw(st.permutations(range(3))))
    renamed = probabilities[:, np.argsort(name)]
    assert soft_score(name[labels], renamed, objective=objective) == pytest.approx(
        found, abs=1e-12
    )


def test_a_prediction_counts_more_the_surer_it_is_of_the_true_class():
    sure = np.linspace(0.05, 0.95, 19)
    probabilities = np.stack([sure, 1 - sure], axis=1)
    of_true = shares(probabilities)[:, 0]
    assert (np.diff(of_true) > 0).all()
    # The classes that a network hesitates between share a prediction, and it is lost to none.
    assert (np.abs(shares(probabilities).sum(axis=1) - PARTS) <= 1).all()
    found = [soft_score(np.array([0]), row[None], objective="accuracy") for row in probabilities]
    assert found == sorted(found)
    assert len(set(found)) == len(found)


def test_subjects_are_counted_apart_and_add_up():
    study = make_study()
    predicted = classify(study.pooled(0))
    subjects, counts = subject_confusions(study.clips, predicted, 3)
    assert subjects == tuple(sorted(subjects))
    assert (counts.sum(0) == confusion(study.labels(), predicted, 3)).all()
    mine = [i for i, clip in enumerate(study.clips) if clip.subject == subjects[2]]
    assert (counts[2] == confusion(study.labels()[mine], predicted[mine], 3)).all()


def test_subject_counts_do_not_depend_on_the_order_of_the_rows():
    study = make_study()
    predicted = classify(study.pooled(0))
    subjects, counts = subject_confusions(study.clips, predicted, 3)
    again, reversed_counts = subject_confusions(study.clips[::-1], predicted[::-1], 3)
    assert subjects == again
    assert (counts == reversed_counts).all()


def test_intervals_hold_the_score_and_depend_on_the_seed_alone():
    study = make_study(n_subjects=20)
    predicted = classify(study.pooled(0))
    _, counts = subject_confusions(study.clips, predicted, 3)
    found = interval(counts, 0)
    for metric, score in scores(counts.sum(0)).items():
        low, high = found[metric]
        assert 0 <= low < score < high <= 1
    assert found == interval(counts, 0) != interval(counts, 1)


@pytest.mark.parametrize("seed", range(5))
def test_an_interval_knows_no_names_of_subjects_or_classes(seed):
    generator = np.random.default_rng(seed)
    counts = generator.poisson(0.7, size=(12, 3, 3))
    subjects, classes = generator.permutation(12), generator.permutation(3)
    found = interval(counts, 0)
    assert interval(counts[subjects], 0) == found
    again = interval(counts[..., classes, :][..., classes], 0)
    for metric in METRICS:
        assert again[metric] == pytest.approx(found[metric], abs=1e-12)


@given(st.lists(st.lists(st.integers(0, 1), min_size=4, max_size=4), min_size=2, max_size=6))
def test_subjects_in_order_are_the_same_ones_whoever_comes_first(rows):
    """Also those that are alike in much."""
    counts = np.array(rows).reshape(-1, 2, 2)
    ordered = counts[by_content([counts])]
    backwards = counts[::-1]
    assert (backwards[by_content([backwards])] == ordered).all()


def test_an_interval_equals_the_plain_bootstrap_over_subjects():
    study = make_study(n_subjects=15, signal=0.5)
    _, counts = subject_confusions(study.clips, classify(study.pooled(0)), 3)
    generator = np.random.default_rng(1)
    picks = generator.integers(0, 15, size=(2000, 15))
    plain = np.quantile(
        [scores(counts[pick].sum(0), present_only=True)["uar"] for pick in picks], (0.025, 0.975)
    )
    assert interval(counts, 0)["uar"] == pytest.approx(tuple(plain), abs=0.02)


def test_a_perfect_score_keeps_its_interval_when_a_replicate_misses_a_class():
    counts = np.zeros((4, 3, 3), dtype=np.int64)
    counts[0, 0, 0] = counts[1, 1, 1] = counts[2, 2, 2] = counts[3, 0, 0] = 5
    assert set(interval(counts, 0).values()) == {(1.0, 1.0)}


def test_the_majority_is_the_training_majority_of_each_fold_with_ties_to_the_lower_class():
    labels = np.array([0, 0, 1, 1, 1, 2])
    folds = (Fold(0, ("a",), (0, 2)), Fold(1, ("b",), (3, 4)), Fold(2, ("c",), (1, 5)))
    # Training counts: fold 0 has 1, 2, 1; fold 1 has 2, 1, 1; fold 2 has 1, 3, 0.
    assert majority_predictions(labels, folds, 3).tolist() == [1, 1, 1, 0, 0, 1]
    tie = np.array([1, 0, 1, 0])
    pair = (Fold(0, ("a",), (0, 1)), Fold(1, ("b",), (2, 3)))
    assert majority_predictions(tie, pair, 2).tolist() == [0, 0, 0, 0]


def test_chance_is_the_larger_of_majority_and_shuffled():
    study = make_study(n_subjects=12)
    predicted = classify(study.pooled(0))
    found = chance(study.labels(), predicted, folds=study.folds, n_classes=3)
    for level in found.values():
        assert level.level == max(level.majority, level.shuffled)
    shares = np.bincount(study.labels(), minlength=3) @ np.bincount(predicted, minlength=3)
    assert found["accuracy"].shuffled == pytest.approx(shares / len(predicted) ** 2, abs=0.01)


@pytest.mark.parametrize("seed", range(3))
def test_shuffled_is_the_mean_score_over_all_orders_of_the_labels(seed):
    generator = np.random.default_rng(seed)
    labels, predicted = generator.integers(3, size=7), generator.integers(2, size=7)
    folds = (Fold(0, ("a",), (0, 1, 2)), Fold(1, ("b",), (3, 4, 5, 6)))
    found = chance(labels, predicted, folds=folds, n_classes=3)
    orders = np.array(list(itertools.permutations(labels)))
    of_all = scores(confusion(orders, predicted, 3))
    for metric in METRICS:
        assert found[metric].shuffled == pytest.approx(of_all[metric].mean(), abs=1e-12)


def test_without_predictions_chance_is_the_majority():
    study = make_study()
    found = chance(study.labels(), None, folds=study.folds, n_classes=3)
    for level in found.values():
        assert level.shuffled is None
        assert level.level == level.majority


def test_a_fold_never_asks_its_own_labels_for_its_majority():
    study = make_study(n_subjects=8)
    fold = study.folds[0]
    flipped = [
        dataclasses.replace(clip, label=2) if index in fold.test_clips else clip
        for index, clip in enumerate(study.clips)
    ]
    changed = dataclasses.replace(study, clips=tuple(flipped))
    held_out = list(fold.test_clips)
    before = majority_predictions(study.labels(), study.folds, 3)[held_out]
    assert (before == majority_predictions(changed.labels(), study.folds, 3)[held_out]).all()
