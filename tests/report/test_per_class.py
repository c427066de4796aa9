"""Each class by itself, and how sure the champion may be."""

import numpy as np
import pytest

from dianet_ray.protocol.metrics import scores
from dianet_ray.report import verdicts
from dianet_ray.report.per_class import calibration, class_scores
from tests.support.reports import report_of
from tests.support.studies import make_study

CLASSES = ("disgust", "happiness", "surprise")


@pytest.fixture(scope="module")
def report():
    return report_of(make_study(n_subjects=8))


def counts(seed=0, n_subjects=12):
    return np.random.default_rng(seed).poisson(1.0, size=(n_subjects, 3, 3))


@pytest.mark.parametrize("seed", range(4))
def test_the_means_over_classes_are_the_scores_of_all(seed):
    one = counts(seed)
    found = class_scores(one, CLASSES, seed=0)
    of_all = scores(one.sum(axis=0))
    assert np.mean([of.f1 for of in found.values()]) == pytest.approx(of_all["uf1"])
    assert np.mean([of.recall for of in found.values()]) == pytest.approx(of_all["uar"])
    assert sum(of.clips for of in found.values()) == one.sum()


def test_precision_is_recall_with_the_sides_changed():
    one = counts()
    mine = class_scores(one, CLASSES, seed=0)
    turned = class_scores(one.swapaxes(1, 2), CLASSES, seed=0)
    for name in CLASSES:
        assert mine[name].precision == pytest.approx(turned[name].recall)
        assert mine[name].f1 == pytest.approx(turned[name].f1)


def test_names_of_subjects_change_nothing():
    one = counts()
    again = class_scores(one[np.random.default_rng(1).permutation(12)], CLASSES, seed=0)
    assert again == class_scores(one, CLASSES, seed=0)


def test_an_interval_holds_its_score_and_is_none_where_all_subjects_are_alike():
    for found in class_scores(counts(), CLASSES, seed=0).values():
        for part in ("recall", "precision", "f1"):
            low, high = found.ci95[part]
            assert low < getattr(found, part) < high
    alike = class_scores(np.repeat(counts()[:1] + 1, 12, axis=0), CLASSES, seed=0)
    for found in alike.values():
        assert found.ci95["f1"] == pytest.approx((found.f1, found.f1))


def test_a_class_that_few_subjects_show_is_scored_where_it_is_drawn():
    one = np.zeros((6, 3, 3), dtype=int)
    one[:, 0, 0] = one[:, 1, 1] = 2
    one[0, 2, 2] = one[1, 2, 2] = 1  # always right
    found = class_scores(one, CLASSES, seed=0)["surprise"]
    assert found.ci95["recall"] == (1.0, 1.0)


def test_a_class_that_is_never_predicted_has_precision_0():
    one = np.zeros((4, 3, 3), dtype=int)
    one[:, 0, 0] = one[:, 1, 0] = one[:, 2, 0] = 1
    found = class_scores(one, CLASSES, seed=0)
    assert (found["surprise"].recall, found["surprise"].precision) == (0.0, 0.0)
    assert found["disgust"].precision == pytest.approx(1 / 3)


def test_probabilities_that_hold_are_calibrated_and_others_are_off_by_their_excess():
    rng = np.random.default_rng(0)
    sure = rng.uniform(0.5, 1.0, size=40_000)
    probabilities = np.stack([sure, 1 - sure], axis=1)
    labels = (rng.random(len(sure)) > sure).astype(int)
    assert calibration(probabilities, labels).error < 0.015
    guessing = rng.integers(2, size=len(sure))
    found = calibration(probabilities, guessing)
    assert found.error == pytest.approx(0.25, abs=0.01)  # 0.75 sure, right half of the time
    assert sum(one.clips for one in found.bins) == len(sure)
    for one in found.bins:
        assert one.range[0] <= one.probability <= one.range[1]


def test_a_probability_of_1_has_a_bin():
    found = calibration(np.eye(3, dtype=np.float32), np.arange(3))
    assert found.error == 0.0
    (one,) = found.bins
    assert (one.range, one.clips) == ((0.9, 1.0), 3)


def test_the_report_says_both(report):
    champion = report.champion
    assert list(champion.per_class) == list(report.dataset.classes)
    for line, (name, found) in zip(
        verdicts.classes(champion), champion.per_class.items(), strict=True
    ):
        assert line.startswith(f"{name} ({found.clips} clips): F1 {found.f1:.2f} [")
    assert f"error {champion.calibration.error:.3f})" in verdicts.calibration(champion)
    for name, found in champion.per_class.items():
        assert found.recall == pytest.approx(champion.recall[name])
