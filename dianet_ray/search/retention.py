"""Which fold weights a study still needs, and which of them are damaged."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from dianet_ray.protocol.results import Training
from dianet_ray.protocol.standing import Standing
from dianet_ray.storage import files


def kept(totals: Mapping[int, float], n: int | None) -> list[int]:
    """Number the configurations whose weights are kept, best first, ties to the lower number."""
    return sorted(totals, key=lambda number: (-totals[number], number))[:n]


def damaged_weights(path: Path, standing: Standing, n_kept: int | None) -> list[tuple[int, int]]:
    """List (configuration, fold) that are needed, now or soon, and missing or changed."""
    study = standing.study
    in_loso = (standing.decisions.entry(c.number, study.loso_rung) for c in study.configurations)
    running = [entry.number for entry in in_loso if entry is not None and entry.state == "running"]
    return [
        (number, training.fold)
        for number in [*kept(standing.totals(), n_kept), *running]
        for training in study.of(number)
        if not _is_whole(path, training)
    ]


def _is_whole(path: Path, training: Training) -> bool:
    weights = training.result.weights
    if weights is None:
        return True
    try:
        content = files.read(path / weights.path)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return False
    return hashlib.sha256(content).hexdigest() == weights.sha256
