"""The training loop: class weights, targets, schedule, weight decay and history."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from dianet_ray.model.batches import N_DRAWS, Batch, Step
from dianet_ray.model.build import build
from dianet_ray.model.optimisers import optimiser_of
from dianet_ray.model.stack import trainee_of
from dianet_ray.model.training import (
    Log,
    class_weights,
    learning_rate,
    losses,
    optimiser_step,
    targets,
)
from tests.support.toy import TINY, toy_images


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60))
def test_classes_weigh_inversely_to_their_clips_and_average_to_one(labels):
    weights = class_weights(np.array(labels), 6)
    counts = np.bincount(labels, minlength=6)
    n_present = (counts > 0).sum()
    for count, weight in zip(counts, weights, strict=True):
        assert weight == (pytest.approx(len(labels) / (n_present * count)) if count else 0)
    assert weights[labels].mean() == pytest.approx(1)


def test_targets_give_the_library_s_weighted_smoothed_loss():
    labels = np.array([0, 0, 0, 1, 1, 3])
    values = TINY.model_copy(update={"label_smoothing": 0.2, "class_weights": False})
    logits = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    truth = torch.from_numpy(labels)
    losses = -(targets(values, labels, 4)[truth] * logits.log_softmax(-1)).sum(-1)
    expected = functional.cross_entropy(logits, truth, label_smoothing=0.2, reduction="none")
    torch.testing.assert_close(losses, expected)
    weighted = targets(values.model_copy(update={"class_weights": True}), labels, 4)
    weights = torch.from_numpy(class_weights(labels, 4)).float()
    torch.testing.assert_close(weighted.sum(1), weights)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.floats(0, 0.9999))
def test_effective_numbers_weigh_between_all_alike_and_inversely_to_the_clips(labels, beta):
    labels = np.array(labels)
    weights = class_weights(labels, 6, beta)
    counts = np.bincount(labels, minlength=6)
    assert weights[labels].mean() == pytest.approx(1)
    present = np.flatnonzero(counts)
    effective = (1 - beta ** counts[present]) / (1 - beta)
    assert np.ptp(weights[present] * effective) == pytest.approx(0, abs=1e-9)
    alike, inverse = class_weights(labels, 6, 0), class_weights(labels, 6)
    np.testing.assert_allclose(alike[present], 1)
    rarest, commonest = min(present, key=counts.__getitem__), max(present, key=counts.__getitem__)
    ratio = weights[rarest] / weights[commonest]
    assert 1 - 1e-9 <= ratio <= inverse[rarest] / inverse[commonest] + 1e-9


def test_the_effective_numbers_are_used_by_their_loss_only():
    labels = np.array([0] * 40 + [1] * 3)
    plain, balanced = (
        targets(TINY.model_copy(update={"loss": loss}), labels, 2).sum(1)
        for loss in ("focal", "class_balanced")
    )
    torch.testing.assert_close(plain, torch.from_numpy(class_weights(labels, 2)).float())
    beta = TINY.class_balanced_beta
    expected = torch.from_numpy(class_weights(labels, 2, beta)).float()
    torch.testing.assert_close(balanced, expected)


def focal(gamma):
    return TINY.model_copy(update={"loss": "focal", "focal_gamma": gamma})


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
def test_the_focal_loss_is_that_of_its_paper(gamma):
    logits = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0))
    truth = torch.tensor([[0, 1, 2, 3, 0, 1], [2, 2, 2, 1, 1, 0]])
    wanted = functional.one_hot(truth, 4).float()
    p = logits.softmax(-1).gather(-1, truth.unsqueeze(-1)).squeeze(-1)
    expected = (-((1 - p) ** gamma) * p.log()).mean(-1)
    torch.testing.assert_close(losses(focal(gamma), logits, wanted), expected)
    if gamma == 0:
        torch.testing.assert_close(losses(TINY, logits, wanted), expected)


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 2.0])
def test_the_focal_loss_of_a_certain_answer_has_a_finite_gradient(gamma):
    logits = torch.tensor([[[300.0, 0.0], [0.0, 300.0]]], requires_grad=True)
    wanted = torch.tensor([[[0.9, 0.1], [0.9, 0.1]]])
    loss = losses(focal(gamma), logits, wanted)
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("n", [1, 2, 10, 100, 801])
def test_one_cycle_rises_from_a_twenty_fifth_for_three_tenths_and_then_falls(n):
    values = TINY.model_copy(update={"steps": n, "warmup": 50, "schedule": "one_cycle"})
    rates = np.array([learning_rate(values, step) for step in range(1, n + 1)])
    top = max(1, round(0.3 * n))
    assert rates[top - 1] == pytest.approx(values.learning_rate)
    assert (np.diff(rates[:top]) > 0).all()
    assert (np.diff(rates[top - 1 :]) < 0).all()
    assert (rates > 0).all()
    if n == 801:
        assert rates[0] == pytest.approx(values.learning_rate / 25, rel=0.01)
        assert rates[-1] < 1e-4 * values.learning_rate


@given(
    st.integers(1, 300), st.integers(0, 300), st.sampled_from(["averaged", "cosine", "constant"])
)
def test_the_learning_rate_warms_up_to_its_setting_and_then_never_rises(n, warmup, schedule):
    values = TINY.model_copy(update={"steps": n, "warmup": warmup, "schedule": schedule})
    rates = np.array([learning_rate(values, step) for step in range(1, n + 1)])
    top = min(warmup, n)
    assert (rates > 0).all()
    assert (rates <= values.learning_rate * (1 + 1e-12)).all()
    assert (np.diff(rates[:top]) > 0).all()
    assert (np.diff(rates[max(top - 1, 0) :]) <= 1e-15).all()
    if warmup <= n:
        assert rates[max(top - 1, 0)] == pytest.approx(values.learning_rate)
    if schedule == "cosine" and n >= 50 and warmup < n / 2:
        assert rates[-1] < 0.01 * values.learning_rate


@pytest.mark.parametrize("backbone", ["cnn", "shallow", "resnet18", "efficientnet_lite0"])
def test_only_kernels_and_matrices_decay(backbone):
    network = build(TINY.model_copy(update={"backbone": backbone}), 3, 32)
    settings = TINY.model_copy(update={"backbone": backbone, "backbone_lr": 0.5})
    groups = optimiser_of(settings, network).param_groups
    found = {
        id(parameter): (group["weight_decay"], group["share"])
        for group in groups
        for parameter in group["params"]
    }
    for name, parameter in network.named_parameters():
        is_matrix = name.endswith("weight") and parameter.dim() > 1
        decay = TINY.weight_decay if is_matrix else 0.0
        share = 0.5 if name.startswith("streams.") else 1.0
        assert found.pop(id(parameter)) == (decay, share), name
    assert not found


@pytest.mark.parametrize(("device", "most"), [("cpu", 1), ("cuda", 10)])
@pytest.mark.parametrize("n_steps", [1, 7, 100, 200, 1000])
def test_a_log_reports_often_and_keeps_about_fifteen_steps(n_steps, device, most):
    reported = []
    log = Log(n_steps, 2, reported.append, torch.device(device))
    for step in range(1, n_steps + 1):
        log.add(step, torch.tensor([[step, 1.0], [0.5, 0.0]]), [0.1, 0.2])
    assert reported[-1] == n_steps
    assert max(np.diff([0, *reported])) <= most
    first, second = log.histories
    assert min(n_steps, 10) <= len(first) <= 22
    assert first[-1].step == n_steps
    since = np.arange(first[-2].step + 1 if len(first) > 1 else 1, n_steps + 1)
    assert first[-1].loss == pytest.approx(since.mean())
    assert (first[-1].accuracy, second[-1].loss) == (0.5, 1.0)
    assert (first[-1].learning_rate, second[-1].learning_rate) == (0.1, 0.2)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_log_names_the_first_step_whose_loss_is_not_a_number(bad):
    log = Log(1000, 2, lambda step: None, torch.device("cuda"))
    for step in range(1, 20):
        loss = torch.tensor([1.0, bad if step >= 13 else 1.0])
        log.add(step, torch.stack([loss, torch.zeros(2)]), [0.1, 0.1])
    log.add(20, torch.tensor([[1.0, 1.0], [0.0, 0.0]]), [0.1, 0.1])
    (failed,) = log.failures
    failure = log.failures[failed]
    assert (failed, failure.step) == (1, 13)
    assert "at step 13" in str(failure)
    assert pickle.loads(pickle.dumps(failure)).step == 13  # it crosses processes
    assert not log.is_over
    log.add(30, torch.tensor([[bad, bad], [0.0, 0.0]]), [0.1, 0.1])
    assert log.is_over
    assert log.failures[1].step == 13


def first_loss(values, labels, own):
    """The loss of the first step of a new network on eight fixed clips."""
    images = torch.from_numpy(toy_images(8)[0][:, :2].astype(np.float32))
    batch = Batch(
        images.permute(0, 1, 4, 2, 3).unsqueeze(0),
        labels.unsqueeze(0),
        torch.ones(1, 8, build(values, 3, 32).n_features),
        torch.full((1, 8), own),
    )
    trainee = trainee_of([build(values, 3, 32)], [values])
    tables = targets(values, np.array([0, 1, 2]), 3).unsqueeze(0)
    step = Step(
        torch.zeros(1, 8, dtype=torch.int64), torch.zeros(1, 8, N_DRAWS), batch.keep, batch.own
    )
    do = optimiser_step(values, trainee, tables=tables, batch=lambda step: batch)
    return float(do(step)[0, 0])


def test_mixup_blends_the_targets_as_it_blends_the_clips():
    """A share of 0 means the clip before; the cross-entropy is linear in the target."""
    values = TINY.model_copy(update={"mixup": 0.4, "steps": 1})
    labels = torch.tensor([0, 0, 1, 2, 1, 2, 2, 0])
    its_own, before = first_loss(values, labels, 1.0), first_loss(values, labels, 0.0)
    assert its_own != pytest.approx(before, rel=1e-3)
    assert before == pytest.approx(first_loss(values, labels.roll(1), 1.0), rel=1e-5)
    mean = 0.7 * its_own + 0.3 * before
    assert first_loss(values, labels, 0.7) == pytest.approx(mean, rel=1e-5)
