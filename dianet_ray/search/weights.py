"""Which fold weights a study still needs, and which of them are damaged."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from dianet_ray import storage
from dianet_ray.protocol.predictions import pooled_score
from dianet_ray.protocol.study import Study, Training


def score(study: Study, number: int) -> float:
    """Score a complete configuration by the study's objective."""
    return pooled_score(
        study.labels(),
        study.pooled(number),
        n_classes=len(study.classes),
        objective=study.objective,
    )


def kept(scores: Mapping[int, float], n: int | None) -> list[int]:
    """Number the configurations whose weights are kept, best first, ties to the lower number."""
    return sorted(scores, key=lambda number: (-scores[number], number))[:n]


def damaged_weights(path: Path, study: Study, n_kept: int | None) -> list[tuple[int, int]]:
    """List (configuration, fold) that are needed, now or soon, and missing or changed."""
    scores = {c.number: score(study, c.number) for c in study.complete()}
    running = [c.number for c in study.configurations if study.state(c.number) == "running"]
    return [
        (number, training.fold)
        for number in [*kept(scores, n_kept), *running]
        for training in study.of(number)
        if not _is_whole(path, training)
    ]


def _is_whole(path: Path, training: Training) -> bool:
    weights = training.weights
    if weights is None:
        return True
    try:
        content = storage.read(path / weights.path)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return False
    return hashlib.sha256(content).hexdigest() == weights.sha256
