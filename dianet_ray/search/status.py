"""How far a study is, from its files alone."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dianet_ray.artefacts import DRIVER_FOLDER, to_plain
from dianet_ray.progress import count, duration
from dianet_ray.protocol.standing import Failure, Score, Standing
from dianet_ray.protocol.study import Configuration
from dianet_ray.storage.lock import holder, is_alive

N_FAILURES = 3
"""Failures that are listed for readers."""


@dataclass(frozen=True, slots=True)
class Status:
    """How far a study is. `driver` names the process that writes it now, if one does.

    `n_folds` are those of each rung; `last_s` is how many seconds ago the last training ended;
    `best` is the champion so far, with its steps; `failures` say why configurations
    failed or were lost.
    """

    study: str
    path: Path
    driver: str
    n_folds: tuple[int, ...]
    n_trainings: int
    n_after: int
    states: dict[str, int]
    last_s: float | None
    objective: str
    best: tuple[Configuration, int, Score] | None
    failures: tuple[Failure, ...]

    def document(self) -> dict[str, Any]:
        """Write the status as JSON values."""
        return {
            "study": self.study,
            "is_running": bool(self.driver),
            "n_folds": list(self.n_folds),
            "n_drawn": sum(self.states.values()),
            "n_trainings": self.n_trainings,
            "n_after": self.n_after,
            "states": self.states,
            "seconds_since_last_training": self.last_s,
            "best": self._best_document(),
            "failures": [to_plain(failure) for failure in self.failures],
        }

    def _best_document(self) -> dict[str, Any] | None:
        if self.best is None:
            return None
        winner, steps, score = self.best
        return {
            "number": winner.number,
            "config_id": winner.config_id,
            "steps": steps,
            self.objective: score.value,
            "ci95": [score.low, score.high],
        }

    def lines(self) -> list[str]:
        """Write the status for readers."""
        counts = ", ".join(f"{n} {state}" for state, n in self.states.items()) or "none drawn"
        if n_crashed := sum(failure.is_crash for failure in self.failures):
            counts += f"; {n_crashed} of the failed crashed their workers"
        running = f"running ({self.driver})" if self.driver else "not running"
        after = f", {self.n_after} after the search" if self.n_after else ""
        lines = [
            f"study    {self.path}: {running}",
            f"done     {count(self.n_trainings, 'training')}{after}; configurations: {counts}",
        ]
        if self.last_s is not None and self.driver:
            lines.append(f"last     training {duration(self.last_s)} ago")
        if self.best is not None:
            winner, steps, score = self.best
            lines.append(
                f"best     configuration {winner.number} ({winner.config_id}): "
                f"{self.objective} {score} after {count(steps, 'step')}"
            )
        lines += [f"failed   {failure}" for failure in self.failures[:N_FAILURES]]
        if len(self.failures) > N_FAILURES:
            lines.append(f"failed   and {len(self.failures) - N_FAILURES} more: --json lists all")
        return lines


def status_of(standing: Standing, path: Path) -> Status:
    """Describe a study's progress."""
    study, states, winner = standing.study, standing.states(), standing.champion()
    ends = [training.result.finished_at for training in study.all_trainings()]
    return Status(
        study=study.name,
        path=path.absolute(),
        driver=_driver(path),
        n_folds=tuple(len(folds) for folds in study.rungs),
        n_trainings=len(study.trainings),
        n_after=len(study.repeats) + len(study.pairs),
        states={str(state): states.count(state) for state in sorted(set(states))},
        last_s=time.time() - max(ends) if ends else None,
        objective=study.objective,
        best=None if winner is None else _best(standing, winner),
        failures=standing.failures(),
    )


def _best(standing: Standing, winner: Configuration) -> tuple[Configuration, int, Score]:
    return winner, standing.steps_read(winner.number), standing.score(winner.number)


def _driver(path: Path) -> str:
    """Name the process that writes a study now; empty when none does."""
    driver = holder(path / DRIVER_FOLDER)
    if driver is None or not is_alive(driver):
        return ""
    return f"process {driver.pid} on {driver.host}"
