"""The effect of each searched setting: how its values, or thirds of its range, scored.

Settings vary together in a search, so these are observations to look at, not an experiment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np

from dianet_ray.settings import Settings

MAX_VALUES = 4
"""A number that took more values than this is shown in thirds of its range."""
FIRST = ("heads", "learning_rate")


def effects(
    points: Sequence[tuple[Settings, float]], space: Mapping[str, Any]
) -> dict[str, list[dict[str, Any]]]:
    """Group the scores of configurations by the value of each setting that varies.

    Args:
        points: settings and pooled objective of every complete configuration.
        space: the space of the study's identity; `search` gives a list of values, or a range
            as `low`, `high`, `log`, for each dimension.

    Returns:
        For each setting that takes two values or more, heads and learning rate first, one dict
        per value (`value`) or third (`range`, [low, high]) with `n`, `median` and `best`; the
        last two are None in a third where nothing was drawn.
    """
    names = [*FIRST, *(name for name in Settings.model_fields if name not in FIRST)]
    scores = [score for _, score in points]
    found = {}
    for name in names:
        values = [getattr(settings, name) for settings, _ in points]
        if len(set(values)) > 1:
            found[name] = _groups(values, scores, space.get("search", {}).get(name))
    return found


def _groups(values: list[Any], scores: list[float], dimension: Any) -> list[dict[str, Any]]:
    is_numeric = not isinstance(values[0], bool | str)
    if is_numeric and len(set(values)) > MAX_VALUES and not isinstance(dimension, list):
        return _thirds(values, scores, dimension or {})
    return [
        {
            "value": value,
            **_summary([s for v, s in zip(values, scores, strict=True) if v == value]),
        }
        for value in sorted(set(values))
    ]


def _thirds(
    values: list[float], scores: list[float], dimension: Mapping[str, Any]
) -> list[dict[str, Any]]:
    # Points that a space file lists may lie outside the range that it searches.
    low = min(dimension.get("low", values[0]), *values)
    high = max(dimension.get("high", values[0]), *values)
    is_log = bool(dimension.get("log")) and low > 0
    edges = np.geomspace(low, high, 4) if is_log else np.linspace(low, high, 4)
    places = np.digitize(values, edges[1:3])
    return [
        {
            "range": [float(f"{edges[third]:.6g}"), float(f"{edges[third + 1]:.6g}")],
            **_summary([s for place, s in zip(places, scores, strict=True) if place == third]),
        }
        for third in range(3)
    ]


def _summary(scores: list[float]) -> dict[str, Any]:
    return {
        "n": len(scores),
        "median": median(scores) if scores else None,
        "best": max(scores, default=None),
    }
