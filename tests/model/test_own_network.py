"""Networks that users wrote: what a file must define, what is refused, how they train."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dianet_ray.errors import InputError
from dianet_ray.model.build import build
from dianet_ray.model.fit import LabelledImages, Member, fit, predict
from dianet_ray.model.inputs import FIXED_SCALE
from dianet_ray.model.own_network import OwnNetwork, trust
from dianet_ray.model.trial_run import check, stack_problem
from dianet_ray.settings import NetworkFile, Settings, config_id
from tests.support.networks import HEAD, NETWORK, trusted
from tests.support.toy import TINY, toy_images

EXAMPLE = Path(__file__).parents[2] / "search_spaces" / "ststnet.py"
IMAGES, LABELS = toy_images(24)
CLIPS = LabelledImages(IMAGES, LABELS, 3)
FOLD = Member(np.arange(18), np.arange(18, 24), 5)


def test_a_network_is_built_with_its_own_settings_from_its_seed():
    settings = trusted(channels=5)
    assert settings.own == (("channels", 5),)
    one, again, other = (build(settings, 4, 32, seed) for seed in (1, 1, 2))
    assert isinstance(one, OwnNetwork)
    assert one.network.convolve.weight.shape == (5, 6, 3, 3)
    assert torch.equal(one.network.convolve.weight, again.network.convolve.weight)
    assert not torch.equal(one.network.convolve.weight, other.network.convolve.weight)


def test_a_network_sees_normalised_images():
    settings = trusted()
    network, x = build(settings, 3, 32), torch.ones(2, 2, 3, 32, 32)
    torch.testing.assert_close(network(x), network.network(x / FIXED_SCALE))


def test_the_id_of_a_configuration_depends_on_the_file_and_on_its_settings():
    settings = [trusted(), trusted(NETWORK + "\n# other"), trusted(channels=4), TINY]
    assert len({config_id(one) for one in settings}) == 4


def test_it_trains_repeats_and_predicts_like_dianet():
    settings = trusted(steps=20, points=2)
    (one,), (other,) = (fit(settings, CLIPS, [FOLD]) for _ in range(2))
    assert np.array_equal(one.probabilities, other.probabilities)
    assert [shown.steps for shown in one.shown] == [10, 20]
    start = build(settings, 3, 32)
    assert not torch.equal(one.weights["network.classify.weight"], start.network.classify.weight)
    again = predict(settings, [one.weights], IMAGES[18:], n_classes=3)[0]
    assert np.array_equal(again, one.probabilities)


@pytest.mark.parametrize("text", [NETWORK, EXAMPLE.read_text()], ids=["small", "ststnet"])
def test_it_trains_as_a_stack(text):
    settings = trusted(text, dropout=0.4, steps=4, points=1)
    members = [Member(np.arange(k, 18), np.arange(18, 24), k) for k in range(3)]
    for member, stacked in zip(members, fit(settings, CLIPS, members), strict=True):
        (alone,) = fit(settings, CLIPS, [member])
        np.testing.assert_allclose(stacked.probabilities, alone.probabilities, atol=1e-5)


def test_a_network_that_says_how_many_features_it_has_gets_a_dropout_mask():
    settings = trusted(EXAMPLE.read_text())
    network, x = build(settings, 3, 32), torch.ones(2, 2, 3, 32, 32)
    assert network.n_features == 16 * 5 * 5
    dropped = network(x, torch.zeros(2, network.n_features))
    torch.testing.assert_close(dropped, network.network.classifier.bias.expand(2, 3))
    fits = [fit(trusted(EXAMPLE.read_text(), dropout=d), CLIPS, [FOLD])[0] for d in (0.0, 0.6)]
    assert not np.array_equal(fits[0].probabilities, fits[1].probabilities)


def test_the_example_is_short_and_passes_every_check():
    assert len(EXAMPLE.read_text().splitlines()) < 60
    for changes in ({}, {"phases": "three"}, {"kernels": 4}):
        settings = trusted(EXAMPLE.read_text(), **changes)
        check(settings, 5, 32)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1\nclass Network(:\n", r"net.py:2: SyntaxError"),
        ("import torch\nimport no_such_module\n", r"net.py:2: ModuleNotFoundError: No module"),
        ("def f():\n    return 1 / 0\n\n\nf()\n", r"net.py:2: ZeroDivisionError"),
        ("x = 1\n", r"net.py must define class Network\(nn.Module\)"),
        ("class Network:\n    pass\n", r"net.py must define class Network\(nn.Module\)"),
        (
            HEAD + "class Network(nn.Module): pass\nclass Settings: pass\n",
            r"class Settings must extend dianet_ray.Settings",
        ),
        (
            NETWORK.replace("channels: int = 3", "channels: int"),
            r"a setting needs a default: channels has none",
        ),
        (
            NETWORK.replace("channels: int = 3", "channels: list[int] = [3]"),
            r"a setting is a bool, int, float, str or Literal of them: channels is list",
        ),
    ],
    ids=["syntax", "import", "run", "none", "no module", "settings", "default", "list"],
)
def test_a_file_that_cannot_be_used_is_one_line_with_the_place(text, words):
    with pytest.raises(InputError, match=words) as error:
        trust(NetworkFile("net.py", text))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ("return self.classify(images.mean((1, 3, 4)).repeat(1, 1)).T", "logits must be"),
        ("return self.classify(images.mean((1, 3, 4))) / 0", "logits must be finite"),
        (
            "return self.classify(nn.functional.dropout(images.mean((1, 3, 4))))",
            "draw no random numbers",
        ),
        (
            "self.n = getattr(self, 'n', 0) + 1\n"
            "        return self.classify(images.mean((1, 3, 4))) * self.n",
            "equal images must give equal logits",
        ),
        (
            "return self.classify(images.mean((1, 3, 4)))",
            "every parameter needs a gradient: convolve.weight, convolve.bias",
        ),
        ("return (self.classify(images.mean((1, 3, 4))),)", "must return a tensor: got tuple"),
        ("return self.classify(images)", "net.py:19: RuntimeError"),
    ],
)
def test_a_network_that_cannot_train_is_refused_before_anything_starts(changed, words):
    before = "return self.classify(self.convolve(images.flatten(1, 2)).relu().mean((2, 3)))"
    settings = trusted(NETWORK.replace(before, changed))
    with pytest.raises(InputError, match=words) as error:
        check(settings, 3, 32)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("net.py")


@pytest.mark.parametrize("text", [NETWORK, EXAMPLE.read_text()], ids=["small", "ststnet"])
def test_networks_without_branches_can_be_stacked(text):
    assert stack_problem(trusted(text), 3, 32) == ""


def test_a_network_that_branches_on_values_trains_alone_and_says_why_no_stack_can():
    branching = NETWORK.replace(
        "        return self.classify(",
        "        if images.sum() > 1e9:\n            return images\n        return self.classify(",
    )
    settings = trusted(branching)
    check(settings, 3, 32)
    problem = stack_problem(settings, 3, 32)
    assert problem.startswith("net.py cannot train as a stack: ")
    assert "\n" not in problem


def test_a_network_whose_constructor_fails_is_one_line_with_the_place():
    settings = trusted(NETWORK.replace("settings.channels, 3", "settings.channelz, 3"))
    with pytest.raises(InputError, match=r"net.py:15: AttributeError"):
        build(settings, 3, 32)


def test_the_check_leaves_the_global_generator_alone():
    settings = trusted()
    before = torch.get_rng_state()
    check(settings, 3, 32)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_file_that_is_not_trusted_is_not_run():
    name = NetworkFile("net.py", "raise SystemExit").id
    with pytest.raises(InputError, match=f"the network {name} is not trusted here"):
        build(TINY.model_copy(update={"network": name}), 3, 32)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"own": [("depth", 3)]}, "dianet has no settings depth"),
        ({"network": "net.py"}, "network: got net.py"),
        (
            {"network": "net.py@0123456789abcdef", "pretrained": "imagenet"},
            "pretrained: imagenet needs network: dianet",
        ),
    ],
)
def test_settings_that_do_not_go_with_the_network_are_refused(values, words):
    with pytest.raises(ValueError, match=words):
        Settings(**values)
