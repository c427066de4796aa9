"""For how long a training may be silent before it counts as lost."""

from __future__ import annotations

import statistics

from dianet_ray.protocol.study import Study

SILENCE_S = 600.0
"""A training is lost when it is silent for longer than this and 10x its rung's median."""


class Silence:
    """Sets how long a training may be silent, from the medians of its rung."""

    def __init__(self) -> None:
        # By rung: the number of records and their median. Taking a median for every training that
        # is handed out would be quadratic in their number.
        self._medians: dict[int, tuple[int, float]] = {}

    def limit_s(self, study: Study, rung: int) -> float:
        """Set a training's limit; the median is taken again when a tenth more is recorded."""
        n, median = self._medians.get(rung, (0, 0.0))
        if len(study.trainings) >= 1.1 * n:
            trained = (t for t in study.trainings.values() if t.rung == rung)
            seconds = [training.seconds for training in trained if training.outcome == "ok"]
            median = statistics.median(seconds) if seconds else 0.0
            self._medians[rung] = len(study.trainings), median
        return max(SILENCE_S, 10 * median)
