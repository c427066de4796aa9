"""How many trainings fit into a GPU, as far as that can be told without one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dianet_ray.model import memory
from dianet_ray.model.fit import LabelledImages, Member
from dianet_ray.model.out_of_memory import is_out_of_memory
from tests.support.recorders import accelerator_error
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
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 2000))


@pytest.mark.parametrize(("most", "n"), [(1, 1), (2, 2), (3, 2), (100, 2 + (800 - 200) // 50)])
def test_two_that_fit_are_two_though_four_do_not(most, n, monkeypatch):
    peaks(most, monkeypatch)
    assert memory.most_members(TINY, CLIPS, FOLD, "cuda") == n


def test_the_gpu_has_begun_when_its_statistics_are_asked_for(monkeypatch):
    """In a new process torch refuses to reset them before."""
    peaks(4, monkeypatch)
    begun = []
    monkeypatch.setattr(torch.cuda, "init", lambda: begun.append("init"))
    peak = memory._peak
    monkeypatch.setattr(memory, "_peak", lambda *args: begun.append("peak") or peak(*args))
    memory.most_members(TINY, CLIPS, FOLD, "cuda")
    assert begun == ["init", "peak", "peak"]


def test_what_fails_for_another_reason_is_not_taken_for_memory(monkeypatch):
    def fails(*args):
        raise RuntimeError("no rule for vmap")

    peaks(4, monkeypatch)
    monkeypatch.setattr(memory, "_peak", fails)
    with pytest.raises(RuntimeError, match="no rule"):
        memory.most_members(TINY, CLIPS, FOLD, "cuda")


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (accelerator_error(2), True),
        (accelerator_error(700), False),
        (torch.AcceleratorError("gone"), False),
        (RuntimeError("out of memory"), False),
        (MemoryError(), False),
    ],
)
def test_memory_that_ran_out_is_known_by_its_error(error, is_memory):
    assert is_out_of_memory(error) == is_memory
