"""LOSO again with other seeds, of the champion and of the settings that the search began with.

One training's seed moves a score by points, and the champion was chosen for scoring high with one.
No decision reads a repeat: they are trained when the search is over, and only the report does.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from dianet_ray.protocol.schedule import MAX_ATTEMPTS, Key, Train
from dianet_ray.protocol.standing import Standing
from dianet_ray.protocol.study import Study
from dianet_ray.settings import Settings


class Repeats:
    """What is to be trained again, after everything else.

    A repeat has the number of a rung after LOSO, so its seeds follow from it as they do in rungs.
    """

    def __init__(self, n: int) -> None:
        self._n = n
        self._waiting: deque[Train] = deque()
        self._listed: set[Key] = set()
        self._in_flight: set[Key] = set()
        self._settings: dict[int, Settings] = {}

    @property
    def are_in_flight(self) -> bool:
        """Whether one is being trained."""
        return bool(self._in_flight)

    def list(self, standing: Standing, block: int) -> None:
        """List what is missing of a search that is over, in blocks of equal settings."""
        for rung, number, folds in missing(standing, self._n):
            # What it shows at its best point is what a training of so many steps gives at its end.
            shortened = {"steps": standing.best_steps(number), "points": 1}
            settings = standing.study.configurations[number].settings
            self._settings[number] = settings.model_copy(update=shortened)
            found = [(number, fold) for fold in folds if (number, rung, fold) not in self._listed]
            for first in range(0, len(found), block):
                self._add(Train(rung, tuple(found[first : first + block])))

    def settings(self, number: int) -> Settings:
        """Return the settings of a configuration that is repeated, which trains to its point."""
        return self._settings[number]

    def _add(self, train: Train) -> None:
        self._listed.update(train.keys)
        self._waiting.append(train)

    def take(self) -> Train | None:
        """Return the next one, if there is any."""
        if not self._waiting:
            return None
        train = self._waiting.popleft()
        self._in_flight.update(train.keys)
        return train

    def finished(self, key: Key) -> None:
        """Take note that one is recorded."""
        self._in_flight.discard(key)

    def lost(self, train: Train) -> bool:
        """Queue a lost block again. False: its attempts are used up, so record it as lost."""
        if train.attempt >= MAX_ATTEMPTS:
            return False
        self.returned(replace(train, attempt=train.attempt + 1))
        return True

    def returned(self, train: Train) -> None:
        """Queue a block again that never began."""
        self._in_flight.difference_update(train.keys)
        self._waiting.appendleft(train)

    def cut(self, train: Train) -> None:
        """Queue a block again as two halves."""
        middle = (len(train.members) + 1) // 2
        for members in (train.members[middle:], train.members[:middle]):
            self.returned(Train(train.rung, members))


def missing(standing: Standing, n: int) -> list[tuple[int, int, list[int]]]:
    """List what n repeats still need, as rung, configuration and folds; nothing before the end."""
    study = standing.study
    if not standing.decisions.is_over:
        return []
    found = []
    for repeat in range(n):
        rung = study.repeat_rung(repeat)
        for number in repeated(standing):
            folds = [f.index for f in study.folds if (number, rung, f.index) not in study.repeats]
            if folds:
                found.append((rung, number, folds))
    return found


def repeated(standing: Standing) -> list[int]:
    """Number what is repeated: the champion, and what the search began with."""
    champion, first = standing.champion(), standing.began_with()
    return sorted({one.number for one in (champion, first) if one is not None})


def n_repeats(standing: Standing, n: int) -> int:
    """Count the trainings of n repeats, once the champion is known."""
    return n * len(repeated(standing)) * len(standing.study.folds)


def most_repeats(study: Study, n: int) -> int:
    """Bound the trainings of n repeats."""
    n_repeated = 2 if study.identity.space.first_settings else 1
    return n * n_repeated * len(study.folds)
