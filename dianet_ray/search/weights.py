"""Check the fold weights that a study still needs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from dianet_ray.protocol.study import Study, Training


def damaged_weights(path: Path, study: Study, numbers: Iterable[int]) -> list[tuple[int, int]]:
    """List (configuration, fold) of kept configurations whose weights are missing or changed."""
    return [
        (number, training.fold)
        for number in numbers
        for training in study.of(number)
        if not _is_whole(path, training)
    ]


def _is_whole(path: Path, training: Training) -> bool:
    weights = training.weights
    if weights is None:
        return True
    file = path / weights.path
    if not file.is_file() or file.stat().st_size != weights.n_bytes:
        return False
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest() == weights.sha256
