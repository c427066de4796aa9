"""The pretrained weights of a search: read once by the driver, checked, and sent to the workers.

A worker needs neither the file nor the package that the weights came from.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import torch

from dianet_ray.model.network import DIANet
from dianet_ray.model.pretrained import check_fit, imagenet_file, read_weights
from dianet_ray.model.stack import State
from dianet_ray.search.space import Space

StartValues = dict[str, State]
"""What `Settings.pretrained` says -> the weights."""

_SIZE, _N_CLASSES = 64, 2  # no parameter of a stream depends on either


def start_values(space: Space) -> StartValues:
    """Read the weights that a space names, and check that they fit every stream that it allows.

    Raises:
        InputError: a file that is no weights, names or shapes that do not fit, or the package of
            the ImageNet weights is not installed.
    """
    found: StartValues = {}
    names = ("pretrained", "backbone", "width")
    for values in itertools.product(*map(space.values, names)):
        settings = space.settings(space.centre() | dict(zip(names, values, strict=True)))
        if settings is None or settings.pretrained == "none":
            continue
        name = settings.pretrained
        if name not in found:
            found[name] = read_weights(_path(space, name))
        with torch.device("meta"):
            network = DIANet(settings, _N_CLASSES, _SIZE)
        check_fit(network.streams, found[name], name)
    return found


def _path(space: Space, name: str) -> Path:
    return imagenet_file() if name == "imagenet" else space.weights[name]
