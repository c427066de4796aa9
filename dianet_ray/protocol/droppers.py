"""Rules that stop a configuration inside a rung, behind one signature.

A rule compares two configurations on the same clips and says whether the first is hopeless
against the second.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dianet_ray.protocol.metrics import scores

N_REPLICATES = 1000
CONFIDENCE = 0.95
"""The share of replicates in which a configuration must be worse."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two configurations' answers on the same N clips.

    `mine`, `rival` and `labels` are (N,) classes, `subjects` (N,) integers from 0.
    """

    mine: np.ndarray
    rival: np.ndarray
    labels: np.ndarray
    subjects: np.ndarray


def none(pair: Pair, *, n_classes: int, objective: str, seed: int) -> bool:
    """Never stop a configuration."""
    return False


def bootstrap(pair: Pair, *, n_classes: int, objective: str, seed: int) -> bool:
    """Stop a configuration that is worse in 95 % of the replicates of a paired bootstrap.

    A replicate draws subjects with replacement and, because a model trained again would answer
    some clips of each subject otherwise, gives every clip a Poisson weight; both configurations
    get the same weights. It averages over the classes that have clips in it.

    Args:
        pair: the configuration, and the one that it is compared with.
        n_classes: the number of classes that count.
        objective: one of METRICS.
        seed: of the replicates.
    """
    generator = np.random.default_rng(seed)
    n_subjects = int(pair.subjects.max()) + 1
    drawn = generator.multinomial(
        n_subjects, np.full(n_subjects, 1 / n_subjects), size=N_REPLICATES
    )
    weights = drawn[:, pair.subjects] * generator.poisson(
        1.0, size=(N_REPLICATES, len(pair.labels))
    )
    mine_scored, rival_scored = (
        scores(_confusions(pair.labels, answers, weights, n_classes), present_only=True)[objective]
        for answers in (pair.mine, pair.rival)
    )
    return bool((mine_scored < rival_scored).mean() >= CONFIDENCE)


def _confusions(
    labels: np.ndarray, answers: np.ndarray, weights: np.ndarray, n_classes: int
) -> np.ndarray:
    """Weigh every clip: (B, N) weights to (B, C, C)."""
    cells = np.zeros((len(labels), n_classes * n_classes))
    cells[np.arange(len(labels)), labels * n_classes + answers] = 1.0
    return (weights.astype(np.float64) @ cells).reshape(-1, n_classes, n_classes)


Dropper = Callable[..., bool]
DROPPERS: dict[str, Dropper] = {"none": none, "bootstrap": bootstrap}
