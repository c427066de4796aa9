"""A block that begins where another one ended trains as it would in a new process."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from dianet_ray.model.blocks import Workplace
from dianet_ray.model.fit import LabelledImages, Member, fit_block
from dianet_ray.model.training import NonFiniteLoss
from tests.support.networks import trusted
from tests.support.recorders import RATES, assert_equal, record_with, traced
from tests.support.toy import toy_images

LIKE = [
    {},
    {"learning_rate": 1e-2, "dropout": 0.0},
    {"label_smoothing": 0.3, "class_weights": False},
    {"steps": 3, "points": 1, "schedule": "averaged", "warmup": 0},
]
"""What blocks may change one after the other, and replay the recording of the first one."""


IMAGES, LABELS = toy_images(12)


class Blocks:
    """Trains blocks one after the other, and counts what is recorded."""

    def __init__(self, record, monkeypatch):
        self.n_records, self._workplace = 0, Workplace("cpu")
        self._recorder = record_with(partial(self._counted, record), monkeypatch)

    def _counted(self, record, do):
        self.n_records += 1
        return record(do)

    def train(self, settings, n_members, *, images=IMAGES, workplace=None, seed=1):
        members = [
            Member(np.arange(seed % 3, 10), np.arange(10, 12), seed=7 * seed + member)
            for member in range(n_members)
        ]
        clips = LabelledImages(images, LABELS, 3)
        return fit_block(settings, clips, members, workplace or self._workplace)

    def compare(self, settings, n_members, **more):
        """Compare a block with one that nothing was kept for, and whose steps are its own."""
        found = self.train(settings, n_members, **more)
        self._recorder.has_failed = True
        assert_equal(found, self.train(settings, n_members, workplace=Workplace("cpu"), **more))
        self._recorder.has_failed = False


@pytest.fixture
def blocks(monkeypatch):
    return Blocks(lambda do: do, monkeypatch)


@pytest.mark.parametrize("n_members", [1, 3])
def test_a_block_like_the_one_before_replays_its_recording(n_members, monkeypatch):
    blocks = Blocks(traced, monkeypatch)
    shape = {"normalisation": "standard", "clip_norm": 0.1, "mixup": 0.4, "steps": 6, "warmup": 2}
    for seed, like in enumerate(LIKE):
        blocks.compare(RATES.model_copy(update=shape | like), n_members, seed=seed)
    assert blocks.n_records == 1


@pytest.mark.parametrize(
    "other",
    [{"batch_size": 3}, {"shift": 0.2}, {"normalisation": "minmax"}, {"clip_norm": 1.0}],
    ids=str,
)
def test_a_block_of_another_shape_is_recorded_anew(other, blocks):
    for changes in ({}, other, {}):
        blocks.compare(RATES.model_copy(update=changes), 2)
    assert blocks.n_records == 3
    blocks.compare(RATES, 3)
    assert blocks.n_records == 4


@pytest.mark.parametrize(("n_members", "n_records"), [(1, 2), (3, 1)])
def test_the_decay_of_a_network_alone_is_recorded(n_members, n_records, blocks):
    """torch's optimiser knows it as a number; a stack has it in a tensor."""
    for decay in (0.0, 0.5):
        blocks.compare(RATES.model_copy(update={"weight_decay": decay}), n_members)
    assert blocks.n_records == n_records


def test_other_images_are_recorded_anew(blocks):
    for some in (IMAGES, IMAGES[::-1].copy(), IMAGES):
        blocks.compare(RATES, 2, images=some)
    assert blocks.n_records == 3


def test_a_users_network_is_recorded_for_each_block(blocks):
    """It may hold numbers that are no tensors, which a recording knows as they were."""
    for _ in range(2):
        blocks.compare(trusted(steps=4), 1)
    assert blocks.n_records == 2


def test_a_block_after_one_that_failed_begins_anew(blocks):
    wild = RATES.model_copy(update={"learning_rate": 1e6})
    assert any(isinstance(one, NonFiniteLoss) for one in blocks.train(wild, 2))
    blocks.compare(RATES, 2)
    assert blocks.n_records == 1
