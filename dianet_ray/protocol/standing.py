"""What a study's ladder has decided, worked out from its records alone.

The race decides the same while it runs; here is the view of it that reports, projections and a
resumed search take.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dianet_ray.protocol.comparison import Judge
from dianet_ray.protocol.decisions import Climb, Run
from dianet_ray.protocol.ladder import Ladder, from_plain
from dianet_ray.protocol.study import Configuration, State, Study, Training


@dataclass(frozen=True, slots=True)
class Standing:
    """Where every configuration of a study stands."""

    study: Study
    climb: Climb

    def state(self, number: int) -> State:
        """Say where a configuration stands in the study."""
        run = self.runs(number)[-1]
        if run.state == "complete" and run.rung < self.study.loso_rung:
            return "screened" if self.climb.is_over else "waiting"
        return run.state

    def states(self) -> list[State]:
        """Say where each configuration stands, in number order."""
        return [self.state(configuration.number) for configuration in self.study.configurations]

    def runs(self, number: int) -> list[Run]:
        """List a configuration's rungs from the first to the highest that it has reached."""
        found = (self.climb.run(number, rung) for rung in range(len(self.study.rungs)))
        return [run for run in found if run is not None]

    def complete(self) -> list[Configuration]:
        """List the configurations that finished the LOSO rung, in number order."""
        numbers = sorted(run.number for run in self.climb.complete())
        return [self.study.configurations[number] for number in numbers]

    def champion(self) -> Configuration | None:
        """Choose among them the largest sum of pooled objective over the rungs."""
        number = self.climb.champion()
        return None if number is None else self.study.configurations[number]

    def is_surplus(self, training: Training) -> bool:
        """Say whether no decision, score or report reads a training."""
        run = self.climb.run(training.number, training.rung)
        if run is None:
            return True
        return run.state != "running" and training.fold >= run.n_decided

    def needed(self, number: int) -> list[Training]:
        """List a configuration's trainings that are not surplus, by rung and fold."""
        return [
            training
            for run in self.runs(number)
            for training in self.study.of(number, run.rung)
            if not self.is_surplus(training)
        ]


def ladder_of(study: Study) -> Ladder:
    """Read a study's ladder."""
    return from_plain(study.identity["ladder"])


def judge_of(study: Study, now: Callable[[], Study] | None = None) -> Judge:
    """Make the judge of what a study holds, or of what it has grown to by now."""
    latest = now or (lambda: study)

    def answers(number: int, rung: int, fold: int) -> np.ndarray:
        found = latest().trainings[number, rung, fold].probabilities
        assert found is not None
        return found

    return Judge(
        ladder_of(study),
        study.rungs,
        labels=study.labels(),
        subjects=[clip.subject for clip in study.clips],
        n_classes=len(study.classes),
        objective=study.objective,
        seed=int(study.identity["seed"]),
        answers=answers,
        names=lambda number: latest().configurations[number].config_id,
        memo=study.memo,
    )


def standing(study: Study) -> Standing:
    """Work out where every configuration stands; once per view of a study."""
    if "standing" not in study.cache:
        climb = Climb(ladder_of(study), [len(folds) for folds in study.rungs], judge_of(study))
        for training in study.trainings.values():
            climb.finished(training.number, training.rung, training.fold, training.outcome)
        waves = [configuration.wave for configuration in study.configurations]
        for wave in sorted(set(waves)):
            climb.draw(wave, waves.count(wave))
        n_configs = study.n_configs
        if n_configs is None or len(waves) >= n_configs:
            climb.end_drawing()
        study.cache["standing"] = Standing(study, climb)
    found: Standing = study.cache["standing"]
    return found
