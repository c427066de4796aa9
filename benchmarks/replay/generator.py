"""Matrices like a recorded one, of any size: the margins fitted to it are drawn anew.

The fit alone comes close. `calibrate` brings it closer by generating: there must be as many good
configurations as were recorded, and scores must say as much about the truth. The truth is measured
on fresh clips of other subjects, as for the recorded matrices. Generated trainings show one point,
where a prediction is shared between the true class and one other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from benchmarks.replay.margins import Fitted
from benchmarks.replay.matrix import Matrix, Partition
from benchmarks.replay.predictions import Recorded
from dianet_ray.protocol.folds import Clip, Fold, groups, loso
from dianet_ray.protocol.metrics import confusion, scores
from dianet_ray.protocol.predictions import classify
from dianet_ray.settings import derive_seed

N_FRESH_SUBJECTS, N_FRESH_MODELS = 104, 4
TINY = 1e-9
N_ROUNDS, N_CONFIGS, N_SEEDS = 10, 64, 6


class Sampler:
    """Draws one matrix."""

    def __init__(self, fitted: Fitted, n_configs: int, seed: int) -> None:
        self._fitted, self._n_configs = fitted, n_configs
        self._rng = np.random.default_rng(seed)
        self._qualities = self._draw_qualities()  # (rungs, K)
        size = (n_configs, len(fitted.wrong))
        self._leanings = fitted.deviations.leaning * self._rng.standard_normal(size)

    def clips(self, n_subjects: int) -> tuple[Clip, ...]:
        """Draw the clips of some subjects; each subject shows the classes of a recorded one."""
        labels_of: dict[str, list[int]] = {}
        for clip in self._fitted.recorded.clips:
            labels_of.setdefault(clip.subject, []).append(clip.label)
        known = list(labels_of.values())
        # Every recorded subject equally often, so that a rare class stays as rare.
        deals = [self._rng.permutation(len(known)) for _ in range(n_subjects // len(known) + 1)]
        chosen = [known[place] for place in np.concatenate(deals)[:n_subjects]]
        return tuple(
            Clip(f"{s:03d}-{take:02d}", f"generated/{s:03d}", label)
            for s, labels in enumerate(chosen)
            for take, label in enumerate(labels)
        )

    def predictions(
        self, clips: Sequence[Clip], rungs: Sequence[tuple[int, Sequence[Fold]]]
    ) -> list[np.ndarray]:
        """Draw what every configuration predicts in every rung: (K, N, C) float32 each."""
        fitted, rng, s = self._fitted, self._rng, self._fitted.deviations
        labels = np.array([clip.label for clip in clips])
        subjects = np.unique([clip.subject for clip in clips], return_inverse=True)[1]
        size, n_subjects = (self._n_configs, len(clips)), int(subjects.max()) + 1
        fixed = (
            (s.subject * rng.standard_normal(n_subjects))[subjects]
            + s.clip * rng.standard_normal(len(clips))
            + self._leanings[:, labels]
            + (s.luck_with_subject * rng.standard_normal((len(self._qualities[0]), n_subjects)))[
                :, subjects
            ]
            + s.luck_with_clip * rng.standard_normal(size)
        )
        usual = self._wrong(labels)
        found = []
        for rung, folds in rungs:
            training = np.zeros(size)
            for fold in folds:
                luck = s.training * rng.standard_normal((self._n_configs, 1))
                training[:, list(fold.test_clips)] = luck
            margins = (
                fixed + training + fitted.levels[rung, labels] + self._qualities[rung][:, None]
            )
            odds = fitted.spread * (margins + s.noise * rng.standard_normal(size))
            other = self._wrong(np.broadcast_to(labels, size))
            wrong = np.where(rng.random(size) < fitted.sticky, usual, other)
            found.append(self._probabilities(labels, wrong, odds))
        return found

    def _probabilities(
        self, labels: np.ndarray, wrong: np.ndarray, odds: np.ndarray
    ) -> np.ndarray:
        """Share predictions between the true classes (N,) and wrong ones (K, N) by log odds."""
        of_true = 1 / (1 + np.exp(-odds))[..., None]
        classes = np.eye(len(self._fitted.wrong))
        shared = of_true * classes[labels] + (1 - of_true) * classes[wrong]
        return np.asarray(shared, dtype=np.float32)

    def seconds(self, n_folds: Sequence[int], log_std: float | None) -> list[np.ndarray]:
        """Draw training seconds of every rung, with the recorded or another log deviation."""
        times, rng = self._fitted.times, self._rng
        scale = 1.0 if log_std is None else log_std / times.log_std
        own = times.configuration * rng.standard_normal((self._n_configs, 1))
        return [
            np.exp(
                mean + scale * (own + times.training * rng.standard_normal((self._n_configs, n)))
            )
            for mean, n in zip(times.means, n_folds, strict=True)
        ]

    def _wrong(self, labels: np.ndarray) -> np.ndarray:
        """Draw a wrong class for every label."""
        n_classes = len(self._fitted.wrong)
        # The classes' cumulated shares, one class after the other: 0..1, 1..2, ...
        steps = (self._fitted.wrong.cumsum(axis=1) + np.arange(n_classes)[:, None]).ravel()
        drawn = labels + self._rng.uniform(0, 1 - TINY, labels.shape)
        return np.asarray(np.searchsorted(steps, drawn, side="right") - labels * n_classes)

    def _draw_qualities(self) -> np.ndarray:
        fitted, n = self._fitted, self._n_configs
        covariance, shape = fitted.qualities, fitted.shape
        last = np.interp(self._rng.random(n), np.linspace(0, 1, len(shape)), shape)
        slopes = covariance[:, -1] / covariance[-1, -1]
        rest = covariance - np.outer(slopes, covariance[-1])
        values, vectors = np.linalg.eigh((rest + rest.T) / 2)
        root = vectors * np.sqrt(values.clip(0))
        noise = root @ self._rng.standard_normal((len(slopes), n))
        return np.asarray(np.outer(slopes, np.sqrt(covariance[-1, -1]) * last) + noise)


def generate(
    fitted: Fitted, *, n_subjects: int, n_configs: int, seed: int, log_std: float | None = None
) -> Matrix:
    """Draw a matrix of any size.

    Args:
        fitted: of a recorded matrix.
        n_subjects: how many subjects; LOSO has as many folds.
        n_configs: how many configurations.
        seed: another seed gives another matrix.
        log_std: deviation of the log of training seconds; None: the recorded one.
    """
    recorded = fitted.recorded
    sampler = Sampler(fitted, n_configs, derive_seed(seed, "matrix"))
    clips = sampler.clips(n_subjects)
    folds = [_folds(rung, clips, recorded.classes, seed) for rung in recorded.rungs.values()]
    predictions = sampler.predictions(clips, list(enumerate(folds)))
    seconds = sampler.seconds([len(one) for one in folds], log_std)
    rungs = {
        name: Partition(one, rung.points[-1:], predicted[:, None], took)
        for (name, rung), one, predicted, took in zip(
            recorded.rungs.items(), folds, predictions, seconds, strict=True
        )
    }
    about = {"generated from": recorded.name, "seed": seed}
    return Matrix(
        f"{recorded.name}~{seed}", clips, recorded.classes, rungs, _truth(sampler, fitted), about
    )


def _folds(
    rung: Partition, clips: Sequence[Clip], classes: Sequence[str], seed: int
) -> tuple[Fold, ...]:
    if rung.folds and all(len(fold.test_subjects) == 1 for fold in rung.folds):
        return loso(clips, classes, seed)
    return groups(clips, classes, seed, len(rung.folds))


def _truth(sampler: Sampler, fitted: Fitted) -> np.ndarray:
    """Measure UF1 on other subjects, averaged over LOSO models: (K, 1)."""
    clips = sampler.clips(N_FRESH_SUBJECTS)
    all_clips = (Fold(0, (), tuple(range(len(clips)))),)
    last, n_classes = len(fitted.levels) - 1, len(fitted.wrong)
    labels = np.array([clip.label for clip in clips])
    found = sampler.predictions(clips, [(last, all_clips)] * N_FRESH_MODELS)
    truths = [scores(confusion(labels, classify(one), n_classes))["uf1"] for one in found]
    return np.asarray(np.mean(truths, axis=0))[:, None]


class Likeness(NamedTuple):
    """What a generated matrix must share with the recorded one.

    Standard deviations and correlations of every rung's pooled score, in the order of the rungs,
    and of the truth, which comes last.
    """

    spreads: np.ndarray
    correlations: np.ndarray


def likeness(matrix: Matrix) -> Likeness:
    """Measure a matrix."""
    columns = np.stack([*Recorded(matrix).scores.values(), matrix.truth])
    return Likeness(columns.std(axis=1), np.corrcoef(columns))


def mean_likeness(fitted: Fitted, n_configs: int, seeds: Sequence[int]) -> Likeness:
    """Measure generated matrices with as many subjects as the recorded one."""
    n_subjects = len({clip.subject for clip in fitted.recorded.clips})
    found = [
        likeness(generate(fitted, n_subjects=n_subjects, n_configs=n_configs, seed=seed))
        for seed in seeds
    ]
    return Likeness(*(np.mean([one[i] for one in found], axis=0) for i in range(2)))


def calibrate(fitted: Fitted, n_rounds: int = N_ROUNDS) -> Fitted:
    """Adjust the qualities until generated matrices are as spread and as telling."""
    wanted = likeness(fitted.recorded)
    for _ in range(n_rounds):
        got = mean_likeness(fitted, N_CONFIGS, range(N_SEEDS))
        fitted = _adjusted(fitted, wanted, got)
    return fitted


def _adjusted(fitted: Fitted, wanted: Likeness, got: Likeness) -> Fitted:
    """Stretch the qualities; where a rung tells too much, make more of its quality its own.

    What misleads a score, in units of the variance of what it tells, is 1 / r**2 - 1.
    """
    stretch = wanted.spreads / got.spreads
    qualities = fitted.qualities * np.outer(stretch, stretch)
    misled, is_misled = (1 / one.correlations[-1] ** 2 - 1 for one in (wanted, got))
    told = qualities[:, -1] ** 2 / qualities[-1, -1]
    own = np.diag(qualities) - told + told * (misled - is_misled)
    np.fill_diagonal(qualities, told + np.maximum(own, 0.0))
    return replace(fitted, qualities=qualities)
