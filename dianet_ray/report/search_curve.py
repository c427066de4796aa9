"""What a search of fewer configurations would have found: whether drawing more was worth it."""

from __future__ import annotations

from collections.abc import Sequence

from dianet_ray.protocol.study import Study
from dianet_ray.report.champion import Counts, choices, scores_of
from dianet_ray.report.records import SearchPoint

N_REPLICATES = 300
"""Enough for the mean of a curve, which has some ten points."""


def search_curve(study: Study, counts: Sequence[Counts]) -> tuple[SearchPoint, ...]:
    """Score the best of the first 1, 2, 4, 8, ... configurations in drawing order, and of all.

    Of those that finished LOSO the one with the largest sum over the rungs is the best, as for the
    champion. A shorter search would have promoted others, so this is an approximation.

    Args:
        study: the study.
        counts: of each rung, by configuration.
    """
    n_drawn, found = len(study.configurations), []
    sizes = {2**power for power in range(n_drawn.bit_length())} | {n_drawn}
    for n in sorted(sizes):
        first = [{k: one for k, one in rung.items() if k < n} for rung in counts]
        if first[-1]:
            found.append(_point(study, n, first))
    return tuple(found)


def _point(study: Study, n: int, counts: Sequence[Counts]) -> SearchPoint:
    objective = study.objective

    def total(number: int) -> float:
        return sum(scores_of(rung[number].at_best.sum(axis=0)).of(objective) for rung in counts)

    best = max(counts[-1], key=lambda number: (total(number), -number))
    score = scores_of(counts[-1][best].at_best.sum(axis=0)).of(objective)
    chosen = choices(study, counts, n=N_REPLICATES)
    return SearchPoint(
        configurations=n,
        best=best,
        score=score,
        corrected=chosen.score()[objective].estimate if chosen else score,
    )
