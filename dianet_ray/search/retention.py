"""Which fold weights a study still needs, and which of them are damaged."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from dianet_ray.artefacts import WEIGHTS_FOLDER
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


class Retention:
    """Deletes the fold weights that are no longer needed, as a search goes on.

    `n_kept` of the configurations that finished LOSO keep their weights, the best ones; None
    for all.
    """

    def __init__(self, path: Path, n_kept: int | None) -> None:
        self._folder, self._n_kept = path / WEIGHTS_FOLDER, n_kept
        self._weightless: set[int] = set()  # configurations whose weights are deleted

    def written(self, number: int) -> None:
        """Take note that a training of a configuration may just have written weights."""
        self._weightless.discard(number)

    def delete_surplus(self, standing: Standing) -> None:
        """Delete the weights of configurations that ended and are not among the best."""
        study = standing.study
        wanted = set(kept(standing.totals(), self._n_kept))
        for entry in standing.decisions.entries(study.loso_rung):
            if entry.number in wanted or entry.number in self._weightless:
                continue
            folder = self._folder / study.configurations[entry.number].config_id
            if not (entry.is_in and entry.state == "running") and files.remove(folder):
                self._weightless.add(entry.number)


def _is_whole(path: Path, training: Training) -> bool:
    weights = training.result.weights
    if weights is None:
        return True
    try:
        content = files.read(path / weights.path)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return False
    return hashlib.sha256(content).hexdigest() == weights.sha256
