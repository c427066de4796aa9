"""How configurations climbed the ladder, and what that saved against training every LOSO fold."""

from __future__ import annotations

from collections import Counter
from typing import Any

from dianet_ray.protocol.standing import ladder_of, standing
from dianet_ray.protocol.study import Study


def name(study: Study, rung: int) -> str:
    """Name a rung's partition: `groups-3`, or `loso`."""
    n_groups = ladder_of(study)[rung].groups
    return "loso" if n_groups is None else f"groups-{n_groups}"


def flow(study: Study) -> dict[str, Any]:
    """Count who reached, left and climbed past each rung, and what was saved.

    Returns:
        `rungs`, for each its partition, share of the steps, trainings and seconds, how many
        configurations `reached` it, `climbed` past it, and how many are in each state of it;
        `saved`, the trainings and the seconds that training every LOSO fold of every drawn
        configuration would have taken more, the seconds by the mean of the LOSO trainings (None
        before the first).
    """
    decided, rules = standing(study), ladder_of(study)
    runs = [run for c in study.configurations for run in decided.runs(c.number)]
    rungs = []
    for rung, rule in enumerate(rules):
        here = [run for run in runs if run.rung == rung]
        seconds = [t.seconds for t in study.trainings.values() if t.rung == rung]
        rungs.append(
            {
                "partition": name(study, rung),
                "folds": len(study.rungs[rung]),
                "steps": rule.steps,
                "keep": rule.keep,
                "reached": len(here),
                "climbed": sum(run.rung == rung + 1 for run in runs),
                "states": dict(sorted(Counter(run.state for run in here).items())),
                "trainings": len(seconds),
                "seconds": sum(seconds),
            }
        )
    return {"rungs": rungs, "saved": _saved(study, rungs)}


def _saved(study: Study, rungs: list[dict[str, Any]]) -> dict[str, float | None]:
    loso = rungs[-1]
    n_exhaustive = len(study.configurations) * loso["folds"]
    seconds = None
    if loso["trainings"]:
        mean = loso["seconds"] / loso["trainings"]
        seconds = n_exhaustive * mean - sum(rung["seconds"] for rung in rungs)
    return {"trainings": n_exhaustive - len(study.trainings), "seconds": seconds}


def lines(report: dict[str, Any]) -> list[str]:
    """Say the flow for people, a line per rung; nothing under one rung alone."""
    rungs = report["flow"]["rungs"]
    if len(rungs) < 2:
        return []
    said = []
    for rung in rungs:
        states = ", ".join(f"{n} {state}" for state, n in rung["states"].items()) or "none yet"
        climbed = f"; {rung['climbed']} climbed" if rung is not rungs[-1] else ""
        share = "" if rung["steps"] == 1 else f" with {rung['steps']:g} of the steps"
        said.append(
            f"{rung['partition']}{share}: {rung['reached']} configurations ({states})"
            f"{climbed}; {rung['trainings']} trainings, {rung['seconds'] / 3600:.2f} hours"
        )
    saved = report["flow"]["saved"]
    hours = "" if saved["seconds"] is None else f" and {saved['seconds'] / 3600:.2f} hours"
    said.append(f"saved against every LOSO fold: {saved['trainings']} trainings{hours}")
    return said
