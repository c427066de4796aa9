"""Real trainings of seconds, in this process."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dianet_ray.model.blocks import Workplace
from dianet_ray.protocol.folds import Clip, loso
from dianet_ray.search.events import Member, Order
from dianet_ray.search.trial import FoldTrial, Material
from dianet_ray.settings import Settings, config_id

SETTINGS = Settings(
    width=4,
    embedding=8,
    heads=2,
    steps=3,
    batch_size=4,
    normalisation="standard",
    erasing=0.5,
)
CLIPS = tuple(Clip(f"d/s{s}/{k}", f"d/s{s}", k % 2) for s in range(3) for k in range(4))
FOLDS = loso(CLIPS, ("a", "b"), 0)
LABELS = np.array([clip.label for clip in CLIPS])
IMAGES = np.random.default_rng(0).normal(0, 9, (12, 3, 16, 16, 3)).astype(np.float16)


def material_of(path: Path) -> Material:
    """Return what the trainings of a study at `path` read."""
    return Material(IMAGES.copy(), LABELS, 2, (FOLDS,), path, 0, 1)


def order(fold: int = 1, settings: Settings = SETTINGS) -> Order:
    """Ask for one training."""
    return Order(
        rung=0,
        members=(Member(0, config_id(SETTINGS), settings, fold),),
        steps=1.0,
        attempt=1,
        silence_s=100.0,
    )


def worker(path: Path, device: str = "cpu") -> FoldTrial:
    """A worker as Tune sets it up, without Ray."""
    one = FoldTrial.__new__(FoldTrial)
    one.config = order().config()
    one._material = Material(IMAGES, LABELS, 2, (FOLDS,), path, 0, 1)
    one._problem, one._node_id, one._made = "", "here", None
    one._workplace = Workplace(device)
    return one
