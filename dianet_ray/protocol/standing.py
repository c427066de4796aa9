"""Compute where every configuration of a study stands, from the study's records alone.

A running search gets the same decisions from its schedule. Reports, the MLflow projection and a
resumed search compute the standing here, once per command, and pass it down.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dianet_ray.artefacts import Record
from dianet_ray.protocol.comparison import Basis, Comparison, Memory
from dianet_ray.protocol.decisions import Decisions, Entry
from dianet_ray.protocol.metrics import scores
from dianet_ray.protocol.predictions import classify, interval, shares, subject_confusions
from dianet_ray.protocol.results import Training
from dianet_ray.protocol.study import Configuration, State, Study

N_QUICK_REPLICATES = 2000


@dataclass(frozen=True, slots=True)
class Score:
    """A pooled score, 0..1, and its 95 % interval over subjects."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True, slots=True)
class Failure(Record):
    """Why a configuration failed or was lost, in one line, and whether it crashed its workers."""

    number: int
    config_id: str
    is_crash: bool
    reason: str

    def __str__(self) -> str:
        return f"configuration {self.number} ({self.config_id}): {self.reason}"


@dataclass(frozen=True)
class Standing:
    """Where every configuration of a study stands."""

    study: Study
    decisions: Decisions

    def state(self, number: int) -> State:
        """Return a configuration's state in the study."""
        entry = self.entries(number)[-1]
        if entry.state == "complete" and entry.rung < self.study.loso_rung:
            return "screened" if self.decisions.is_over else "waiting"
        return entry.state

    def states(self) -> list[State]:
        """Return the state of every configuration, in number order."""
        return [self.state(configuration.number) for configuration in self.study.configurations]

    def entries(self, number: int) -> list[Entry]:
        """List a configuration's entries, from the first rung to the highest that it reached."""
        found = (self.decisions.entry(number, rung) for rung in range(len(self.study.rungs)))
        return [entry for entry in found if entry is not None]

    def complete(self) -> list[Configuration]:
        """List the configurations that finished the LOSO rung, in number order."""
        numbers = sorted(entry.number for entry in self.decisions.complete())
        return [self.study.configurations[number] for number in numbers]

    @cached_property
    def ranking(self) -> list[Configuration]:
        """List the complete configurations, best first, ties to the lower number.

        They are ranked by the sum of their soft scores over all rungs. But the settings that the
        space names to begin with come before all that are not clearly ahead of them in LOSO.
        docs/decisions.md: The first settings win unless another is clearly ahead
        """
        rung, decisions = self.study.loso_rung, self.decisions
        totals = {c.number: decisions.total(c.number, rung) for c in self.complete()}
        ranked = sorted(self.complete(), key=lambda c: (-totals[c.number], c.number))
        first = self.began_with()
        if first is None:
            return ranked
        ahead = {
            c.number for c in ranked if c != first and decisions.is_ahead(c.number, first.number)
        }
        # A stable sort: those that are ahead, the first settings, the others.
        return sorted(ranked, key=lambda c: (c.number not in ahead, c != first))

    def champion(self) -> Configuration | None:
        """Return the first of the ranking; None while no configuration is complete."""
        return next(iter(self.ranking), None)

    def began_with(self) -> Configuration | None:
        """Return the settings that the space names to begin with, once they finished LOSO."""
        named = self.study.identity.space.first_settings[:1]
        return next((c for c in self.complete()[:1] if (c.settings,) == named), None)

    def steps_read(self, number: int, rung: int | None = None) -> int:
        """Return the point at which a configuration is read in a finished rung, in steps.

        It is the last, unless others are clearly ahead by the pooled soft score. It is the same
        for all folds: no fold chooses for itself.
        docs/decisions.md: The end of a training
        """
        rung = self.study.loso_rung if rung is None else rung
        return self.study.points(number, rung)[self.decisions.point_read(number, rung)]

    def pooled(self, number: int, rung: int | None = None) -> np.ndarray:
        """Pool held-out probabilities of a finished rung, as `Study.pooled`, where it is read."""
        return self.study.pooled(number, rung, self.steps_read(number, rung))

    def score(self, number: int, steps: int | None = None) -> Score:
        """Score a complete configuration by the objective, at a point (default: as read)."""
        study, counts = self.study, self.confusions(number, steps=steps)
        value = float(scores(counts.sum(axis=0))[study.objective])
        low, high = interval(counts, study.identity.seed, n=N_QUICK_REPLICATES)[study.objective]
        return Score(value, low, high)

    def confusions(
        self, number: int, rung: int | None = None, *, steps: int | None = None
    ) -> np.ndarray:
        """Count held-out predictions of a finished rung by subject: (S, C, C) int64.

        Subjects are in sorted order, classes true (rows) and predicted. By default of LOSO, at
        the point that is read.
        """
        study = self.study
        pooled = study.pooled(number, rung, steps or self.steps_read(number, rung))
        return subject_confusions(study.clips, classify(pooled), len(study.classes))[1]

    def shared(self, number: int, rung: int, steps: int) -> np.ndarray:
        """Sum the shares of held-out predictions, as `confusions` counts predictions."""
        study = self.study
        pooled = study.pooled(number, rung, steps)
        return subject_confusions(study.clips, shares(pooled), len(study.classes))[1]

    def is_surplus(self, training: Training) -> bool:
        """Say whether a training is surplus: no decision, score or report reads it."""
        entry = self.decisions.entry(training.number, training.rung)
        if entry is None:
            return True
        return entry.state != "running" and training.fold >= entry.n_decided

    def needed(self, number: int) -> list[Training]:
        """List a configuration's trainings that are not surplus, by rung and fold."""
        return [
            training
            for entry in self.entries(number)
            for training in self.study.of(number, entry.rung)
            if not self.is_surplus(training)
        ]

    def failures(self) -> tuple[Failure, ...]:
        """Say why configurations failed or were lost, in number order."""
        found = []
        for configuration in self.study.configurations:
            number = configuration.number
            if self.state(number) not in ("failed", "lost"):
                continue
            ended = next(t for t in self.needed(number) if t.outcome != "ok")
            result = ended.result
            found.append(Failure(number, ended.config_id, result.is_crash, result.reason))
        return tuple(found)

    def first_wave_failure(self) -> str:
        """Say why the study cannot go on: all of its first wave failed. Empty if it can."""
        first = [c.number for c in self.study.configurations if c.wave == 0]
        results = [training.result for training in self.study.trainings.values()]
        if not results or any(result.outcome == "ok" for result in results):
            return ""
        if any(self.state(number) == "running" for number in first):
            return ""
        return f"every training of the first wave failed: {results[-1].reason}"


def comparison_of(
    study: Study, latest: Callable[[], Study] | None = None, memory: Memory | None = None
) -> Comparison:
    """Make the comparison of a study.

    Args:
        study: what is recorded.
        latest: returns the study as it has grown since; by default it does not grow.
        memory: results that other comparisons of the study share.
    """
    grown = latest or (lambda: study)

    def predictions(number: int, rung: int, fold: int) -> tuple[np.ndarray, ...]:
        points = grown().trainings[number, rung, fold].points
        return tuple(point.probabilities for point in points)

    basis = Basis(
        study.ladder,
        study.rungs,
        study.clips,
        objective=study.objective,
        seed=study.identity.seed,
    )
    return Comparison(
        basis,
        predictions=predictions,
        names=lambda number: grown().configurations[number].config_id,
        memory=memory,
    )


def standing_of(study: Study, memory: Memory | None = None) -> Standing:
    """Work out where every configuration stands.

    Args:
        study: what is recorded.
        memory: shared by the standings of a study that grows, so that no comparison is repeated.
    """
    n_folds = [len(folds) for folds in study.rungs]
    decisions = Decisions(study.ladder, n_folds, comparison_of(study, memory=memory))
    for training in study.trainings.values():
        decisions.finished(*training.key, training.outcome)
    waves = [configuration.wave for configuration in study.configurations]
    # Outcomes may come before the draws: decisions do not depend on the order.
    for wave in sorted(set(waves)):
        decisions.draw(wave, waves.count(wave))
    if study.n_configs is None or len(waves) >= study.n_configs:
        decisions.end_drawing()
    return Standing(study, decisions)
