"""Search spaces: what varies, relations between settings, and settings that run first.

`space_file.py` makes a space from YAML; `draw.py` draws from it. A space file must declare a
constraint for every rule of `Settings` that its values could break.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from dianet_ray.errors import InputError
from dianet_ray.protocol.ladder import Ladder
from dianet_ray.settings import (
    Choice,
    Dimension,
    NetworkFile,
    Range,
    Sampler,
    Settings,
    SpaceIdentity,
    Value,
    complete,
    parse_settings,
)

_N_PROBES = 256
_DIGITS = 6


def rounded(value: Value) -> Value:
    """Round floats to six significant digits, so that what is written down is what was used."""
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value


def n_levels(dimension: Dimension) -> float:
    """Count the values of a dimension; 1 for a range without a step."""
    if isinstance(dimension, Choice):
        return len(dimension.values)
    if dimension.step is None:
        return 1
    return (dimension.high - dimension.low) / dimension.step + 1


def sample(dimension: Dimension, generator: random.Random) -> Value:
    """Draw one value at random, the ends of a range included."""
    if isinstance(dimension, Choice):
        return generator.choice(dimension.values)
    low, high, step = dimension.low, dimension.high, dimension.step
    if step is not None:
        return low + step * generator.randint(0, int((high - low) / step))
    if dimension.is_integer:
        return generator.randint(int(low), int(high))
    if dimension.log:
        return math.exp(generator.uniform(math.log(low), math.log(high)))
    return generator.uniform(low, high)


@dataclass(frozen=True, slots=True)
class Constraint:
    """A relation between two settings that every drawn configuration satisfies."""

    left: str
    relation: Literal["divides", "<="]
    right: str

    def __str__(self) -> str:
        return f"{self.left} {self.relation} {self.right}"

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Check the relation on complete settings."""
        left, right = values[self.left], values[self.right]
        if self.relation == "divides":
            return bool(left and right % left == 0)
        return bool(left <= right)


def parse_constraint(text: str) -> Constraint:
    """Read `A divides B` or `A <= B`, as a validated file or a study's identity has it."""
    left, relation, right = text.split()
    return Constraint(left, "divides" if relation == "divides" else "<=", right)


@dataclass(frozen=True, slots=True)
class Space:
    """A validated search space; `first_settings` run before anything is drawn, in order.

    `around` are values that are known to be good and differ from the fixed ones and the defaults:
    early draws move some settings away from there. With None all draws are the sampler's.
    `ladder` is how the file wants the space to be searched. It is no part of the space's identity,
    because a study records the ladder that it used by itself. `weights` are the files that stand
    behind values of `pretrained`; the values name their content, so paths are no part either.
    `network` is a user's network file, and `kind` its settings.
    """

    sampler: Sampler
    fixed: dict[str, Value]
    dimensions: dict[str, Dimension]
    constraints: tuple[Constraint, ...]
    first_settings: tuple[Settings, ...]
    around: dict[str, Value] | None = None
    ladder: Ladder | None = None
    weights: dict[str, Path] = field(default_factory=dict)
    network: NetworkFile | None = None
    kind: type[Settings] = Settings

    def defaults(self) -> dict[str, Value]:
        """Return the value that each setting has where the space says nothing."""
        named = {} if self.network is None else {"network": self.network.id}
        return complete(named, self.kind).values() | self.fixed

    def centre(self) -> dict[str, Value]:
        """Return what early draws begin with: a value for each searched setting."""
        known = {**self.defaults(), **(self.around or {})}
        return {name: known[name] for name in self.dimensions}

    def values(self, name: str) -> tuple[Value, ...]:
        """List the values that a setting can take, drawn or listed first; of a range its ends."""
        of_first = [one.values()[name] for one in self.first_settings]
        return tuple(dict.fromkeys([*of_first, *self.drawn(name)]))

    def drawn(self, name: str) -> tuple[Value, ...]:
        """List the values with which a setting may be drawn; of a range its ends."""
        match self.dimensions.get(name):
            case Choice(values=values):
                return values
            case Range(low=low, high=high):
                return (low, high)
            case None:
                return (self.defaults()[name],)

    def example(self) -> Settings:
        """Return settings that the space holds: the first listed, the centre, or a random draw."""
        if self.first_settings:
            return self.first_settings[0]
        generator = random.Random(0)
        draws = (
            {name: rounded(sample(dim, generator)) for name, dim in self.dimensions.items()}
            for _ in itertools.count()
        )
        candidates = map(self.settings, itertools.chain([self.centre()], draws))
        # `check_drawable` has found some.
        return next(one for one in candidates if one is not None)

    def settings(self, values: Mapping[str, Value]) -> Settings | None:
        """Complete drawn values to settings; None when a constraint or a rule is broken."""
        known = {**self.defaults(), **values}
        if not all(constraint.holds(known) for constraint in self.constraints):
            return None
        try:
            return complete(known, self.kind)
        except ValidationError:
            return None

    def identity(self) -> SpaceIdentity:
        """Return what makes two spaces the same, to compare a study's with today's file."""
        return SpaceIdentity(
            sampler=self.sampler,
            fixed=dict(sorted(self.fixed.items())),
            search=dict(sorted(self.dimensions.items())),
            constraints=tuple(map(str, self.constraints)),
            first_settings=self.first_settings,
            around=None if self.around is None else self.centre(),
            network=self.network,
        )


def check_drawable(space: Space, where: str) -> None:
    """Refuse a space whose declared constraints do not exclude all invalid settings.

    Random probes stand for the whole space: a rule that none of them breaks is rarely broken
    later, and then `Space.settings` leaves the drawn values out.

    Raises:
        InputError: names `where`, and the rule that is broken without a constraint that says so
            or the constraints that nothing satisfies.
    """
    generator = random.Random(0)
    n_valid = 0
    for _ in range(_N_PROBES if space.dimensions else not space.first_settings):
        values = {name: rounded(sample(dim, generator)) for name, dim in space.dimensions.items()}
        known = {**space.defaults(), **values}
        if all(constraint.holds(known) for constraint in space.constraints):
            rule = f"{where}: no constraint excludes settings that break a rule"
            parse_settings(known, rule, space.kind)
            n_valid += 1
    if not n_valid and (space.dimensions or not space.first_settings):
        rules = ", ".join(map(str, space.constraints))
        raise InputError(f"{where}: no settings satisfy the constraints: {rules}")
