"""Which fold weights a study still needs, and which of them are damaged."""

from __future__ import annotations

from pathlib import Path

from dianet_ray.artefacts import weights_folder
from dianet_ray.protocol.results import Point
from dianet_ray.protocol.standing import Standing
from dianet_ray.storage import files


def damaged_weights(path: Path, standing: Standing, n_kept: int | None) -> list[tuple[int, int]]:
    """List (configuration, fold) that are needed, now or soon, and missing or changed."""
    study, best = standing.study, [one.number for one in standing.ranking[:n_kept]]
    in_loso = (standing.decisions.entry(c.number, study.loso_rung) for c in study.configurations)
    running = [entry.number for entry in in_loso if entry is not None and entry.state == "running"]
    needed: dict[int, tuple[int, ...]] = {n: (standing.steps_read(n),) for n in best}
    # Which point is read is not known before the last fold.
    needed |= {number: study.points(number) for number in running if study.of(number)}
    return [
        (number, training.fold)
        for number, steps in needed.items()
        for training in study.of(number)
        if not all(_is_whole(path, p) for p in training.points if p.steps in steps)
    ]


class Retention:
    """Deletes the fold weights that are no longer needed, as a search goes on.

    `n_kept` of the configurations that finished LOSO keep their weights, the best ones; None
    for all. They keep those of the point that is read.
    """

    def __init__(self, path: Path, n_kept: int | None) -> None:
        self._path, self._n_kept = path, n_kept
        self._wanted: set[int] = set()
        self._settled: set[int] = set()  # configurations that have no weights too many
        self._former: set[int] = set()  # champions whose repeats have no weights any more

    def written(self, number: int) -> None:
        """Take note that a training of a configuration may just have written weights."""
        self._settled.discard(number)

    def delete_surplus(self, standing: Standing) -> None:
        """Delete the weights of configurations that ended and are not among the best.

        Of the best, delete those at other points than the one that is read.
        """
        self._delete_repeats(standing)
        wanted = {one.number for one in standing.ranking[: self._n_kept]}
        # A configuration that is overtaken later has still weights to delete.
        self._settled -= self._wanted - wanted
        self._wanted = wanted
        for entry in standing.decisions.entries(standing.study.loso_rung):
            if entry.number in self._settled or (entry.is_in and entry.state == "running"):
                continue
            best = standing.steps_read(entry.number) if entry.number in wanted else None
            configuration = standing.study.configurations[entry.number]
            folders = [
                self._path / weights_folder(configuration.config_id, steps)
                for steps in configuration.settings.shown_at
                if steps != best
            ]
            # A list, not a generator: all are tried, also after one that cannot be deleted now.
            if all([files.remove(folder) for folder in folders]):
                self._settled.add(entry.number)

    def _delete_repeats(self, standing: Standing) -> None:
        """Delete the weights of repeats of configurations that are no longer the champion."""
        champion = standing.champion()
        if champion is None or not standing.decisions.is_over:
            return
        self._former.discard(champion.number)
        folders: dict[int, set[Path]] = {}
        for key, training in standing.study.repeats.items():
            weights = training.points[-1].weights if training.points else None
            if weights is not None and key[0] not in {champion.number, *self._former}:
                folders.setdefault(key[0], set()).add((self._path / weights.path).parent)
        for number, found in folders.items():
            if all([files.remove(folder) for folder in found]):
                self._former.add(number)


def _is_whole(path: Path, point: Point) -> bool:
    weights = point.weights
    if weights is None:
        return True
    try:
        content = files.read(path / weights.path)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return False
    return weights.matches(content)
