"""How configurations were promoted, and what the ladder saved against every LOSO fold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import fmean

from dianet_ray.protocol.decisions import Entry
from dianet_ray.protocol.ladder import Rung
from dianet_ray.protocol.standing import Standing
from dianet_ray.protocol.study import Study
from dianet_ray.report.records import Flow, RungFlow, Saved


def partition(rung: Rung) -> str:
    """Name a rung's partition.

    >>> partition(Rung(3)), partition(Rung())
    ('groups-3', 'loso')
    """
    return "loso" if rung.groups is None else f"groups-{rung.groups}"


def flow(standing: Standing) -> Flow:
    """Count who reached, left and was promoted from each rung, and what was saved."""
    study = standing.study
    entries = [entry for c in study.configurations for entry in standing.entries(c.number)]
    rungs = tuple(
        _rung_flow(study, entries, place, rung) for place, rung in enumerate(study.ladder)
    )
    return Flow(rungs=rungs, saved=_saved(study, rungs))


def _rung_flow(study: Study, entries: Sequence[Entry], place: int, rung: Rung) -> RungFlow:
    here = [entry for entry in entries if entry.rung == place]
    seconds = [training.seconds for training in study.trainings.values() if training.rung == place]
    return RungFlow(
        partition=partition(rung),
        folds=len(study.rungs[place]),
        steps=rung.steps,
        keep=rung.keep,
        reached=len(here),
        # A configuration that reached the next rung was promoted from this one.
        promoted=sum(entry.rung == place + 1 for entry in entries),
        states=dict(sorted(Counter(entry.state for entry in here).items())),
        trainings=len(seconds),
        seconds=float(sum(seconds)),
    )


def _saved(study: Study, rungs: Sequence[RungFlow]) -> Saved:
    """Price the trainings that were not made by the mean of the LOSO trainings that succeeded."""
    # Trainings of lower rungs may have fewer steps and larger folds, and so cost something else.
    n_exhaustive = len(study.configurations) * rungs[-1].folds
    of_loso = [
        training.seconds
        for training in study.trainings.values()
        if training.rung == study.loso_rung and training.outcome == "ok"
    ]
    seconds = None
    if of_loso:
        seconds = n_exhaustive * fmean(of_loso) - sum(rung.seconds for rung in rungs)
    return Saved(trainings=n_exhaustive - len(study.trainings), seconds=seconds)
