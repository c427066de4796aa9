"""A recorded step trains as the step itself does, or it is not used.

No GPU is needed: a recording of torch's own tracer stands in for the CUDA graph. It, too, repeats
operations on the same tensors, and knows every other value only as it was when it was recorded.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from dianet_ray.model import optimisers, recording
from dianet_ray.model.fit import LabelledImages, Member, fit
from dianet_ray.model.recording import WARM_UPS
from tests.support.toy import TINY, toy_images

RATES = TINY.model_copy(update={"steps": 12, "warmup": 4, "schedule": "cosine"})
VARIANTS = [
    {"schedule": "averaged", "points": 2},
    {"optimiser": "sgd", "clip_norm": 0.1, "normalisation": "standard"},
    {"mixup": 0.4, "rotation": 10, "scale": 0.1, "loss": "focal", "fusion": "concat"},
    {"backbone": "resnet18", "steps": 4, "width": 8},
]


def traced(do):
    """Record as a GPU does: after some steps that are thrown away."""
    for _ in range(WARM_UPS):
        outcome = do().clone()
    tape = make_fx(do)()

    @torch.no_grad()  # the backward pass is on the tape
    def replay():
        return outcome.copy_(tape())

    return replay


def record_with(recorder, monkeypatch):
    """Let a CPU record, as a GPU does."""
    monkeypatch.setattr(recording, "recorder_on", lambda device: recorder)
    monkeypatch.setattr(optimisers, "on_device", lambda device: True)


def trained(settings, n_members):
    images, labels = toy_images(12)
    members = [
        Member(np.arange(member, 9), np.arange(9, 12), seed=member) for member in range(n_members)
    ]
    return fit(settings, LabelledImages(images, labels, 3), members)


def assert_equal(found, wanted):
    for one, other in zip(found, wanted, strict=True):
        assert one.history == other.history
        for mine, theirs in zip(one.shown, other.shown, strict=True):
            assert np.array_equal(mine.probabilities, theirs.probabilities)


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_recorded_steps_train_as_the_steps_themselves(changes, monkeypatch, caplog):
    settings = RATES.model_copy(update=changes)
    wanted = trained(settings, 3)
    record_with(traced, monkeypatch)
    assert_equal(trained(settings, 3), wanted)
    assert caplog.text == ""


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_recorded_steps_train_a_network_alone(optimiser, monkeypatch, caplog):
    """Its rates are single numbers on a GPU, so the last digit may differ."""
    settings = RATES.model_copy(update={"optimiser": optimiser})
    (wanted,) = trained(settings, 1)
    record_with(traced, monkeypatch)
    (found,) = trained(settings, 1)
    np.testing.assert_allclose(found.probabilities, wanted.probabilities, atol=1e-5)
    monkeypatch.setattr(recording, "recorder_on", lambda device: None)
    assert_equal(trained(settings, 1), [found])
    assert caplog.text == ""


def idle(do):
    """Record nothing that trains."""
    outcome = do().clone()
    return lambda: outcome


def wrong_loss(do):
    replay = traced(do)
    return lambda: replay() + 1


def refusing(do):
    do()
    raise RuntimeError("operation not permitted when stream is capturing")


@pytest.mark.parametrize(
    ("recorder", "problem"),
    [
        (idle, "a recorded step leads elsewhere"),
        (wrong_loss, "a recorded step has other losses"),
        (refusing, "operation not permitted when stream is capturing"),
    ],
)
@pytest.mark.parametrize("n_members", [1, 3])
def test_a_recording_that_does_something_else_is_not_used(
    recorder, problem, n_members, monkeypatch, caplog
):
    monkeypatch.setattr(optimisers, "on_device", lambda device: True)
    wanted = trained(RATES, n_members)
    record_with(recorder, monkeypatch)
    assert_equal(trained(RATES, n_members), wanted)
    assert f"steps are not recorded, which makes them slower: {problem}" in caplog.text


def test_memory_that_does_not_suffice_is_no_reason_to_go_on(monkeypatch):
    """`search.trial` halves the block at this error, and tries again."""

    def full(do):
        raise torch.OutOfMemoryError("out of memory")

    record_with(full, monkeypatch)
    with pytest.raises(torch.OutOfMemoryError):
        trained(RATES, 2)
