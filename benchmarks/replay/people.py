"""People of whom the truth is known, for searches that are played on them.

Half are drawn like those of the recorded matrices. The other half know an answer or guess it,
which has nothing to do with the generator of the first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from benchmarks.replay.generator import Sampler
from benchmarks.replay.margins import Fitted
from benchmarks.replay.matrix import rung_name
from dianet_ray.protocol.folds import Clip, Fold
from dianet_ray.protocol.ladder import EXHAUSTIVE, Ladder, default_ladder
from dianet_ray.protocol.metrics import confusion, scores
from dianet_ray.protocol.predictions import classify

N_CONFIGS = 64
N_FRESH_SUBJECTS, N_FRESH_MODELS = 1040, 26
"""Who shows the truth about people like the recorded ones: UF1 of 104 errs by two points."""

SHARES = np.array([99, 63, 32, 27, 25]) / 246
CLIPS_PER_SUBJECT = 9
MEAN_ACCURACY, ACCURACIES, EASE, LUCK, AGREE = 0.4, 0.05, 0.12, 0.1, 0.6
"""Of those who know or guess: configurations' mean accuracy, the standard deviations of accuracy,
of a subject's ease and of a configuration's luck with a subject, and how often another rung (or
another configuration, in its guesses) repeats a prediction."""

SURE = (0.6, 0.4)
"""The least probability of a class that is predicted, where it is right and where it is wrong."""


class Case(NamedTuple):
    """One search: who is drawn, whether labels mean anything, how it is searched."""

    source: str
    labels: str
    n_subjects: int
    strategy: str
    metric: str
    seed: int


@dataclass(frozen=True, slots=True)
class People:
    """What K configurations predict of clips in each rung, and their truths by metric.

    `predicted` are probabilities, (K, N, C).
    """

    clips: tuple[Clip, ...]
    n_classes: int
    rungs: tuple[tuple[Fold, ...], ...]
    predicted: tuple[np.ndarray, ...]
    truth: dict[str, np.ndarray]


def ladder_of(case: Case) -> Ladder:
    """Choose the rungs."""
    ladder = EXHAUSTIVE if case.strategy == "exhaustive" else default_ladder(case.n_subjects)
    return (*(replace(rung, keeps_first=True) for rung in ladder[:-1]), ladder[-1])


def like_recorded(fitted: Fitted, case: Case) -> People:
    """Draw people and configurations like those of a recorded matrix."""
    recorded = fitted.recorded
    sampler = Sampler(fitted, N_CONFIGS, case.seed)
    clips = sampler.clips(case.n_subjects)
    ladder = ladder_of(case)
    rungs = tuple(rung.folds(clips, recorded.classes, case.seed) for rung in ladder)
    places = [list(recorded.rungs).index(rung_name(rung.groups, rung.steps)) for rung in ladder]
    predicted = sampler.predictions(clips, list(zip(places, rungs, strict=True)))
    n_classes = len(recorded.classes)
    if case.labels == "noise":
        labels = np.array([clip.label for clip in clips])
        dealt = np.random.default_rng(case.seed).permutation(labels)
        clips = tuple(
            replace(clip, label=int(label)) for clip, label in zip(clips, dealt, strict=True)
        )
        # The truth is the score of predictions that know nothing of the labels.
        classes = classify(predicted[-1])
        of_each = [(classes == label).mean(axis=1) for label in range(n_classes)]
        counts = np.bincount(labels, minlength=n_classes)[:, None]
        truth = scores(counts * np.stack(of_each, axis=-1)[:, None, :])
        return People(clips, n_classes, rungs, tuple(predicted), truth)
    others = sampler.clips(N_FRESH_SUBJECTS)
    # As many models as LOSO has, each on its share of the people; how they vary averages out.
    shared = np.array_split(np.arange(len(others)), N_FRESH_MODELS)
    folds = [Fold(number, (), tuple(one.tolist())) for number, one in enumerate(shared)]
    # As good as in LOSO. The fit has other qualities for its fresh clips, as if configurations
    # suited all people there better or worse, however many are asked; no sample could tell that.
    (asked,) = sampler.predictions(others, [(places[-1], folds)])
    labels = np.array([clip.label for clip in others])
    truth = scores(confusion(labels, classify(asked), n_classes))
    return People(clips, n_classes, rungs, tuple(predicted), truth)


def knowing_or_guessing(case: Case) -> People:
    """Draw configurations that know an answer with their accuracy, else guess from the shares."""
    rng = np.random.default_rng([case.seed, case.n_subjects])
    n_classes, n = len(SHARES), CLIPS_PER_SUBJECT * case.n_subjects
    sizes = 2 + rng.multinomial(
        n - 2 * case.n_subjects, rng.dirichlet(np.full(case.n_subjects, 1.5))
    )
    subjects = np.repeat(np.arange(case.n_subjects), sizes)
    labels = rng.choice(n_classes, p=SHARES, size=n)
    clips = tuple(
        Clip(f"{place:04d}", f"{subjects[place]:03d}", int(labels[place])) for place in range(n)
    )
    accuracies = np.zeros(N_CONFIGS)
    knows = np.zeros((N_CONFIGS, n))
    if case.labels == "signal":
        accuracies = rng.normal(MEAN_ACCURACY, ACCURACIES, N_CONFIGS)
        luck = rng.normal(0, LUCK, (N_CONFIGS, case.n_subjects))
        of_subject = rng.normal(0, EASE, case.n_subjects) + luck
        knows = accuracies[:, None] + of_subject[:, subjects]
    usual = rng.choice(n_classes, p=SHARES, size=n)
    predicted: list[np.ndarray] = []
    for _ in ladder_of(case):
        own = rng.choice(n_classes, p=SHARES, size=(N_CONFIGS, n))
        guesses = np.where(rng.random(own.shape) < AGREE, usual, own)
        found = np.where(rng.random(own.shape) < knows, labels, guesses)
        if predicted:
            found = np.where(rng.random(own.shape) < AGREE, predicted[-1], found)
        predicted.append(found)
    sure = [_sure(rng, one, labels) for one in predicted]
    ladder = ladder_of(case)
    rungs = tuple(rung.folds(clips, "abcde", case.seed) for rung in ladder)
    known = accuracies[:, None, None] * np.diag(SHARES)
    truth = scores(known + (1 - accuracies)[:, None, None] * np.outer(SHARES, SHARES))
    return People(clips, n_classes, rungs, tuple(sure), truth)


def _sure(rng: np.random.Generator, classes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Say how sure predictions are, wrong ones a little less: (K, N) to (K, N, C)."""
    n_classes = len(SHARES)
    of_class = np.where(classes == labels, *(rng.uniform(low, 1, classes.shape) for low in SURE))
    rest = (1 - of_class) / (n_classes - 1)
    found = np.eye(n_classes)[classes] * (of_class - rest)[..., None] + rest[..., None]
    return np.asarray(found, dtype=np.float32)


def begun(people: People, metric: str) -> People:
    """Let the configuration that a quarter of the others surpasses be the first one."""
    order = np.arange(N_CONFIGS)
    place = np.argsort(people.truth[metric], kind="stable")[N_CONFIGS * 3 // 4]
    order[[0, place]] = place, 0
    return replace(
        people,
        predicted=tuple(one[order] for one in people.predicted),
        truth={name: one[order] for name, one in people.truth.items()},
    )
