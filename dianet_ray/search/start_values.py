"""The pretrained weights of a search: read once by the driver, checked, and sent to the workers.

A worker needs neither the file nor the package that the weights came from.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from dianet_ray.model.pretrained import check_fit, imagenet_file, read_weights
from dianet_ray.model.stack import State
from dianet_ray.model.streams import BACKBONES
from dianet_ray.search.space import Space
from dianet_ray.settings import Settings

StartValues = dict[str, State]
"""What `Settings.pretrained` says -> the weights."""

_SIZE = 64  # no parameter of a stream depends on it


def start_values(space: Space) -> StartValues:
    """Read the weights that a space names, and check that they fit every stream that it allows.

    Raises:
        InputError: a file that is no weights, names or shapes that do not fit, or the package of
            the ImageNet weights is not installed.
    """
    found: StartValues = {}
    for name, backbone, width, n_streams in _streams(space):
        if name not in found:
            found[name] = read_weights(_path(space, name))
        # The streams alone: the rest of the settings may be what no configuration has.
        with torch.device("meta"):
            streams = torch.nn.ModuleList(
                BACKBONES[backbone](width, _SIZE) for _ in range(n_streams)
            )
        check_fit(streams, found[name], name)
    return found


def _streams(space: Space) -> Iterator[tuple[str, str, int, int]]:
    """List weights, backbone, width and number of streams that go together, listed or drawn."""
    names = ("pretrained", "backbone", "width", "phases", "shared_streams")
    listed = [tuple(one.values()[name] for name in names) for one in space.first_settings]
    draws = space.dimensions or not space.first_settings
    drawn = itertools.product(*map(space.drawn, names)) if draws else ()
    for values in dict.fromkeys([*listed, *drawn]):
        pretrained, backbone, width, phases, shared = values
        if pretrained != "none":
            of_streams: Any = {"phases": phases, "shared_streams": shared}
            n_streams = Settings.model_construct(**of_streams).n_streams
            yield str(pretrained), str(backbone), int(width), n_streams


def _path(space: Space, name: str) -> Path:
    return imagenet_file() if name == "imagenet" else space.weights[name]
