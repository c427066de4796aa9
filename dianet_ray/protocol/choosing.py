"""Choose among a few by soft scores, but keep what is known to be good unless others clearly lead.

The end of a training is good, and so are the settings that a space begins with. The highest of
several scores on the same few subjects is mostly lucky.
docs/decisions.md: The first settings win unless another is clearly ahead, The end of a training
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dianet_ray.protocol.metrics import scores
from dianet_ray.protocol.predictions import jackknife_error, without_each

AHEAD_OF_END = 2.0
"""Standard errors of the difference, paired over subjects, that a point must be ahead of the end
of its training."""
AHEAD_OF_FIRST = 1.0
"""The same for configurations, ahead of the first settings."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How one of K is chosen.

    `kept` is the place of the one that is kept unless others are clearly ahead of it, None without
    any. `least` (K,) is by how much others must lead it.
    """

    kept: int | None
    least: np.ndarray

    @classmethod
    def of(cls, counts: np.ndarray, objective: str, kept: int | None, *, ahead: float) -> Rule:
        """Make the rule for K soft confusion matrices by subject, (K, S, C, C).

        Others must be ahead of the kept one by more than `ahead` standard errors.
        """
        if kept is None:
            return cls(None, np.zeros(len(counts)))
        if counts.shape[1] < 2:  # one subject does not tell how much subjects differ
            return cls(kept, np.full(len(counts), np.inf))
        left = without_each(counts)[objective]
        return cls(kept, ahead * jackknife_error(left - left[kept]))

    def choose(self, totals: np.ndarray, judged: np.ndarray | None = None) -> np.ndarray:
        """Choose in each of B rows, (B,): the best of `totals`, ties to the earlier place.

        Args:
            totals: (B, K) scores that rank.
            judged: (B, K) scores that tell which are clearly ahead; by default those that rank.
        """
        if self.kept is not None:
            judged = totals if judged is None else judged
            leads = judged - judged[:, [self.kept]] > self.least
            leads[:, self.kept] = ~leads.any(axis=1)
            totals = np.where(leads, totals, -1.0)
        return np.asarray(totals.argmax(axis=1))


def first_rule(counts: np.ndarray, objective: str, first: int | None) -> Rule:
    """Make the rule for K configurations, by (K, S, C, C) in LOSO; `first` are those kept."""
    return Rule.of(counts, objective, first, ahead=AHEAD_OF_FIRST)


def point_rule(counts: np.ndarray, objective: str) -> Rule:
    """Make the rule for the points of a training, by (points, S, C, C): the end is kept."""
    return Rule.of(counts, objective, len(counts) - 1, ahead=AHEAD_OF_END)


def point_read(counts: np.ndarray, objective: str) -> int:
    """Return the place of the point at which (points, S, C, C) soft counts are read.

    It is the last one, unless others are clearly ahead of it: then the best of those.
    """
    scored = scores(counts.sum(axis=1), present_only=True)[objective]
    return int(point_rule(counts, objective).choose(scored[None])[0])
