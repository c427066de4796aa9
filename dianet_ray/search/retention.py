"""Which fold weights a study still needs, and which of them are damaged."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from dianet_ray.protocol.standing import standing
from dianet_ray.protocol.study import Study, Training
from dianet_ray.storage import files


def totals(study: Study) -> dict[int, float]:
    """Sum the pooled objective over its rungs of every configuration that finished LOSO."""
    climb = standing(study).climb
    return {run.number: climb.total(run.number, run.rung) for run in climb.complete()}


def kept(ranks: Mapping[int, float], n: int | None) -> list[int]:
    """Number the configurations whose weights are kept, best first, ties to the lower number."""
    return sorted(ranks, key=lambda number: (-ranks[number], number))[:n]


def damaged_weights(path: Path, study: Study, n_kept: int | None) -> list[tuple[int, int]]:
    """List (configuration, fold) that are needed, now or soon, and missing or changed."""
    climb = standing(study).climb
    in_loso = (climb.run(c.number, study.loso_rung) for c in study.configurations)
    running = [run.number for run in in_loso if run is not None and run.state == "running"]
    return [
        (number, training.fold)
        for number in [*kept(totals(study), n_kept), *running]
        for training in study.of(number)
        if not _is_whole(path, training)
    ]


def _is_whole(path: Path, training: Training) -> bool:
    weights = training.weights
    if weights is None:
        return True
    try:
        content = files.read(path / weights.path)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return False
    return hashlib.sha256(content).hexdigest() == weights.sha256
