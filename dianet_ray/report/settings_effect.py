"""The effect of each searched setting: how its values, or thirds of its range, scored.

Settings vary together in a search, so these are observations to look at, not an experiment.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np

from dianet_ray.report.records import AtBound, Effects, RangeEffect, ValueEffect
from dianet_ray.settings import Choice, Dimension, Range, Settings

MAX_VALUES = 4
"""A number that took more values than this is shown in thirds of its range."""
NEAR = 0.02
"""Share of a range within which a value lies at its end."""
FEWEST_VALUES = 3
"""Of fewer numbers to choose from every one is an end."""
FIRST = ("heads", "learning_rate")  # the settings that users ask about first


Searched = Mapping[str, Dimension]
"""The settings that a space searches, and what they may be."""


def effects(points: Sequence[tuple[Settings, float]], searched: Searched) -> dict[str, Effects]:
    """Group the scores of configurations by the value of each setting that varies.

    Args:
        points: settings and score of each configuration.
        searched: the settings that are searched; others vary where a space lists points.

    Returns:
        For each setting that takes two values or more, heads and learning rate first: its values
        in order, or the thirds of its range.
    """
    known = [settings.values() for settings, _ in points]
    names = dict.fromkeys([*FIRST, *itertools.chain(*known)])
    scores = [score for _, score in points]
    found = {}
    for name in names:
        values: list[Any] = [of_one[name] for of_one in known]
        # A setting that was searched but never varied has shown no effect yet.
        if len(set(values)) < 2:
            continue
        within = searched.get(name)
        is_numeric = not isinstance(values[0], bool | str)
        if is_numeric and not isinstance(within, Choice) and len(set(values)) > MAX_VALUES:
            found[name] = _thirds(values, scores, within)
        else:
            found[name] = _by_value(values, scores)
    return found


def _by_value(values: Sequence[Any], scores: Sequence[float]) -> Effects:
    groups = []
    for value in sorted(set(values)):
        found = [score for v, score in zip(values, scores, strict=True) if v == value]
        groups.append(ValueEffect(value, len(found), median(found), max(found)))
    return tuple(groups)


def _thirds(values: Sequence[float], scores: Sequence[float], within: Range | None) -> Effects:
    # Points that a space file lists may lie outside the range that it searches.
    low, high = min(values), max(values)
    if within is not None:
        low, high = min(low, within.low), max(high, within.high)
    is_log = within is not None and within.log and low > 0
    # Thirds of the range, not of the configurations: where nothing was drawn, the report says so.
    edges = np.geomspace(low, high, 4) if is_log else np.linspace(low, high, 4)
    # Inner edges only: rounding must not put the largest value outside its third.
    places = np.digitize(values, edges[1:3])
    rounded = [float(f"{edge:.6g}") for edge in edges]
    groups = []
    for third in range(3):
        found = [score for place, score in zip(places, scores, strict=True) if place == third]
        groups.append(
            RangeEffect(
                range=(rounded[third], rounded[third + 1]),
                n=len(found),
                median=median(found) if found else None,
                best=max(found, default=None),
            )
        )
    return tuple(groups)


def at_bounds(settings: Settings, searched: Searched) -> dict[str, AtBound]:
    """Find the searched numbers that lie at an end of what was searched.

    An end that the setting cannot pass, as a dropout of 0, is none.
    """
    found = {}
    for name, dimension in searched.items():
        value = settings.values()[name]
        if isinstance(value, bool | str):
            continue
        one = _at_bound(float(value), dimension)
        if one is not None and _end(one) not in _limits(name):
            found[name] = one
    return found


def _end(one: AtBound) -> float:
    """Return the end of what was searched that a value lies at."""
    return one.low if one.value - one.low < one.high - one.value else one.high


def _at_bound(value: float, dimension: Dimension) -> AtBound | None:
    if isinstance(dimension, Choice):
        values = [float(one) for one in dimension.values]
        low, high = min(values), max(values)
        is_near = len(values) >= FEWEST_VALUES and value in (low, high)
        return AtBound(value, low, high) if is_near else None
    if not dimension.low <= value <= dimension.high:
        return None  # a listed point, beyond what is searched
    ends = [dimension.low, dimension.high, value]
    low, high, place = map(math.log, ends) if dimension.log else ends
    share = (place - low) / (high - low)
    is_near = min(share, 1 - share) <= NEAR
    return AtBound(value, dimension.low, dimension.high) if is_near else None


def _limits(name: str) -> list[float]:
    """Return the smallest and the largest value that a setting may have, where it has such."""
    field = Settings.model_fields.get(name)  # None for a setting of a network file
    metadata = [] if field is None else field.metadata
    ends = [getattr(one, end, None) for one in metadata for end in ("ge", "le")]
    return [end for end in ends if end is not None]
