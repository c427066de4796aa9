"""fit: repeats to the bit, leaks nothing, one stack = many models, and it learns."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest
import torch

from dianet_ray.model.fit import LabelledImages, Member, NonFiniteLoss, fit, predict, repeatable
from dianet_ray.model.weights import load_weights, weights_file
from dianet_ray.settings import Settings
from tests.support.toy import TINY, toy_images

ALL_ON = TINY.model_copy(
    update={
        "learning_rate": 1e-3,
        "shift": 0.1,
        "flip": True,
        "erasing": 0.5,
        "dropout": 0.3,
        "steps": 6,
    }
)
IMAGES, LABELS = toy_images(24)
FOLD = Member(np.arange(18), np.arange(18, 24), seed=11)


def fit_one(settings=ALL_ON, images=IMAGES, labels=LABELS, member=FOLD, **options):
    (fitted,) = fit(settings, LabelledImages(images, labels, 3), [member], **options)
    return fitted


def assert_same_bits(one, other):
    assert one.weights.keys() == other.weights.keys()
    for name, value in one.weights.items():
        assert torch.equal(value, other.weights[name]), name


def variant(**changes):
    return Settings.model_validate(ALL_ON.model_dump() | changes)


def test_a_fit_returns_what_it_promises():
    fitted = fit_one()
    assert fitted.probabilities.shape == (6, 3)
    assert fitted.probabilities.dtype == np.float32
    np.testing.assert_allclose(fitted.probabilities.sum(1), 1, rtol=1e-5)
    assert [logged.step for logged in fitted.history] == [1, 2, 3, 4, 5, 6]
    assert all(np.isfinite(astuple(logged)).all() for logged in fitted.history)
    assert all(type(logged.loss) is type(logged.accuracy) is float for logged in fitted.history)


@pytest.mark.parametrize("backbone", ["cnn", "shallow", "resnet18", "efficientnet_lite0"])
def test_a_fit_repeats_to_the_bit_whatever_ran_before(backbone):
    settings = variant(backbone=backbone)
    one = fit_one(settings)
    torch.manual_seed(5)
    torch.rand(7)
    np.random.default_rng(0).random(3)
    fit_one(variant(width=5, batch_size=3))
    other = fit_one(settings)
    assert_same_bits(one, other)
    assert np.array_equal(one.probabilities, other.probabilities)
    assert one.history == other.history


@pytest.mark.parametrize("backbone", ["cnn", "shallow", "resnet18", "efficientnet_lite0"])
def test_a_point_of_a_training_equals_the_end_of_one_of_so_many_steps(backbone):
    steps = 40 if backbone == "cnn" else 8
    averaged = variant(schedule="averaged", backbone=backbone, steps=steps, points=4, warmup=6)
    whole = fit_one(averaged)
    assert [point.steps for point in whole.shown] == [steps // 8, steps // 4, steps // 2, steps]
    for point in whole.shown:
        short = fit_one(averaged.model_copy(update={"steps": point.steps, "points": 1}))
        assert len(short.shown) == 1
        assert np.array_equal(short.probabilities, point.probabilities)
        for name, value in short.weights.items():
            assert torch.equal(value, point.weights[name]), name


@pytest.mark.parametrize(
    ("backbone", "name"),
    [
        ("cnn", "classifier.weight"),
        ("resnet18", "streams.1.layer2.0.conv1.weight"),
        # A network that is read in the middle needs the statistics of its batch normalisation.
        ("resnet18", "streams.0.bn1.running_mean"),
        ("resnet18", "streams.1.layer4.1.bn2.running_var"),
    ],
)
def test_averaged_weights_are_the_weighted_mean_of_those_after_each_step(backbone, name):
    constant = variant(schedule="constant", backbone=backbone)
    ends = [
        fit_one(constant.model_copy(update={"steps": n})).weights[name].double()
        for n in range(1, 6)
    ]
    shares = np.arange(1, 6) ** 8 - np.arange(5) ** 8
    wanted = sum(share * end for share, end in zip(shares, ends, strict=True)) / shares.sum()
    averaged = constant.model_copy(update={"schedule": "averaged", "steps": 5})
    found = fit_one(averaged).weights[name]
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-7)


def test_a_fit_leaves_global_random_states_alone():
    before, numpy_before = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    fit_one()
    assert torch.equal(torch.random.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)


def test_another_seed_gives_another_network():
    one, other = fit_one(), fit_one(member=Member(FOLD.train, FOLD.test, seed=12))
    assert not torch.equal(one.weights["classifier.weight"], other.weights["classifier.weight"])


OTHER = {
    "backbone": "resnet18",
    "width": 3,
    "shared_streams": True,
    "embedding": 16,
    "phases": "three",
    "fusion": "concat",
    "heads": 4,
    "layers": 2,
    "gate": True,
    "normalisation": "standard",
    "dropout": 0.6,
    "loss": "focal",
    "focal_gamma": 1.0,
    "class_balanced_beta": 0.5,
    "label_smoothing": 0.0,
    "class_weights": False,
    "shift": 0.0,
    "flip": False,
    "rotation": 20.0,
    "scale": 0.2,
    "erasing": 0.0,
    "mixup": 0.4,
    "optimiser": "sgd",
    "learning_rate": 0.01,
    "backbone_lr": 0.1,
    "weight_decay": 1.0,
    "clip_norm": 0.1,
    "schedule": "constant",
    "warmup": 3,
    "batch_size": 5,
    "steps": 7,
    "precision": "bfloat16",
}
NEEDS = {"focal_gamma": {"loss": "focal"}, "class_balanced_beta": {"loss": "class_balanced"}}
"""Without these a setting says nothing."""


def test_every_setting_is_tried_below():
    # `points` says how often a training is shown, and changes nothing in it. What needs a file is
    # tried in test_pretrained and test_own_network.
    elsewhere = {"points", "pretrained", "frozen_stages", "network", "own"}
    assert {*OTHER, *elsewhere} == set(Settings.model_fields)


@pytest.mark.parametrize("name", OTHER)
def test_every_setting_changes_the_prediction(name):
    member = Member(np.arange(17), FOLD.test, FOLD.seed)  # classes of different size
    needs = NEEDS.get(name, {})
    one, other = (
        fit_one(variant(**needs, **changes), member=member)
        for changes in ({}, {name: OTHER[name]})
    )
    assert not np.array_equal(one.probabilities, other.probabilities)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"normalisation": "standard"},
        {"normalisation": "minmax", "fusion": "concat"},
        {"phases": "whole_clip", "fusion": "none"},
    ],
    ids=lambda changes: "-".join(map(str, changes.values())) or "default",
)
def test_a_stack_gives_each_member_what_it_gets_alone(changes):
    """Folds of different size, with dropout and every augmentation; float32 rounds differently."""
    settings = variant(**changes)
    members = [
        FOLD,
        Member(np.arange(4, 24), np.arange(4), seed=3),
        Member(np.arange(5), np.arange(5, 24), seed=11),
    ]
    together = fit(settings, LabelledImages(IMAGES, LABELS, 3), members)
    for member, stacked in zip(members, together, strict=True):
        alone = fit_one(settings, member=member)
        np.testing.assert_allclose(stacked.probabilities, alone.probabilities, atol=1e-5)
        for name, value in alone.weights.items():
            torch.testing.assert_close(stacked.weights[name], value, rtol=1e-4, atol=2e-4)
        assert [logged.loss for logged in stacked.history] == pytest.approx(
            [logged.loss for logged in alone.history], rel=1e-5
        )


@pytest.mark.parametrize("normalisation", ["fixed", "minmax", "standard"])
@pytest.mark.parametrize("backbone", ["cnn", "resnet18"])
def test_held_out_clips_change_nothing_in_the_weights(normalisation, backbone):
    settings = variant(normalisation=normalisation, backbone=backbone)
    images, labels = IMAGES.copy(), LABELS.copy()
    images[FOLD.test] = 200 - 3 * images[FOLD.test]
    labels[FOLD.test] = (labels[FOLD.test] + 1) % 3
    one, other = fit_one(settings), fit_one(settings, images, labels)
    assert_same_bits(one, other)
    assert one.history == other.history
    assert not np.array_equal(one.probabilities, other.probabilities)


def test_training_clips_do_change_the_weights():
    """Else the law above could hold for a fit that reads nothing."""
    for name in ("images", "labels"):
        changed = {"images": IMAGES.copy(), "labels": LABELS.copy()}
        changed[name][0] += 1
        changed["labels"] %= 3
        weights = fit_one(settings=ALL_ON, **changed).weights
        start = fit_one().weights
        assert any(not torch.equal(start[key], weights[key]) for key in start), name


def test_standard_normalisation_keeps_the_statistics_of_the_training_clips():
    weights = fit_one(variant(normalisation="standard")).weights
    some = IMAGES[FOLD.train, :2].astype(np.float64)
    np.testing.assert_allclose(weights["normalise.mean"], some.mean((0, 2, 3)), atol=1e-4)
    np.testing.assert_allclose(weights["normalise.deviation"], some.std((0, 2, 3)), rtol=1e-4)


@pytest.mark.parametrize("fusion", ["cross_attention", "concat"])
def test_it_learns_which_phase_moves_how(fusion):
    images, labels = toy_images(90, seed=2)
    settings = Settings(fusion=fusion, width=8, embedding=16, heads=2, steps=150, batch_size=16)
    member = Member(np.arange(60), np.arange(60, 90), seed=0)
    fitted = fit_one(settings, images, labels, member)
    assert (fitted.probabilities.argmax(1) == labels[60:]).mean() >= 0.9
    assert fitted.history[-1].accuracy >= 0.9
    assert fitted.history[-1].loss < fitted.history[0].loss


def test_a_class_without_training_clips_is_possible():
    train = np.flatnonzero(LABELS != 2)
    fitted = fit_one(member=Member(train, np.flatnonzero(LABELS == 2), seed=1))
    assert fitted.probabilities.shape == (8, 3)
    assert np.isfinite(fitted.probabilities).all()


@pytest.mark.parametrize("n_train", [1, 2, 5])
def test_a_training_set_smaller_than_the_batch_works(n_train):
    fitted = fit_one(member=Member(np.arange(n_train), np.arange(20, 24), seed=1))
    assert np.isfinite(fitted.probabilities).all()


@pytest.mark.parametrize("backbone", ["cnn", "shallow", "resnet18", "efficientnet_lite0"])
def test_a_batch_of_one_clip_works(backbone):
    assert np.isfinite(fit_one(variant(batch_size=1, backbone=backbone)).probabilities).all()


def test_a_member_without_held_out_clips_is_possible():
    fitted = fit_one(member=Member(np.arange(24), np.arange(0), seed=1))
    assert fitted.probabilities.shape == (0, 3)


def test_read_only_arrays_are_accepted():
    """Arrays out of an object store cannot be written."""
    images, labels = IMAGES.copy(), LABELS.copy()
    member = Member(FOLD.train.copy(), FOLD.test.copy(), FOLD.seed)
    for array in (images, labels, member.train, member.test):
        array.flags.writeable = False
    assert_same_bits(fit_one(), fit_one(ALL_ON, images, labels, member))


def test_progress_is_reported_at_least_every_tenth_step():
    reported = []
    fit_one(variant(steps=23), on_progress=reported.append)
    assert reported[-1] == 23
    assert max(np.diff([0, *reported])) <= 10


def test_a_loss_that_is_not_a_number_is_refused_with_its_step():
    images = IMAGES.copy()
    images[FOLD.train] = np.nan
    with pytest.raises(NonFiniteLoss, match="at step 1"):
        fit_one(images=images)


def test_a_prediction_that_is_not_a_number_is_refused():
    images = IMAGES.copy()
    images[FOLD.test[0]] = np.nan
    with pytest.raises(NonFiniteLoss, match="at step 6"):
        fit_one(images=images)


def test_on_the_cpu_cuda_is_never_touched(monkeypatch):
    def refuse(*args):
        raise AssertionError("CUDA was touched")

    monkeypatch.setattr(torch.cuda, "_lazy_init", refuse)
    monkeypatch.setattr(torch, "use_deterministic_algorithms", refuse)
    assert fit_one(device="cpu").weights["classifier.weight"].device.type == "cpu"
    assert not torch.cuda.is_initialized()


def test_weights_written_and_read_predict_the_same_bits(tmp_path):
    settings = variant(normalisation="standard")
    fitted = fit_one(settings)
    path = tmp_path / "weights" / "fold-000.safetensors"
    weights_file(path, fitted.weights, {"config_id": "abc", "fold": "0"}).write()
    again = predict(settings, [load_weights(path)], IMAGES[FOLD.test], n_classes=3)
    assert np.array_equal(again[0], fitted.probabilities)


def test_predict_takes_several_models_and_any_float_type():
    one, other = fit_one(), fit_one(member=Member(FOLD.train, FOLD.test, seed=12))
    both = predict(
        ALL_ON, [one.weights, other.weights], IMAGES[FOLD.test].astype(np.float64), n_classes=3
    )
    assert both.shape == (2, 6, 3)
    assert np.array_equal(both[0], one.probabilities)
    assert np.array_equal(both[1], other.probabilities)


def test_a_clip_is_predicted_the_same_in_any_company():
    weights = fit_one().weights
    many = np.tile(IMAGES, (4, 1, 1, 1, 1))  # more than one chunk
    together = predict(ALL_ON, [weights], many, n_classes=3)[0]
    alone = predict(ALL_ON, [weights], many[95:], n_classes=3)[0]
    np.testing.assert_allclose(together[95:], alone, atol=1e-6)
    assert len(predict(ALL_ON, [weights], many[:0], n_classes=3)[0]) == 0


def test_what_repeats_on_a_gpu_uses_its_fast_convolutions():
    """Flags of torch that are not named are switched off."""
    before = (torch.backends.cudnn.enabled, torch.are_deterministic_algorithms_enabled())
    with repeatable(torch.device("cuda")):
        assert torch.backends.cudnn.enabled
        assert torch.backends.cudnn.deterministic
        assert not torch.backends.cudnn.benchmark
        assert torch.are_deterministic_algorithms_enabled()
        # Each tensor would be filled before it is written.
        assert not torch.utils.deterministic.fill_uninitialized_memory
    assert torch.utils.deterministic.fill_uninitialized_memory
    assert (torch.backends.cudnn.enabled, torch.are_deterministic_algorithms_enabled()) == before
