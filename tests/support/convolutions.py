"""Every convolution that the settings can reach, computed again in float64.

`python -m tests.support.convolutions small` (or `whole`) stops with status 1 at the first that
differs. It runs in a process of its own, because a broken kernel may end the process.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, get_args

import torch
from pydantic import TypeAdapter
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from dianet_ray.artefacts import N_CHANNELS, Recipe
from dianet_ray.model.build import build
from dianet_ray.settings import Settings

TOLERANCE = 1e-4
"""Largest error, as a share of the largest value; rounding alone stays below 1e-5."""

MANY_PLACES = 2**18
"""Sums over more places round more: a gradient by a weight of images of 1024 pixels by 1.02e-4."""

MOST_PRODUCTS = 3e8
MOST_WEIGHTS = 1e7
"""Larger convolutions are left out: their double precision takes minutes and gigabytes, and they
differ from those within these limits in the number of whole vectors only."""


@dataclass(frozen=True, slots=True)
class Network:
    """What decides the shapes of a network's convolutions."""

    settings: Settings
    image_size: int
    n_clips: int = 2


@dataclass(frozen=True, slots=True)
class Layout:
    """Shape and strides of a tensor."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @classmethod
    def of(cls, tensor: Tensor) -> Layout:
        return cls(tuple(tensor.shape), tensor.stride())

    def random(self, generator: torch.Generator) -> Tensor:
        """Draw positive values, so that no sum cancels and relative errors mean something."""
        return torch.empty_strided(self.shape, self.strides).uniform_(0, 1, generator=generator)


def _one(pair: int | tuple[int, int]) -> int:
    """Read a number that torch's layers give for both directions."""
    numbers = {pair} if isinstance(pair, int) else {*pair}
    (number,) = numbers
    return number


@dataclass(frozen=True, slots=True)
class Convolution:
    """One call of `conv2d`."""

    x: Layout
    weight: Layout
    bias: Layout | None
    stride: int
    padding: int
    groups: int

    @classmethod
    def of(
        cls,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
    ) -> Convolution:
        """Take the arguments of a call; one that no layer uses today is refused."""
        of_bias = None if bias is None else Layout.of(bias)
        if _one(dilation) != 1:
            raise NotImplementedError(f"no layer is dilated: got {dilation}")
        return cls(Layout.of(x), Layout.of(weight), of_bias, _one(stride), _one(padding), groups)

    @property
    def is_strided_1x1(self) -> bool:
        return self.weight.shape[2:] == (1, 1) and self.stride > 1

    @property
    def n_places(self) -> int:
        return math.prod(self.x.shape) // self.x.shape[1] // self.stride**2

    @property
    def is_small(self) -> bool:
        n_weights = math.prod(self.weight.shape)
        return n_weights <= MOST_WEIGHTS and n_weights * self.n_places <= MOST_PRODUCTS

    @property
    def tolerance(self) -> float:
        """The largest error; rounding grows with the root of the number of terms."""
        return TOLERANCE * math.sqrt(max(1.0, self.n_places / MANY_PLACES))

    def values(self, dtype: torch.dtype) -> tuple[Tensor, ...]:
        """Compute output, loss, and the loss's gradients by input, weight and bias."""
        generator = torch.Generator().manual_seed(0)
        operands = [each.random(generator) for each in (self.x, self.weight, self.bias) if each]
        x, weight, *bias = (each.to(dtype).requires_grad_() for each in operands)
        y = functional.conv2d(
            x, weight, bias[0] if bias else None, self.stride, self.padding, groups=self.groups
        )
        loss = y.square().mean()
        return y.detach(), loss.detach(), *torch.autograd.grad(loss, [x, weight, *bias])

    @property
    def error(self) -> float:
        """The largest error of any of `values`, as a share of the largest value there."""
        pairs = zip(self.values(torch.float32), self.values(torch.float64), strict=True)
        shares = [(found - true).abs().max() / true.abs().max() for found, true in pairs]
        return float(torch.stack(shares).max())  # not a number when one is not


class Calls(TorchFunctionMode):
    """Notes every convolution, whatever module asks for it."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[Convolution] = set()

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> object:
        if getattr(func, "__name__", "").startswith("conv"):
            if func is not functional.conv2d:
                raise NotImplementedError(f"conv2d is the only convolution known here, got {func}")
            self.found.add(Convolution.of(*args, **(kwargs or {})))
        return func(*args, **(kwargs or {}))


def convolutions(networks: Iterator[Network]) -> set[Convolution]:
    """Collect the distinct convolutions of some networks from their forward passes."""
    calls = Calls()
    with torch.no_grad(), calls:
        for one in networks:
            network = build(one.settings, 3, one.image_size)
            n_phases, side = one.settings.n_phases, one.image_size
            # Laid out in memory as batches are.
            images = torch.zeros(n_phases, one.n_clips, side, side, N_CHANNELS)
            network(images.permute(1, 0, 4, 2, 3))
    return calls.found


def bounds(model: type, name: str) -> tuple[int, int]:
    """Read the smallest and the largest value that a field allows."""
    field = TypeAdapter(model).json_schema()["properties"][name]
    return field["minimum"], field["maximum"]


BACKBONES = get_args(Settings.model_fields["backbone"].annotation)
NARROWEST, WIDEST = bounds(Settings, "width")
SMALLEST, LARGEST = bounds(Recipe, "image_size")
EMBEDDINGS = bounds(Settings, "embedding")


def one_stream(backbone: str, width: int, **changes: object) -> Settings:
    """Make settings of one stream: all streams are alike."""
    return Settings(
        backbone=backbone, width=width, heads=1, phases="whole_clip", fusion="none", **changes
    )


def small() -> Iterator[Network]:
    """Yield networks whose channels do not fill a vector, and some that just do."""
    for backbone, width in product(BACKBONES, (NARROWEST, 3, 4, 7, 8)):
        yield Network(one_stream(backbone, width), SMALLEST)
    for backbone in BACKBONES:
        yield Network(one_stream(backbone, 4), 45)


def whole() -> Iterator[Network]:
    """Yield networks along each range: every width, image size, embedding and batch."""
    yield from small()
    wide = (127, 128, 255, 256, WIDEST - 1, WIDEST)
    for backbone, width in product(BACKBONES, range(NARROWEST, 66)):
        yield Network(one_stream(backbone, width), SMALLEST, n_clips=1)
        yield Network(one_stream(backbone, width), 64)
    for backbone, width in product(BACKBONES, wide):
        yield Network(one_stream(backbone, width), SMALLEST, n_clips=1)
    sizes = (*range(SMALLEST, 130), 224, 255, 511, LARGEST)
    for backbone, width, size in product(BACKBONES, (NARROWEST, 7), sizes):
        yield Network(one_stream(backbone, width), size, n_clips=1)
    for backbone, width, clips in product(BACKBONES, (1, 2, 5, 8), (3, 32)):
        yield Network(one_stream(backbone, width), 32, clips)
    for backbone, embedding in product(BACKBONES, EMBEDDINGS):
        yield Network(one_stream(backbone, 4, embedding=embedding), 32)
        both = {"phases": "both", "fusion": "cross_attention", "embedding": embedding, "heads": 1}
        yield Network(Settings(backbone=backbone, width=4, **both), 32)


def main(networks: str, n_threads: str) -> None:
    torch.set_num_threads(int(n_threads))
    reached = convolutions({"small": small, "whole": whole}[networks]())
    found = [each for each in reached if each.is_small]
    for number, each in enumerate(found):
        print(f"{number + 1} of {len(found)}: {each}", flush=True)
        if not each.error < each.tolerance:
            sys.exit(f"float32 must agree with float64 within {each.tolerance}: got {each.error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
