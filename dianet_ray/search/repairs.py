"""LOSO trainings whose weights files were lost: they are trained again, for the files alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dianet_ray.protocol.results import TrainingResult
from dianet_ray.protocol.schedule import MAX_ATTEMPTS, Key, Train
from dianet_ray.protocol.study import Study
from dianet_ray.search.events import WeightsMade


class Repairs:
    """What is to be trained again, ahead of everything else.

    A stack is trained again as it was, because in another one the weights would round differently.
    Of its members only those keep their weights whose files are lost.
    """

    def __init__(self) -> None:
        self._waiting: list[Train] = []
        self._lost: set[Key] = set()

    def add(self, study: Study, damaged: Sequence[tuple[int, int]]) -> None:
        """Queue trainings, each a configuration and a fold."""
        rung = study.loso_rung
        self._lost |= {(number, rung, fold) for number, fold in damaged}
        blocks = {study.trainings[key].block or ((key[0], key[2]),) for key in self._lost}
        self._waiting = [Train(rung, block) for block in sorted(blocks)]

    def take(self) -> Train | None:
        """Return the next one, if there is any."""
        return self._waiting.pop() if self._waiting else None

    def returned(self, train: Train) -> None:
        """Queue a block again that never began."""
        self._waiting.append(train)

    def died(self, train: Train) -> None:
        """Queue a block again whose worker died, up to `MAX_ATTEMPTS` times."""
        if train.attempt < MAX_ATTEMPTS:
            self._waiting.append(replace(train, attempt=train.attempt + 1))

    def is_lost(self, key: Key) -> bool:
        """Whether the weights of a training are what is wanted."""
        return key in self._lost

    def made(self, key: Key, result: TrainingResult) -> WeightsMade | None:
        """Return what to record of a training; None where it made no weights."""
        weights = tuple(point.weights for point in result.points if point.weights is not None)
        number, _, fold = key
        return WeightsMade(result.finished_at, number, fold, weights) if weights else None
