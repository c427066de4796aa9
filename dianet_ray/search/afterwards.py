"""What is trained when a search is over: LOSO with other seeds, and the pairs of a nested study.

One training's seed moves a score by points, and the champion was chosen for scoring high with one:
so LOSO is repeated for the champion, and for the settings that the search began with. No decision
reads what is trained here; only the report does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

from dianet_ray.protocol.folds import pair_rung, repeat_rung
from dianet_ray.protocol.schedule import MAX_ATTEMPTS, Key, Train
from dianet_ray.protocol.standing import Standing
from dianet_ray.protocol.study import Study
from dianet_ray.settings import Settings


@dataclass(frozen=True, slots=True)
class Missing:
    """Folds of a configuration that are still to be trained as a rung after LOSO."""

    rung: int
    number: int
    folds: tuple[int, ...]


class Afterwards:
    """Hands out what is to be trained after everything else.

    What is trained here has the number of a rung after LOSO, so its seeds follow from it as they
    do in rungs.
    """

    def __init__(self, n_repeats: int) -> None:
        self._n_repeats = n_repeats
        self._waiting: deque[Train] = deque()
        self._listed: set[Key] = set()
        self._in_flight: set[Key] = set()
        self._settings: dict[tuple[int, int], Settings] = {}

    @property
    def are_in_flight(self) -> bool:
        """Whether one is being trained."""
        return bool(self._in_flight)

    def list(self, standing: Standing, block: int) -> None:
        """List what is missing of a search that is over, in blocks of equal settings."""
        for one in missing(standing, self._n_repeats):
            self._settings[one.number, one.rung] = _settings(standing, one)
            found = [
                (one.number, fold)
                for fold in one.folds
                if (one.number, one.rung, fold) not in self._listed
            ]
            for first in range(0, len(found), block):
                train = Train(one.rung, tuple(found[first : first + block]))
                self._listed.update(train.keys)
                self._waiting.append(train)

    def settings(self, number: int, rung: int) -> Settings:
        """Return the settings of a configuration that is trained as a rung after LOSO."""
        return self._settings[number, rung]

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


def _settings(standing: Standing, one: Missing) -> Settings:
    study = standing.study
    settings = study.configurations[one.number].settings
    if one.rung == pair_rung(study.rungs):
        return settings  # which point is best is chosen for each subject
    # What it shows at its best point is what a training of so many steps gives at its end.
    return settings.model_copy(update={"steps": standing.best_steps(one.number), "points": 1})


def missing(standing: Standing, n_repeats: int) -> list[Missing]:
    """List what is still to be trained; nothing before the search is over."""
    if not standing.decisions.is_over:
        return []
    study, found = standing.study, []
    for rung, number, n_folds in _wanted(standing, n_repeats):
        known = study.pairs if rung == pair_rung(study.rungs) else study.repeats
        folds = tuple(fold for fold in range(n_folds) if (number, rung, fold) not in known)
        if folds:
            found.append(Missing(rung, number, folds))
    return found


def _wanted(standing: Standing, n_repeats: int) -> Iterator[tuple[int, int, int]]:
    """List what is trained after a search: rung, configuration and number of folds."""
    study = standing.study
    if study.identity.protocol == "nested":
        rung = pair_rung(study.rungs)
        for configuration in standing.complete():
            yield rung, configuration.number, len(study.folds_of(rung))
    for repeat in range(n_repeats):
        for number in repeated(standing):
            yield repeat_rung(study.rungs, repeat), number, len(study.folds)


def repeated(standing: Standing) -> list[int]:
    """Number what is repeated: the champion, and what the search began with."""
    champion, first = standing.champion(), standing.began_with()
    return sorted({one.number for one in (champion, first) if one is not None})


def n_afterwards(standing: Standing, n_repeats: int) -> int:
    """Count what is trained after a search that is over."""
    return sum(n_folds for _, _, n_folds in _wanted(standing, n_repeats))


def most_repeats(study: Study, n_repeats: int) -> int:
    """Bound the trainings of n repeats."""
    n_repeated = 2 if study.identity.space.first_settings else 1
    return n_repeats * n_repeated * len(study.folds)


def most_pairs(study: Study, n_configs: int) -> int:
    """Bound the trainings of the pairs of n configurations; none unless the study is nested."""
    if study.identity.protocol != "nested":
        return 0
    return n_configs * len(study.folds_of(pair_rung(study.rungs)))
