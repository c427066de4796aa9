"""One training in a worker: where folds meet fit, nothing of the held-out subjects gets in."""

import pytest
import safetensors.torch
import torch

from dianet_ray.artefacts import weights_path
from dianet_ray.model.blocks import Workplace
from dianet_ray.model.build import build
from dianet_ray.prepare.images import images_hash
from dianet_ray.protocol import leaks
from dianet_ray.search import trial
from dianet_ray.search.events import Refusal, Waiting, answer_of
from dianet_ray.search.trial import Material, train
from dianet_ray.settings import config_id
from dianet_ray.storage import files
from tests.support.trials import FOLDS, IMAGES, LABELS, SETTINGS, order, worker


def trained(path, images=IMAGES, labels=LABELS, fold=1, seed=0):
    material = Material(images, labels, 2, (FOLDS,), path, seed, 1)
    (result,) = train(material, order(fold), Workplace("cpu"), lambda step: None).results
    return result


def test_the_weights_are_written_before_the_training_is_reported(tmp_path):
    (tmp_path / "weights").mkdir()
    (found,) = answer_of(worker(tmp_path).step()).results
    file = tmp_path / weights_path(config_id(SETTINGS), SETTINGS.steps, 1)
    assert found.points[-1].weights.path == weights_path(config_id(SETTINGS), SETTINGS.steps, 1)
    assert file.stat().st_size == found.points[-1].weights.n_bytes
    assert len(found.points[-1].probabilities) == len(FOLDS[1].test_clips)
    assert found.environment.device == "cpu"


def test_a_training_starts_from_the_weights_that_its_settings_name(tmp_path):
    (tmp_path / "weights").mkdir()
    name = "streams.pt@0123456789abcdef"
    weights = {
        key: value + 1 for key, value in build(SETTINGS, 2, 16).streams[0].state_dict().items()
    }
    settings = SETTINGS.model_copy(update={"pretrained": name, "frozen_stages": 4})
    material = Material(IMAGES, LABELS, 2, (FOLDS,), tmp_path, 0, 1, pretrained={name: weights})
    made = train(material, order(settings=settings), Workplace("cpu"), lambda step: None)
    trained = safetensors.torch.load(made.files[-1].content)
    for key, value in weights.items():
        assert torch.equal(trained[f"streams.1.{key}"], value)


def test_held_out_images_and_labels_change_nothing_in_the_weights(tmp_path):
    held_out = list(FOLDS[1].test_clips)
    images, labels = IMAGES.copy(), LABELS.copy()
    images[held_out] = 200
    labels[held_out] = 1 - labels[held_out]
    before = trained(tmp_path).points[-1].weights.sha256
    assert trained(tmp_path, images, labels).points[-1].weights.sha256 == before


def test_a_training_clip_does_change_the_weights(tmp_path):
    before = trained(tmp_path).points[-1].weights.sha256
    for clip in set(range(12)) - set(FOLDS[1].test_clips):
        images = IMAGES.copy()
        images[clip] += 5
        assert trained(tmp_path, images).points[-1].weights.sha256 != before, clip


@pytest.mark.parametrize("fold", [0, 2])
def test_a_training_says_which_images_it_saw(tmp_path, fold):
    held_out = FOLDS[fold].test_clips
    hashes = [images_hash(one) for one in IMAGES]
    others = [hashes[i] for i in range(12) if i not in held_out]
    found = trained(tmp_path, fold=fold).seen
    assert found == leaks.seen(others, [hashes[i] for i in held_out])
    images = IMAGES.copy()
    images[held_out[0], 0] += 5  # of one phase
    changed = trained(tmp_path, images, fold=fold).seen
    assert changed.trained == found.trained
    assert changed.tested != found.tested


def test_the_seed_and_the_fold_decide_the_weights(tmp_path):
    found = {trained(tmp_path, seed=seed).points[-1].weights.sha256 for seed in (0, 1)}
    assert len(found | {trained(tmp_path, fold=2).points[-1].weights.sha256}) == 3


def test_a_device_that_is_gone_is_no_fault_of_the_settings(tmp_path, monkeypatch):
    """The training is lost, so that it is tried again elsewhere, not failed for good."""
    with pytest.raises(trial.torch.AcceleratorError):
        step(tmp_path, monkeypatch, trial.torch.AcceleratorError("gone"))


def test_a_worker_says_that_it_waits_for_the_storage_and_then_gives_the_order_back(
    tmp_path, monkeypatch
):
    """It costs no attempt, and nothing is trained twice as long as it waits."""
    monkeypatch.setattr(files, "RETRY_S", 0.0)
    one = worker(tmp_path / "unmounted")
    report = one.step()
    waiting = answer_of(report)
    assert isinstance(waiting, Waiting)
    assert not report["done"]
    assert waiting.reason == "No such file or directory"
    made = one._made
    assert answer_of(one.step()) == waiting
    assert one._made is made
    monkeypatch.setattr(one, "_give_up_at", 0.0)
    report = one.step()
    assert report["done"]
    assert answer_of(report) == Refusal(
        "here", f"cannot write {tmp_path / 'unmounted'}: No such file or directory"
    )


def test_a_worker_goes_on_when_the_storage_is_back(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "RETRY_S", 0.0)
    one = worker(tmp_path / "study")
    assert isinstance(answer_of(one.step()), Waiting)
    (tmp_path / "study" / "weights").mkdir(parents=True)
    (found,) = answer_of(one.step()).results
    assert found.outcome == "ok"
    assert (tmp_path / "study" / found.points[-1].weights.path).is_file()
    assert one._made is None


def test_a_worker_that_is_given_another_trial_forgets_what_waited(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "RETRY_S", 0.0)
    one = worker(tmp_path / "study")
    one.step()
    assert one.reset_config(order(2).config())
    (tmp_path / "study" / "weights").mkdir(parents=True)
    one.config = order(2).config()
    (found,) = answer_of(one.step()).results
    assert found.points[-1].weights.path == weights_path(config_id(SETTINGS), SETTINGS.steps, 2)


def test_any_other_error_is_the_configurations_own_with_its_traceback(tmp_path, monkeypatch):
    (result,) = answer_of(step(tmp_path, monkeypatch, ValueError("bad"))).results
    assert result.outcome == "failed"
    assert result.error.splitlines()[0] == "ValueError: bad"
    assert "Traceback" in result.error


def test_a_failed_training_is_recorded_with_the_device_that_it_had(tmp_path, monkeypatch):
    monkeypatch.setattr(trial.torch.cuda, "get_device_name", lambda device: f"name of {device}")
    (result,) = answer_of(step(tmp_path, monkeypatch, ValueError("bad"), device="cuda:0")).results
    assert result.environment.device == "name of cuda:0"


def step(path, monkeypatch, error, device="cpu"):
    def fails(*args):
        raise error

    monkeypatch.setattr(trial, "train", fails)
    return worker(path, device).step()
