"""LOSO with other seeds: how much of a score is the luck of one seed."""

from __future__ import annotations

import numpy as np

from dianet_ray.artefacts import METRICS
from dianet_ray.protocol.metrics import scores
from dianet_ray.protocol.predictions import (
    classify,
    jackknife_error,
    subject_confusions,
    without_each,
)
from dianet_ray.protocol.standing import Standing
from dianet_ray.report.records import Seeds, Spread


def seeds(standing: Standing, number: int) -> Seeds | None:
    """Score a configuration's repeats; None unless one at least has all its folds.

    The deviation is that of the repeats' scores, the standard error a jackknife's of their mean.
    """
    counts, n_failed = _counts(standing, number)
    if not counts:
        return None
    by_subject = np.stack(counts)  # (R, S, C, C)
    of_all = scores(by_subject.sum(axis=1))
    left = without_each(by_subject)
    spreads = {
        metric: Spread(
            mean=float(of_all[metric].mean()),
            deviation=float(of_all[metric].std(ddof=1)) if len(counts) > 1 else None,
            standard_error=float(jackknife_error(left[metric].mean(axis=0))),
        )
        for metric in METRICS
    }
    return Seeds(n=len(counts), n_failed=n_failed, **spreads)


def n_failed(standing: Standing, number: int) -> int:
    """Count the repeats of a configuration in which a training failed or was lost."""
    return _counts(standing, number)[1]


def _counts(standing: Standing, number: int) -> tuple[list[np.ndarray], int]:
    """Count the predictions of each whole repeat by subject, (S, C, C) each, and failed ones."""
    study, steps = standing.study, standing.steps_read(number)
    found: list[np.ndarray] = []
    n_failed = 0
    for rung in sorted({rung for one, rung, _ in study.repeats if one == number}):
        trainings = study.of(number, rung)
        if any(one.outcome != "ok" for one in trainings):
            n_failed += 1
        elif len(trainings) == len(study.folds) and trainings[0].points[-1].steps == steps:
            predicted = classify(study.pooled(number, rung))
            found.append(subject_confusions(study.clips, predicted, len(study.classes))[1])
    return found, n_failed
