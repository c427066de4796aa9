"""Where a network looks: the places whose change would change its prediction."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dianet_ray.errors import InputError
from dianet_ray.model.build import build
from dianet_ray.model.fit import LabelledImages, Member, fit, predict
from dianet_ray.model.regions import regions
from dianet_ray.settings import Settings
from tests.support.networks import NETWORK, trusted
from tests.support.toy import TINY, state_of, toy_images

VARIANTS = [
    {},
    {"layers": 2, "gate": True},
    {"phases": "three"},
    {"phases": "three", "fusion": "late", "shared_streams": True},
    {"fusion": "sum"},
    {"phases": "whole_clip", "fusion": "none"},
    {"backbone": "resnet18"},
    {"backbone": "efficientnet_lite0", "fusion": "concat"},
]


def one_clip(size=32, seed=1):
    return toy_images(1, size, seed)[0][0]


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_every_phase_has_a_map_and_the_largest_value_is_one(changes):
    settings = TINY.model_copy(update=changes)
    network, image = build(settings, 3, 32, seed=3), one_clip()
    found = regions(settings, state_of(network), image, 3)
    probabilities = predict(settings, [state_of(network)], image[None], n_classes=3)
    assert found.predicted == probabilities.argmax()
    assert len(found.activation) == len(found.phases)
    assert found.activation.min() >= 0
    assert found.activation.max() == pytest.approx(1)
    assert (found.attention is not None) == (settings.fusion == "cross_attention")
    if found.attention is not None:
        assert found.attention.shape[0] == len(found.phases)
        np.testing.assert_allclose(found.attention.sum((1, 2)), 1, rtol=1e-5)


def test_a_trained_network_looks_where_something_moves():
    images, labels = toy_images(60, seed=2)
    settings = Settings(width=8, embedding=16, heads=2, steps=150, batch_size=16, points=1)
    member = Member(np.arange(50), np.arange(50, 60), 0)
    (fitted,) = fit(settings, LabelledImages(images, labels, 3), [member])
    n_hits = 0
    for image in images[50:]:
        found = regions(settings, fitted.weights, image, 3)
        phase, row, column = np.unravel_index(found.activation.argmax(), found.activation.shape)
        motion = np.abs(image[phase].astype(np.float32)).mean(-1)
        y, x = np.unravel_index(motion.argmax(), motion.shape)
        scale = 32 / found.activation.shape[1]
        n_hits += max(abs((row + 0.5) * scale - y), abs((column + 0.5) * scale - x)) <= 8
    # By chance a place is within 8 pixels of 32 in about a quarter of the clips.
    assert n_hits >= 7


def test_equal_tokens_get_equal_attention():
    settings = TINY.model_copy(update={"heads": 1})
    network = build(settings, 3, 32)
    for attend in network.attention[0].phases:
        attend.query.weight.data.zero_()
        attend.query.bias.data.fill_(1)
        attend.key.weight.data.fill_(1)
    for embed in network.tokens:
        embed.norm.weight.data.zero_()
        embed.norm.bias = torch.nn.Parameter(torch.zeros(settings.embedding))
    found = regions(settings, state_of(network), one_clip(), 3)
    np.testing.assert_allclose(found.attention, 1 / found.attention[0].size, rtol=1e-5)


def test_a_network_of_ones_own_is_explained_by_its_images():
    settings = trusted()
    network = build(settings, 3, 32)
    found = regions(settings, state_of(network), one_clip(), 3)
    assert found.activation.shape == (2, 32, 32)
    assert found.activation.max() == pytest.approx(1)
    assert found.attention is None


def test_a_network_that_passes_no_gradient_to_its_images_speaks_for_no_place():
    """Its parameters learn, so nothing refuses it."""
    settings = trusted(NETWORK.replace("images.flatten", "images.sign().detach().flatten"))
    found = regions(settings, state_of(build(settings, 3, 32)), one_clip(), 3)
    assert found.activation.shape == (2, 32, 32)
    assert not found.activation.any()


def test_a_network_that_fails_is_one_line():
    settings = trusted(NETWORK.replace("return self.classify", "return self.nothing"))
    with pytest.raises(InputError, match=r"net.py:\d+: AttributeError") as error:
        regions(settings, state_of(build(settings, 3, 32)), one_clip(), 3)
    assert "\n" not in str(error.value)
