"""Nested cross-validation: each subject is tested with the settings that the others alone chose.

A network that has seen neither of two subjects says how its settings do on the one for the choice
that the other is tested with, and the other way round. So one training of a pair serves both:
docs/decisions.md: Nested cross-validation by pairs.
"""

from __future__ import annotations

import numpy as np

from dianet_ray.artefacts import METRICS
from dianet_ray.protocol import predictions
from dianet_ray.protocol.choosing import first_rule, point_read
from dianet_ray.protocol.folds import nested_costs, pair_rung
from dianet_ray.protocol.metrics import confusion, scores, soft_confusion
from dianet_ray.protocol.predictions import classify, shares
from dianet_ray.protocol.standing import Standing
from dianet_ray.protocol.study import Study
from dianet_ray.report.records import Chosen, Nested


def nested(standing: Standing) -> Nested | None:
    """Score a nested study; None unless a configuration has all its trainings.

    For each subject the others alone choose a configuration and its point, by the rules that
    choose a champion. It is tested by the LOSO training that held the subject out.
    """
    study = standing.study
    if study.identity.protocol != "nested":
        return None
    numbers = [c.number for c in standing.complete() if _is_whole(study, c.number)]
    if not numbers:
        return None
    first = standing.began_with()
    kept = numbers.index(first.number) if first and first.number in numbers else None
    of_pairs = [_of_pairs(study, number) for number in numbers]
    counts, chosen, labels = [], {}, study.labels()
    for fold in study.folds:
        others = [np.delete(one[:, fold.index], fold.index, axis=1) for one in of_pairs]
        place, point = _choose(others, study.objective, kept)
        one = Chosen(numbers[place], study.points(numbers[place])[point])
        chosen[fold.test_subjects[0]] = one
        tested = study.trainings[one.number, study.loso_rung, fold.index].at(one.steps)
        predicted = classify(tested.probabilities)
        counts.append(confusion(labels[list(fold.test_clips)], predicted, len(study.classes)))
    by_subject = np.stack(counts)
    found = scores(by_subject.sum(axis=0))
    _, textbook = nested_costs(len(study.configurations), len(study.folds))
    return Nested(
        **{metric: float(found[metric]) for metric in METRICS},
        ci95=predictions.interval(by_subject, study.identity.seed),
        configurations=len(numbers),
        chosen=dict(sorted(chosen.items())),
        trainings=len(study.trainings) + len(study.pairs),
        textbook=textbook,
    )


def _is_whole(study: Study, number: int) -> bool:
    rung = pair_rung(study.rungs)
    found = study.of(number, rung)
    return len(found) == len(study.folds_of(rung)) and all(one.outcome == "ok" for one in found)


def _choose(others: list[np.ndarray], objective: str, kept: int | None) -> tuple[int, int]:
    """Choose one of K (points, subjects, C, C) and its point; `kept` are the first settings."""
    points = [point_read(counts, objective) for counts in others]
    as_read = np.stack([counts[point] for counts, point in zip(others, points, strict=True)])
    scored = scores(as_read.sum(axis=1), present_only=True)[objective]
    place = int(first_rule(as_read, objective, kept).choose(scored[None])[0])
    return place, points[place]


def _of_pairs(study: Study, number: int) -> np.ndarray:
    """Sum the shares of a configuration's predictions of pairs of subjects, at each of its points.

    (points, S, S, C, C): what trainings without the subjects of two LOSO folds show of the second
    one, for the choice of settings for the first.
    """
    rung, n_classes, n_folds = pair_rung(study.rungs), len(study.classes), len(study.folds)
    trainings, pairs, labels = study.of(number, rung), study.folds_of(rung), study.labels()
    fold_of = {fold.test_subjects[0]: fold.index for fold in study.folds}
    n_points = len(trainings[0].points)
    found = np.zeros((n_points, n_folds, n_folds, n_classes, n_classes), dtype=np.int64)
    for training in trainings:
        pair = pairs[training.fold]
        one, other = (fold_of[subject] for subject in pair.test_subjects)
        n_first, tested = len(study.folds[one].test_clips), labels[list(pair.test_clips)]
        for place, point in enumerate(training.points):
            parts = shares(point.probabilities)
            found[place, other, one] = soft_confusion(tested[:n_first], parts[:n_first])
            found[place, one, other] = soft_confusion(tested[n_first:], parts[n_first:])
    return found
