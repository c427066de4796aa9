"""The settings of a configuration, sets of settings to search, and the hash that names one.

Settings are complete: they hold everything that shapes a training except the fold and the seed.
How a command runs (paths, resources, budgets) is in `options`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dianet_ray.artefacts import Record
from dianet_ray.errors import InputError, first_problem

Value = bool | int | float | str
"""The value of one setting."""

Sampler = Literal["tpe", "random", "grid"]


class Settings(BaseModel):
    """Everything that shapes a training; a space file may fix or search each field."""

    # Frozen, because the hash of these values names the configuration.
    model_config = ConfigDict(frozen=True, extra="forbid")

    backbone: Literal["cnn", "resnet18"] = Field(
        "cnn", description="network of a stream: four convolutions, or a ResNet-18"
    )
    width: int = Field(
        16,
        ge=1,
        le=512,
        description="channels of a stream's first layer; scales all others",
    )
    embedding: int = Field(
        64, ge=1, le=2048, description="channels of a token, one place of a stream's feature map"
    )
    heads: int = Field(
        4, ge=1, le=64, description="attention heads of cross_attention; must divide embedding"
    )
    phases: Literal["both", "onset_apex", "apex_offset", "whole_clip"] = Field(
        "both", description="dynamic images that the network sees: both phases, or one image"
    )
    fusion: Literal["cross_attention", "concat", "none"] = Field(
        "cross_attention",
        description="how two phases are joined: by attention to each other or by concatenation; "
        "none with a single image",
    )
    normalisation: Literal["fixed", "minmax", "standard"] = Field(
        "fixed",
        description="scaling of the images: fixed divides by a constant, minmax maps each image "
        "to [-1, 1], standard uses mean and deviation of the training clips",
    )
    dropout: float = Field(
        0.2, ge=0, lt=1, description="share of the features zeroed before the classifier"
    )
    label_smoothing: float = Field(
        0.1, ge=0, lt=1, description="share of the target that is spread evenly over the classes"
    )
    class_weights: bool = Field(
        True, description="weight the loss by inverse class frequency in the training clips"
    )
    shift: float = Field(
        0.05, ge=0, le=0.5, description="largest random shift, as a share of the image's side"
    )
    flip: bool = Field(True, description="mirror half of the training images left to right")
    erasing: float = Field(
        0.0, ge=0, le=1, description="probability of erasing a rectangle of a training image"
    )
    learning_rate: float = Field(
        # 200 steps at 1e-3 train too little. docs/decisions.md: Default learning rate
        3e-3,
        gt=0,
        le=1,
        description="largest learning rate of AdamW, reached after the warm-up",
    )
    weight_decay: float = Field(
        1e-2, ge=0, le=10, description="AdamW's decay of kernels and matrices"
    )
    schedule: Literal["averaged", "cosine", "constant"] = Field(
        # docs/decisions.md: Schedule that is read at points
        "averaged",
        description="learning rate after the warm-up: falls to 0 as a cosine, or stays; averaged "
        "stays, and shows averaged weights at several points of the way",
    )
    warmup: int = Field(
        # Not a share of the steps: a training read early must equal a short one.
        20,
        ge=0,
        le=1_000_000,
        description="steps in which the learning rate rises",
    )
    batch_size: int = Field(32, ge=1, le=4096, description="clips per optimiser step")
    steps: int = Field(
        800,
        ge=1,
        le=1_000_000,
        description="optimiser steps of a training in the LOSO rung: the longest budget",
    )
    points: int = Field(
        4,
        ge=1,
        le=16,
        description="times that an averaged training is shown: at its end, at half of it, ...",
    )

    @property
    def shown_at(self) -> tuple[int, ...]:
        """The steps after which a training is shown, in rising order; the last one ends it.

        >>> Settings(schedule="averaged", steps=400, points=3).shown_at
        (100, 200, 400)
        """
        # Before its end a cosine shows nothing of worth: its learning rate has not fallen yet.
        n = self.points if self.schedule == "averaged" else 1
        return tuple(sorted({max(1, round(self.steps / 2**k)) for k in range(n)}))

    def changes(self) -> str:
        """Write the settings that differ from the defaults.

        >>> Settings(heads=2, shift=0).changes(), Settings().changes()
        ('heads: 2, shift: 0.0', 'the defaults')
        """
        changed = self.model_dump(exclude_defaults=True)
        return ", ".join(f"{name}: {value}" for name, value in changed.items()) or "the defaults"

    @model_validator(mode="after")
    def _check(self) -> Settings:
        # The only place for rules between settings. A space file declares a constraint that
        # excludes what breaks them, so that a reader of the file sees what is searched.
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
    `A divides B` or `A <= B`, and `first_settings` run first, in this order. `around` holds the
    value of each searched setting that early draws begin with; None where none do.
    """

    sampler: Sampler
    fixed: dict[str, Value]
    search: dict[str, Dimension]
    constraints: tuple[str, ...]
    first_settings: tuple[Settings, ...]
    around: dict[str, Value] | None


def parse_settings(values: Mapping[str, object], where: str) -> Settings:
    """Validate settings.

    Raises:
        InputError: an unknown name or a bad value. The message begins with `where`, which says
            where the values come from.
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
    # Defaults are hashed too: a new default is another configuration and gets another id.
    # Sorted, so that moving a field in the class renames no configuration.
    text = json.dumps(settings.model_dump(), sort_keys=True)
    # 48 bits: two of 1,000 configurations share an id by chance in one of 500 million studies.
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def derive_seed(*parts: str | int) -> int:
    """Derive a 63-bit seed from named parts, equal on every machine.

    >>> derive_seed(0, "draw", 1) == derive_seed(0, "draw", 1) != derive_seed(0, "draw", 2)
    True
    """
    # Not hash(): Python salts it per process. JSON keeps ('a', 1) and ('a1',) apart.
    text = json.dumps(parts)
    # 63 bits, so that every signed 64-bit integer type holds the seed.
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
