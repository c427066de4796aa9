"""The settings of a configuration, sets of settings to search, and the hash that names one.

Settings are complete: they hold everything that shapes a training except the fold and the seed.
How a command runs (paths, resources, budgets) is in `options`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dianet_ray.artefacts import Record
from dianet_ray.errors import InputError, first_problem, one_line

Value = bool | int | float | str
"""The value of one setting."""

Sampler = Literal["tpe", "random", "grid"]


class Settings(BaseModel):
    """Everything that shapes a training; a space file may fix or search each field."""

    # Frozen, because the hash of these values names the configuration.
    # Finite, because what is not a number equals nothing, and is no JSON.
    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

    network: str = Field(
        "dianet", description="what is trained: dianet, or a network file, by name and content"
    )
    own: tuple[tuple[str, Value], ...] = Field(
        (), description="values of the settings that a network file adds, by name"
    )
    backbone: Literal["cnn", "shallow", "resnet18", "efficientnet_lite0"] = Field(
        "cnn",
        description="network of a stream: four convolutions, three side by side, ResNet-18, or "
        "EfficientNet-Lite0",
    )
    width: int = Field(
        16,
        ge=1,
        le=512,
        description="channels of a stream's first layer; scales all others",
    )
    shared_streams: bool = Field(
        False, description="use one stream for all dynamic images instead of one for each"
    )
    pretrained: str = Field(
        "none",
        description="start values of the streams: none (random), imagenet, or a file of weights",
    )
    frozen_stages: int = Field(
        0,
        ge=0,
        le=9,
        description="stages of a pretrained stream, from its input, that stay as loaded",
    )
    embedding: int = Field(
        64, ge=1, le=2048, description="channels of a token, one place of a stream's feature map"
    )
    phases: Literal["both", "onset_apex", "apex_offset", "whole_clip", "three"] = Field(
        "both",
        description="dynamic images that the network sees: both phases, one image, or all three",
    )
    fusion: Literal["cross_attention", "concat", "sum", "late", "none"] = Field(
        "cross_attention",
        description="how images are joined: each attends to the others; their features are "
        "concatenated or added; or the probabilities of a classifier for each are "
        "averaged (late); none with a single image",
    )
    heads: int = Field(
        4, ge=1, le=64, description="attention heads of cross_attention; must divide embedding"
    )
    layers: int = Field(
        1, ge=1, le=16, description="layers of cross_attention, one after the other"
    )
    gate: bool = Field(
        False, description="let cross_attention learn how much it adds of what it read"
    )
    normalisation: Literal["fixed", "minmax", "standard"] = Field(
        "fixed",
        description="scaling of the images: fixed divides by a constant, minmax maps each image "
        "to [-1, 1], standard uses mean and deviation of the training clips",
    )
    dropout: float = Field(
        0.2, ge=0, lt=1, description="share of the features zeroed before the classifier"
    )
    loss: Literal["cross_entropy", "focal", "class_balanced"] = Field(
        "cross_entropy",
        description="focal gives less weight to clips that are classified well; class_balanced "
        "weights classes by their effective number of clips",
    )
    focal_gamma: float = Field(
        2.0, ge=0, le=10, description="power of the focal loss; 0 is cross entropy"
    )
    class_balanced_beta: float = Field(
        0.99,
        ge=0,
        lt=1,
        description="beta of class_balanced: 0 weights all classes alike, a value near 1 "
        "inversely to their number of clips",
    )
    label_smoothing: float = Field(
        0.1, ge=0, lt=1, description="share of the target that is spread evenly over the classes"
    )
    class_weights: bool = Field(
        True,
        description="weight the loss by inverse class frequency in the training clips; "
        "class_balanced needs it",
    )
    shift: float = Field(
        0.05, ge=0, le=0.5, description="largest random shift, as a share of the image's side"
    )
    flip: bool = Field(True, description="mirror half of the training images left to right")
    rotation: float = Field(0.0, ge=0, le=180, description="largest random rotation in degrees")
    scale: float = Field(0.0, ge=0, lt=1, description="largest random change of size, as a share")
    erasing: float = Field(
        0.0, ge=0, le=1, description="probability of erasing a rectangle of a training image"
    )
    mixup: float = Field(
        0.0,
        ge=0,
        le=10,
        description="alpha of mixup, which blends clips in pairs by a share from Beta(alpha, "
        "alpha); 0 blends nothing",
    )
    optimiser: Literal["adamw", "sgd"] = Field(
        "adamw",
        description="rule of a step: AdamW, or gradient descent with a momentum of 0.9 (Nesterov)",
    )
    learning_rate: float = Field(
        # 200 steps at 1e-3 train too little. docs/decisions.md: Default learning rate
        3e-3,
        gt=0,
        le=1,
        description="largest learning rate, reached after the warm-up",
    )
    backbone_lr: float = Field(
        1.0, gt=0, le=1, description="learning rate of the streams, as a share of learning_rate"
    )
    weight_decay: float = Field(
        1e-2, ge=0, le=10, description="the optimiser's decay of kernels and matrices"
    )
    clip_norm: float = Field(
        0.0, ge=0, le=1000, description="largest norm of a step's gradient; 0 bounds nothing"
    )
    schedule: Literal["averaged", "cosine", "constant", "one_cycle"] = Field(
        # docs/decisions.md: Schedule that is read at points
        "averaged",
        description="learning rate after the warm-up: falls to 0 as a cosine, or stays; averaged "
        "stays, and shows averaged weights at several points of the way; one_cycle rises for 0.3 "
        "of the steps instead of the warm-up, then falls",
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
    precision: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="numbers that convolutions and products are trained in; bfloat16 may be "
        "faster on GPUs",
    )

    @property
    def shown_at(self) -> tuple[int, ...]:
        """The steps after which a training is shown, in rising order; the last one ends it.

        >>> Settings(schedule="averaged", steps=400, points=3).shown_at
        (100, 200, 400)
        """
        # Before its end a rate that falls shows nothing of worth: it has not fallen yet.
        n = self.points if self.schedule == "averaged" else 1
        return tuple(sorted({max(1, round(self.steps / 2**k)) for k in range(n)}))

    def changes(self) -> str:
        """Write the settings that differ from the defaults.

        >>> Settings(heads=2, shift=0).changes(), Settings().changes()
        ('heads: 2, shift: 0.0', 'the defaults')
        """
        defaults = Settings().values()
        changed = {k: v for k, v in self.values().items() if v != defaults.get(k)}
        return ", ".join(f"{name}: {value}" for name, value in changed.items()) or "the defaults"

    def values(self) -> dict[str, Value]:
        """Return the value of each setting by name, those that a network file adds included.

        >>> Settings(network="net.py@0123456789abcdef", own=(("depth", 3),)).values()["depth"]
        3
        """
        values = self.model_dump()
        return values | dict(values.pop("own"))

    @property
    def n_phases(self) -> int:
        """How many dynamic images the network sees."""
        return {"both": 2, "three": 3}.get(self.phases, 1)

    @property
    def n_streams(self) -> int:
        """How many streams of weights the network has."""
        return 1 if self.shared_streams else self.n_phases

    @model_validator(mode="after")
    def _check(self) -> Settings:
        # The only place for rules between settings. A space file declares a constraint that
        # excludes what breaks them, so that a reader of the file sees what is searched.
        if self.embedding % self.heads:
            raise ValueError(
                f"heads must divide embedding, got heads {self.heads}, embedding {self.embedding}"
            )
        is_single = self.phases not in ("both", "three")
        if is_single != (self.fusion == "none"):
            *others, last = [name for name in _FUSIONS if name != "none"]
            needs = "fusion: none" if is_single else f"a fusion ({', '.join(others)} or {last})"
            raise ValueError(f"phases: {self.phases} needs {needs}, got {self.fusion}")
        if self.loss == "class_balanced" and not self.class_weights:
            raise ValueError("loss: class_balanced needs class_weights: true, got false")
        return self

    @model_validator(mode="after")
    def _check_start(self) -> Settings:
        if self.network != "dianet" and not _BY_CONTENT.fullmatch(self.network):
            raise ValueError(f"network: got {self.network}; dianet, or a network file")
        if self.network == "dianet" and self.own:
            raise ValueError(f"dianet has no settings {', '.join(name for name, _ in self.own)}")
        if self.network != "dianet" and self.pretrained != "none":
            raise ValueError(f"pretrained: {self.pretrained} needs network: dianet")
        is_named = self.pretrained in ("none", "imagenet")
        if not is_named and not _BY_CONTENT.fullmatch(self.pretrained):
            raise ValueError(f"pretrained: got {self.pretrained}; none, imagenet, or a file")
        if self.pretrained == "imagenet" and (self.backbone, self.width) != _IMAGENET:
            raise ValueError(
                f"pretrained: imagenet needs backbone: {_IMAGENET[0]} and width: {_IMAGENET[1]}, "
                f"got {self.backbone} and {self.width}"
            )
        if self.frozen_stages > _N_STAGES[self.backbone]:
            raise ValueError(
                f"frozen_stages: {self.frozen_stages} is too many for {self.backbone}, which has "
                f"{_N_STAGES[self.backbone]}"
            )
        if self.frozen_stages and self.pretrained == "none":
            raise ValueError(
                f"frozen_stages: {self.frozen_stages} needs pretrained weights, got none"
            )
        return self


_N_STAGES = {"cnn": 4, "shallow": 1, "resnet18": 5, "efficientnet_lite0": 9}
_IMAGENET = ("efficientnet_lite0", 32)
_BY_CONTENT = re.compile(r"[^@/]+@[0-9a-f]{16}")  # a file's name and the start of its sha256


_FUSIONS = get_args(Settings.model_fields["fusion"].annotation)


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
class NetworkFile(Record):
    """A user's network: the name of its file, and the Python text in it."""

    name: str
    text: str

    @property
    def id(self) -> str:
        """Name the content, as `Settings.network` does.

        >>> NetworkFile("net.py", "").id
        'net.py@e3b0c44298fc1c14'
        """
        return f"{self.name}@{hashlib.sha256(self.text.encode()).hexdigest()[:16]}"


@dataclass(frozen=True, slots=True)
class SpaceIdentity(Record):
    """The set of settings that a study searches, as its identity records it.

    `fixed` replaces defaults, `search` names the settings that vary, `constraints` read
    `A divides B` or `A <= B`, and `first_settings` run first, in this order. `around` holds the
    value of each searched setting that early draws begin with; None where none do. `network` is
    the network file that trains instead of DIANet.
    """

    sampler: Sampler
    fixed: dict[str, Value]
    search: dict[str, Dimension]
    constraints: tuple[str, ...]
    first_settings: tuple[Settings, ...]
    around: dict[str, Value] | None
    network: NetworkFile | None = None


def complete(values: Mapping[str, object], kind: type[Settings] = Settings) -> Settings:
    """Make settings of values by name, with the defaults of `kind` for those that are missing.

    Args:
        values: what is known; `kind` is validated too, where it is a network file's own class.
        kind: the settings of the network.

    Raises:
        ValidationError: an unknown name or a bad value.
        InputError: the file's own checks end in another error.
    """
    if kind is Settings:
        return Settings(**values)
    try:
        made = kind(**values).model_dump()
    except ValidationError:
        raise
    except Exception as error:
        raise InputError(
            f"the Settings of a network file must accept values or raise ValueError: "
            f"{type(error).__name__}: {one_line(error)}"
        ) from None
    own = tuple((name, made.pop(name)) for name in own_names(kind))
    return Settings(**made | {"own": own})


def own_names(kind: type[Settings]) -> list[str]:
    """List the settings that a network file adds."""
    return [name for name in kind.model_fields if name not in Settings.model_fields]


def setting_names(kind: type[Settings] = Settings) -> list[str]:
    """List what a space may fix or search."""
    return [name for name in kind.model_fields if name not in ("network", "own")]


def parse_settings(
    values: Mapping[str, object], where: str, kind: type[Settings] = Settings
) -> Settings:
    """Validate settings.

    Raises:
        InputError: an unknown name or a bad value. The message begins with `where`, which says
            where the values come from.
    """
    try:
        return complete(values, kind)
    except ValidationError as error:
        problem = first_problem(error)
        if problem.is_unknown:
            known = ", ".join(sorted(setting_names(kind)))
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
