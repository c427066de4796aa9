"""A small network file, as a user writes one."""

from __future__ import annotations

from typing import Any

from dianet_ray.model.own_network import trust
from dianet_ray.settings import NetworkFile, Settings, complete
from tests.support.toy import TINY

HEAD = """
import torch
from torch import nn

import dianet_ray

"""
NETWORK = (
    HEAD
    + """
class Settings(dianet_ray.Settings):
    channels: int = 3


class Network(nn.Module):
    def __init__(self, settings, n_classes, image_size):
        super().__init__()
        self.convolve = nn.Conv2d(6, settings.channels, 3, stride=2)
        self.classify = nn.Linear(settings.channels, n_classes)

    def forward(self, images):
        return self.classify(self.convolve(images.flatten(1, 2)).relu().mean((2, 3)))
"""
)


def trusted(text: str = NETWORK, name: str = "net.py", **changes: Any) -> Settings:
    """Trust a file, and make settings that name it."""
    file = NetworkFile(name, text)
    values = TINY.values() | {"network": file.id} | changes
    return complete(values, trust(file).kind)
