"""Budgets only stop new waves from being drawn.

What has been drawn is always finished, so a study that a budget ended equals a study of that many
configurations.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from dianet_ray.protocol.study import Asked, Study


@dataclass(frozen=True, slots=True)
class Budget:
    """The most trainings and hours of a study, over all its commands; None for no limit."""

    trainings: int | None = None
    hours: float | None = None

    def asked(self, n_configs: int) -> Asked:
        """Record the budget with the configurations that were asked for."""
        return Asked(n_configs, self.trainings, self.hours)

    def forbids(self, study: Study, most: Sequence[int], *, n_workers: int, now: float) -> str:
        """Say which limit the next configurations would exceed; empty for none.

        Trainings count as if nothing more were dropped, with a LOSO rung for every place that the
        study would have then, one at least. Hours are those of all drivers, and what is left to
        train by the mean of what each rung took, on the workers that there are.

        Args:
            study: what is recorded.
            most: bounds of the trainings in each rung if they were drawn, and of those after
                the search.
            n_workers: how many trainings run at once.
            now: seconds since the epoch.
        """
        if not study.configurations:
            return ""  # the first wave is always drawn; whether it fits is checked at the door
        if self.trainings is not None and sum(most) > self.trainings:
            return f"--max-trainings {self.trainings}"
        if self.hours is None:
            return ""
        done = [sum(key[1] == rung for key in study.trainings) for rung in range(len(most) - 1)]
        done.append(len(study.repeats) + len(study.pairs))
        seconds = rung_seconds(study)
        seconds.append(seconds[-1])  # what follows is LOSO again, or nearly
        left_s = sum(
            max(0, bound - n_done) * each
            for bound, n_done, each in zip(most, done, seconds, strict=True)
        )
        hours = (elapsed_s(study, now) + left_s / max(1, n_workers)) / 3600
        return f"--max-hours {self.hours:g}" if hours > self.hours else ""


@dataclass(frozen=True, slots=True)
class Extent:
    """How far to go with a study: configurations to draw, budgets, weights to keep, repeats.

    `n_kept` configurations keep their weights; None for all.
    """

    n_configs: int
    budget: Budget
    n_kept: int | None = None
    n_repeats: int = 0


def rung_seconds(study: Study) -> list[float]:
    """Estimate a training's seconds in each rung; 0 before the first has finished.

    A rung of which none is known takes as long per step as the nearest one below it.
    """
    estimates: list[float] = []
    per_step = 0.0
    for rung, rule in enumerate(study.ladder):
        seconds = [t.seconds for key, t in study.trainings.items() if key[1] == rung]
        if seconds:
            per_step = statistics.fmean(seconds) / rule.steps
        estimates.append(per_step * rule.steps)
    return estimates


def elapsed_s(study: Study, now: float) -> float:
    """Sum the drivers' time on a study, the last one's until now."""
    if not study.spans:
        return 0.0
    *earlier, last = study.spans
    return sum(s.stopped_at - s.started_at for s in earlier) + now - last.started_at
