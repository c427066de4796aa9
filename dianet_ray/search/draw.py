"""Draw the settings of a wave: a pure function of space, seed, wave and earlier outcomes.

No state of Optuna is saved or restored. Each wave gets a fresh sampler, seeded by the wave, over
a study rebuilt from the history, so a resumed search draws what an uninterrupted one draws.
A seeded sampler that is rebuilt or restored draws differently:
docs/decisions.md: A fresh sampler for every wave.
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

from dianet_ray.protocol.comparison import Comparison
from dianet_ray.protocol.decisions import Decisions, RungState
from dianet_ray.protocol.study import Configuration
from dianet_ray.search.space import Space, rounded, sample
from dianet_ray.settings import Choice, Dimension, Settings, Value, derive_seed

N_REDRAWS = 100
"""Useless draws in a row after which the space counts as used up."""

N_WAVES_AROUND = 2
"""Waves of which half is drawn around the centre: those that no outcome has taught the sampler."""
MOVED_SHARE = 0.22
"""Probability that a draw around the centre moves a setting: about 3 of 13.
docs/decisions.md: Draws around the defaults"""

optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass(frozen=True, slots=True)
class Past:
    """What the sampler may know of an earlier configuration: its state in the first rung.

    `score` is the objective pooled over its first `n_folds` folds: all of them when it is
    complete, those before the drop when it was dropped.
    """

    settings: Settings
    wave: int
    state: RungState
    score: float | None = None
    n_folds: int = 0


def past_of(configuration: Configuration, decisions: Decisions, comparison: Comparison) -> Past:
    """Say how a drawn configuration fared in the first rung, as far as it is decided."""
    entry = decisions.entry(configuration.number, 0)
    assert entry is not None
    n_folds = entry.n_decided if entry.state in ("complete", "dropped") else 0
    score = comparison.score(entry.number, 0, n_folds) if n_folds else None
    return Past(configuration.settings, configuration.wave, entry.state, score, n_folds)


def draw(space: Space, seed: int, *, wave: int, n: int, history: Sequence[Past]) -> list[Settings]:
    """Draw a wave of up to n settings, different from each other and from the history.

    Args:
        space: what to draw from. Its first settings come before anything is drawn.
        seed: the study's seed.
        wave: number of the wave, from 0.
        n: number of settings wanted.
        history: the configurations of waves 0..wave-1, in number order.

    Returns:
        Fewer than n settings when the space holds no more: N_REDRAWS draws in a row were
        known or invalid.
    """
    seen = {past.settings for past in history}
    n_before = len(history)
    wave_settings = [s for s in space.first_settings[n_before : n_before + n] if s not in seen]
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
    elif space.around is not None and wave < N_WAVES_AROUND:
        both = _around(space, seed, wave), _sampled(space, seed, wave, history)
        for pair in itertools.zip_longest(*both):
            yield from filter(None, pair)
    else:
        yield from _sampled(space, seed, wave, history)


def _around(space: Space, seed: int, wave: int) -> Iterator[Settings]:
    """Move some settings of the centre, until N_REDRAWS draws in a row were known or invalid.

    A setting whose central value is not searched always moves. After Mallik et al. 2023
    (PriorBand, arXiv 2306.12370), who mix random draws with draws near what an expert believes in.
    """
    generator = random.Random(derive_seed(seed, "around", wave))
    centre = space.centre()
    seen: set[Settings] = set()
    n_useless = 0
    while n_useless <= N_REDRAWS:
        moved = {
            name: rounded(sample(dimension, generator))
            for name, dimension in space.dimensions.items()
            if generator.random() < MOVED_SHARE
            or not _contains(_distribution(dimension), centre[name])
        }
        settings = space.settings({**centre, **moved})
        if settings is None or settings in seen:
            n_useless += 1
            continue
        n_useless = 0
        seen.add(settings)
        yield settings


def _grid(space: Space, seed: int) -> Iterator[Settings]:
    """Walk the whole grid, in one order for all waves that the study's seed has shuffled."""
    names = list(space.dimensions)
    cells = list(itertools.product(*(_levels(d) for d in space.dimensions.values())))
    # Shuffled, because a budget that ends early should not leave whole sides of the grid unseen.
    random.Random(derive_seed(seed, "grid")).shuffle(cells)
    for cell in cells:
        settings = space.settings(dict(zip(names, cell, strict=True)))
        if settings is not None:
            yield settings


def _levels(dimension: Dimension) -> Sequence[Value]:
    if isinstance(dimension, Choice):
        return dimension.values
    step = dimension.step or 1
    count = int((dimension.high - dimension.low) / step * (1 + 1e-9)) + 1  # 0.3 / 0.1 < 3
    return [rounded(dimension.low + i * step) for i in range(count)]


def _sampled(space: Space, seed: int, wave: int, history: Sequence[Past]) -> Iterator[Settings]:
    """Ask a fresh sampler until N_REDRAWS of its draws in a row were known or invalid."""
    sampler_seed = derive_seed(seed, "draw", wave) % 2**32
    sampler: optuna.samplers.BaseSampler = (
        optuna.samplers.TPESampler(seed=sampler_seed)
        if space.sampler == "tpe"
        else optuna.samplers.RandomSampler(seed=sampler_seed)
    )
    study = optuna.create_study(direction="maximize", sampler=sampler)
    distributions = {name: _distribution(d) for name, d in space.dimensions.items()}
    for past in history:
        # The last wave counts as running, whatever has arrived of it: what is drawn must not
        # depend on who finished first. docs/decisions.md: Waves instead of an asynchronous search
        trial = _told(past, distributions, is_running=past.wave == wave - 1)
        if trial is not None:
            study.add_trial(trial)
    seen = {past.settings for past in history} | set(space.first_settings)
    n_useless = 0
    while n_useless <= N_REDRAWS:
        # Nothing is told between the draws of a wave. The asked trials stay running, and TPE
        # counts running trials as bad (constant liar), so that a wave spreads out.
        asked = study.ask(distributions)
        settings = space.settings({name: rounded(v) for name, v in asked.params.items()})
        if settings is None or settings in seen:
            study.tell(asked, state=TrialState.FAIL)  # samplers ignore failed trials
            n_useless += 1
            continue
        n_useless = 0
        seen.add(settings)
        yield settings


def _told(
    past: Past, distributions: dict[str, BaseDistribution], *, is_running: bool
) -> FrozenTrial | None:
    """Describe an earlier configuration to Optuna; None when it lies outside what is searched."""
    values = past.settings.values()
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


# A configuration that failed by itself is told as pruned without a value, which TPE ranks last.
# It ignores FAIL and would keep drawing there. A configuration that was lost with its node says
# nothing about its settings. docs/decisions.md: What the sampler is told about failures
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
