"""Nested cross-validation: each subject is tested with the settings that the others alone chose.

A network that has seen neither of two subjects says how its settings do on the one for the choice
that the other is tested with, and the other way round. So one training of a pair serves both:
docs/decisions.md: Nested cross-validation by pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dianet_ray.artefacts import METRICS
from dianet_ray.protocol import predictions
from dianet_ray.protocol.folds import nested_costs, pair_rung
from dianet_ray.protocol.metrics import confusion, scores, soft_confusion
from dianet_ray.protocol.predictions import classify, shares
from dianet_ray.protocol.standing import Standing
from dianet_ray.protocol.study import Study
from dianet_ray.report.records import Chosen, Nested


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A configuration at a point: its scores (S,) for the choice of each LOSO fold's subject."""

    number: int
    steps: int
    scores: np.ndarray


def nested(standing: Standing) -> Nested | None:
    """Score a nested study; None unless a configuration has all its trainings.

    For each subject the configuration and point with the best soft score on the others is chosen,
    ties to the lower number and the earlier point. It is tested by the LOSO training that held the
    subject out.
    """
    study = standing.study
    if study.identity.protocol != "nested":
        return None
    numbers = [c.number for c in standing.complete() if _is_whole(study, c.number)]
    if not numbers:
        return None
    candidates = [one for number in numbers for one in _candidates(study, number)]
    best = np.stack([one.scores for one in candidates]).argmax(axis=0)
    counts, chosen, labels = [], {}, study.labels()
    for fold, place in zip(study.folds, best, strict=True):
        one = candidates[place]
        chosen[fold.test_subjects[0]] = Chosen(one.number, one.steps)
        tested = study.trainings[one.number, study.loso_rung, fold.index].at(one.steps)
        predicted = classify(tested.probabilities)
        counts.append(confusion(labels[list(fold.test_clips)], predicted, len(study.classes)))
    by_subject = np.stack(counts)
    found = scores(by_subject.sum(axis=0))
    trainings, textbook = nested_costs(len(numbers), len(study.folds))
    return Nested(
        **{metric: float(found[metric]) for metric in METRICS},
        ci95=predictions.interval(by_subject, study.identity.seed),
        configurations=len(numbers),
        chosen=dict(sorted(chosen.items())),
        trainings=trainings,
        textbook=textbook,
    )


def _is_whole(study: Study, number: int) -> bool:
    rung = pair_rung(study.rungs)
    found = study.of(number, rung)
    return len(found) == len(study.folds_of(rung)) and all(one.outcome == "ok" for one in found)


def _candidates(study: Study, number: int) -> list[_Candidate]:
    """Score a configuration for the choice of each subject, at each of its points."""
    rung, n_classes = pair_rung(study.rungs), len(study.classes)
    trainings, pairs = study.of(number, rung), study.folds_of(rung)
    labels = study.labels()
    fold_of = {fold.test_subjects[0]: fold.index for fold in study.folds}
    found = []
    for place, point in enumerate(trainings[0].points):
        # What is known of all others when the subject of a fold is left out, (S, C, C).
        others = np.zeros((len(study.folds), n_classes, n_classes), dtype=np.int64)
        for training in trainings:
            pair = pairs[training.fold]
            one, other = (fold_of[subject] for subject in pair.test_subjects)
            n_first, shown = len(study.folds[one].test_clips), training.points[place]
            tested, parts = labels[list(pair.test_clips)], shares(shown.probabilities)
            others[other] += soft_confusion(tested[:n_first], parts[:n_first])
            others[one] += soft_confusion(tested[n_first:], parts[n_first:])
        found.append(_Candidate(number, point.steps, scores(others)[study.objective]))
    return found
