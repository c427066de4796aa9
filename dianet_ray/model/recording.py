"""Record a step on a GPU once, and replay it: no Python runs between its kernels.

A recording is tried against the step itself, and not used if it does something else.
docs/decisions.md: Steps that are recorded
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from dianet_ray.errors import one_line
from dianet_ray.model.batches import Step
from dianet_ray.model.stack import Trainee

WARM_UPS = 3
"""Steps before a recording, in which libraries choose kernels and allocate what they keep."""

_N_TRIED = 2  # the loss of the second step tells whether the first one has trained anything
_LARGEST_ERROR = 0.1  # as a share of the way that the networks went

log = logging.getLogger(__name__)

Do = Callable[[Step], Tensor]
Replay = Callable[[], Tensor]
"""Does the recorded step, and returns its outcome, always in the same memory."""


def recorded(do: Do, trainee: Trainee, step: Step) -> Do:
    """Return a function that does what `do` does, on a GPU by replaying a recording of it.

    Args:
        do: does one step and answers with a tensor; it must not depend on values of tensors.
        trainee: what it trains; it is the same afterwards.
        step: any step, for its shapes.
    """
    record = recorder_on(step.clips.device)
    if record is None:
        return do
    inputs = Step(*(value.clone() for value in _parts(step)))
    start = _Start(trainee)
    wanted = start.after(lambda: do(inputs))  # first, so that its memory serves the recording
    try:
        replay = record(lambda: do(inputs))
        problem = _problem(start.networks(), wanted, start.after(replay))
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        problem = one_line(error)
    finally:
        start.restore()
    if problem:
        log.warning("steps are not recorded, which makes them slower: %s", problem)
        return do

    def again(step: Step) -> Tensor:
        for mine, theirs in zip(_parts(inputs), _parts(step), strict=True):
            mine.copy_(theirs)
        return replay()

    return again


def recorder_on(device: torch.device) -> Callable[[Replay], Replay] | None:
    """Return what records a step on a device; None where steps are done as they are."""
    return _on_gpu if device.type == "cuda" else None


def _on_gpu(do: Replay) -> Replay:
    """Record a step as a CUDA graph."""
    side: torch.cuda.Stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARM_UPS):
            do()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        outcome = do()

    def replay() -> Tensor:
        graph.replay()
        return outcome

    return replay


@dataclass(frozen=True)
class _Tried:
    """Where a few steps lead: the `networks` as one vector, and what the steps answered."""

    networks: Tensor
    answers: Tensor


class _Start:
    """A trainee as it is now, to come back to after steps that are only tried."""

    def __init__(self, trainee: Trainee) -> None:
        self._trainee = trainee
        self._kept = [(value, value.detach().clone()) for value in trainee.changed()]

    @torch.no_grad()
    def restore(self) -> None:
        known = {id(value) for value, _ in self._kept}
        for value in self._trainee.changed():
            if id(value) not in known:
                value.zero_()
        for value, kept in self._kept:
            value.copy_(kept)

    def after(self, do: Replay) -> _Tried:
        """Try some steps from the start."""
        self.restore()
        answers = torch.stack([do().clone() for _ in range(_N_TRIED)])
        return _Tried(self._joined(), answers)

    def networks(self) -> Tensor:
        """Return the networks at the start."""
        self.restore()
        return self._joined()

    def _joined(self) -> Tensor:
        return torch.cat([value.detach().flatten().double() for value in self._trainee.tensors])


def _problem(start: Tensor, wanted: _Tried, found: _Tried) -> str:
    """Compare a recording with the steps themselves; say what is wrong, nothing if all is well."""
    way = float((wanted.networks - start).norm())
    error = float((wanted.networks - found.networks).norm())
    if not error <= _LARGEST_ERROR * way:
        return f"a recorded step leads elsewhere: {error:.2g} off after {way:.2g}"
    if not torch.allclose(wanted.answers, found.answers, rtol=1e-3, atol=1e-3):
        return "a recorded step has other losses"
    return ""


def _parts(step: Step) -> list[Tensor]:
    return [getattr(step, field.name) for field in fields(Step)]
