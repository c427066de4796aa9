"""The champion's predictions, counted in ways that leak or flatter, as much published work does.

A score that somebody else printed can be placed only beside the same count. These let every held
out subject choose the point at which it is read, or average scores of single subjects. They stay
in the report: no decision reads them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dianet_ray.artefacts import METRICS
from dianet_ray.protocol.metrics import scores
from dianet_ray.report.champion import Counted, scores_of
from dianet_ray.report.records import Scores

MEAN = "mean_over_subjects"
POOLED = "best_point_of_each_subject_pooled"
BOTH = "best_point_of_each_subject_mean_over_subjects"


def as_others_count(counted: Counted) -> dict[str, Scores]:
    """Score the champion's LOSO predictions in three other ways.

    - MEAN: each subject is scored alone, over the classes that it has, and the scores are
      averaged. Nothing leaks, but a subject with one clip weighs as much as one with thirty.
    - POOLED: each subject is read at the point where most of its own clips are right, the
      earliest of equal ones; then all are pooled. This leaks.
    - BOTH: each subject is read at the point that suits it best in the metric, and the scores
      are averaged. This leaks.

    Their differences are lower bounds: others choose among every epoch, here among the points.
    """
    each = scores(counted.counts, present_only=True)  # by metric: (points, S)
    n_right = np.trace(counted.counts, axis1=2, axis2=3)
    subjects = np.arange(counted.counts.shape[1])
    pooled = counted.counts[n_right.argmax(axis=0), subjects].sum(axis=0)
    return {
        MEAN: _by_metric(lambda metric: each[metric][counted.read].mean()),
        POOLED: scores_of(pooled),
        BOTH: _by_metric(lambda metric: each[metric].max(axis=0).mean()),
    }


def _by_metric(score: Callable[[str], float]) -> Scores:
    return Scores(**{metric: float(score(metric)) for metric in METRICS})
