import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from dianet_ray.protocol.metrics import confusion, scores


@st.composite
def predictions(draw):
    n_classes = draw(st.integers(2, 6))
    n_clips = draw(st.integers(1, 40))
    column = st.lists(st.integers(0, n_classes - 1), min_size=n_clips, max_size=n_clips)
    return np.array(draw(column)), np.array(draw(column)), n_classes


@given(predictions())
def test_scores_equal_scikit_learn_with_all_labels_given(drawn):
    labels, predicted, n_classes = drawn
    names = list(range(n_classes))
    counts = confusion(labels, predicted, n_classes)
    assert (counts == reference.confusion_matrix(labels, predicted, labels=names)).all()
    scored = scores(counts)
    expected = {
        "accuracy": reference.accuracy_score(labels, predicted),
        "uf1": reference.f1_score(
            labels, predicted, labels=names, average="macro", zero_division=0
        ),
        "uar": reference.recall_score(
            labels, predicted, labels=names, average="macro", zero_division=0
        ),
    }
    assert {m: float(v) for m, v in scored.items()} == pytest.approx(expected, abs=1e-12)


@given(predictions())
def test_present_only_averages_over_the_classes_that_have_clips(drawn):
    labels, predicted, n_classes = drawn
    present = np.unique(labels)
    scored = scores(confusion(labels, predicted, n_classes), present_only=True)
    expected = {
        "accuracy": reference.accuracy_score(labels, predicted),
        "uf1": reference.f1_score(
            labels, predicted, labels=present, average="macro", zero_division=0
        ),
        "uar": reference.recall_score(labels, predicted, labels=present, average="macro"),
    }
    assert {m: float(v) for m, v in scored.items()} == pytest.approx(expected, abs=1e-12)


@given(st.lists(predictions(), min_size=1, max_size=4))
def test_the_sum_of_the_folds_matrices_scores_as_the_pooled_predictions(folds):
    n_classes = max(n for _, _, n in folds)
    total = sum(confusion(labels, predicted, n_classes) for labels, predicted, _ in folds)
    pooled = confusion(
        np.concatenate([labels for labels, _, _ in folds]),
        np.concatenate([predicted for _, predicted, _ in folds]),
        n_classes,
    )
    assert (total == pooled).all()
    assert scores(total) == scores(pooled)


def test_macro_f1_counts_classes_without_clips_and_predictions():
    counts = confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), 3)
    assert float(scores(counts)["uf1"]) == pytest.approx(4 / 9)
    assert float(scores(counts, present_only=True)["uf1"]) == pytest.approx(2 / 3)


def test_leading_axes_are_scored_one_by_one():
    generator = np.random.default_rng(0)
    labels, predicted = generator.integers(0, 3, size=(2, 4, 5, 20))
    counts = confusion(labels, predicted, 3)
    assert counts.shape == (4, 5, 3, 3)
    assert (counts[2, 3] == confusion(labels[2, 3], predicted[2, 3], 3)).all()
    for metric, values in scores(counts).items():
        assert values.shape == (4, 5)
        assert values[2, 3] == scores(counts[2, 3])[metric]


def test_an_empty_matrix_scores_zero_without_a_warning():
    empty = np.zeros((2, 2), dtype=np.int64)
    for present_only in (False, True):
        assert [float(v) for v in scores(empty, present_only=present_only).values()] == [0, 0, 0]
