"""Search spaces: dimensions, constraints between them, and points that run first.

`space_file.py` makes a space from YAML; `draw.py` draws from it. A space holds only valid
settings: what breaks a rule of the settings must be excluded by a declared constraint.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from dianet_ray.errors import InputError
from dianet_ray.protocol.ladder import Ladder
from dianet_ray.settings import Settings, parse_settings

SAMPLERS = ("tpe", "random", "grid")
_N_PROBES = 256
_DIGITS = 6

Value = int | float | str | bool


def rounded(value: Value) -> Value:
    """Round floats to six significant digits, so that a settings file says what was used."""
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value


@dataclass(frozen=True, slots=True)
class Choice:
    """A dimension with listed values."""

    values: tuple[Value, ...]

    def sample(self, rng: random.Random) -> Value:
        """Draw one value at random."""
        return rng.choice(self.values)


@dataclass(frozen=True, slots=True)
class Range:
    """A numeric dimension, both ends included; integers when both ends are."""

    low: float
    high: float
    log: bool = False
    step: float | None = None

    @property
    def is_integer(self) -> bool:
        """Both ends are integers, so every value is."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def sample(self, rng: random.Random) -> Value:
        """Draw one value at random, ends included."""
        if self.step is not None:
            return self.low + self.step * rng.randint(0, int((self.high - self.low) / self.step))
        if self.is_integer:
            return rng.randint(int(self.low), int(self.high))
        if self.log:
            return math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        return rng.uniform(self.low, self.high)


Dimension = Choice | Range


@dataclass(frozen=True, slots=True)
class Constraint:
    """A relation between two settings that every drawn point satisfies."""

    left: str
    relation: Literal["divides", "<="]
    right: str

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Check complete settings."""
        left, right = values[self.left], values[self.right]
        if self.relation == "divides":
            return bool(left and right % left == 0)
        return bool(left <= right)


@dataclass(frozen=True, slots=True)
class Space:
    """A validated search space; `points` are complete settings that run first, in order.

    `ladder` is how the file wants it searched; it is no part of the space's identity.
    """

    sampler: str
    fixed: dict[str, Value]
    dimensions: dict[str, Dimension]
    constraints: tuple[Constraint, ...]
    points: tuple[Settings, ...]
    ladder: Ladder | None = None

    def settings(self, values: Mapping[str, Value]) -> Settings | None:
        """Complete drawn values to settings; None when a constraint or a rule is broken."""
        complete = {**Settings().model_dump(), **self.fixed, **values}
        if not all(constraint.holds(complete) for constraint in self.constraints):
            return None
        try:
            return Settings(**complete)
        except ValidationError:
            return None

    def identity(self) -> dict[str, Any]:
        """Return the space as JSON, to compare a study's with today's file."""
        return {
            "sampler": self.sampler,
            "fixed": dict(sorted(self.fixed.items())),
            "search": {name: _plain(d) for name, d in sorted(self.dimensions.items())},
            "constraints": [f"{c.left} {c.relation} {c.right}" for c in self.constraints],
            "points": [point.model_dump() for point in self.points],
        }


def _plain(dimension: Dimension) -> Any:
    if isinstance(dimension, Choice):
        return list(dimension.values)
    plain = {"low": dimension.low, "high": dimension.high, "log": dimension.log}
    return plain if dimension.step is None else {**plain, "step": dimension.step}


def check_drawable(space: Space, where: str) -> None:
    """Refuse a space whose declared constraints do not exclude every invalid point.

    Raises:
        InputError: naming `where` and the rule that a probed point breaks.
    """
    rng = random.Random(0)
    n_valid = 0
    for _ in range(_N_PROBES if space.dimensions else not space.points):
        values = {name: rounded(dim.sample(rng)) for name, dim in space.dimensions.items()}
        complete = {**Settings().model_dump(), **space.fixed, **values}
        if all(constraint.holds(complete) for constraint in space.constraints):
            parse_settings(complete, f"{where}: an undeclared constraint")
            n_valid += 1
    if not n_valid and (space.dimensions or not space.points):
        rules = ", ".join(f"{c.left} {c.relation} {c.right}" for c in space.constraints)
        raise InputError(f"{where}: no point satisfies the constraints: {rules}")
