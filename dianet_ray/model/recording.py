"""Record a step on a GPU once, and replay it: no Python runs between its kernels.

A recording is tried against the step itself, and not used if it does something else.
docs/decisions.md: Steps that are recorded
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, fields
from typing import Protocol

import torch
from torch import Tensor

from dianet_ray.errors import one_line
from dianet_ray.model.batches import Step
from dianet_ray.model.out_of_memory import is_out_of_memory
from dianet_ray.model.stack import Trainee

_N_TRIED = 2  # the loss of the second step tells whether the first one has trained anything
_TRIED_RATE = 2e-3
_WAITS = "called a synchronizing CUDA operation"  # torch's words, where a step waits for the GPU
_LARGEST_ERROR = 0.05  # of any tensor, as a share of the way that it went

log = logging.getLogger(__name__)

Do = Callable[[Step], Tensor]
Replay = Callable[[], Tensor]
"""Does the recorded step, and returns its outcome, always in the same memory."""


class Recorder(Protocol):
    """Records steps of one device; `has_failed` once it could not, and then asks no more."""

    has_failed: bool

    def aside(self) -> AbstractContextManager[None]:
        """Work where recordings are made."""
        ...

    def record(self, do: Replay) -> Replay:
        """Record a step that has been done before."""
        ...


def recorded(do: Do, trainee: Trainee, step: Step) -> Do:
    """Return a function that does what `do` does, on a GPU by replaying a recording of it.

    Args:
        do: does one step and answers with a tensor; it must not depend on values of tensors.
        trainee: what it trains, before its first step; only its learning rates are others
            afterwards.
        step: any step, for its shapes.
    """
    recorder = recorder_on(step.clips.device)
    if recorder is None or recorder.has_failed:
        return do
    inputs = Step(*(value.clone() for value in _parts(step)))
    # What is tried differs from what is recorded, so that a number which was fixed shows.
    other = Step(*(value.roll(1, 1) for value in _parts(step)))
    start = [value.detach().clone() for value in trainee.changed()]
    restore = trainee.snapshot()
    has_worked = False
    try:
        with recorder.aside():
            _set_rates(trainee, step, _TRIED_RATE)
            wanted = _tried(do, trainee, other)
            has_worked = True
            is_kept = restore()
            _set_rates(trainee, step, _TRIED_RATE / 2)
            again = _Again(inputs, recorder.record(lambda: do(inputs)))
            restore()  # whether a recording has done its step or not
            _set_rates(trainee, step, _TRIED_RATE)
            found = _tried(again, trainee, other)
        problem = _difference(start, wanted, found)
        if not is_kept:
            problem = "the network replaces its buffers as it trains"
    except RuntimeError as error:
        problem = _why_not(error, recorder, is_alone=len(step.clips) == 1, has_worked=has_worked)
    finally:
        restore()
    if problem:
        log.warning("steps are not recorded, which makes them slower: %s", problem)
        return do
    return again


def _why_not(error: RuntimeError, recorder: Recorder, *, is_alone: bool, has_worked: bool) -> str:
    """Say why a step is not recorded; raise what has nothing to do with recordings.

    `has_worked` says whether the step could be done at all.
    """
    cause = _first(error)
    try:
        if is_out_of_memory(cause):
            if is_alone:
                return "the memory does not suffice"
            raise cause from None  # fewer of them may fit
        if not has_worked and _WAITS not in str(cause):
            raise cause from None
        recorder.has_failed = True
        return one_line(cause)
    finally:
        # Where it is raised, its traceback holds this frame: together they would keep the memory
        # of the step until the next garbage collection.
        del cause


class _Again:
    """Does a recorded step with other inputs."""

    def __init__(self, inputs: Step, replay: Replay) -> None:
        self._inputs, self._replay = _parts(inputs), replay

    def __call__(self, step: Step) -> Tensor:
        for mine, theirs in zip(self._inputs, _parts(step), strict=True):
            mine.copy_(theirs)
        return self._replay()


def _set_rates(trainee: Trainee, step: Step, rate: float) -> None:
    trainee.set_rates([rate * (1 + member) for member in range(len(step.clips))])


@dataclass(frozen=True)
class _Tried:
    """Where a few steps led: what they changed, and what they answered."""

    values: list[Tensor]
    answers: Tensor


def _tried(do: Do, trainee: Trainee, step: Step) -> _Tried:
    answers = torch.stack([do(step).clone() for _ in range(_N_TRIED)])
    return _Tried([value.detach().clone() for value in trainee.changed()], answers)


def _difference(start: Sequence[Tensor], wanted: _Tried, found: _Tried) -> str:
    """Compare a recording with the steps themselves; say what is wrong, nothing if all is well."""
    if not torch.allclose(wanted.answers, found.answers, rtol=1e-3, atol=1e-3, equal_nan=True):
        return "a recorded step has other losses"
    n_wrong = 0
    for place, (right, mine) in enumerate(zip(wanted.values, found.values, strict=True)):
        # What the optimiser has added since begins at 0.
        began = start[place] if place < len(start) else torch.zeros_like(right)
        way, error = (_length(right - one) for one in (began, mine))
        n_wrong += error > _LARGEST_ERROR * way
    return f"a recorded step changes {n_wrong} tensors in another way" if n_wrong else ""


def _length(difference: Tensor) -> float:
    return float(difference.double().nan_to_num().norm())


def _first(error: BaseException) -> BaseException:
    """Return the error that began it: those after it say that a recording has ended."""
    return error if error.__context__ is None else _first(error.__context__)


class CudaRecorder:
    """Records steps as CUDA graphs, all on one stream: libraries keep memory for each."""

    def __init__(self, device: torch.device) -> None:
        self.has_failed = False
        self._device = device
        with torch.cuda.device(device):
            self._stream: torch.cuda.Stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Work on the stream of the recordings, where whatever waits for the device is refused."""
        stream = self._stream
        with torch.cuda.device(self._device):
            torch.cuda.empty_cache()  # an earlier recording may still have its memory
            stream.wait_stream(torch.cuda.current_stream())
            mode = torch.cuda.get_sync_debug_mode()
            torch.cuda.set_sync_debug_mode("error")
            try:
                with torch.cuda.stream(stream):
                    yield
            finally:
                torch.cuda.set_sync_debug_mode(mode)
                # After an error too: what is queued there writes what is then put back.
                torch.cuda.current_stream().wait_stream(stream)

    def record(self, do: Replay) -> Replay:
        """Record a step that has been done on this stream."""
        graph = torch.cuda.CUDAGraph()
        stream = torch.cuda.current_stream()
        with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            outcome = do()

        def replay(_kept: object = do) -> Tensor:
            # A graph knows addresses alone: what it reads must live as long as it does.
            graph.replay()
            return outcome

        return replay


@functools.cache
def _of_gpu(device: torch.device) -> CudaRecorder:
    return CudaRecorder(device)


def recorder_on(device: torch.device) -> Recorder | None:
    """Return what records steps on a device; None where steps are done as they are."""
    return _of_gpu(device) if device.type == "cuda" else None


def _parts(step: Step) -> list[Tensor]:
    return [getattr(step, field.name) for field in fields(Step)]
