"""The correction under a ladder, where only promoted configurations have LOSO predictions."""

import numpy as np
import pytest

from benchmarks import honesty
from benchmarks.replay.people import People
from dianet_ray.protocol.correction import Choices, Tally
from dianet_ray.protocol.folds import Clip
from dianet_ray.protocol.ladder import KEEP, Rung, default_ladder
from dianet_ray.protocol.metrics import scores
from dianet_ray.protocol.predictions import subject_confusions

COUNTS = np.array([99, 63, 32, 27, 25])
SHARES = COUNTS / COUNTS.sum()
N_SUBJECTS = 26
N_CONFIGS = 64
AGREE = 0.6
"""How often a rung repeats the prediction of the rung below, right or wrong."""

TWO = (Rung(3, 0.5, KEEP), Rung(drop="bootstrap"))
THREE = (Rung(3, 1.0, 1 / 4), Rung(7, 1.0, 1 / 4), Rung())


def casme2_like(rng):
    """246 clips of 26 subjects with 2 to 34 clips each."""
    sizes = 2 + rng.multinomial(194, rng.dirichlet(np.full(N_SUBJECTS, 1.5)))
    subjects = np.repeat(np.arange(N_SUBJECTS), sizes)
    labels = rng.permutation(np.repeat(np.arange(5), COUNTS))
    return [Clip(f"{n:03d}", f"{subjects[n]:02d}", int(labels[n])) for n in range(len(labels))]


def tally(clips, predicted):
    counts = subject_confusions(clips, predicted, 5)[1][None]
    return Tally(counts, counts)


def predict(rng, clips, accuracies, n_rungs):
    """Every configuration's predictions in each rung, (K, N): right, or a guess from the shares.

    Later rungs repeat predictions of the rung below, so luck with a clip carries over.
    Configurations are also better on some subjects than on others.
    """
    labels = np.array([clip.label for clip in clips])
    subjects = np.array([int(clip.subject) for clip in clips])
    knows = accuracies[:, None] + rng.normal(0, 0.1, (len(accuracies), N_SUBJECTS))[:, subjects]
    knows = np.where(accuracies[:, None] > 0, knows, 0.0)
    found = []
    for _ in range(n_rungs):
        guesses = rng.choice(5, p=SHARES, size=knows.shape)
        predicted = np.where(rng.random(knows.shape) < knows, labels, guesses)
        if found:
            predicted = np.where(rng.random(knows.shape) < AGREE, found[-1], predicted)
        found.append(predicted)
    return found


def search(rng, ladder, accuracies, objective, seed):
    """Search with the real decisions; return what finished each rung, and the champion."""
    clips = tuple(casme2_like(rng))
    predicted = tuple(
        np.eye(5, dtype=np.float32)[one] for one in predict(rng, clips, accuracies, len(ladder))
    )
    rungs = tuple(rung.folds(clips, "abcde", seed) for rung in ladder)
    asked = People(clips, 5, rungs, predicted, truth={})
    return honesty.search(asked, ladder, objective, seed)


def true_score(accuracy, metric):
    """The score of a configuration on infinitely many new subjects."""
    guessed = np.outer(COUNTS * (1 - accuracy), SHARES)
    return float(scores(np.diag(COUNTS * accuracy) + guessed)[metric])


class Errors:
    """By how much the champion's score and its corrections are too high, in n searches."""

    def __init__(self, ladder, accuracies_of, objective, n):
        self.naive, self.loso_alone, self.corrected, self.covered = [], [], [], []
        for seed in range(n):
            rng = np.random.default_rng(seed)
            accuracies = accuracies_of(rng)
            finished, champion = search(rng, ladder, accuracies, objective, seed)
            truth = true_score(accuracies[champion], objective)
            score = scores(finished[-1][champion].hard.sum(axis=(0, 1)))[objective]
            alone, found = (
                Choices(rungs, objective, seed=seed, n=300).score()[objective]
                for rungs in (finished[-1:], finished)
            )
            self.naive.append(score - truth)
            self.loso_alone.append(alone.estimate - truth)
            self.corrected.append(found.estimate - truth)
            self.covered.append(found.ci95[0] <= truth <= found.ci95[1])


@pytest.mark.parametrize(
    ("ladder", "n"), [(TWO, 14), (THREE, 8)], ids=["two rungs", "three rungs"]
)
def test_on_noise_the_corrected_estimate_is_at_chance_and_the_naive_best_is_above_it(ladder, n):
    found = Errors(ladder, lambda rng: np.zeros(N_CONFIGS), "accuracy", n)
    assert np.mean(found.naive) > 0.04
    assert np.mean(found.corrected) == pytest.approx(0, abs=0.01)
    assert np.mean(found.covered) >= 0.95
    # Correcting the LOSO scores alone would miss the optimism of the promotion.
    assert np.mean(found.loso_alone) > 0.01


def test_with_signal_the_estimate_is_close_to_the_truth():
    found = Errors(
        default_ladder(N_SUBJECTS), lambda rng: rng.uniform(0.2, 0.6, N_CONFIGS), "uf1", 8
    )
    assert np.mean(found.naive) > 0.03
    assert -0.02 < np.mean(found.corrected) < 0.01
    assert np.mean(found.covered) >= 0.8


def test_where_all_are_promoted_only_the_sum_of_the_scores_chooses():
    rng = np.random.default_rng(0)
    clips = casme2_like(rng)
    predicted = predict(rng, clips, rng.uniform(0.2, 0.6, 8), 2)
    rungs = [{n: tally(clips, one[n]) for n in range(8)} for one in predicted]
    found = Choices(rungs, "uf1", seed=3).score()
    # With equal rungs, choosing by twice the LOSO score is choosing by the LOSO score.
    once = Choices(rungs[1:], "uf1", seed=3).score()
    assert Choices([rungs[1], rungs[1]], "uf1", seed=3).score() == once
    assert found != once


def test_a_rung_whose_scores_say_nothing_of_loso_corrects_little():
    """Promotion is then by luck that does not carry over, so it adds no optimism."""
    shifts = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        clips = casme2_like(rng)
        below, above = (predict(rng, clips, np.zeros(N_CONFIGS), 1)[0] for _ in range(2))
        rungs = [
            {n: tally(clips, predicted[n]) for n in range(N_CONFIGS)}
            for predicted in (below, above)
        ]
        best = sorted(rungs[0], key=lambda n: -np.trace(rungs[0][n].hard.sum(axis=(0, 1))))[:4]
        rungs[1] = {n: rungs[1][n] for n in sorted(best)}
        loso_alone = Choices(rungs[1:], "accuracy", seed=seed, n=300).score()["accuracy"]
        found = Choices(rungs, "accuracy", seed=seed, n=300).score()["accuracy"]
        shifts.append(loso_alone.estimate - found.estimate)
    assert np.mean(shifts) == pytest.approx(0, abs=0.01)


def test_nothing_promoted_the_first_settings():
    """They take LOSO though they are poor below, so promotion adds no optimism to their score."""
    rng = np.random.default_rng(0)
    clips = casme2_like(rng)
    accuracies = np.full(N_CONFIGS, 0.3)
    below, above = (
        predict(rng, clips, np.where(np.arange(N_CONFIGS) == 0, first, accuracies), 1)[0]
        for first in (0.2, 0.8)
    )
    rungs = [
        {n: tally(clips, predicted[n]) for n in range(N_CONFIGS)} for predicted in (below, above)
    ]
    best = sorted(rungs[0], key=lambda n: -np.trace(rungs[0][n].hard.sum(axis=(0, 1))))[:4]
    rungs[1] = {n: rungs[1][n] for n in sorted({0, *best})}
    found = Choices(rungs, "uf1", first=0, seed=3).score()
    assert found == Choices(rungs[1:], "uf1", first=0, seed=3).score()
    # Had they been promoted by their score, there would be some.
    assert found != Choices(rungs, "uf1", seed=3).score()
