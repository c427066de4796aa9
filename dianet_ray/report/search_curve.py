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

    Of those that finished LOSO the first in the ranking is the best, as for the champion. A
    shorter search would have promoted others, so this is an approximation.

    Args:
        standing: of the study.
        counts: of each rung, by configuration.
        chosen: the choice of the champion, repeated.
    """
    study, ranked = standing.study, [one.number for one in standing.ranking]
    n_drawn, found = len(study.configurations), []
    sizes = {2**power for power in range(n_drawn.bit_length())} | {n_drawn}
    for n in sorted(sizes):
        best = next((number for number in ranked if number < n), None)
        if best is None:
            continue
        first = [{k: one for k, one in rung.items() if k < n} for rung in counts]
        again = chosen if n == n_drawn else choices(standing, first)
        score = scores_of(counts[-1][best].as_read.sum(axis=0)).of(study.objective)
        corrected = again.score()[study.objective].estimate if again else score
        found.append(SearchPoint(n, best, score, corrected))
    return tuple(found)
