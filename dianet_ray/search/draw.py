"""Draw the settings of a wave: a pure function of space, seed, wave and what closed before.

Nothing of Optuna is saved or restored: a fresh sampler, seeded by the wave, over a study rebuilt
from the history draws the same at any resume point, which a restored sampler does not.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState, create_trial

from dianet_ray.protocol.decisions import RungState
from dianet_ray.search.space import Space, rounded
from dianet_ray.settings import Choice, Dimension, Settings, Value, derive_seed

N_REDRAWS = 100

optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass(frozen=True, slots=True)
class Past:
    """An earlier configuration and its state in the first rung.

    `score` is the objective pooled over its first `n_folds`: all when it is complete, those before
    it was dropped.
    """

    settings: Settings
    wave: int
    state: RungState
    score: float | None = None
    n_folds: int = 0


def draw(space: Space, seed: int, *, wave: int, n: int, history: Sequence[Past]) -> list[Settings]:
    """Draw a wave of up to n settings, different from each other and from the history.

    `history` holds the configurations of waves 0..wave-1 in number order. Those of the last wave
    count as running whatever they have become, so that the draw does not depend on timing.

    Returns:
        Fewer than n settings when the space holds no more (100 redraws in a row found none).
    """
    seen = {past.settings for past in history}
    n_before = len(history)
    wave_settings = [p for p in space.first_settings[n_before : n_before + n] if p not in seen]
    seen.update(wave_settings)
    for settings in _candidates(space, seed, wave, history):
        if len(wave_settings) == n:
            break
        if settings not in seen:
            seen.add(settings)
            wave_settings.append(settings)
    return wave_settings


def _candidates(space: Space, seed: int, wave: int, history: Sequence[Past]) -> Iterator[Settings]:
    if not space.dimensions:
        yield from () if space.first_settings else filter(None, [space.settings({})])
    elif space.sampler == "grid":
        yield from _grid(space, seed)
    else:
        yield from _sampled(space, seed, wave, history)


def _grid(space: Space, seed: int) -> Iterator[Settings]:
    """Walk the whole grid in an order shuffled once by the study's seed."""
    names = list(space.dimensions)
    points = list(itertools.product(*(_levels(d) for d in space.dimensions.values())))
    random.Random(derive_seed(seed, "grid")).shuffle(points)
    for point in points:
        settings = space.settings(dict(zip(names, point, strict=True)))
        if settings is not None:
            yield settings


def _levels(dimension: Dimension) -> Sequence[Value]:
    if isinstance(dimension, Choice):
        return dimension.values
    step = dimension.step or 1
    count = int((dimension.high - dimension.low) / step * (1 + 1e-9)) + 1
    return [rounded(dimension.low + i * step) for i in range(count)]


def _sampled(space: Space, seed: int, wave: int, history: Sequence[Past]) -> Iterator[Settings]:
    """Ask a fresh sampler again and again; ends after too many useless answers in a row."""
    sampler_seed = derive_seed(seed, "draw", wave) % 2**32
    sampler: optuna.samplers.BaseSampler = (
        optuna.samplers.TPESampler(seed=sampler_seed)
        if space.sampler == "tpe"
        else optuna.samplers.RandomSampler(seed=sampler_seed)
    )
    study = optuna.create_study(direction="maximize", sampler=sampler)
    distributions = {name: _distribution(d) for name, d in space.dimensions.items()}
    for past in history:
        trial = _told(past, distributions, is_running=past.wave == wave - 1)
        if trial is not None:
            study.add_trial(trial)
    seen = {past.settings for past in history} | set(space.first_settings)
    n_useless = 0
    while n_useless <= N_REDRAWS:
        asked = study.ask(distributions)
        settings = space.settings({name: rounded(v) for name, v in asked.params.items()})
        if settings is None or settings in seen:
            study.tell(asked, state=TrialState.FAIL)  # a failed trial is ignored by the samplers
            n_useless += 1
            continue
        n_useless = 0
        seen.add(settings)
        yield settings


def _told(
    past: Past, distributions: dict[str, BaseDistribution], *, is_running: bool
) -> FrozenTrial | None:
    """Describe an earlier configuration; None for a point outside the searched ranges."""
    values = past.settings.model_dump()
    params = {name: values[name] for name in distributions}
    if not all(_contains(distributions[name], value) for name, value in params.items()):
        return None
    state = TrialState.RUNNING if is_running else _STATES[past.state]
    score = past.score if state is TrialState.COMPLETE else None
    is_dropped = state is TrialState.PRUNED and past.score is not None
    return create_trial(
        state=state,
        value=score,
        params=params,
        distributions=distributions,
        intermediate_values={past.n_folds: float(past.score or 0)} if is_dropped else {},
    )


# A configuration that fails by itself is pruned without a value: ranked last. FAIL would be
# ignored, and TPE would keep drawing there. A lost one says nothing of its settings.
_STATES = {
    "complete": TrialState.COMPLETE,
    "dropped": TrialState.PRUNED,
    "failed": TrialState.PRUNED,
    "lost": TrialState.FAIL,
    "running": TrialState.RUNNING,
}


def _contains(distribution: BaseDistribution, value: Any) -> bool:
    try:
        return bool(distribution._contains(distribution.to_internal_repr(value)))
    except ValueError:  # a choice that is not listed
        return False


def _distribution(dimension: Dimension) -> BaseDistribution:
    if isinstance(dimension, Choice):
        return CategoricalDistribution(dimension.values)
    if dimension.is_integer:
        step = int(dimension.step or 1)
        return IntDistribution(
            int(dimension.low), int(dimension.high), log=dimension.log, step=step
        )
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log, step=dimension.step)
