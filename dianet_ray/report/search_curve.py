"""What a search of fewer configurations would have found: whether drawing more was worth it."""

from __future__ import annotations

from collections.abc import Sequence

from dianet_ray.protocol.correction import Choices
from dianet_ray.protocol.standing import Standing
from dianet_ray.report.champion import Counts, choices, scores_of
from dianet_ray.report.records import SearchPoint


def search_curve(
    standing: Standing, counts: Sequence[Counts], chosen: Choices | None
) -> tuple[SearchPoint, ...]:
    """Score the best of the first 1, 2, 4, 8, ... configurations in drawing order, and of all.

    Of those that finished LOSO the one with the largest sum over the rungs is the best, as for the
    champion. A shorter search would have promoted others, so this is an approximation.

    Args:
        standing: of the study.
        counts: of each rung, by configuration.
        chosen: the choice of the champion, repeated.
    """
    study, totals = standing.study, standing.totals()
    n_drawn, found = len(study.configurations), []
    sizes = {2**power for power in range(n_drawn.bit_length())} | {n_drawn}
    for n in sorted(sizes):
        known = [number for number in totals if number < n]
        if not known:
            continue
        best = max(known, key=lambda number: (totals[number], -number))
        first = [{k: one for k, one in rung.items() if k < n} for rung in counts]
        again = chosen if n == n_drawn else choices(study, first)
        score = scores_of(counts[-1][best].at_best.sum(axis=0)).of(study.objective)
        corrected = again.score()[study.objective].estimate if again else score
        found.append(SearchPoint(n, best, score, corrected))
    return tuple(found)
