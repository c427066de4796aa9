"""Read a search space from YAML, every error with its file and line.

Reads the shipped search_spaces/*.yaml or a user's file, and what `--set` and `--enqueue` change.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from dianet_ray.errors import InputError
from dianet_ray.protocol.ladder import KEEP, Ladder, Rung, check_rung, parse_keep
from dianet_ray.search.space import Constraint, Space, check_drawable, rounded
from dianet_ray.search.yaml_file import Part, load_yaml, read_yaml
from dianet_ray.settings import (
    Choice,
    Dimension,
    Range,
    Sampler,
    Settings,
    Value,
    parse_settings,
)

SAMPLERS: tuple[Sampler, ...] = get_args(Sampler)
_KEYS = ("sampler", "fixed", "search", "constraints", "points", "ladder")
_RUNG_KEYS = ("groups", "steps", "keep")
_CONSTRAINT = re.compile(r"(\w+) (divides|<=) (\w+)")


def shipped() -> dict[str, Path]:
    """List the shipped spaces by name: from the wheel, or from a checkout."""
    package = Path(str(files("dianet_ray")))
    folders = (package / "search_spaces", package.parent / "search_spaces")
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.yaml"))}


def load_space(name_or_file: str) -> Space:
    """Load and validate a shipped space or a file.

    Raises:
        InputError: one line with the file, the line number and the rule.
    """
    known = shipped()
    path = known.get(name_or_file, Path(name_or_file))
    if not path.is_file():
        raise InputError(
            f"--space takes a file or a shipped name ({', '.join(known)}): got {name_or_file}"
        )
    file = read_yaml(path)
    if not isinstance(file.content, dict):
        raise file.refuse(f"a space is a mapping of {', '.join(_KEYS)}")
    for key, part in file.items():
        if key not in _KEYS:
            raise part.refuse(f"unknown key {_plain(key)}; known: {', '.join(_KEYS)}")
    fixed = _parse_values(file.child("fixed"), "fixed is")
    space = Space(
        sampler=_parse_sampler(file.child("sampler")),
        fixed=fixed,
        dimensions=_parse_dimensions(file.child("search"), fixed),
        constraints=tuple(_parse_constraints(file.child("constraints"))),
        first_settings=tuple(_parse_points(file.child("points"), fixed)),
        ladder=_parse_ladder(file.child("ladder")),
    )
    _check_grid(space, file.child("search"))
    check_drawable(space, file.child("search").where)
    return space


def read_space(name_or_file: str, assignments: Sequence[str], points: Path | None) -> Space:
    """Load a space, enqueue a file's points, then fix the dimensions of NAME=VALUE texts.

    Raises:
        InputError: as `load_space`, `enqueue` and `fix`, and for a text without `=`.
    """
    space = load_space(name_or_file)
    if points is not None:
        space = enqueue(space, points)
    for text in assignments:
        if "=" not in text:
            raise InputError(f"--set takes NAME=VALUE: got {text}")
    return fix(space, dict(text.split("=", 1) for text in assignments)) if assignments else space


def fix(space: Space, assignments: Mapping[str, str]) -> Space:
    """Fix dimensions from `--set NAME=VALUE`; points that say otherwise take the value too.

    Raises:
        InputError: an unknown name, a bad value, or a point that becomes invalid.
    """
    given = {
        name: _parse_value(name, load_yaml(text, f"--set {name}")[1], f"--set {name}={text}")
        for name, text in assignments.items()
    }
    points = [
        parse_settings({**point.model_dump(), **given}, f"--set with point {i}")
        for i, point in enumerate(space.first_settings)
    ]
    fixed = replace(
        space,
        fixed={**space.fixed, **given},
        dimensions={n: d for n, d in space.dimensions.items() if n not in given},
        first_settings=tuple(dict.fromkeys(points)),
    )
    check_drawable(fixed, "--set")
    return fixed


def enqueue(space: Space, path: Path) -> Space:
    """Put the points of a YAML list before the space's own points."""
    file = read_yaml(path)
    if file.content is None:
        raise file.refuse("points is a list of mappings of settings, got nothing")
    points = _parse_points(file, space.fixed)
    return replace(space, first_settings=tuple(dict.fromkeys((*points, *space.first_settings))))


def _plain(key: Any) -> str:
    return key if isinstance(key, str) and key.isprintable() else repr(key)


def _parse_sampler(part: Part) -> Sampler:
    sampler = part.content if part.node is not None else SAMPLERS[0]
    for known in SAMPLERS:
        if known == sampler:
            return known
    raise part.refuse(f"sampler is one of {', '.join(SAMPLERS)}, got {sampler!r}")


def _parse_values(part: Part, what: str) -> dict[str, Value]:
    items = part.items(f"{what} a mapping of settings")
    return {name: _parse_value(name, value.content, value.where) for name, value in items}


def _parse_dimensions(part: Part, fixed: dict[str, Value]) -> dict[str, Dimension]:
    dimensions = {}
    for name, value in part.items("search is a mapping of settings"):
        if name in fixed:
            raise value.refuse(f"{name} is fixed as well")
        dimensions[name] = _parse_dimension(name, value.content, value.where)
    return dimensions


def _parse_dimension(name: Any, value: Any, where: str) -> Dimension:
    kind = _field(name, where).annotation
    if isinstance(value, list):
        choices = tuple(_parse_value(name, choice, where) for choice in value)
        if not choices or len(set(choices)) != len(choices):
            raise InputError(f"{where}: {name}: choices are different values, got {value}")
        return Choice(choices)
    if not isinstance(value, dict) or not {"low", "high"} <= set(value):
        raise InputError(f"{where}: {name}: a list of values or low and high, got {value!r}")
    if unknown := set(value) - {"low", "high", "log", "step"}:
        raise InputError(f"{where}: {name}: unknown key {', '.join(sorted(map(_plain, unknown)))}")
    if kind not in (int, float):
        raise InputError(f"{where}: {name}: not a number: list its values, got {value!r}")
    log = value.get("log", False)
    if not isinstance(log, bool):
        raise InputError(f"{where}: {name}: log is true or false, got {log!r}")
    low, high = (_parse_value(name, value[end], f"{where}: {end}") for end in ("low", "high"))
    step = _coerce(kind, value["step"], f"{where}: {name}: step") if "step" in value else None
    return _check_range(name, Range(low, high, log, step), where)


def _check_range(name: str, dimension: Range, where: str) -> Range:
    if dimension.low >= dimension.high:
        raise InputError(
            f"{where}: {name}: low must lie below high, got {dimension.low} and {dimension.high}"
        )
    if dimension.log and dimension.low <= 0:
        raise InputError(f"{where}: {name}: a log range starts above 0, got {dimension.low}")
    if dimension.step is not None and (
        dimension.log or not 0 < dimension.step <= dimension.high - dimension.low
    ):
        raise InputError(
            f"{where}: {name}: step is positive, fits the range and excludes log, "
            f"got {dimension.step}"
        )
    return dimension


def _field(name: Any, where: str) -> FieldInfo:
    if isinstance(name, str) and name in Settings.model_fields:
        return Settings.model_fields[name]
    near = difflib.get_close_matches(str(name), Settings.model_fields, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(Settings.model_fields)}"
    raise InputError(f"{where}: unknown setting {_plain(name)}; {hint}")


def _parse_value(name: Any, value: Any, where: str) -> Any:
    """Return a setting's value, of the setting's own type: YAML reads 1e-3 as a text."""
    field = _field(name, where)
    return _coerce(Annotated[field.annotation, field], value, f"{where}: {name}")


def _coerce(kind: Any, value: Any, where: str) -> Any:
    adapter = TypeAdapter(kind)
    try:
        coerced = adapter.validate_python(value, strict=isinstance(value, bool) or None)
        return adapter.validate_python(rounded(coerced))  # rounding may leave the range
    except ValidationError as error:
        raise InputError(f"{where}: got {value!r}; {error.errors()[0]['msg']}") from None


def _parse_constraints(part: Part) -> Iterator[Constraint]:
    for element in part.elements("constraints is a list"):
        match = _CONSTRAINT.fullmatch(str(element.content))
        if match is None:
            raise element.refuse(
                f"a constraint reads `A divides B` or `A <= B`, got {element.content!r}"
            )
        left, relation, right = match.groups()
        for name in (left, right):
            if _field(name, element.where).annotation not in (int, float):
                raise element.refuse(f"{name} is not a numeric setting")
        yield Constraint(left, relation, right)  # type: ignore[arg-type]


def _parse_points(part: Part, fixed: dict[str, Value]) -> list[Settings]:
    points = [
        parse_settings({**fixed, **_parse_values(element, "a point is")}, element.where)
        for element in part.elements("points is a list of mappings of settings")
    ]
    return list(dict.fromkeys(points))


def _parse_ladder(part: Part) -> Ladder | None:
    """Read the rungs below LOSO, which is always the last one and not written."""
    if part.node is None:
        return None
    rungs = []
    for element in part.elements("ladder is a list of rungs"):
        values = dict(element.items("a rung is a mapping"))
        if unknown := [key for key in values if key not in _RUNG_KEYS]:
            known = ", ".join(_RUNG_KEYS)
            raise element.refuse(f"unknown key {_plain(unknown[0])}; known: {known}")
        if "groups" not in values:
            raise element.refuse("a rung says its number of groups; LOSO follows by itself")
        n_groups = _coerce(int, values["groups"].content, f"{element.where}: groups")
        steps = _coerce(float, values["steps"].content, element.where) if "steps" in values else 1
        keep = str(values["keep"].content) if "keep" in values else str(KEEP)
        rungs.append(check_rung(n_groups, steps, parse_keep(keep, element.where), element.where))
    return (*rungs, Rung())


def _check_grid(space: Space, part: Part) -> None:
    for name, dimension in space.dimensions.items():
        if space.sampler == "grid" and not (isinstance(dimension, Choice) or dimension.step):
            raise part.child(name).refuse(f"{name}: a grid takes choices or a range with a step")
