"""Read a search space from YAML, every error with its file and line.

Reads the shipped search_spaces/*.yaml or a user's file, and what `--set` and `--enqueue` change.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from dianet_ray.errors import InputError, first_problem, one_line
from dianet_ray.model.own_network import trust
from dianet_ray.protocol.ladder import Ladder, Rung, check_rung
from dianet_ray.search.space import Space, check_drawable, n_levels, parse_constraint
from dianet_ray.search.space_form import (
    TAGS,
    RangeForm,
    RungForm,
    SpaceForm,
    WeightFiles,
    numbers,
    space_form,
)
from dianet_ray.search.yaml_file import YamlText, parse_yaml, read_yaml
from dianet_ray.settings import (
    Dimension,
    NetworkFile,
    Range,
    Settings,
    Value,
    parse_settings,
    setting_names,
)

_RULES = {
    "model_type": "Input should be a mapping",
    "list_type": "Input should be a list",
    "missing": "this key is required",
    "too_short": "Input should have at least one value",
}
"""Our words for the rules that pydantic words for Python programmers, by its type of error."""


def shipped() -> dict[str, Path]:
    """List the shipped spaces by name: from the wheel, or from a checkout."""
    package = Path(str(files("dianet_ray")))
    folders = (package / "search_spaces", package.parent / "search_spaces")
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.yaml"))}


def load_space(name_or_file: str, network: Path | None = None) -> Space:
    """Load and validate a shipped space or a file.

    Args:
        name_or_file: which.
        network: a network file, which replaces the one that the space names.

    Raises:
        InputError: one line with the file, the line number, the rule and the value.
    """
    known = shipped()
    path = known.get(name_or_file, Path(name_or_file))
    if not path.is_file():
        raise InputError(
            f"--space takes a file or a shipped name ({', '.join(known)}): got {name_or_file}"
        )
    text = read_yaml(path)
    file = _network_file(text, path, network)
    if file is not None:
        # What needs no network file is refused before somebody's code runs.
        _Reading(text.where, path.parent, Settings).parse(text.content, SpaceForm)
    kind = Settings if file is None else trust(file).kind
    reading = _Reading(text.where, path.parent, kind)
    form = reading.parse(text.content)
    fixed = _given(form.fixed)
    if file is not None:
        fixed["network"] = file.id
    space = Space(
        sampler=form.sampler,
        fixed=fixed,
        dimensions=_dimensions(form, text),
        constraints=tuple(map(parse_constraint, form.constraints or ())),
        first_settings=_complete(form.points, fixed, lambda i: text.where("points", i), kind),
        around=_around(form, text),
        ladder=_ladder(form, text),
        weights=reading.weights.found,
        network=file,
        kind=kind,
    )
    check_drawable(space, text.where("search"))
    return space


def _network_file(text: YamlText, path: Path, given: Path | None) -> NetworkFile | None:
    """Read the network file that the command or the space names; None for DIANet."""
    named = text.content.get("network") if isinstance(text.content, dict) else None
    is_default = named == Settings.model_fields["network"].default
    if given is None and (is_default or not isinstance(named, str)):
        return None  # something else than a path is refused with the form
    where = "--network" if given else f"{text.where('network')}: network"
    file = given or path.parent / str(named)
    try:
        content = file.read_text(encoding="utf-8-sig")
        return NetworkFile(file.name.replace("@", "_"), content)
    except (OSError, ValueError) as error:
        raise InputError(f"{where} takes a Python file: {file}: {one_line(error)}") from None


def read_space(
    name_or_file: str,
    assignments: Sequence[str],
    first: Path | None,
    network: Path | None = None,
) -> Space:
    """Load a space, enqueue a file's settings, then fix the dimensions of NAME=VALUE texts.

    `network` is the file of a network that trains instead of the space's.

    Raises:
        InputError: as `load_space`, `enqueue` and `fix`, and for a text without `=`.
    """
    space = load_space(name_or_file, network)
    if first is not None:
        space = enqueue(space, first)
    for text in assignments:
        if "=" not in text:
            raise InputError(f"--set takes NAME=VALUE: got {text}")
    names = [text.split("=", 1)[0] for text in assignments]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"--set takes one value of a setting: {twice[0]} has several")
    return fix(space, dict(text.split("=", 1) for text in assignments)) if assignments else space


def fix(space: Space, assignments: Mapping[str, str]) -> Space:
    """Fix settings from `--set NAME=VALUE`; the space's first settings take the value too.

    Raises:
        InputError: an unknown name, a bad value, or first settings that become invalid.
    """
    given: dict[str, Value] = {}
    weights: dict[str, Path] = {}
    for name, text in assignments.items():
        reading = _Reading(lambda *_, at=f"--set {name}={text}": at, Path(), space.kind)
        content = parse_yaml(text, f"--set {name}").content
        given |= _given(reading.parse({"fixed": {name: content}}).fixed)
        weights |= reading.weights.found
    first = [
        parse_settings({**one.values(), **given}, f"--set with entry {i} of points", space.kind)
        for i, one in enumerate(space.first_settings, 1)
    ]
    fixed = replace(
        space,
        fixed={**space.fixed, **given},
        dimensions={n: d for n, d in space.dimensions.items() if n not in given},
        first_settings=tuple(dict.fromkeys(first)),
        weights=space.weights | weights,
    )
    check_drawable(fixed, "--set")
    return fixed


def enqueue(space: Space, path: Path) -> Space:
    """Put the settings of a YAML list before the space's own first settings.

    Raises:
        InputError: one line with the file, the line number, the rule and the value.
    """
    text = read_yaml(path)
    if not isinstance(text.content, list):
        raise InputError(f"{text.where()}: got {text.content!r}; Input should be a list")
    reading = _Reading(lambda _, *keys: text.where(*keys), path.parent, space.kind)
    form = reading.parse({"points": text.content})
    first = _complete(form.points, space.fixed, text.where, space.kind)
    return replace(
        space,
        first_settings=tuple(dict.fromkeys((*first, *space.first_settings))),
        weights=space.weights | reading.weights.found,
    )


class _Reading:
    """Validates what a space says; `where` names the place that keys and list places lead to."""

    def __init__(self, where: Callable[..., str], folder: Path, kind: type[Settings]) -> None:
        self.weights = WeightFiles(folder)
        self._where = where
        self._kind = kind

    def parse(self, content: Any, form: type[SpaceForm] | None = None) -> SpaceForm:
        """Validate the content of a file, or what stands for one; by default all of it."""
        try:
            return (form or space_form(self._kind)).model_validate(content, context=self.weights)
        except ValidationError as error:
            raise InputError(self._message(error)) from None

    def _message(self, error: ValidationError) -> str:
        problem, first = first_problem(error), error.errors()[0]
        keys, kind = first["loc"], first["type"]
        where = self._where(*keys)
        if kind in ("extra_forbidden", "invalid_key"):
            name = problem.found if kind == "invalid_key" else keys[-1]
            return f"{where}: {self._unknown(name, keys)}"
        names = [key for key in keys if isinstance(key, str) and key not in TAGS.values()]
        name = ".".join(names[1:] or names)  # the line says which section it is
        rule = _RULES.get(kind, problem.rule)
        if kind == "string_pattern_mismatch" and keys[0] == "constraints":
            rule = "Input should read `A divides B` or `A <= B`, with A and B among " + ", ".join(
                numbers(self._kind)
            )
        return f"{where}: {replace(problem, name=name, rule=rule)}"

    def _unknown(self, name: Any, keys: tuple[int | str, ...]) -> str:
        is_setting = len(keys) > 1
        known = setting_names(self._kind) if is_setting else list(SpaceForm.model_fields)
        if keys[0] == "ladder":
            is_setting, known = False, list(RungForm.model_fields)
        elif keys[-2:-1] == (TAGS[dict],):
            is_setting, known = False, list(RangeForm.model_fields)
        near = difflib.get_close_matches(str(name), known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
        shown = name if isinstance(name, str) and name.isprintable() else repr(name)
        return f"unknown {'setting' if is_setting else 'key'} {shown}; {hint}"


def _given(form: BaseModel | None) -> dict[str, Value]:
    return form.model_dump(exclude_unset=True) if form is not None else {}


MOST_LEVELS = 10**6
"""Steps of a range, and configurations of a grid, which are listed before any is drawn."""


def _dimensions(form: SpaceForm, text: YamlText) -> dict[str, Dimension]:
    """Read what is searched, in the order of the file, which is the order of drawing."""
    dimensions = {}
    for name in text.content.get("search") or ():
        dimensions[name] = dimension = getattr(form.search, name)
        where = f"{text.where('search', name)}: {name}"
        if name in _given(form.fixed):
            raise InputError(f"{where} is fixed as well: remove it here or under fixed")
        if form.sampler == "grid" and isinstance(dimension, Range) and dimension.step is None:
            raise InputError(f"{where}: a grid takes a list of values or a range with a step")
        if n_levels(dimension) > MOST_LEVELS:
            raise InputError(f"{where}: a range has at most {MOST_LEVELS} steps; take larger ones")
    if form.sampler == "grid":
        n_cells = math.prod(n_levels(dimension) for dimension in dimensions.values())
        if n_cells > MOST_LEVELS:
            raise InputError(
                f"{text.where('search')}: a grid has at most {MOST_LEVELS} configurations, here "
                f"{n_cells:.2g}; take fewer values, or another sampler"
            )
    return dimensions


def _around(form: SpaceForm, text: YamlText) -> dict[str, Value] | None:
    """Read the values that early draws begin with; None where all draws are the sampler's."""
    around = _given(form.around)
    for name in around:
        if name not in (text.content.get("search") or ()):
            raise InputError(f"{text.where('around', name)}: {name} is not searched")
    if form.sampler == "tpe" and form.prior == "around":
        return around
    if around:
        needs = "sampler: tpe" if form.sampler != "tpe" else "prior: around"
        raise InputError(f"{text.where('around')}: draws around settings need {needs}")
    return None


def _complete(
    forms: Sequence[BaseModel | None] | None,
    fixed: dict[str, Value],
    where: Callable[[int], str],
    kind: type[Settings],
) -> tuple[Settings, ...]:
    """Complete listed settings; `where` names the place of each of them."""
    listed = [
        parse_settings({**fixed, **_given(form)}, where(i), kind)
        for i, form in enumerate(forms or ())
    ]
    return tuple(dict.fromkeys(listed))


def _ladder(form: SpaceForm, text: YamlText) -> Ladder | None:
    if "ladder" not in form.model_fields_set:
        return None
    rungs = (
        check_rung(rung.groups, rung.steps, rung.keep, text.where("ladder", i))
        for i, rung in enumerate(form.ladder or ())
    )
    return (*rungs, Rung())
