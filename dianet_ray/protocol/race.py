"""What to train next: the exhaustive search as a state machine, pure.

Given what has finished it answers: train this block, draw a wave, wait, or done. Its state is a
function of the records it was fed, so a restart feeds them again: there is nothing to save.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

from dianet_ray.protocol.study import Outcome

MAX_ATTEMPTS = 3
LOSO_RUNG = 0


@dataclass(frozen=True, slots=True)
class Train:
    """Train a block of consecutive folds of a configuration; attempts count from 1."""

    number: int
    folds: tuple[int, ...]
    rung: int = LOSO_RUNG
    attempt: int = 1


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
    """Every configuration has finished or failed, and no more are to be drawn."""


Action = Train | DrawWave | Wait | Done


class Race:
    """Decides the order of work of one study.

    Wave w may be drawn when wave w-2 has closed, so at most two waves are open. Ready work is
    ordered by wave, then fold by fold across the wave, then by configuration number.
    """

    def __init__(self, *, n_configs: int, wave_size: int, n_folds: int) -> None:
        self._n_configs, self._wave_size, self._n_folds = n_configs, wave_size, n_folds
        self._wave_of: list[int] = []  # by configuration number
        self._missing: list[set[int]] = []  # folds without a record, by configuration number
        self._stopped: set[int] = set()  # configurations that failed or were lost
        self._finished: set[tuple[int, int]] = set()
        self._in_flight: set[tuple[int, int]] = set()
        self._attempts: dict[tuple[int, int], int] = {}
        self._ready: list[tuple[int, int, int]] = []  # heap of (wave, fold, number)
        self._open: dict[int, int] = {}  # configurations of a wave that have not closed
        self._closed: set[int] = set()
        self._is_exhausted = False

    @property
    def n_drawn(self) -> int:
        """How many configurations are drawn."""
        return len(self._wave_of)

    def is_open(self, number: int) -> bool:
        """Say whether a configuration still has work."""
        return number not in self._stopped and bool(self._missing[number])

    def take(self) -> Action:
        """Decide the next action; a training that is handed out counts as in flight."""
        wave = self._next_wave()
        if wave is not None:
            return wave
        while self._ready:
            _, fold, number = heapq.heappop(self._ready)
            if number in self._stopped or fold not in self._missing[number]:
                continue
            self._in_flight.add((number, fold))
            return Train(number, (fold,), attempt=self._attempts.get((number, fold), 0) + 1)
        return Wait() if self._in_flight else Done()

    def drawn(self, draw: DrawWave, n: int) -> None:
        """Add the n settings that a draw gave; fewer than asked for end the drawing."""
        self._is_exhausted = n < draw.n
        for number in range(draw.first, draw.first + n):
            self._wave_of.append(draw.wave)
            self._missing.append(set(range(self._n_folds)))
            self._open[draw.wave] = self._open.get(draw.wave, 0) + 1
            for fold in range(self._n_folds):
                heapq.heappush(self._ready, (draw.wave, fold, number))

    def finished(self, number: int, fold: int, outcome: Outcome) -> None:
        """Take a training's recorded outcome; one failed or lost fold stops its configuration."""
        if (number, fold) in self._finished:
            raise ValueError(f"training recorded twice: configuration {number}, fold {fold}")
        self._finished.add((number, fold))
        self._in_flight.discard((number, fold))
        self._missing[number].discard(fold)
        if outcome != "ok":
            self._stopped.add(number)
        self._close(number)

    def lost(self, number: int, fold: int) -> bool:
        """Queue a lost training again; False when its attempts are used up: record it as lost."""
        key = (number, fold)
        self._attempts[key] = self._attempts.get(key, 0) + 1
        if self._attempts[key] >= MAX_ATTEMPTS:
            return False
        self.returned(number, fold)
        return True

    def returned(self, number: int, fold: int) -> None:
        """Queue a training again that never began; it costs no attempt."""
        self._in_flight.discard((number, fold))
        heapq.heappush(self._ready, (self._wave_of[number], fold, number))
        self._close(number)

    def _close(self, number: int) -> None:
        """Close a configuration that has no work left, also none in flight.

        What is in flight may still change why it stopped, which later draws read.
        """
        if self.is_open(number) or number in self._closed:
            return
        if any((number, fold) in self._in_flight for fold in range(self._n_folds)):
            return
        self._closed.add(number)
        self._open[self._wave_of[number]] -= 1

    def _next_wave(self) -> DrawWave | None:
        if self._is_exhausted or self.n_drawn >= self._n_configs:
            return None
        wave = self.n_drawn // self._wave_size
        # Waves 0..wave-2 must be closed: the draw reads their outcome.
        if any(n and earlier <= wave - 2 for earlier, n in self._open.items()):
            return None
        last = min((wave + 1) * self._wave_size, self._n_configs)
        return DrawWave(wave, self.n_drawn, last - self.n_drawn)
