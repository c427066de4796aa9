"""Check in a study itself whether its lower rungs rank configurations as LOSO does.

A rung with few steps can favour what learns fast. Two signs: its scores and those of LOSO disagree
among the configurations that have both, and configurations that were not promoted were still
rising faster than the champion when the rung ended.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from dianet_ray.protocol.comparison import Comparison
from dianet_ray.protocol.decisions import Entry
from dianet_ray.protocol.standing import Standing, comparison_of
from dianet_ray.protocol.study import Configuration, Study
from dianet_ray.report.champion import Counts
from dianet_ray.report.records import Fidelity
from dianet_ray.report.savings import partition

FEWEST = 3
"""Configurations below which no correlation is given."""


def fidelity(
    standing: Standing, champion: Configuration, counts: Sequence[Counts]
) -> tuple[Fidelity, ...]:
    """Compare each rung below LOSO with LOSO; `counts` are those of each rung."""
    study, comparison = standing.study, comparison_of(standing.study)
    found = []
    for place in range(study.loso_rung):
        entries = [entry for entry in standing.decisions.entries(place) if entry.is_in]
        rungs = counts[place], counts[study.loso_rung]
        both = sorted(rungs[0].keys() & rungs[1].keys())
        ranks = [[rung[number].soft_score(study.objective) for number in both] for rung in rungs]
        found.append(
            Fidelity(
                partition=partition(study.ladder[place]),
                n=len(both),
                correlation=rank_correlation(*ranks) if len(both) >= FEWEST else None,
                rising=tuple(
                    entry.number
                    for entry in entries
                    if standing.decisions.entry(entry.number, place + 1) is None
                    and standing.state(entry.number) in ("screened", "dropped")
                    and _passes(study, comparison, entry, champion.number)
                ),
            )
        )
    return tuple(found)


def rank_correlation(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Return Spearman's rank correlation, equal values sharing their mean rank.

    None where all values of one side are equal.

    >>> rank_correlation([1, 2, 2, 5], [0.1, 0.3, 0.3, 0.4])
    1.0
    """
    ranks = [_ranks(values) for values in (one, other)]
    if any(np.ptp(values) == 0 for values in ranks):
        return None
    return float(np.corrcoef(np.stack(ranks))[0, 1].round(12))


def _ranks(values: Sequence[float]) -> np.ndarray:
    _, place, n = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(n) - (n - 1) / 2)[place])


def _passes(study: Study, comparison: Comparison, entry: Entry, champion: int) -> bool:
    """Say whether a configuration passes the champion if both go on as over their last points.

    Both are compared on the folds that the configuration has finished, extended to the number of
    steps that LOSO trains. It was behind at the last point of the rung.
    """
    if not entry.n_decided or not entry.is_alive:
        return False
    ends = []
    for number in (entry.number, champion):
        curve = comparison.curve(number, entry.rung, entry.n_decided)
        ends.append((curve[-1], _extended(study, number, entry.rung, curve)))
    (now, later), (champion_now, champion_later) = ends
    return now <= champion_now and later > champion_later


def _extended(study: Study, number: int, rung: int, curve: Sequence[float]) -> float:
    """Extend a curve to all the steps of a configuration, on a logarithmic scale of steps."""
    points = study.points(number, rung)
    if len(curve) < 2:
        return curve[-1]
    slope = (curve[-1] - curve[-2]) / math.log(points[-1] / points[-2])
    left = study.configurations[number].settings.steps / points[-1]
    return min(1.0, curve[-1] + slope * math.log(left))
