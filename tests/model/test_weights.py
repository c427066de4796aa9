"""Files of weights: whole or not at all, and equal for equal weights."""

from __future__ import annotations

import hashlib
import os

import pytest
import torch

from dianet_ray.model.build import build
from dianet_ray.model.weights import load_weights, weights_file
from tests.support.toy import TINY, state_of

WEIGHTS = state_of(build(TINY, 3, 32))


def test_weights_come_back_and_the_file_is_what_was_reported(tmp_path):
    path = tmp_path / "weights" / "fold-000.safetensors"
    file = weights_file(path, WEIGHTS, {"config_id": "abc", "fold": "0"})
    file.write()
    assert len(file.content) == path.stat().st_size
    assert file.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert list(path.parent.iterdir()) == [path]
    found = load_weights(path)
    assert found.keys() == WEIGHTS.keys()
    assert all(torch.equal(found[name], value) for name, value in WEIGHTS.items())


def test_equal_weights_give_equal_files(tmp_path):
    names = [chr(ord("a") + number) for number in range(20)]
    one = weights_file(tmp_path, WEIGHTS, dict.fromkeys(names, "x"))
    assert weights_file(tmp_path, WEIGHTS, dict.fromkeys(reversed(names), "x")) == one


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"old")

    def fail(descriptor):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        weights_file(path, {"a": torch.zeros(2)}, {}).write()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
