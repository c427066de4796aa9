"""The training loop: class weights, targets, schedule, weight decay and history."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from dianet_ray.model.network import build
from dianet_ray.model.stack import adamw
from dianet_ray.model.training import (
    Log,
    NonFiniteLoss,
    class_weights,
    learning_rate,
    targets,
)
from tests.support.toy import TINY


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


@pytest.mark.parametrize("backbone", ["cnn", "resnet18"])
def test_only_kernels_and_matrices_decay(backbone):
    network = build(TINY.model_copy(update={"backbone": backbone}), 3, 32)
    groups = adamw(TINY, network).param_groups
    of_group = [{id(p) for p in group["params"]} for group in groups]
    for name, parameter in network.named_parameters():
        is_matrix = name.endswith("weight") and "norm" not in name and parameter.dim() > 1
        assert (id(parameter) in of_group[0]) == is_matrix, name
        assert (id(parameter) in of_group[1]) == (not is_matrix), name
    assert [group["weight_decay"] for group in groups] == [TINY.weight_decay, 0]


@pytest.mark.parametrize("n_steps", [1, 7, 100, 200, 1000])
def test_a_log_reports_often_and_keeps_about_fifteen_steps(n_steps):
    reported = []
    log = Log(n_steps, 2, reported.append)
    for step in range(1, n_steps + 1):
        log.add(step, torch.tensor([step, 1.0]), torch.tensor([0.5, 0.0]), [0.1, 0.2])
    assert reported[-1] == n_steps
    assert max(np.diff([0, *reported])) <= max(1, min(10, n_steps // 100))
    first, second = log.histories
    assert min(n_steps, 10) <= len(first) <= 22
    assert first[-1].step == n_steps
    since = np.arange(first[-2].step + 1 if len(first) > 1 else 1, n_steps + 1)
    assert first[-1].loss == pytest.approx(since.mean())
    assert (first[-1].accuracy, second[-1].loss) == (0.5, 1.0)
    assert (first[-1].learning_rate, second[-1].learning_rate) == (0.1, 0.2)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_log_names_the_first_step_whose_loss_is_not_a_number(bad):
    log = Log(1000, 2, lambda step: None)
    for step in range(1, 20):
        loss = torch.tensor([1.0, bad if step >= 13 else 1.0])
        log.add(step, loss, torch.zeros(2), [0.1, 0.1])
    with pytest.raises(NonFiniteLoss, match="at step 13") as raised:
        log.add(20, torch.ones(2), torch.zeros(2), [0.1, 0.1])
    assert raised.value.step == 13
    assert pickle.loads(pickle.dumps(raised.value)).step == 13  # it crosses processes
