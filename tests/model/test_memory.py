"""How many trainings fit into a GPU, as far as that can be told without one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dianet_ray.model import memory
from dianet_ray.model.fit import LabelledImages, Member
from tests.support.toy import TINY, toy_images

CLIPS = LabelledImages(*toy_images(12), 3)
FOLD = Member(np.arange(12), np.arange(0), 0)


def peaks(most, monkeypatch):
    """Let up to `most` members fit into a GPU."""

    def peak(settings, clips, members, device):
        if len(members) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return 100 + 50 * len(members)

    monkeypatch.setattr(memory, "_peak", peak)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 2000))


@pytest.mark.parametrize(("most", "n"), [(2, 2), (3, 2), (100, 2 + (800 - 200) // 50)])
def test_two_that_fit_are_two_though_four_do_not(most, n, monkeypatch):
    peaks(most, monkeypatch)
    assert memory.most_members(TINY, CLIPS, FOLD, "cuda") == n


def test_it_is_said_when_two_do_not_fit(monkeypatch):
    peaks(1, monkeypatch)
    with pytest.raises(torch.OutOfMemoryError):
        memory.most_members(TINY, CLIPS, FOLD, "cuda")
