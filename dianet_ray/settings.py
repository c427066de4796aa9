"""The validated settings of one configuration, and the hash that names it.

Settings are one point of the search space, complete: everything that shapes a training except
the fold and the seed. How a command runs (paths, resources, budgets) is in `options`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dianet_ray.artefacts import Record
from dianet_ray.errors import InputError, first_problem

Value = bool | int | float | str
"""The value of one setting."""

Sampler = Literal["tpe", "random", "grid"]


class Settings(BaseModel):
    """One point of the search space; every field is a dimension that a space file may search."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backbone: Literal["cnn", "resnet18"] = "cnn"
    width: int = Field(16, ge=1, le=512, description="channels of a stream's first layer")
    embedding: int = Field(64, ge=1, le=2048, description="channels of a spatial token")
    heads: int = Field(4, ge=1, le=64, description="attention heads; divides the embedding")
    phases: Literal["both", "onset_apex", "apex_offset", "whole_clip"] = "both"
    fusion: Literal["cross_attention", "concat", "none"] = "cross_attention"
    normalisation: Literal["fixed", "minmax", "standard"] = "fixed"
    dropout: float = Field(0.2, ge=0, lt=1)
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    class_weights: bool = True
    shift: float = Field(0.05, ge=0, le=0.5, description="largest shift, share of the image")
    flip: bool = True
    erasing: float = Field(0.0, ge=0, le=1, description="probability of erasing a rectangle")
    learning_rate: float = Field(3e-3, gt=0, le=1)
    weight_decay: float = Field(1e-2, ge=0, le=10)
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup: float = Field(0.1, ge=0, lt=1, description="share of the steps that warms up")
    batch_size: int = Field(32, ge=1, le=4096)
    steps: int = Field(200, ge=1, le=1_000_000, description="optimiser steps, the budget")

    @model_validator(mode="after")
    def _check(self) -> Settings:
        if self.embedding % self.heads:
            raise ValueError(
                f"heads must divide embedding, got heads {self.heads}, embedding {self.embedding}"
            )
        if (self.phases == "both") == (self.fusion == "none"):
            is_pair = self.phases == "both"
            needs = "a fusion (cross_attention or concat)" if is_pair else "fusion: none"
            raise ValueError(f"phases: {self.phases} needs {needs}, got {self.fusion}")
        return self


@dataclass(frozen=True, slots=True)
class Choice(Record):
    """A searched setting with listed values."""

    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Range(Record):
    """A searched number, from `low` to `high` with both ends included.

    It takes integers when both ends are integers. `log` draws uniformly on a logarithmic scale;
    `step` keeps the values at `low` plus a multiple of it.
    """

    low: int | float
    high: int | float
    log: bool = False
    step: int | float | None = None

    @property
    def is_integer(self) -> bool:
        """Both ends are integers, so every value is one."""
        return isinstance(self.low, int) and isinstance(self.high, int)


Dimension = Choice | Range


@dataclass(frozen=True, slots=True)
class SpaceIdentity(Record):
    """The set of settings that a study searches, as its identity records it.

    `fixed` replaces defaults, `search` names the settings that vary, `constraints` read
    `A divides B` or `A <= B`, and `first_settings` run first, in this order.
    """

    sampler: Sampler
    fixed: dict[str, Value]
    search: dict[str, Dimension]
    constraints: tuple[str, ...]
    first_settings: tuple[Settings, ...]


def parse_settings(values: dict[str, Any], where: str) -> Settings:
    """Validate settings.

    Raises:
        InputError: an unknown name or a bad value; the message names it and `where`.
    """
    try:
        return Settings(**values)
    except ValidationError as error:
        problem = first_problem(error)
        if problem.is_unknown:
            known = ", ".join(sorted(Settings.model_fields))
            raise InputError(f"{where}: unknown setting {problem.name}; known: {known}") from None
        raise InputError(f"{where}: {problem}") from None


def config_id(settings: Settings) -> str:
    """Hash the complete settings to 12 hex digits: the identity of a configuration."""
    text = json.dumps(settings.model_dump(), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def derive_seed(*parts: str | int) -> int:
    """Derive a 63-bit seed from named parts, equal on every machine.

    >>> derive_seed(0, "draw", 1) == derive_seed(0, "draw", 1) != derive_seed(0, "draw", 2)
    True
    """
    text = json.dumps(parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
