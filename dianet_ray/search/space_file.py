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
from typing import Annotated, Any

import yaml
from pydantic import TypeAdapter, ValidationError

from dianet_ray.errors import InputError
from dianet_ray.search.space import (
    SAMPLERS,
    Choice,
    Constraint,
    Dimension,
    Range,
    Space,
    Value,
    check_drawable,
)
from dianet_ray.settings import Settings, parse_settings

_KEYS = ("sampler", "fixed", "search", "constraints", "points")
_CONSTRAINT = re.compile(r"^(\w+) (divides|<=) (\w+)$")


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
    node, text = _compose(path)
    content = _construct(text, path)
    if not isinstance(content, dict):
        raise InputError(f"{path}:1: a space is a mapping of {', '.join(_KEYS)}")
    for key in content:
        if key not in _KEYS:
            raise InputError(
                f"{_at(path, node, key)}: unknown key {key}; known: {', '.join(_KEYS)}"
            )
    space = Space(
        sampler=_parse_sampler(content, path, node),
        fixed=_parse_fixed(content, path, node),
        dimensions=_parse_dimensions(content, path, node),
        constraints=tuple(_parse_constraints(content, path, node)),
        points=(),
    )
    _check_grid(space, path, node)
    points = _parse_points(_child(node, "points"), content.get("points") or [], space.fixed, path)
    space = replace(space, points=tuple(dict.fromkeys(points)))
    check_drawable(space, _at(path, node, "search"))
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
    given = {name: yaml.safe_load(text) for name, text in assignments.items()}
    for name, value in given.items():
        _check_value(name, value, f"--set {name}={assignments[name]}")
    points = [
        parse_settings({**point.model_dump(), **given}, f"--set with point {i}")
        for i, point in enumerate(space.points)
    ]
    fixed = replace(
        space,
        fixed={**space.fixed, **given},
        dimensions={n: d for n, d in space.dimensions.items() if n not in given},
        points=tuple(dict.fromkeys(points)),
    )
    check_drawable(fixed, "--set")
    return fixed


def enqueue(space: Space, path: Path) -> Space:
    """Put the points of a YAML list before the space's own points."""
    node, text = _compose(path)
    points = _parse_points(node, _construct(text, path), space.fixed, path)
    return replace(space, points=tuple(dict.fromkeys((*points, *space.points))))


def _compose(path: Path) -> tuple[yaml.Node | None, str]:
    try:
        text = path.read_text(encoding="utf-8")
        return yaml.compose(text, Loader=yaml.SafeLoader), text
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        raise InputError(f"{path}:{line}: not YAML: {getattr(error, 'problem', error)}") from None


def _construct(text: str, path: Path) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:  # for example an unhashable key
        raise InputError(f"{path}: not YAML: {str(error).splitlines()[0]}") from None


def _child(node: yaml.Node | None, key: str | int) -> yaml.Node | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int):
        return node.value[key]  # type: ignore[no-any-return]
    if isinstance(node, yaml.MappingNode):
        return next((value for name, value in node.value if name.value == key), None)
    return None


def _at(path: Path, node: yaml.Node | None, *keys: str | int) -> str:
    """Write path:line of a nested key; the nearest parent's line when it has none."""
    line = node.start_mark.line + 1 if node is not None else 1
    for key in keys:
        if isinstance(node, yaml.MappingNode):
            name = next((name for name, _ in node.value if name.value == str(key)), None)
            line = name.start_mark.line + 1 if name is not None else line
        node = _child(node, key)
        if isinstance(key, int) and node is not None:
            line = node.start_mark.line + 1
    return f"{path}:{line}"


def _parse_sampler(content: dict[str, Any], path: Path, node: yaml.Node | None) -> str:
    sampler = content.get("sampler", "tpe")
    if sampler not in SAMPLERS:
        where = _at(path, node, "sampler")
        raise InputError(f"{where}: sampler is one of {', '.join(SAMPLERS)}, got {sampler!r}")
    return str(sampler)


def _mapping(content: dict[str, Any], key: str, where: str) -> dict[str, Any]:
    value = content.get(key) or {}
    if not isinstance(value, dict):
        raise InputError(f"{where}: {key} is a mapping of settings, got {value!r}")
    return value


def _parse_fixed(content: dict[str, Any], path: Path, node: yaml.Node | None) -> dict[str, Value]:
    fixed = _mapping(content, "fixed", _at(path, node, "fixed"))
    for name, value in fixed.items():
        _check_value(name, value, _at(path, node, "fixed", name))
    return fixed


def _parse_dimensions(
    content: dict[str, Any], path: Path, node: yaml.Node | None
) -> dict[str, Dimension]:
    search = _mapping(content, "search", _at(path, node, "search"))
    for name in search:
        if name in (content.get("fixed") or {}):
            raise InputError(f"{_at(path, node, 'search', name)}: {name} is fixed as well")
    return {
        name: _parse_dimension(name, value, _at(path, node, "search", name))
        for name, value in search.items()
    }


def _parse_dimension(name: str, value: Any, where: str) -> Dimension:
    if isinstance(value, list):
        if not value or len(set(map(repr, value))) != len(value):
            raise InputError(f"{where}: {name}: choices are different values, got {value}")
        for choice in value:
            _check_value(name, choice, where)
        return Choice(tuple(value))
    if not isinstance(value, dict) or not {"low", "high"} <= set(value):
        raise InputError(f"{where}: {name}: a list of values or low and high, got {value!r}")
    if unknown := set(value) - {"low", "high", "log", "step"}:
        raise InputError(f"{where}: {name}: unknown key {', '.join(sorted(map(str, unknown)))}")
    for end in ("low", "high"):
        if isinstance(value[end], bool) or not isinstance(value[end], int | float):
            raise InputError(f"{where}: {name}: {end} is a number, got {value[end]!r}")
        _check_value(name, value[end], where)
    return _check_range(name, Range(**value), where)


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
    if Settings.model_fields[name].annotation is int and not dimension.is_integer:
        raise InputError(f"{where}: {name}: is an integer, got {dimension.low}..{dimension.high}")
    return dimension


def _check_value(name: str, value: Any, where: str) -> None:
    field = Settings.model_fields.get(str(name))
    if field is None:
        near = difflib.get_close_matches(str(name), Settings.model_fields, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(Settings.model_fields)}"
        raise InputError(f"{where}: unknown setting {name}; {hint}")
    kind: Any = Annotated[field.annotation, field]
    try:
        TypeAdapter(kind).validate_python(value, strict=isinstance(value, bool) or None)
    except ValidationError as error:
        message = error.errors()[0]["msg"]
        raise InputError(f"{where}: {name}: got {value!r}; {message}") from None


def _parse_constraints(
    content: dict[str, Any], path: Path, node: yaml.Node | None
) -> Iterator[Constraint]:
    for i, text in enumerate(content.get("constraints") or []):
        where = _at(path, node, "constraints", i)
        match = _CONSTRAINT.match(str(text))
        if match is None:
            raise InputError(
                f"{where}: a constraint reads `A divides B` or `A <= B`, got {text!r}"
            )
        left, relation, right = match.groups()
        for name in (left, right):
            annotation = (
                Settings.model_fields[name].annotation if name in Settings.model_fields else None
            )
            if annotation not in (int, float):
                raise InputError(f"{where}: {name} is not a numeric setting")
        yield Constraint(left, relation, right)  # type: ignore[arg-type]


def _parse_points(
    node: yaml.Node | None, content: Any, fixed: dict[str, Value], path: Path
) -> list[Settings]:
    if not isinstance(content, list) or not all(isinstance(point, dict) for point in content):
        raise InputError(f"{_at(path, node)}: points is a list of mappings of settings")
    return [
        parse_settings({**fixed, **point}, _at(path, node, i)) for i, point in enumerate(content)
    ]


def _check_grid(space: Space, path: Path, node: yaml.Node | None) -> None:
    for name, dimension in space.dimensions.items():
        if space.sampler == "grid" and not (isinstance(dimension, Choice) or dimension.step):
            where = _at(path, node, "search", name)
            raise InputError(f"{where}: {name}: a grid takes choices or a range with a step")
