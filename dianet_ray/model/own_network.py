"""Networks that users wrote: a file with `class Network(nn.Module)`, run only when it is trusted.

A file is known in a process by its content: `trust` runs it, and what is trained finds it again.
That is a wrapper, `OwnNetwork`, which normalises the images as DIANet does.
"""

from __future__ import annotations

import linecache
import sys
import traceback
import types
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, get_args

from pydantic.fields import FieldInfo
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from dianet_ray.errors import InputError, one_line
from dianet_ray.model.inputs import Normalisation
from dianet_ray.settings import NetworkFile, Settings, Value

MOST_FEATURES = 10**7
"""Longest dropout mask of a user's network."""


class Design:
    """What a network file defines.

    Attributes:
        make: the class `Network`: (settings, n_classes, image_size) to a module.
        kind: the class `Settings`, or ours where the file has none.
    """

    def __init__(self, file: NetworkFile) -> None:
        """Run the file.

        Raises:
            InputError: it cannot be run, or lacks a class.
        """
        name = f"dianet_network_{file.id.rpartition('@')[2]}"
        module = types.ModuleType(name)
        module.__file__ = file.name
        # Pydantic looks names up here, and a traceback its lines there.
        sys.modules[name] = module
        linecache.cache[file.name] = (
            len(file.text),
            None,
            file.text.splitlines(keepends=True),
            file.name,
        )
        self.name = file.name
        with self.blaming(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what pydantic warns of is refused below
            exec(compile(file.text, file.name, "exec", dont_inherit=True), module.__dict__)
        found = vars(module)
        make, kind = found.get("Network"), found.get("Settings", Settings)
        if not (isinstance(make, type) and issubclass(make, nn.Module)):
            raise InputError(f"{file.name} must define class Network(nn.Module): it has none")
        if not (isinstance(kind, type) and issubclass(kind, Settings)):
            raise InputError(f"{file.name}: class Settings must extend dianet_ray.Settings")
        self.make, self.kind = make, kind
        self._check_settings()

    def _check_settings(self) -> None:
        for name, field in self.kind.model_fields.items():
            if rule := _broken_rule(name, field):
                raise InputError(f"{self.name}: a setting {rule}: {name} is {field.annotation}")
        try:
            with self.blaming():
                self.kind()
        except InputError as error:
            raise InputError(f"{error}; the defaults of Settings must be valid") from None

    def settings(self, settings: Settings) -> Settings:
        """Give settings the class and the attributes that the file declares."""
        with self.blaming():
            return self.kind(**settings.values())

    @contextmanager
    def blaming(self) -> Iterator[None]:
        """Turn what the file raises into one line that says where.

        Raises:
            InputError: with the place in the file.
        """
        try:
            yield
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # sys.exit as well: it would end our command as done
            raise InputError(f"{_place(error, self.name)}: {_described(error)}") from None


_known: dict[str, Design] = {}


def trust(file: NetworkFile) -> Design:
    """Run a network file, once per process, and make it known.

    Raises:
        InputError: as `Design`.
    """
    if file.id not in _known:
        _known[file.id] = Design(file)
    return _known[file.id]


class OwnNetwork(nn.Module):
    """A user's network behind the normalisation of the images.

    A network with an attribute `n_features` gets a dropout mask (B, n_features) as a second
    argument in training, and None elsewhere.
    """

    def __init__(self, settings: Settings, n_classes: int, image_size: int) -> None:
        super().__init__()
        design = _known.get(settings.network)
        if design is None:
            raise InputError(f"the network {settings.network} is not trusted here")
        self.normalise = Normalisation(settings.normalisation, settings.n_phases)
        with design.blaming():
            self.network = design.make(design.settings(settings), n_classes, image_size)
            n_features: Any = getattr(self.network, "n_features", None)
        self.blaming = design.blaming
        if any(map(is_lazy, self.parameters())):
            raise InputError(f"{design.name}: every parameter must have a shape: no lazy layers")
        is_length = type(n_features) is int and 0 < n_features < MOST_FEATURES
        if n_features is not None and not is_length:
            raise InputError(f"{design.name}: n_features must be a length, got {n_features!r}")
        self.masks, self.n_features = n_features is not None, n_features or 0

    def forward(self, images: Tensor, keep: Tensor | None = None) -> Tensor:
        """Classify clips (B, P, C, H, W): logits (B, classes)."""
        x = self.normalise(images)
        logits: Tensor = self.network(x, keep) if self.masks else self.network(x)
        return logits


def _broken_rule(name: str, field: FieldInfo) -> str:
    """Say which rule a setting of a file breaks; empty for none."""
    ours = Settings.model_fields.get(name)
    annotation: Any = field.annotation
    if ours is not None:
        return "" if annotation == ours.annotation else "keeps the type that ours has"
    kinds = {type(value) for value in get_args(annotation)} or {annotation}  # of a Literal
    rules = {
        "must not be called like something of ours": hasattr(Settings, name),
        "is a bool, int, float, str or Literal of them": not kinds <= set(get_args(Value)),
        "needs a default that is a value": field.is_required() or bool(field.default_factory),
        "has no alias, and is not excluded": bool(field.alias or field.exclude),
    }
    return next((rule for rule, is_broken in rules.items() if is_broken), "")


def _place(error: BaseException, name: str) -> str:
    """Name the line of the file at which an error was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == name]
    line = error.lineno if isinstance(error, SyntaxError) else (lines or [None])[-1]
    return f"{name}:{line}" if line else name


def _described(error: BaseException) -> str:
    try:
        said = str(error)
    except Exception:  # a user's exception may fail to say anything
        said = ""
    return f"{type(error).__name__}: {one_line(Exception(said))}" if said else type(error).__name__
