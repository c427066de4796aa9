"""Rules that stop a configuration inside a rung, behind one signature.

A rule compares two configurations on the clips of the folds that both have finished, and says
whether the first is sure to end the rung behind the second.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dianet_ray.protocol.metrics import scores

N_REPLICATES = 1000


@dataclass(frozen=True, slots=True)
class Pair:
    """Two configurations' answers on the same N clips.

    `mine`, `rival` and `labels` are (N,) classes, `subjects` (N,) integers from 0. `n_left`
    subjects will still be tested in this rung; `lead` is how much more the first scored in the
    rungs below, which count as much.
    """

    mine: np.ndarray
    rival: np.ndarray
    labels: np.ndarray
    subjects: np.ndarray
    n_left: int
    lead: float = 0.0


def none(pair: Pair, *, n_classes: int, objective: str, confidence: float, seed: int) -> bool:
    """Never stop a configuration."""
    return False


def bootstrap(pair: Pair, *, n_classes: int, objective: str, confidence: float, seed: int) -> bool:
    """Stop a configuration that ends the rung behind in most replicates of a paired bootstrap.

    What is finished stays as it is; a replicate draws the subjects still to be tested from those
    that were. Because another model will test them, which would answer some clips otherwise,
    every clip so drawn gets a Poisson weight; both configurations get the same weights. A
    replicate averages over the classes that have clips in it.

    Args:
        pair: the configuration, and the one that it is compared with.
        n_classes: the number of classes that count.
        objective: one of METRICS.
        confidence: the share of replicates that is enough, 0..1.
        seed: of the replicates.
    """
    generator = np.random.default_rng(seed)
    n_subjects = int(pair.subjects.max()) + 1
    drawn = generator.multinomial(
        pair.n_left, np.full(n_subjects, 1 / n_subjects), size=N_REPLICATES
    )
    weights = 1 + drawn[:, pair.subjects] * generator.poisson(
        1.0, size=(N_REPLICATES, len(pair.labels))
    )
    mine_scored, rival_scored = (
        scores(_confusions(pair.labels, answers, weights, n_classes), present_only=True)[objective]
        for answers in (pair.mine, pair.rival)
    )
    return bool((mine_scored + pair.lead < rival_scored).mean() >= confidence)


def _confusions(
    labels: np.ndarray, answers: np.ndarray, weights: np.ndarray, n_classes: int
) -> np.ndarray:
    """Weigh every clip: (B, N) weights to (B, C, C)."""
    cells = np.zeros((len(labels), n_classes * n_classes))
    cells[np.arange(len(labels)), labels * n_classes + answers] = 1.0
    return (weights.astype(np.float64) @ cells).reshape(-1, n_classes, n_classes)


Dropper = Callable[..., bool]
DROPPERS: dict[str, Dropper] = {"none": none, "bootstrap": bootstrap}
