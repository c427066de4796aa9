"""Compute the report of a study: one document, of which terminal, page and `--json` are views.

Reads where a study stands. Everything random comes from the study seed, so the same ledger gives
the same report.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from dianet_ray.protocol import permutation, predictions
from dianet_ray.protocol.ladder import EXHAUSTIVE
from dianet_ray.protocol.predictions import Chance
from dianet_ray.protocol.standing import Standing
from dianet_ray.protocol.study import Configuration, Study
from dianet_ray.report import champion, costs, savings, verdicts
from dianet_ray.report.as_others_count import as_others_count
from dianet_ray.report.champion import Counted, Counts, scores_of
from dianet_ray.report.fidelity import fidelity
from dianet_ray.report.importance import N_RESAMPLES, importance
from dianet_ray.report.nested import nested
from dianet_ray.report.records import (
    ConfigurationResult,
    Dataset,
    LeftOut,
    Report,
    RungResult,
    Scores,
)
from dianet_ray.report.search_curve import search_curve
from dianet_ray.report.seeds import n_failed, seeds
from dianet_ray.report.settings_effect import Searched, effects
from dianet_ray.settings import Settings


def summarise(standing: Standing, *, n_resamples: int = N_RESAMPLES) -> Report:
    """Compute the report of a study from where its configurations stand.

    The importance of settings takes a second or more for a hundred resamples; 0 leaves it out.
    """
    study, winner = standing.study, standing.champion()
    # Counting predictions is most of the work, so every section reads the same counts.
    counts = [_finished(standing, rung) for rung in range(len(study.rungs))]
    ranks = {one.number: place for place, one in enumerate(standing.ranking, start=1)}
    configs = tuple(_configuration(standing, one, counts, ranks) for one in study.configurations)
    chance = _chance(standing, winner)
    best = counts[-1][winner.number] if winner else None
    chosen = champion.choices(standing, counts) if winner else None
    described = (
        champion.describe(standing, winner, best, chance, chosen) if winner and best else None
    )
    return Report(
        study=study.name,
        dataset=_dataset(study),
        strategy="exhaustive" if study.ladder == EXHAUSTIVE else "ladder",
        protocol=study.identity.protocol,
        objective=study.objective,
        n_configs=len(study.configurations),
        n_trainings=len(study.trainings),
        n_after=len(study.repeats) + len(study.pairs),
        n_surplus=sum(map(standing.is_surplus, study.trainings.values())),
        # LOSO of everything drawn, whatever the ladder: savings are stated against it.
        n_trainings_exhaustive=len(study.configurations) * len(study.folds),
        flow=savings.flow(standing),
        fidelity=() if winner is None else fidelity(standing, winner, counts),
        chance=chance,
        champion=described,
        seeds=seeds(standing, winner.number) if winner else None,
        n_failed_repeats=n_failed(standing, winner.number) if winner else 0,
        verdict=verdicts.verdict(described, chance, study.objective) if described else None,
        nested=nested(standing),
        defaults=champion.defaults(standing, winner, counts[-1], chosen) if winner else None,
        as_others_count=as_others_count(best) if best else {},
        search_curve=search_curve(standing, counts, chosen),
        importance=importance(*_first_scores(study, configs), study.identity.seed, n_resamples),
        settings_effect=effects(*_first_scores(study, configs)),
        configs=configs,
        failures=standing.failures(),
        seconds=costs.seconds(study),
        environment=costs.environment(study),
    )


def _finished(standing: Standing, rung: int) -> Counts:
    """Count the predictions of every configuration that finished a rung, subject by subject."""
    numbers = sorted(entry.number for entry in standing.decisions.complete(rung))
    return {number: _counted(standing, number, rung) for number in numbers}


def _counted(standing: Standing, number: int, rung: int) -> Counted:
    points = standing.study.points(number, rung)
    return Counted(
        points,
        np.stack([standing.confusions(number, rung, steps=steps) for steps in points]),
        np.stack([standing.shared(number, rung, steps) for steps in points]),
        points.index(standing.steps_read(number, rung)),
    )


def _chance(standing: Standing, winner: Configuration | None) -> dict[str, Chance]:
    study = standing.study
    predicted = None if winner is None else predictions.classify(standing.pooled(winner.number))
    found = predictions.chance(
        study.labels(),
        predicted,
        folds=study.folds,
        n_classes=len(study.classes),
    )
    p = _p_values(standing) if winner else None
    return {m: replace(one, p=p[m]) for m, one in found.items()} if p else found


def _p_values(standing: Standing) -> dict[str, float] | None:
    """Test the best of the first rung, where no choice has been made yet."""
    study = standing.study
    numbers = sorted(entry.number for entry in standing.decisions.complete(0))
    return permutation.p_values(
        [
            np.stack([study.pooled(number, 0, steps) for steps in study.points(number, 0)])
            for number in numbers
        ],
        study.labels(),
        np.unique([clip.subject for clip in study.clips], return_inverse=True)[1],
        objective=study.objective,
        seed=study.identity.seed,
    )


def _dataset(study: Study) -> Dataset:
    origin = study.origin
    n_of = Counter(clip.label for clip in study.clips)
    return Dataset(
        name=origin.dataset,
        clips=len(study.clips),
        subjects=len({clip.subject for clip in study.clips}),
        classes={name: n_of[label] for label, name in enumerate(study.classes)},
        left_out=origin.n_left_out + origin.n_unlabelled,
        left_out_by=LeftOut(prepare=origin.n_left_out, classes=origin.n_unlabelled),
    )


def _first_scores(
    study: Study, configs: tuple[ConfigurationResult, ...]
) -> tuple[list[tuple[Settings, float]], Searched]:
    """Score settings in the first rung, which more configurations finished than LOSO."""
    first = ((config.settings, config.rungs[0].scores) for config in configs)
    points = [(settings, scores.of(study.objective)) for settings, scores in first if scores]
    return points, study.identity.space.search


def _configuration(
    standing: Standing,
    configuration: Configuration,
    counts: list[Counts],
    ranks: Mapping[int, int],
) -> ConfigurationResult:
    study, number = standing.study, configuration.number
    rungs = [
        RungResult(
            partition=savings.partition(study.ladder[entry.rung]),
            state=entry.state,
            n_trainings=len(study.of(number, entry.rung)),
            scores=_scores(counts[entry.rung].get(number)),
            soft=_soft(counts[entry.rung].get(number), study.objective),
            steps=_steps(counts[entry.rung].get(number)),
        )
        for entry in standing.entries(number)
    ]
    return ConfigurationResult(
        number=number,
        config_id=configuration.config_id,
        settings=configuration.settings,
        rungs=tuple(rungs),
        state=standing.state(number),
        rank=ranks.get(number),
    )


def _scores(counted: Counted | None) -> Scores | None:
    return None if counted is None else scores_of(counted.as_read.sum(axis=0))


def _soft(counted: Counted | None, objective: str) -> float | None:
    return None if counted is None else counted.soft_score(objective)


def _steps(counted: Counted | None) -> int | None:
    return None if counted is None else counted.steps[counted.read]
