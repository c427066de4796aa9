"""A recorded step trains as the step itself does, or it is not used.

No GPU is needed: torch's own tracer stands in for the CUDA graph.
"""

from __future__ import annotations

import gc
import weakref
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from dianet_ray.model import optimisers, recording
from dianet_ray.model.batches import Pixels, batch_of, steps
from dianet_ray.model.build import build
from dianet_ray.model.fit import LabelledImages, Member, fit
from dianet_ray.model.recording import CudaRecorder, recorded
from dianet_ray.model.stack import trainee_of
from dianet_ray.model.training import optimiser_step, targets
from tests.support.recorders import RATES, assert_equal, record_with, traced
from tests.support.toy import toy_images

VARIANTS = [
    {"schedule": "averaged", "points": 2},
    {"optimiser": "sgd", "clip_norm": 0.1, "normalisation": "standard"},
    {"mixup": 0.4, "rotation": 10, "scale": 0.1, "loss": "focal", "fusion": "concat"},
    {"backbone": "resnet18", "steps": 4, "width": 8},
]


def trained(settings, n_members):
    images, labels = toy_images(12)
    members = [
        Member(np.arange(member, 9), np.arange(9, 12), seed=member) for member in range(n_members)
    ]
    return fit(settings, LabelledImages(images, labels, 3), members)


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_recorded_steps_train_as_the_steps_themselves(changes, monkeypatch, caplog):
    settings = RATES.model_copy(update=changes)
    wanted = trained(settings, 3)
    record_with(traced, monkeypatch)
    assert_equal(trained(settings, 3), wanted)
    assert caplog.text == ""


@pytest.mark.parametrize("changes", [{}, *VARIANTS], ids=str)
def test_recorded_steps_train_a_network_alone(changes, monkeypatch, caplog):
    """Its rates are single numbers on a GPU, so the last digit may differ."""
    settings = RATES.model_copy(update=changes)
    (wanted,) = trained(settings, 1)
    record_with(traced, monkeypatch)
    (found,) = trained(settings, 1)
    np.testing.assert_allclose(found.probabilities, wanted.probabilities, atol=1e-4)
    monkeypatch.setattr(recording, "recorder_on", lambda device: None)
    assert_equal(trained(settings, 1), [found])
    assert caplog.text == ""


def parts(n_members, network=None):
    """Make a trainee, its step and its plan, as `fit` does."""
    images, labels = toy_images(12)
    networks = [network or build(RATES, 3, 32, seed) for seed in range(n_members)]
    every = [RATES] * n_members
    trainee = trainee_of(networks, every)
    known = [(torch.arange(9), seed) for seed in range(n_members)]
    plan = steps(every, known, n_features=2 * RATES.embedding, device=torch.device("cpu"))
    pixels = Pixels(images, (0, 1), device=torch.device("cpu"))
    make = partial(batch_of, RATES, pixels=pixels, labels=torch.from_numpy(labels))
    tables = torch.stack([targets(RATES, labels[:9], 3)] * n_members)
    do = optimiser_step(RATES, trainee, tables=tables, batch=make)
    return trainee, do, next(plan)


def idle(trainee, do):
    """Record nothing that trains."""
    outcome = do().clone()
    return lambda: outcome


def with_another_loss(trainee, do):
    replay = traced(do)
    return lambda: replay() + 1


def without_a_bias(trainee, do):
    """Record all but the change of one small tensor."""
    replay, bias = traced(do), trainee.tensors[-1]

    def again():
        kept = bias.detach().clone()
        outcome = replay()
        with torch.no_grad():
            bias.copy_(kept)
        return outcome

    return again


def with_a_fixed_rate(trainee, do):
    replay = traced(do)
    trainee.set_rates = lambda rates: None
    return replay


def refused(trainee, do):
    try:
        raise RuntimeError("operation not permitted when stream is capturing")
    finally:
        raise RuntimeError("operation failed due to a previous error during capture")


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        (idle, "a recorded step has other losses"),
        (with_another_loss, "a recorded step has other losses"),
        (without_a_bias, "a recorded step changes 1 tensors in another way"),
        (with_a_fixed_rate, "a recorded step has other losses"),
        (refused, "operation not permitted when stream is capturing"),
    ],
)
@pytest.mark.parametrize("n_members", [1, 3])
def test_a_recording_that_does_something_else_is_not_used(
    record, problem, n_members, monkeypatch, caplog
):
    monkeypatch.setattr(optimisers, "on_device", lambda device: True)
    trainee, do, step = parts(n_members)
    recorder = record_with(partial(record, trainee), monkeypatch)
    before = [value.clone() for value in trainee.tensors]
    assert recorded(do, trainee, step) is do
    assert f"steps are not recorded, which makes them slower: {problem}" in caplog.text
    assert all(map(torch.equal, trainee.tensors, before))
    assert not any(value.any() for value in trainee.changed()[len(before) :])
    # What could not be recorded once is not tried again by this worker.
    assert recorder.has_failed == (record is refused)


class Averaging(nn.Module):
    """A user's network that replaces a buffer as it trains, instead of changing it."""

    n_features = 2 * RATES.embedding

    def __init__(self):
        super().__init__()
        self.classify = nn.Linear(6, 3)
        self.register_buffer("level", torch.ones(6))

    def forward(self, images, keep=None):
        x = images.mean((3, 4)).flatten(1)
        self.level = 0.9 * self.level + 0.1 * x.detach().mean(0)
        return self.classify(x)


def test_a_network_that_replaces_its_buffers_is_not_recorded(monkeypatch, caplog):
    record_with(traced, monkeypatch)
    network = Averaging()
    level = network.level
    trainee, do, step = parts(1, network)
    assert recorded(do, trainee, step) is do
    assert "the network replaces its buffers as it trains" in caplog.text
    assert network.level is level
    assert torch.equal(level, torch.ones(6))
    do(step)
    assert not torch.equal(network.level, level)


@pytest.mark.parametrize("n_members", [1, 3])
def test_a_step_that_fails_by_itself_is_no_fault_of_recordings(n_members, monkeypatch):
    recorder = record_with(traced, monkeypatch)
    trainee, _, step = parts(n_members)

    def fails(step):
        raise RuntimeError("this operation has no deterministic implementation")

    with pytest.raises(RuntimeError, match="no deterministic implementation"):
        recorded(fails, trainee, step)
    assert not recorder.has_failed


def test_a_step_that_waits_for_the_gpu_is_not_recorded(monkeypatch, caplog):
    recorder = record_with(traced, monkeypatch)
    trainee, _, step = parts(1)

    def waits(step):
        raise RuntimeError("called a synchronizing CUDA operation")

    assert recorded(waits, trainee, step) is waits
    assert recorder.has_failed
    assert "called a synchronizing CUDA operation" in caplog.text


@pytest.mark.parametrize("n_members", [1, 3])
@pytest.mark.parametrize("kind", [torch.OutOfMemoryError, RuntimeError])
def test_what_a_failed_recording_held_goes_at_once(kind, n_members, monkeypatch):
    """Not with the next garbage collection: the memory of a GPU is needed for what follows."""
    held = []

    def fails(do):
        activations = torch.ones(2)
        held.append(weakref.ref(activations))
        try:
            raise kind("no more")
        finally:
            raise RuntimeError("operation failed due to a previous error during capture")

    record_with(fails, monkeypatch)
    trainee, do, step = parts(n_members)
    gc.disable()
    try:
        with suppress(RuntimeError):
            recorded(do, trainee, step)
        assert held[0]() is None
    finally:
        gc.enable()


def full(do):
    raise torch.OutOfMemoryError("out of memory")


def full_while_it_captures(do):
    try:
        full(do)
    finally:
        raise RuntimeError("operation failed due to a previous error during capture")


@pytest.mark.parametrize("record", [full, full_while_it_captures])
def test_memory_that_does_not_suffice_is_no_reason_to_go_on(record, monkeypatch):
    """`search.trial` halves the block at this error, and tries again."""
    recorder = record_with(record, monkeypatch)
    with pytest.raises(torch.OutOfMemoryError):
        trained(RATES, 2)
    assert not recorder.has_failed


@pytest.mark.parametrize("record", [full, full_while_it_captures])
def test_one_network_trains_without_a_recording_that_does_not_fit(record, monkeypatch, caplog):
    record_with(record, monkeypatch)
    found = trained(RATES, 1)
    assert "the memory does not suffice" in caplog.text
    monkeypatch.setattr(recording, "recorder_on", lambda device: None)
    assert_equal(trained(RATES, 1), found)


class Stream:
    """Stands in for a CUDA stream."""

    def __init__(self):
        self.waited_for = []

    def wait_stream(self, other):
        self.waited_for.append(other)


class Cuda:
    """Stands in for torch.cuda, as far as recordings use it."""

    def __init__(self, fails=False):
        self.streams, self.mode, self.replays, self.fails = [Stream()], "default", 0, fails
        self.captured_on = None

    Stream = Stream
    device = staticmethod(lambda device: nullcontext())
    empty_cache = staticmethod(lambda: None)

    def current_stream(self):
        return self.streams[-1]

    def get_sync_debug_mode(self):
        return self.mode

    def set_sync_debug_mode(self, mode):
        self.mode = mode

    @contextmanager
    def stream(self, stream):
        self.streams.append(stream)
        try:
            yield
        finally:
            self.streams.remove(stream)

    def CUDAGraph(self):
        def replay():
            self.replays += 1

        return SimpleNamespace(replay=replay)

    @contextmanager
    def graph(self, graph, stream, capture_error_mode):
        self.captured_on = stream
        yield
        if self.fails:
            raise RuntimeError("operation failed due to a previous error during capture")


def test_a_graph_is_captured_where_its_step_was_tried_and_keeps_what_it_reads(monkeypatch):
    cuda = Cuda()
    monkeypatch.setattr(torch, "cuda", cuda)
    recorder = CudaRecorder(torch.device("cuda:1"))
    with recorder.aside():
        assert cuda.mode == "error", "a step that waits for the device cannot be recorded"
        here = cuda.current_stream()

        def do():
            return torch.ones(2, 1)

        replay, known = recorder.record(do), weakref.ref(do)
    assert cuda.captured_on is here
    assert cuda.current_stream() is not here
    assert cuda.mode == "default"
    del do
    gc.collect()
    assert known() is not None
    assert torch.equal(replay(), torch.ones(2, 1))
    assert cuda.replays == 1


def test_a_capture_that_fails_gives_the_stream_back(monkeypatch):
    cuda = Cuda(fails=True)
    monkeypatch.setattr(torch, "cuda", cuda)
    recorder = CudaRecorder(torch.device("cuda"))
    before = cuda.current_stream()
    with pytest.raises(RuntimeError), recorder.aside():
        recorder.record(lambda: torch.ones(2, 1))
    assert cuda.current_stream() is before
    assert before.waited_for == [cuda.captured_on], "what is queued there may still write"
    assert cuda.mode == "default"
