"""Recordings and errors without a GPU: torch's own tracer stands in for the CUDA graph.

It, too, repeats operations on the same tensors, and knows every other value only as it was when it
was recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from dianet_ray.model import optimisers, recording
from dianet_ray.model.fit import Fitted
from dianet_ray.model.recording import Replay
from tests.support.toy import TINY

RATES = TINY.model_copy(update={"steps": 12, "warmup": 4, "schedule": "cosine"})


Record = Callable[[Replay], Replay]


class Recorder:
    """Records on a CPU, by a function of a step."""

    def __init__(self, record: Record) -> None:
        self.record, self.has_failed = record, False

    def aside(self) -> AbstractContextManager[None]:
        return nullcontext()


def accelerator_error(code: int) -> torch.AcceleratorError:
    """Make the error that torch raises for one of CUDA's own."""
    error = torch.AcceleratorError("CUDA error")
    error.error_code = code  # type: ignore[attr-defined]
    return error


def traced(do: Replay) -> Replay:
    """Record as a GPU does."""
    outcome = do().clone()
    tape = make_fx(do)()

    @torch.no_grad()  # the backward pass is on the tape
    def replay() -> Tensor:
        return outcome.copy_(tape())

    return replay


def record_with(record: Record, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """Let a CPU record, as a GPU does."""
    made = Recorder(record)
    monkeypatch.setattr(recording, "recorder_on", lambda device: made)
    monkeypatch.setattr(optimisers, "on_device", lambda device: True)
    return made


def assert_equal(found: Sequence[Fitted], wanted: Sequence[Fitted]) -> None:
    for one, other in zip(found, wanted, strict=True):
        assert one.history == other.history
        for mine, theirs in zip(one.shown, other.shown, strict=True):
            assert np.array_equal(mine.probabilities, theirs.probabilities)
