"""The permutation test of the whole choice."""

import numpy as np
import pytest
from scipy.special import softmax

from dianet_ray.artefacts import METRICS
from dianet_ray.protocol.permutation import ALPHA, N_PERMUTATIONS, p_values

N_CLASSES = 3


def people(seed, n_subjects=12, n_clips=96, prevalence=False):
    """Labels and subjects; with `prevalence` a subject shows one class mostly."""
    rng = np.random.default_rng(seed)
    subjects = np.sort(rng.integers(0, n_subjects, n_clips))
    labels = rng.integers(0, N_CLASSES, n_clips)
    if prevalence:
        labels = np.where(rng.random(n_clips) < 0.8, subjects % N_CLASSES, labels)
    return rng, labels, subjects


def predict(rng, logits, n_configs=16):
    noise = rng.normal(size=(n_configs, 2, *logits.shape))
    return list(softmax(logits + noise, axis=-1))


def test_on_noise_p_is_rarely_small_although_the_best_of_many_is_chosen():
    found = []
    for seed in range(60):
        rng, labels, subjects = people(seed)
        made = predict(rng, np.zeros((len(labels), N_CLASSES)))
        found.append(p_values(made, labels, subjects, objective="uf1", seed=seed))
    for metric in METRICS:
        assert np.mean([one[metric] <= ALPHA for one in found]) <= 0.12
        assert np.mean([one[metric] for one in found]) == pytest.approx(0.5, abs=0.12)


def test_what_was_learnt_is_seen():
    rng, labels, subjects = people(0)
    made = predict(rng, 1.5 * np.eye(N_CLASSES)[labels])
    for objective in METRICS:
        found = p_values(made, labels, subjects, objective=objective, seed=0)
        assert found == dict.fromkeys(METRICS, 1 / (N_PERMUTATIONS + 1))


def test_knowing_what_a_subject_shows_often_is_no_evidence():
    """Such predictions score far above chance, and know nothing of a clip."""
    found = []
    for seed in range(30):
        rng, labels, subjects = people(seed, prevalence=True)
        made = predict(rng, 3.0 * np.eye(N_CLASSES)[subjects % N_CLASSES])
        found.append(p_values(made, labels, subjects, objective="uf1", seed=seed)["uf1"])
    assert np.mean(np.array(found) <= ALPHA) <= 0.17
    assert np.mean(found) > 0.35


def test_without_two_classes_in_a_subject_nothing_can_be_dealt():
    labels = np.array([0, 0, 1, 1, 2, 2])
    subjects = np.array([0, 0, 1, 1, 2, 2])
    made = predict(np.random.default_rng(0), np.zeros((6, N_CLASSES)))
    assert p_values(made, labels, subjects, objective="uf1", seed=0) is None


def test_it_depends_on_the_seed_alone():
    rng, labels, subjects = people(1)
    made = predict(rng, 0.3 * np.eye(N_CLASSES)[labels])
    first = p_values(made, labels, subjects, objective="uf1", seed=0)
    assert first == p_values(made, labels, subjects, objective="uf1", seed=0)
    other = p_values(made, labels, subjects, objective="uf1", seed=1)
    assert other["uf1"] == pytest.approx(first["uf1"], abs=0.1)


@pytest.mark.parametrize("seed", range(4))
def test_it_knows_no_order_of_clips_and_configurations_and_no_names(seed):
    rng, labels, subjects = people(seed)
    made = predict(rng, np.zeros((len(labels), N_CLASSES)), n_configs=4)
    found = p_values(made, labels, subjects, objective="uf1", seed=0)
    assert 1 / (N_PERMUTATIONS + 1) < found["uf1"] < 1
    clips, names, classes = (rng.permutation(n) for n in (len(labels), 12, N_CLASSES))
    of_others = {
        "clips": ([one[:, clips] for one in made], labels[clips], subjects[clips]),
        "subjects": (made, labels, names[subjects]),
        "classes": ([one[..., np.argsort(classes)] for one in made], classes[labels], subjects),
        "configurations": (made[::-1], labels, subjects),
        "copies": ([*made, made[0]], labels, subjects),
    }
    for name, (probabilities, of_true, of_subject) in of_others.items():
        again = p_values(probabilities, of_true, of_subject, objective="uf1", seed=0)
        assert again == found, name


def test_many_predictions_are_taken_in_parts(monkeypatch):
    rng, labels, subjects = people(2)
    made = predict(rng, 0.3 * np.eye(N_CLASSES)[labels])
    whole = p_values(made, labels, subjects, objective="uar", seed=0)
    monkeypatch.setattr("dianet_ray.protocol.permutation._CELLS", 1)
    assert p_values(made, labels, subjects, objective="uar", seed=0) == whole


def test_with_fewer_deals_than_a_small_p_needs_nothing_is_tested():
    """One subject of two classes and four clips: 4 deals, so p would be a quarter at least."""
    labels, subjects = np.array([0, 1, 1, 1, 2, 2, 2, 0, 0]), np.array([0, 0, 0, 0, 1, 1, 1, 2, 2])
    made = [np.eye(N_CLASSES)[labels][None] * 0.9 + 0.03]
    assert p_values(made, labels, subjects, objective="uf1", seed=0) is None
    labels, subjects = np.tile([0, 1, 1, 1, 2], 3), np.repeat(np.arange(3), 5)
    made = [np.eye(N_CLASSES)[labels][None] * 0.9 + 0.03]
    assert p_values(made, labels, subjects, objective="uf1", seed=0)["uf1"] <= ALPHA
