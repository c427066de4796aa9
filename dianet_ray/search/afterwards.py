"""What is trained when a search is over: LOSO with other seeds, and the pairs of a nested study.

One training's seed moves a score by points, and the champion was chosen for scoring high with one:
so LOSO is repeated for the champion, and for the settings that the search began with. No decision
reads what is trained here; only the report does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from dianet_ray.protocol.folds import pair_rung, repeat_rung
from dianet_ray.protocol.results import Outcome
from dianet_ray.protocol.schedule import MAX_ATTEMPTS, Key, Train
from dianet_ray.protocol.standing import Standing
from dianet_ray.protocol.study import Study
from dianet_ray.search.budget import Extent
from dianet_ray.settings import Settings


@dataclass(frozen=True, slots=True)
class Part:
    """A configuration that is trained as a rung after LOSO, on `n_folds` folds."""

    rung: int
    number: int
    n_folds: int

    def missing(self, study: Study) -> tuple[int, ...]:
        """List the folds that are not trained yet; none where one has failed, which ends it."""
        known = study.known_of(self.rung)
        found = [known.get((self.number, self.rung, fold)) for fold in range(self.n_folds)]
        if any(one is not None and one.outcome != "ok" for one in found):
            return ()
        return tuple(fold for fold, one in enumerate(found) if one is None)


class Work(NamedTuple):
    """Trainings after a search: how many there are at most, and how many of them are done."""

    most: int
    done: int


class Afterwards:
    """Hands out what is to be trained after everything else.

    What is trained here has the number of a rung after LOSO, so its seeds follow from it as they
    do in rungs.
    """

    def __init__(self, study: Study, extent: Extent) -> None:
        self._n_repeats = extent.n_repeats
        self._block = 0  # trainings in a block; 0 before it has begun
        self._waiting: deque[Train] = deque()
        self._in_flight: set[Key] = set()
        self._settings: dict[tuple[int, int], Settings] = {}
        self._with_weights: set[tuple[int, int]] = set()
        self.work = Work(most_after(study, extent, extent.n_configs), 0)

    @property
    def are_in_flight(self) -> bool:
        """Whether one is being trained."""
        return bool(self._in_flight)

    def begin(self, standing: Standing, block: int) -> None:
        """Queue, once, what is missing of a search that is over, in blocks of equal settings."""
        if self._block or not standing.decisions.is_over:
            return
        self._block = block
        n_most = n_missing = 0
        for part in parts(standing, self._n_repeats):
            missing = set(part.missing(standing.study))
            n_most, n_missing = n_most + part.n_folds, n_missing + len(missing)
            self._settings[part.number, part.rung] = _settings(standing, part)
            if _is_of_ensemble(standing, part):
                self._with_weights.add((part.number, part.rung))
            # Cut as at first, also when some of it is known by now.
            for first in range(0, part.n_folds, block):
                folds = range(first, min(first + block, part.n_folds))
                members = tuple((part.number, fold) for fold in folds if fold in missing)
                if members:
                    self._waiting.append(Train(part.rung, members))
        self.work = Work(n_most, n_most - n_missing)

    def settings(self, number: int, rung: int) -> Settings:
        """Return the settings of a configuration that is trained as a rung after LOSO."""
        return self._settings[number, rung]

    def keeps_weights(self, number: int, rung: int) -> bool:
        """Say whether the weights are kept: those of the champion's repeats, for `collect`."""
        return (number, rung) in self._with_weights

    def take(self) -> Train | None:
        """Return the next one, if there is any."""
        if not self._waiting:
            return None
        train = self._waiting.popleft()
        self._in_flight.update(train.keys)
        return train

    def finished(self, key: Key, outcome: Outcome) -> None:
        """Take note that one is recorded. Without one of its folds a part is worth nothing."""
        self._in_flight.discard(key)
        n_ended = 1
        if outcome != "ok":
            number, rung, _ = key
            before = sum(len(train.members) for train in self._waiting)
            self._waiting = deque(
                train
                for train in self._waiting
                if (train.rung, train.members[0][0]) != (rung, number)
            )
            n_ended += before - sum(len(train.members) for train in self._waiting)
        self.work = Work(self.work.most, self.work.done + n_ended)

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
        self._in_flight.difference_update(train.keys)
        middle = (len(train.members) + 1) // 2
        for half in (train.members[middle:], train.members[:middle]):
            self._waiting.appendleft(Train(train.rung, half))

    def split(self, train: Train) -> int:
        """Queue a block again that does not fit, and form smaller ones: return their size.

        They are formed as `begin` forms them when a search is resumed with that size.
        """
        # A larger block may have been in flight when smaller ones were formed.
        self._block = max(1, min(self._block, len(train.members) // 2))
        self._in_flight.difference_update(train.keys)
        blocks: dict[tuple[int, int, int], list[tuple[int, int]]] = {}
        for one in (train, *self._waiting):
            for number, fold in one.members:
                place = one.rung, number, fold // self._block
                blocks.setdefault(place, []).append((number, fold))
        self._waiting = deque(
            Train(rung, tuple(sorted(members))) for (rung, _, _), members in blocks.items()
        )
        return self._block


def _settings(standing: Standing, part: Part) -> Settings:
    study = standing.study
    settings = study.configurations[part.number].settings
    if part.rung == pair_rung(study.rungs):
        return settings  # which point is read is chosen for each subject
    # What it shows where it is read is what a training of so many steps gives at its end.
    return settings.model_copy(update={"steps": standing.steps_read(part.number), "points": 1})


def _is_of_ensemble(standing: Standing, part: Part) -> bool:
    champion = standing.champion()
    is_repeat = part.rung < pair_rung(standing.study.rungs)
    return is_repeat and champion is not None and champion.number == part.number


def missing(standing: Standing, n_repeats: int) -> bool:
    """Say whether anything is still to be trained after the search."""
    return any(part.missing(standing.study) for part in parts(standing, n_repeats))


def parts(standing: Standing, n_repeats: int) -> Iterator[Part]:
    """List what is trained after a search; nothing before it is over."""
    study = standing.study
    if not standing.decisions.is_over:
        return
    if study.identity.protocol == "nested":
        rung = pair_rung(study.rungs)
        for configuration in standing.complete():
            yield Part(rung, configuration.number, len(study.folds_of(rung)))
    champion, first = standing.champion(), standing.began_with()
    repeated = sorted({one.number for one in (champion, first) if one is not None})
    for repeat in range(n_repeats):
        for number in repeated:
            yield Part(repeat_rung(study.rungs, repeat), number, len(study.folds))


def most_after(study: Study, extent: Extent, n_configs: int) -> int:
    """Bound the trainings that follow a search of n configurations."""
    n_pairs = 0
    if study.identity.protocol == "nested":
        n_pairs = n_configs * len(study.folds_of(pair_rung(study.rungs)))
    return n_pairs + most_repeats(study, extent.n_repeats)


def most_repeats(study: Study, n_repeats: int) -> int:
    """Bound the trainings of n repeats."""
    n_repeated = 2 if study.identity.space.first_settings else 1
    return n_repeats * n_repeated * len(study.folds)
