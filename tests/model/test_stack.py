"""A stack gives each member what it gets alone, and no member anything of another."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from dianet_ray.model import batches
from dianet_ray.model.batches import Pixels
from dianet_ray.model.build import build
from dianet_ray.model.fit import OWN, LabelledImages, Member, fit
from dianet_ray.model.inputs import phase_numbers
from dianet_ray.model.stack import Alone, Stack, trainee_of
from dianet_ray.model.training import losses, optimiser_step, targets
from tests.support.toy import TINY, toy_images

N_CLASSES, N_CLIPS, SIZE = 3, 6, 32
VARIANTS = [
    {},
    {"backbone": "shallow"},
    {"backbone": "resnet18"},
    {"backbone": "efficientnet_lite0"},
    {"fusion": "concat", "shared_streams": True},
    {"fusion": "sum"},
    {"fusion": "late", "phases": "three"},
    {"layers": 2, "gate": True, "phases": "three"},
    {"phases": "whole_clip", "fusion": "none"},
    {"normalisation": "standard"},
    {"normalisation": "minmax"},
    {"loss": "focal"},
    {"loss": "focal", "focal_gamma": 0.5},
    {"loss": "class_balanced"},
    {"optimiser": "sgd"},
    {"clip_norm": 0.1},
    {"clip_norm": 0.1, "optimiser": "sgd"},
]


SLOW = ("shallow", "resnet18", "efficientnet_lite0")
"""Streams whose fifty steps in double precision take up to four minutes."""


def name_of(changes):
    return "-".join(map(str, changes.values())) or "default"


def different(n_members, rate=1e-3, **changes):
    """Settings that differ in all that the members of a stack may differ in."""
    return [
        TINY.model_copy(
            update={
                "learning_rate": rate * (1 + member),
                "weight_decay": 0.1 * member,
                "dropout": 0.1 * (member % 5),
                "label_smoothing": 0.05 * (member % 3),
                **changes,
            }
        )
        for member in range(n_members)
    ]


def networks_of(settings):
    """Networks in double precision, in which only a mistake makes a difference."""
    return [
        build(one, N_CLASSES, SIZE, seed=member).double() for member, one in enumerate(settings)
    ]


def batch_of(settings, step):
    generator = torch.Generator().manual_seed(step)
    n_phases = settings[0].n_phases
    shape = (len(settings), N_CLIPS, n_phases, 3, SIZE, SIZE)
    images = 10 * torch.randn(shape, generator=generator, dtype=torch.float64)
    labels = torch.randint(N_CLASSES, shape[:2], generator=generator)
    n_features = (1 if settings[0].fusion == "sum" else n_phases) * settings[0].embedding
    uniform = torch.rand((*shape[:2], n_features), generator=generator, dtype=torch.float64)
    shares = torch.tensor([one.dropout for one in settings], dtype=torch.float64)[:, None, None]
    return images, (uniform >= shares) / (1 - shares), labels


def train(settings, n_steps, only=None):
    """Train a stack, or the member `only` of it alone; return its losses and states."""
    chosen = range(len(settings)) if only is None else [only]
    networks = networks_of(settings)
    mine = [settings[member] for member in chosen]
    trainee = trainee_of([networks[member] for member in chosen], mine)
    known = np.array([0, 0, 0, 1, 1, 2])
    table = torch.stack([targets(one, known, N_CLASSES) for one in mine]).double()
    members = torch.arange(len(mine)).unsqueeze(1)
    found = []
    for step in range(1, n_steps + 1):
        images, keep, labels = (each[list(chosen)] for each in batch_of(settings, step))
        of_members = losses(mine[0], trainee(images, keep), table[members, labels])
        trainee.set_rates([one.learning_rate for one in mine])
        trainee.update(of_members.sum())
        found.append(of_members.detach())
    return torch.stack(found, dim=1), trainee.states()


def answers(settings, state):
    """Classify some clips with a trained network, (clips, classes)."""
    network = build(settings, N_CLASSES, SIZE).double().eval()
    network.load_state_dict(state)
    with torch.no_grad():
        return network(batch_of([settings], 99)[0][0]).softmax(-1)


@pytest.mark.parametrize("changes", VARIANTS, ids=name_of)
def test_a_member_of_three_gets_what_it_gets_alone(changes):
    compare(changes, n_steps=3 if changes.get("backbone") in SLOW else 8)


@pytest.mark.slow
@pytest.mark.timeout(1000)
@pytest.mark.parametrize("changes", VARIANTS, ids=name_of)
def test_a_member_of_three_gets_it_for_fifty_steps(changes):
    compare(changes, n_steps=50, rate=rate_of(changes))


@pytest.mark.slow
@pytest.mark.timeout(1000)
@pytest.mark.parametrize("changes", VARIANTS, ids=name_of)
def test_a_member_of_twenty_six_gets_what_it_gets_alone_in_every_variant(changes):
    compare(changes, n_steps=3, rate=rate_of(changes), members=(0, 13, 25))


def rate_of(changes):
    """Choose a rate; 50 normalised layers let rounding errors grow at the others' to 1.4e-8."""
    return 1e-4 if changes.get("backbone") == "efficientnet_lite0" else 1e-3


def compare(changes, n_steps, rate=1e-3, members=(0, 1, 2)):
    """Train members side by side, the last of `members` the last of them, and those alone."""
    settings = different(members[-1] + 1, rate, **changes)
    found, states = train(settings, n_steps)
    for member in members:
        alone, (state,) = train(settings, n_steps, only=member)
        torch.testing.assert_close(found[member], alone[0], rtol=0, atol=1e-8)
        assert list(states[member]) == list(state)
        for name, value in state.items():
            # AdamW moves a weight without any gradient by rounding errors alone.
            torch.testing.assert_close(states[member][name], value, rtol=0, atol=1e-6)
        torch.testing.assert_close(
            *(answers(settings[member], one) for one in (states[member], state)),
            rtol=0,
            atol=1e-8,
        )


def test_a_member_of_twenty_six_gets_what_it_gets_alone():
    settings = different(26)
    found, _ = train(settings, n_steps=5)
    for member in (0, 13, 25):
        alone, _ = train(settings, n_steps=5, only=member)
        torch.testing.assert_close(found[member], alone[0], rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    "changes",
    [{"shift": 0.2, "erasing": 0.5}, {"rotation": 10.0, "scale": 0.2}, {"mixup": 0.4}],
    ids=name_of,
)
@pytest.mark.parametrize("members", [(0, 1, 2), pytest.param((0, 13, 25), marks=pytest.mark.slow)])
def test_a_member_is_augmented_and_blended_as_it_is_alone(changes, members):
    n = members[-1] + 1
    settings = different(n, **changes)
    found = augmented(settings, range(n))
    plain = augmented(different(n, shift=0.0, erasing=0.0), range(n))
    for member in members:
        (alone,) = augmented(settings, [member])
        torch.testing.assert_close(found[member], alone, rtol=0, atol=1e-10)
        assert not torch.allclose(found[member], plain[member], atol=1e-3)


def augmented(settings, members):
    """Train members on images in double precision; return their losses, (members, steps)."""
    images, labels = toy_images(24)
    mine = [settings[member] for member in members]
    networks = networks_of(settings)
    trainee = trainee_of([networks[member] for member in members], mine)
    device = torch.device("cpu")
    pixels = Pixels(images, phase_numbers(mine[0]), device=device)
    pixels.values = pixels.values.double()
    classes = torch.from_numpy(labels)

    def doubled(step):
        step = replace(step, keep=step.keep.double(), own=step.own.double())
        return batches.batch_of(mine[0], step, pixels=pixels, labels=classes)

    tables = torch.stack([targets(one, labels[:18], N_CLASSES) for one in mine]).double()
    do = optimiser_step(mine[0], trainee, tables=tables, batch=doubled)
    known = [(torch.arange(member % 9, 18), member) for member in members]
    plan = batches.steps(mine, known, n_features=networks[0].n_features, device=device)
    return torch.stack([do(step)[0].clone() for step in islice(plan, 5)], dim=1)


@pytest.mark.parametrize("backbone", ["cnn", *SLOW])
def test_no_gradient_crosses_members(backbone):
    settings = different(3, backbone=backbone)
    stack = Stack(networks_of(settings), settings)
    images, keep, _ = batch_of(settings, 1)
    logits = stack(images.requires_grad_(), keep)
    parameters = [tensor for tensor in stack.tensors if tensor.requires_grad]
    found = torch.autograd.grad(logits[1].square().sum(), [images, *parameters])
    for gradient in found:
        assert gradient[1].any()
        assert not gradient[0].any()
        assert not gradient[2].any()


def test_with_one_member_the_network_itself_trains():
    (network,) = networks_of(different(1))
    trainee = trainee_of([network], different(1))
    assert isinstance(trainee, Alone)
    before = network.classifier.weight.detach().clone()
    images, keep, _ = batch_of(different(1), 1)
    trainee.update(trainee(images, keep).square().sum())
    assert not torch.equal(network.classifier.weight, before)


def test_states_are_copies():
    settings = different(2)
    stack = Stack(networks_of(settings), settings)
    (one, _), kept = stack.states(), stack.states()[0]
    images, keep, _ = batch_of(settings, 1)
    stack.set_rates([1e-3, 1e-3])
    stack.update(stack(images, keep).square().sum())
    for name, value in one.items():
        assert torch.equal(value, kept[name])
        assert value.is_contiguous()
        assert value.untyped_storage().nbytes() == value.numel() * value.element_size()


def test_members_of_a_fit_may_have_settings_of_their_own():
    images, labels = toy_images(24)
    clips = LabelledImages(images, labels, 3)
    own = {
        "learning_rate": 0.01,
        "weight_decay": 1.0,
        "dropout": 0.6,
        "label_smoothing": 0.0,
        "class_weights": False,
    }
    assert set(own) == OWN
    settings = [TINY.model_copy(update={name: value}) for name, value in own.items()]
    members = [Member(np.arange(17), np.arange(17, 24), 5, one) for one in [None, *settings]]
    first, *others = fit(TINY, clips, members)
    for one, found in zip(settings, others, strict=True):
        assert not np.array_equal(found.probabilities, first.probabilities)
        (alone,) = fit(one, clips, [Member(np.arange(17), np.arange(17, 24), 5)])
        np.testing.assert_allclose(found.probabilities, alone.probabilities, atol=1e-5)
        assert found.history[-1].learning_rate == alone.history[-1].learning_rate


@pytest.mark.parametrize("changes", [{"width": 5}, {"steps": 6}, {"shift": 0.2}], ids=name_of)
def test_a_member_that_does_not_fit_into_the_stack_is_refused(changes):
    images, labels = toy_images(24)
    odd = Member(np.arange(18), np.arange(18, 24), 5, TINY.model_copy(update=changes))
    (name,) = changes
    with pytest.raises(ValueError, match=f"members of a stack share {name}"):
        fit(TINY, LabelledImages(images, labels, 3), [odd])
