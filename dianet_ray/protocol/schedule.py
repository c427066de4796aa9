"""What to train next: the ladder as a state machine, pure.

Given what has finished it answers: train this block, draw a wave, wait, or done. Its state is a
function of the outcomes it was fed, in any order, so a restart feeds them again: there is nothing
to save. `decisions.py` decides who climbs; here is the order of the work.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from dianet_ray.protocol.comparison import Comparing
from dianet_ray.protocol.decisions import Decisions, Entry
from dianet_ray.protocol.ladder import Ladder, entering
from dianet_ray.protocol.results import Outcome

MAX_ATTEMPTS = 3

Key = tuple[int, int, int]
"""Number, rung and fold of a training."""


@dataclass(frozen=True, slots=True)
class Train:
    """Train a block of consecutive folds of a configuration; attempts count from 1.

    One that `is_sure` is needed whatever is in flight; another may become surplus by a drop.
    """

    number: int
    folds: tuple[int, ...]
    rung: int = 0
    attempt: int = 1
    is_sure: bool = True

    @property
    def key(self) -> Key:
        """The training of a block of one fold."""
        (fold,) = self.folds
        return self.number, self.rung, fold


@dataclass(frozen=True, slots=True)
class DrawWave:
    """Draw the wave that starts at configuration `first`, up to `n` settings."""

    wave: int
    first: int
    n: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing can start until something in flight finishes."""


@dataclass(frozen=True, slots=True)
class Done:
    """Every configuration has ended, and no more are to be drawn."""


Action = Train | DrawWave | Wait | Done


class Schedule:
    """Decides the order of work of one study.

    Wave w may be drawn when wave w-2 has closed its first rung, so at most two waves are in it.
    Of the ready work those trainings come first that are needed for sure, the highest rung first,
    by wave, fold by fold across the wave, then by number. Those that a drop may make surplus come
    last, in the same order: for workers that would otherwise idle.
    """

    def __init__(
        self,
        ladder: Ladder,
        *,
        n_folds: Sequence[int],
        n_configs: int,
        wave_size: int,
        comparison: Comparing,
    ) -> None:
        self._ladder, self._n_folds = ladder, tuple(n_folds)
        self._n_configs, self._wave_size = n_configs, wave_size
        self._decisions = Decisions(ladder, self._n_folds, comparison)
        self._in_flight: set[Key] = set()
        self._attempts: dict[Key, int] = {}
        self._ready: list[tuple[bool, int, int, int, int]] = []  # heap, see _push

    @property
    def n_drawn(self) -> int:
        """How many configurations are drawn."""
        return self._decisions.n_drawn

    @property
    def decisions(self) -> Decisions:
        """What is decided."""
        return self._decisions

    def take(self) -> Action:
        """Decide the next action; a training that is handed out counts as in flight."""
        wave = self._next_wave()
        if wave is not None:
            return wave
        while self._ready:
            is_unsure, above, _, fold, number = heapq.heappop(self._ready)
            key = (number, -above, fold)
            entry = self._decisions.entry(number, -above)
            if entry is None or key in self._in_flight or not entry.needs(fold):
                continue
            self._in_flight.add(key)
            attempt = self._attempts.get(key, 0) + 1
            return Train(number, (fold,), -above, attempt, not is_unsure)
        return Wait() if self._in_flight else Done()

    def drawn(self, draw: DrawWave, n: int) -> None:
        """Add the n settings that a draw gave; fewer than asked for end the drawing."""
        self._decisions.draw(draw.wave, n)
        if n < draw.n:
            self._n_configs = self.n_drawn
        self._after_drawing()

    def end_drawing(self) -> None:
        """Draw no more: a budget would be used up."""
        self._n_configs = self.n_drawn
        self._after_drawing()

    def finished(self, number: int, rung: int, fold: int, outcome: Outcome) -> None:
        """Take a training's recorded outcome; one failed or lost fold stops its configuration.

        Raises:
            ValueError: the training has an outcome already.
        """
        self._in_flight.discard((number, rung, fold))
        self._decisions.finished(number, rung, fold, outcome)
        self._queue()

    def lost(self, train: Train) -> bool:
        """Queue a lost training again; False when its attempts are used up: record it as lost."""
        self._attempts[train.key] = train.attempt
        if train.attempt >= MAX_ATTEMPTS:
            return False
        self.returned(train)
        return True

    def returned(self, train: Train) -> None:
        """Queue a training again that never began; it costs no attempt."""
        self._in_flight.discard(train.key)
        entry = self._decisions.entry(train.number, train.rung)
        if entry is not None:
            self._push(entry, train.folds[0])

    def most_trainings(self, n_more: int | None = None) -> list[int]:
        """Bound each rung's trainings if the next n configurations were drawn and no others.

        By default all that are still to be drawn. Places that failures give back do not count.
        """
        if n_more is None:
            n_more = self._n_configs - self.n_drawn
        bounds = []
        may_climb = n_more > 0 or self.n_drawn < self._n_configs
        bound = entering(self._ladder, self.n_drawn + n_more, self._wave_size)
        for rung, (n_folds, n_in) in enumerate(zip(self._n_folds, bound, strict=True)):
            entries = self._decisions.entries(rung)
            given = sum(entry.is_in and entry.is_alive for entry in entries)
            n_missing = max(0, n_in - given) * may_climb if rung else n_more
            bounds.append(sum(map(self._most, entries)) + n_folds * n_missing)
            may_climb |= any(entry.is_in and entry.state == "running" for entry in entries)
        return bounds

    def _most(self, entry: Entry) -> int:
        if entry.is_in and entry.state == "running":
            return entry.n_folds
        started = {
            (entry.number, entry.rung, fold) for fold in range(entry.n_folds)
        } & self._in_flight
        return len(entry.outcomes) + len(started)

    def _after_drawing(self) -> None:
        if self.n_drawn >= self._n_configs:
            self._decisions.end_drawing()
        self._queue()

    def _queue(self) -> None:
        """List the work of what has entered a rung or moved in it."""
        for entry in self._decisions.touched:
            if not entry.is_in or entry.state != "running":
                continue
            n_sure = self._n_sure(entry)
            # What a comparison has made sure was listed as speculative before.
            for fold in range(entry.n_listed, n_sure if entry.n_listed else entry.n_folds):
                self._push(entry, fold)
            entry.n_listed = n_sure
        self._decisions.touched.clear()

    def _push(self, entry: Entry, fold: int) -> None:
        is_unsure = fold >= self._n_sure(entry)
        heapq.heappush(self._ready, (is_unsure, -entry.rung, entry.wave, fold, entry.number))

    def _n_sure(self, entry: Entry) -> int:
        """Count the folds that are needed whatever a comparison says."""
        return entry.next_look if self._decisions.can_drop(entry) else entry.n_folds

    def _next_wave(self) -> DrawWave | None:
        if self.n_drawn >= self._n_configs:
            return None
        wave = self.n_drawn // self._wave_size
        if self._decisions.n_closed < wave - 1:  # the draw reads what became of waves 0..wave-2
            return None
        last = min((wave + 1) * self._wave_size, self._n_configs)
        return DrawWave(wave, self.n_drawn, last - self.n_drawn)
