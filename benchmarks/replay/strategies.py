"""What is replayed: the product's schedule, and its ladder with asynchronous promotion."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Protocol

from benchmarks.replay.cluster import Player
from benchmarks.replay.predictions import Drawn, Recorded, rung_names
from benchmarks.replay.rivals import Aggressive, Forgiving, Halving, OneByOne, Stops, Wilcoxon
from dianet_ray.protocol.ladder import EXHAUSTIVE, Ladder, next_look
from dianet_ray.protocol.schedule import DrawWave, Key, Schedule, Train


class Strategy(Player, Protocol):
    """A player whose decisions can be asked for; its trainings are those of `ladder`."""

    @property
    def ladder(self) -> Ladder:
        """The rungs that it trains."""
        ...

    def champion(self) -> int | None:
        """Return the chosen configuration."""
        ...

    def n_surplus(self) -> int:
        """Count finished trainings that no decision read."""
        ...


Start = Callable[[Drawn], Strategy]
"""Begins a strategy on drawn configurations."""


class Scheduled:
    """The real schedule, drawing the recorded configurations in order."""

    def __init__(self, drawn: Drawn, ladder: Ladder, wave_size: int) -> None:
        self.ladder = ladder
        self._n_folds = [len(folds) for folds in _folds(drawn, ladder)]
        self._schedule = Schedule(
            ladder,
            n_folds=self._n_folds,
            n_configs=len(drawn.rows),
            wave_size=wave_size,
            comparison=drawn.comparison(ladder),
        )

    def take(self) -> Key | None:
        """Draw as often as the schedule wants, then pass its training on."""
        while isinstance(action := self._schedule.take(), DrawWave):
            self._schedule.drawn(action, action.n)
        return action.key if isinstance(action, Train) else None

    def finished(self, key: Key) -> None:
        """Nothing fails in a replay."""
        self._schedule.finished(*key, "ok")

    def champion(self) -> int | None:
        """Ask the schedule."""
        return self._schedule.decisions.best()

    def complete(self, rung: int) -> list[int]:
        """List the numbers that finished a rung, in order."""
        return sorted(entry.number for entry in self._schedule.decisions.complete(rung))

    def n_surplus(self) -> int:
        """Count folds beyond the one that decided."""
        entries = (
            entry
            for rung in range(len(self.ladder))
            for entry in self._schedule.decisions.entries(rung)
        )
        return sum(len(entry.outcomes) - entry.n_decided for entry in entries)


class Asynchronous:
    """The same ladder without waves, as ASHA promotes: at once, by what has finished by then.

    A configuration is promoted as soon as it is among the top `keep` of those that have left its
    rung, and is dropped by comparison with the last of them. Results depend on timing, so no
    search can be repeated.
    """

    def __init__(self, drawn: Drawn, ladder: Ladder) -> None:
        self.ladder = ladder
        self._comparison, self._n_configs = drawn.comparison(ladder), len(drawn.rows)
        self._n_folds = [len(folds) for folds in _folds(drawn, ladder)]
        self._n_drawn = 0
        self._ready: list[tuple[bool, int, int, int]] = []  # heap: is extra, -rung, number, fold
        self._folds: list[dict[int, set[int]]] = [{} for _ in ladder]  # finished, by number
        self._n_decided: list[dict[int, int]] = [{} for _ in ladder]
        self._n_compared: list[dict[int, int]] = [{} for _ in ladder]
        self._started: set[Key] = set()
        self._complete: list[list[int]] = [[] for _ in ladder]
        self._dropped: list[set[int]] = [set() for _ in ladder]

    def take(self) -> Key | None:
        """Train what is needed for sure, else draw, else train what a drop may make surplus."""
        while True:
            is_extra = not self._ready or self._ready[0][0]
            if is_extra and self._n_drawn < self._n_configs:
                self._n_drawn += 1
                self._enter(self._n_drawn - 1, 0)
                continue
            if not self._ready:
                return None
            _, below, number, fold = heapq.heappop(self._ready)
            key = number, -below, fold
            if key not in self._started and number not in self._dropped[-below]:
                self._started.add(key)
                return key

    def finished(self, key: Key) -> None:
        """Drop, complete and promote by what is known now."""
        number, rung, fold = key
        self._folds[rung][number].add(fold)
        if number in self._dropped[rung]:
            return
        while self._n_decided[rung][number] in self._folds[rung][number]:
            self._n_decided[rung][number] += 1
            if self._n_decided[rung][number] == self._n_folds[rung]:
                self._complete[rung].append(number)
                self._promote(rung)
            elif self._n_decided[rung][number] == self._look(number, rung):
                if self._is_hopeless(number, rung):
                    self._dropped[rung].add(number)
                    self._promote(rung)
                    return
                self._n_compared[rung][number] = self._n_decided[rung][number]
                for fold in range(self._n_decided[rung][number], self._look(number, rung)):
                    self._push(number, rung, fold, is_extra=False)

    def champion(self) -> int | None:
        """Choose the largest sum of scores among those that finished LOSO."""
        last = len(self.ladder) - 1
        return next(iter(self._ranked(last)), None)

    def n_surplus(self) -> int:
        """Count folds beyond the one that decided."""
        return len(self._started) - sum(sum(found.values()) for found in self._n_decided)

    def _enter(self, number: int, rung: int) -> None:
        self._folds[rung][number] = set()
        self._n_decided[rung][number] = self._n_compared[rung][number] = 0
        for fold in range(self._n_folds[rung]):
            self._push(number, rung, fold, is_extra=fold >= self._look(number, rung))

    def _push(self, number: int, rung: int, fold: int, *, is_extra: bool) -> None:
        heapq.heappush(self._ready, (is_extra, -rung, number, fold))

    def _look(self, number: int, rung: int) -> int:
        """Find the fold after which a configuration is compared next, or the rung ends."""
        n_folds = self._n_folds[rung]
        if self.ladder[rung].drop == "none":
            return n_folds
        return next_look(n_folds, self._n_compared[rung][number])

    def _is_hopeless(self, number: int, rung: int) -> bool:
        is_top = rung + 1 == len(self.ladder)
        places = 1 if is_top else self._places(rung, is_last=False)
        if not 0 < places <= len(self._complete[rung]):
            return False
        rival = self._ranked(rung)[places - 1]
        n_folds = self._n_decided[rung][number]
        return self._comparison.is_behind(number, rung, n_folds, rival)

    def _promote(self, rung: int) -> None:
        is_last = self._n_drawn == self._n_configs and all(
            self._n_left(below) == len(self._n_decided[below]) for below in range(rung)
        )
        for above in range(rung + 1, len(self.ladder)):
            is_last &= self._n_left(above - 1) == len(self._n_decided[above - 1])
            for number in self._ranked(above - 1)[: self._places(above - 1, is_last=is_last)]:
                if number not in self._n_decided[above]:
                    self._enter(number, above)

    def _places(self, rung: int, *, is_last: bool) -> int:
        return self.ladder[rung].quota(self._n_left(rung), is_last_wave=is_last)

    def _n_left(self, rung: int) -> int:
        return len(self._complete[rung]) + len(self._dropped[rung])

    def _ranked(self, rung: int) -> list[int]:
        return sorted(
            self._complete[rung], key=lambda number: (-self._total(number, rung), number)
        )

    def _total(self, number: int, rung: int) -> float:
        return sum(self._comparison.score(number, r, self._n_folds[r]) for r in range(rung + 1))


def strategies(recorded: Recorded, ladder: Ladder, wave_size: int) -> dict[str, Start]:
    """List every strategy by name; all repetitions share what rules have found."""
    rules: dict[str, Stops] = {
        "wilcoxon": Wilcoxon(recorded, per_clip=False),
        "wilcoxon-clips": Wilcoxon(recorded, per_clip=True),
        "forgiving": Forgiving(recorded),
        "aggressive": Aggressive(recorded),
    }
    return {
        "exhaustive": scheduled(EXHAUSTIVE, wave_size),
        **{name: _one_by_one(rule) for name, rule in rules.items()},
        "halving": Halving,
        "ladder": scheduled(ladder, wave_size),
        "ladder-async": lambda drawn: Asynchronous(drawn, ladder),
    }


def scheduled(ladder: Ladder, wave_size: int) -> Start:
    """Begin the product's own schedule with a ladder."""
    return lambda drawn: Scheduled(drawn, ladder, wave_size)


def _one_by_one(rule: Stops) -> Start:
    return lambda drawn: OneByOne(drawn, rule)


def ceiling(ladder: Ladder, n_folds: list[int], n_configs: int, wave_size: int) -> int:
    """Count the fewest trainings that a ladder's rules allow.

    All configurations of waves 0 and 1 finish the first rung; all others are dropped at the first
    comparison. Only the quota is promoted, and of those the later waves are dropped at once, too.
    """
    total, n_in, n_safe = 0, n_configs, min(n_configs, 2 * wave_size)
    for rung, folds in zip(ladder, n_folds, strict=True):
        least = folds if rung.drop == "none" else next_look(folds, 0)
        total += n_safe * folds + (n_in - n_safe) * least
        n_safe = max(1, rung.quota(n_safe, is_last_wave=n_safe == n_configs))
        n_in = rung.quota(n_in, is_last_wave=True)
    return total


def _folds(drawn: Drawn, ladder: Ladder) -> list[tuple[object, ...]]:
    rungs = drawn.recorded.matrix.rungs
    return [rungs[name].folds for name in rung_names(ladder)]
