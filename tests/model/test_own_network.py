"""Networks that users wrote: what a file must define, what is refused, how they train."""

from __future__ import annotations

from dataclasses import replace
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


def test_members_of_a_stack_share_all_settings_because_a_network_may_read_any():
    settings = trusted(steps=2, points=1)
    other = settings.model_copy(update={"learning_rate": 0.01})
    with pytest.raises(ValueError, match="share learning_rate"):
        fit(settings, CLIPS, [FOLD, replace(FOLD, settings=other)])


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
            r"a setting needs a default that is a value: channels is <class 'int'>",
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
    ("setting", "words"),
    [
        ("channels: int = 'three'", "the defaults of Settings must be valid"),
        ("heads: int = 3", "heads must divide embedding"),
        ("width: str = 'a'", "keeps the type that ours has: width"),
        ("channels: int = pydantic.Field(3, alias='c')", "has no alias"),
        ("channels: int = pydantic.Field(default_factory=int)", "a default that is a value"),
        ("shown_at: int = 3", "must not be called like something of ours: shown_at"),
        ("channels: float = float('nan')", "must be valid"),
    ],
)
def test_settings_of_a_file_that_cannot_be_searched_are_refused(setting, words):
    text = "import pydantic\n" + NETWORK.replace("channels: int = 3", setting)
    with pytest.raises(InputError, match=words) as error:
        trust(NetworkFile("net.py", text))
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("net.py")


@pytest.mark.parametrize(
    "ends",
    ["import sys; sys.exit(0)", "raise SystemExit", "class B(BaseException): pass\nraise B"],
)
def test_a_file_that_ends_the_process_ends_nothing(ends):
    with pytest.raises(InputError, match=r"net.py:"):
        trust(NetworkFile("net.py", ends))


def test_a_default_means_what_the_same_value_written_out_means():
    text = NETWORK.replace("channels: int = 3", "channels: int = 3\n    share: float = 1")
    assert config_id(trusted(text)) == config_id(trusted(text, share=1.0))


def test_layers_that_share_a_tensor_train_and_are_read_as_one():
    text = NETWORK.replace(
        "        self.classify = ",
        "        self.classify = self.again = ",
    )
    settings = trusted(text, steps=5, points=1)
    (found,) = fit(settings, CLIPS, [FOLD])
    (plain,) = fit(trusted(steps=5, points=1), CLIPS, [FOLD])
    assert torch.equal(
        found.weights["network.again.weight"], found.weights["network.classify.weight"]
    )
    np.testing.assert_array_equal(found.probabilities, plain.probabilities)
    assert stack_problem(settings, 3, 32) == ""
    members = [Member(np.arange(k, 18), np.arange(18, 24), k) for k in range(2)]
    for member, stacked in zip(members, fit(settings, CLIPS, members), strict=True):
        (alone,) = fit(settings, CLIPS, [member])
        np.testing.assert_allclose(stacked.probabilities, alone.probabilities, atol=1e-5)


@pytest.mark.parametrize(
    "buffer",
    [
        "self.register_buffer('table', torch.ones(6), persistent=False)",
        "self.register_buffer('mask', torch.full((3, 3), float('-inf')).triu(1))",
        "self.register_buffer('n', torch.tensor(3))",
    ],
)
def test_buffers_of_every_kind_stay_as_they_are(buffer):
    text = NETWORK.replace("        self.convolve", f"        {buffer}\n        self.convolve", 1)
    settings = trusted(text, steps=4, points=1)
    check(settings, 3, 32)
    (found,) = fit(settings, CLIPS, [FOLD])
    again = predict(settings, [found.weights], IMAGES[18:], n_classes=3)[0]
    assert np.array_equal(again, found.probabilities)


def test_weights_of_layers_that_we_do_not_have_decay_too():
    text = NETWORK.replace(
        "nn.Conv2d(6, settings.channels, 3, stride=2)",
        "nn.ConvTranspose2d(6, settings.channels, 3)",
    )
    one, other = (fit(trusted(text, weight_decay=decay), CLIPS, [FOLD])[0] for decay in (0.0, 5.0))
    name = "network.convolve.weight"
    assert other.weights[name].norm() < 0.95 * one.weights[name].norm()


def test_a_smaller_rate_of_streams_reaches_streams_of_ones_own():
    text = EXAMPLE.read_text()
    one, other = (fit(trusted(text, backbone_lr=share), CLIPS, [FOLD])[0] for share in (1.0, 0.01))
    assert not torch.equal(
        one.weights["network.streams.0.weight"], other.weights["network.streams.0.weight"]
    )


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
        (
            "x = self.classify(self.convolve(images.flatten(1, 2)).mean((2, 3)))\n"
            "        return x if self.training else x[0]",
            "logits must be .clips, classes., here .3, 3., got .3,.",
        ),
        (
            "x = self.classify(self.convolve(images.flatten(1, 2)).mean((2, 3)))\n"
            "        return x - x.mean(0)",
            "a clip's logits must not depend on other clips",
        ),
        (
            "return self.classify(self.convolve(images.flatten(1, 2)).mean((2, 3))).detach()",
            "logits must depend on its parameters",
        ),
        (
            "return self.classify(self.convolve(images.flatten(1, 2)).mean((2, 3))).long()",
            "logits must be finite numbers with a fraction",
        ),
        ("import sys; sys.exit(0)", "net.py:19: SystemExit"),
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
    assert "InputError" not in str(error.value)


@pytest.mark.parametrize("condition", ["True", "not self.training"])
@pytest.mark.parametrize("draw", ["random.random()", "np.random.rand()", "torch.rand(())"])
def test_a_network_that_draws_is_refused_also_when_it_seldom_matters(draw, condition):
    changed = f"{draw} if {condition} else 0\n        return self.classify("
    text = "import random\nimport numpy as np\n" + NETWORK.replace(
        "return self.classify(", changed, 1
    )
    with pytest.raises(InputError, match=r"net.py: it must draw no random numbers"):
        check(trusted(text), 3, 32)


def test_a_network_that_replaces_a_buffer_is_refused():
    """A stack and averaged weights would keep the buffer that was there at first."""
    text = NETWORK.replace(
        "        self.convolve",
        "        self.register_buffer('n', torch.ones(1))\n        self.convolve",
    )
    in_place, replaced = (
        text.replace("return", f"{change}\n        return")
        for change in ("self.n.add_(1)", "self.n = self.n + 1")
    )
    check(trusted(in_place), 3, 32)
    with pytest.raises(InputError, match=r"buffers must be changed in place .*, not replaced: n"):
        check(trusted(replaced), 3, 32)


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


def test_start_values_from_another_generator_than_torchs_are_refused():
    text = "import numpy as np\n" + NETWORK.replace(
        "        self.classify",
        "        self.p = nn.Parameter(torch.tensor(np.random.rand(3)))\n        self.classify",
        1,
    )
    with pytest.raises(InputError, match="start values must follow from torch's seed alone"):
        check(trusted(text), 3, 32)


@pytest.mark.parametrize("length", ["'abc'", "2.5", "True", "-1", "10**12", "[6]"])
def test_a_length_that_is_none_is_refused(length):
    text = NETWORK.replace(
        "        self.classify", f"        self.n_features = {length}\n        self.classify", 1
    )
    with pytest.raises(InputError, match=r"net.py: n_features must be a length"):
        build(trusted(text), 3, 32)


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


FORWARD = "    def forward(self, images):\n        return "


def answering(change):
    """A network that changes its logits."""
    return NETWORK.replace(
        FORWARD, f"{FORWARD}self.plain(images){change}\n\n{FORWARD.replace('forward', 'plain')}"
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (NETWORK.replace("nn.Linear(settings.channels, ", "nn.LazyLinear("), "no lazy layers"),
        (f"{NETWORK}\n    n_features = property(lambda self: 1 / 0)\n", "ZeroDivisionError"),
        (answering(".to('meta')"), "a dense tensor with values"),
        (answering(".to_sparse()"), "a dense tensor with values"),
    ],
    ids=["lazy", "property", "meta", "sparse"],
)
def test_a_network_that_is_odd_in_other_ways_is_one_line(text, words):
    with pytest.raises(InputError, match=words) as error:
        check(trusted(text), 3, 32)
    assert "\n" not in str(error.value)


def test_a_check_of_the_file_s_settings_that_fails_is_one_line():
    checked = """
    channels: int = 3

    @pydantic.model_validator(mode="after")
    def look(self):
        if self.channels != 3:
            {}["channels"]
        return self
"""
    text = "import pydantic\n" + NETWORK.replace("    channels: int = 3\n", checked)
    with pytest.raises(InputError, match="must accept values or raise ValueError: KeyError"):
        trusted(text, channels=4)
