"""Decide what to do next: train a block of folds, draw a wave, wait, or stop.

A pure state machine. Its state depends only on the draws and outcomes that it was given, and not
on the order of the outcomes. A restart gives it the recorded ones again, so nothing else needs
saving. `decisions.py` decides promotions and drops; this module orders the work.
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
"""A training: configuration number, rung and fold."""


@dataclass(frozen=True, slots=True)
class Train:
    """Train a block of consecutive folds of a configuration; attempts count from 1.

    It `is_certain` if no comparison that is still open can make it surplus.
    """

    number: int
    folds: tuple[int, ...]
    rung: int = 0
    attempt: int = 1
    is_certain: bool = True

    @property
    def key(self) -> Key:
        """The key of a block of one fold."""
        (fold,) = self.folds
        return self.number, self.rung, fold


@dataclass(frozen=True, slots=True)
class DrawWave:
    """Draw up to `n` settings, the wave's configurations from number `first` on."""

    wave: int
    first: int
    n: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait: nothing can start until a training in flight finishes."""


@dataclass(frozen=True, slots=True)
class Done:
    """Stop: every configuration has ended, and drawing has ended."""


Action = Train | DrawWave | Wait | Done


class Schedule:
    """Orders the work of one study.

    Wave w may be drawn when wave w-2 has closed in the first rung, so at most two waves are in it
    at a time. Certain trainings are handed out first: the highest rung first, then by wave, fold
    and number. Speculative trainings, which a drop may make surplus, follow in the same order, so
    they only fill workers that would otherwise idle.
    docs/decisions.md: Waves instead of an asynchronous search.
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
        self._ready: list[tuple[bool, int, int, int, int]] = []  # a heap; _push says of what

    @property
    def n_drawn(self) -> int:
        """How many configurations have been drawn."""
        return self._decisions.n_drawn

    @property
    def decisions(self) -> Decisions:
        """What is decided about every configuration."""
        return self._decisions

    def take(self) -> Action:
        """Return the next action. A training that is handed out counts as in flight."""
        wave = self._next_wave()
        if wave is not None:
            return wave
        while self._ready:
            is_speculative, above, _, fold, number = heapq.heappop(self._ready)
            key = (number, -above, fold)
            entry = self._decisions.entry(number, -above)
            # The heap is never searched: work that was overtaken by events is skipped here.
            if entry is None or key in self._in_flight or not entry.needs(fold):
                continue
            self._in_flight.add(key)
            attempt = self._attempts.get(key, 0) + 1
            return Train(number, (fold,), -above, attempt, not is_speculative)
        return Wait() if self._in_flight else Done()

    def drawn(self, draw: DrawWave, n: int) -> None:
        """Add the n drawn settings of a wave. Fewer than asked for end the drawing."""
        self._decisions.draw(draw.wave, n)
        if n < draw.n:
            self._n_configs = self.n_drawn
        self._after_drawing()

    def end_drawing(self) -> None:
        """End the drawing early, for a budget."""
        self._n_configs = self.n_drawn
        self._after_drawing()

    def finished(self, number: int, rung: int, fold: int, outcome: Outcome) -> None:
        """Take a training's recorded outcome. A failed or lost fold ends its configuration.

        Raises:
            ValueError: the training already has one.
        """
        self._in_flight.discard((number, rung, fold))
        self._decisions.finished(number, rung, fold, outcome)
        self._queue()

    def lost(self, train: Train) -> bool:
        """Queue a lost training again. False: its attempts are used up, so record it as lost."""
        self._attempts[train.key] = train.attempt
        if train.attempt >= MAX_ATTEMPTS:
            return False
        self.returned(train)
        return True

    def returned(self, train: Train) -> None:
        """Queue a training that never began again; that costs no attempt."""
        self._in_flight.discard(train.key)
        entry = self._decisions.entry(train.number, train.rung)
        if entry is not None:
            self._push(entry, train.folds[0])

    def most_trainings(self, n_more: int | None = None) -> list[int]:
        """Bound the number of trainings in each rung if n more configurations are drawn.

        By default n is the number still to be drawn. Replacements for promoted configurations
        that fail are not counted.
        """
        if n_more is None:
            n_more = self._n_configs - self.n_drawn
        bounds = []
        may_promote = n_more > 0 or self.n_drawn < self._n_configs
        bound = entering(self._ladder, self.n_drawn + n_more, self._wave_size)
        for rung, (n_folds, n_in) in enumerate(zip(self._n_folds, bound, strict=True)):
            entries = self._decisions.entries(rung)
            given = sum(entry.is_in and entry.is_alive for entry in entries)
            n_missing = max(0, n_in - given) * may_promote if rung else n_more
            bounds.append(sum(map(self._most, entries)) + n_folds * n_missing)
            may_promote |= any(entry.is_in and entry.state == "running" for entry in entries)
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
        """List the work of the entries that changed."""
        for entry in self._decisions.touched:
            if not entry.is_in or entry.state != "running":
                continue
            n_certain = self._n_certain(entry)
            # Folds that became certain were listed as speculative before: list them again.
            for fold in range(entry.n_listed, n_certain if entry.n_listed else entry.n_folds):
                self._push(entry, fold)
            entry.n_listed = n_certain
        self._decisions.touched.clear()

    def _push(self, entry: Entry, fold: int) -> None:
        is_speculative = fold >= self._n_certain(entry)
        heapq.heappush(self._ready, (is_speculative, -entry.rung, entry.wave, fold, entry.number))

    def _n_certain(self, entry: Entry) -> int:
        """Count the folds that are needed whatever the next comparison says."""
        return entry.next_look if self._decisions.can_drop(entry) else entry.n_folds

    def _next_wave(self) -> DrawWave | None:
        if self.n_drawn >= self._n_configs:
            return None
        wave = self.n_drawn // self._wave_size
        if self._decisions.n_closed < wave - 1:  # the sampler is told waves 0..wave-2
            return None
        last = min((wave + 1) * self._wave_size, self._n_configs)
        return DrawWave(wave, self.n_drawn, last - self.n_drawn)
