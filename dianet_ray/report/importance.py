"""Which settings mattered: PED-ANOVA of one rung's scores, with intervals and a test.

PED-ANOVA compares where a setting lies in the best quarter with where it lies in all
configurations, so that an adaptive search, which draws more where scores are high, does not
mislead it (Watanabe, Bansal and Hutter 2023, https://arxiv.org/abs/2304.10255).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.trial import FrozenTrial, create_trial

from dianet_ray.protocol.predictions import quantiles
from dianet_ray.report.records import MIN_CONFIGS, Importance
from dianet_ray.settings import Choice, Dimension, Settings, derive_seed

optuna.logging.set_verbosity(optuna.logging.WARNING)  # else a line per study on stderr

BEST_SHARE = 0.25
N_RESAMPLES = 100


def importance(
    points: Sequence[tuple[Settings, float]],
    searched: Mapping[str, Dimension],
    seed: int,
    n: int = N_RESAMPLES,
) -> dict[str, Importance]:
    """Say how much each searched setting mattered for a place among the best quarter.

    Args:
        points: settings and score of each configuration, of one rung.
        searched: the settings that are searched.
        seed: the study seed.
        n: how often configurations are resampled, and how often scores are shuffled.

    Returns:
        For each setting that varied, the most important first; empty with fewer than MIN_CONFIGS
        configurations, and with n = 0.
    """
    known = [settings.values() for settings, _ in points]
    names = [name for name in searched if len({values[name] for values in known}) > 1]
    if len(points) < MIN_CONFIGS or not names or not n:
        return {}
    given = {name: [values[name] for values in known] for name in names}
    distributions = {name: _distribution(searched[name], given[name]) for name in names}
    scores = np.array([score for _, score in points])
    rows = [{name: values[name] for name in names} for values in known]

    def evaluate(places: np.ndarray, values: np.ndarray) -> np.ndarray:
        trials = [
            create_trial(params=rows[place], distributions=distributions, value=float(value))
            for place, value in zip(places, values, strict=True)
        ]
        return _divergences(trials, names)

    everyone = np.arange(len(rows))
    generator = np.random.default_rng(derive_seed(seed, "importance"))
    found = evaluate(everyone, scores)
    drawn = generator.integers(len(rows), size=(n, len(rows)))
    resampled = np.stack([_shares(evaluate(places, scores[places])) for places in drawn])
    # Of any setting: the most important of many would seem to matter without this.
    largest = np.array([evaluate(everyone, generator.permutation(scores)).max() for _ in range(n)])
    summed = {
        name: Importance(
            share=float(share),
            ci95=quantiles(resampled[:, place]),
            p=float(((largest >= found[place]).sum() + 1) / (n + 1)),
        )
        for place, (name, share) in enumerate(zip(names, _shares(found), strict=True))
    }
    return dict(sorted(summed.items(), key=lambda item: -item[1].share))


def _divergences(trials: Sequence[FrozenTrial], names: Sequence[str]) -> np.ndarray:
    """Evaluate: (settings,) Pearson divergences, 0 or more."""
    study = optuna.create_study(direction="maximize")
    study.add_trials(trials)
    with warnings.catch_warnings():
        # Where scores tie, the best quarter may be all of them: then nothing matters.
        warnings.simplefilter("ignore")
        found = PedAnovaImportanceEvaluator(target_quantile=BEST_SHARE).evaluate(study)
    return np.array([found[name] for name in names])


def _shares(divergences: np.ndarray) -> np.ndarray:
    total = divergences.sum()
    return divergences / total if total else np.full(len(divergences), 1 / len(divergences))


def _distribution(dimension: Dimension, values: Sequence[Any]) -> BaseDistribution:
    """Describe what a setting may be; points that a space file lists may lie outside its range."""
    if isinstance(dimension, Choice):
        return CategoricalDistribution(tuple(dict.fromkeys([*dimension.values, *values])))
    low, high = min(dimension.low, *values), max(dimension.high, *values)
    return FloatDistribution(float(low), float(high), log=dimension.log and low > 0)
