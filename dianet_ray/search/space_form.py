"""The form of a search-space file, stated once, as pydantic models.

`space_file.py` checks files with it. Editors complete and check them with the JSON schema made
from it, search_spaces/space.schema.json.
"""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StrictBool,
    Tag,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    create_model,
    model_validator,
)
from pydantic.fields import FieldInfo

from dianet_ray.errors import one_line
from dianet_ray.protocol.ladder import KEEP, parse_keep
from dianet_ray.search.space import rounded
from dianet_ray.settings import Choice, Range, Sampler, Settings, setting_names

TAGS: dict[type, str] = {list: "[]", dict: "{}"}
"""What pydantic adds to the location of an error in a dimension; no key of a file reads so."""


def schema() -> str:
    """Write the JSON schema of a space file, as search_spaces/space.schema.json holds it."""
    return json.dumps(space_form(Settings).model_json_schema(), indent=2) + "\n"


def numbers(kind: type[Settings]) -> list[str]:
    """List the settings that a range or a constraint may name."""
    fields = kind.model_fields
    return [name for name in setting_names(kind) if fields[name].annotation in (int, float)]


def _number(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    if isinstance(value, bool):  # to Python true is 1; whoever writes it means something else
        raise ValueError("Input should be a number")
    return check(rounded(check(value)))  # twice, because rounding may leave the limits


_Integer = Annotated[int, WrapValidator(_number)]
_Float = Annotated[float, WrapValidator(_number)]


@dataclass(frozen=True, slots=True)
class WeightFiles:
    """Files of weights that a space names; paths are relative to `folder`.

    `found` maps what stands for a file in the settings to its path.
    """

    folder: Path
    found: dict[str, Path] = field(default_factory=dict)


def _pinned(value: str, info: ValidationInfo) -> str:
    """Replace the path of a file of weights by what names its content."""
    if value in ("none", "imagenet"):
        return value
    assert isinstance(info.context, WeightFiles)
    path = (info.context.folder / value).absolute()
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ValueError(
            f"Input should be none, imagenet, or a file of weights: {path}: {one_line(error)}"
        ) from None
    # By name and content: settings mean the same on every machine, wherever it holds the file.
    name = f"{path.name.replace('@', '_')}@{digest[:16]}"
    info.context.found[name] = path
    return name


def _choice(values: list[Any]) -> Choice:
    if len(set(values)) < len(values):
        raise ValueError("the listed values must be different from each other")
    return Choice(tuple(values))


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class RangeForm(_Form):
    """All numbers from low to high, both included."""

    low: float
    high: float
    log: StrictBool = Field(False, description="draw uniformly on a logarithmic scale")
    step: float | None = None

    @model_validator(mode="after")
    def _check(self) -> RangeForm:
        if self.low >= self.high:
            raise ValueError("low must be less than high")
        if self.log and self.low <= 0:
            raise ValueError("a log range must start above 0")
        if self.step is not None and not 0 < self.step <= self.high - self.low:
            raise ValueError("step must be positive and at most high - low")
        if self.step is not None and self.log:
            raise ValueError("a log range takes no step")
        return self

    def range(self) -> Range:
        """Return the range as a dimension."""
        return Range(self.low, self.high, self.log, self.step)


def _optional(description: str | None) -> Any:
    """Describe a key that may be left out, but not be null."""
    return Field(default_factory=lambda: None, description=description)


def _value(name: str, field: FieldInfo) -> Any:
    """Make the type of a setting's value: YAML reads 1e-3 as a text and 0 as an integer."""
    kind: Any = field.annotation
    if name == "pretrained":
        return Annotated[kind, AfterValidator(_pinned)]
    for limit in field.metadata:
        kind = Annotated[kind, limit]
    return Annotated[kind, WrapValidator(_number)] if field.annotation in (int, float) else kind


def _dimension(name: str, field: FieldInfo) -> Any:
    """Make the type of a searched setting: a list of values or, of a number, a range."""
    value = _value(name, field)
    is_set = Field(min_length=1, json_schema_extra={"uniqueItems": True})
    choices: Any = Annotated[list[value], is_set, AfterValidator(_choice)]  # type: ignore[valid-type]
    if field.annotation not in (int, float):
        return choices
    step = _Integer if field.annotation is int else _Float
    form: Any = create_model(
        f"RangeOf_{name}",
        __base__=RangeForm,
        low=(value, ...),
        high=(value, ...),
        step=(step, _optional("every value is low plus a multiple of step")),
    )
    ranges: Any = Annotated[form, AfterValidator(RangeForm.range)]
    return Annotated[
        Annotated[choices, Tag(TAGS[list])] | Annotated[ranges, Tag(TAGS[dict])],
        Discriminator(
            lambda given: TAGS.get(type(given)),
            custom_error_type="dimension",
            custom_error_message="Input should be a list of values or a mapping of low and high",
        ),
    ]


_Keep = Annotated[float, BeforeValidator(lambda keep: parse_keep(str(keep), "keep"))]


class RungForm(_Form):
    """A rung below LOSO, which always follows as the last one."""

    groups: _Integer = Field(description="number of groups of subjects, 2 or more")
    steps: _Float = Field(1, description="share of the training steps, above 0 and at most 1")
    keep: _Keep = Field(
        KEEP,
        description="share of the configurations that is promoted: a number, or text like 1/16",
        json_schema_extra={"type": ["number", "string"]},
    )


class SpaceForm(_Form):
    """A search space of dianet-ray."""

    network: str | None = Field(
        None, description="file of a network of your own, relative to this file; default: DIANet"
    )
    sampler: Sampler = Field("tpe", description="how settings are drawn")
    fixed: Any = Field(None, description="settings with another value than the default")
    search: Any = Field(None, description="settings that vary, with their values")
    constraints: list[str] | None = Field(
        None, description="relations that every configuration satisfies"
    )
    points: list[Any] | None = Field(
        None, description="configurations that run first, in this order"
    )
    prior: Literal["around", "none"] = Field(
        "around",
        description="with tpe, half of the first two waves is drawn around settings that are "
        "known to be good; none draws all of them at random",
    )
    around: Any = Field(
        None, description="those settings, where they differ from the fixed ones and the defaults"
    )
    ladder: list[RungForm] | None = Field(
        None, description="rungs below LOSO, where --ladder says nothing"
    )


@functools.cache
def space_form(kind: type[Settings]) -> type[SpaceForm]:
    """Make the form of a space over some settings: ours, or those of a network file."""
    fields = {name: kind.model_fields[name] for name in setting_names(kind)}
    values: Any = {
        name: (_value(name, one), Field(one.default, description=one.description))
        for name, one in fields.items()
    }
    dimensions: Any = {
        name: (_dimension(name, one), _optional(one.description)) for name, one in fields.items()
    }
    given: Any = create_model("Given", __base__=_Form, **values)
    searched: Any = create_model("Searched", __base__=_Form, **dimensions)
    names = "|".join(numbers(kind))
    constraint: Any = Annotated[str, Field(pattern=f"^({names}) (divides|<=) ({names})$")]
    types = {
        "fixed": given | None,
        "search": searched | None,
        "constraints": list[constraint] | None,
        "points": list[given | None] | None,
        "around": given | None,
    }
    own: Any = {
        name: (typed, Field(None, description=SpaceForm.model_fields[name].description))
        for name, typed in types.items()
    }
    form: type[SpaceForm] = create_model(
        "SpaceForm", __base__=SpaceForm, __doc__=SpaceForm.__doc__, **own
    )
    return form
