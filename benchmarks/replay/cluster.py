"""A simulated cluster: W workers, a clock that jumps from event to event, nothing random."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from dianet_ray.protocol.schedule import Key


class Player(Protocol):
    """A strategy in play: says what to train next, given what has finished."""

    def take(self) -> Key | None:
        """Hand out a training; None when nothing can start before another one finishes."""
        ...

    def finished(self, key: Key) -> None:
        """Take note of a finished training."""
        ...


@dataclass(frozen=True, slots=True)
class Run:
    """What a cluster did: every training in order of its start, with start and end in seconds."""

    n_workers: int
    trained: tuple[tuple[Key, float, float], ...]

    @property
    def seconds(self) -> float:
        """Sum the training seconds."""
        return sum(end - start for _, start, end in self.trained)

    @property
    def wall(self) -> float:
        """Return when the last training ended."""
        return max((end for _, _, end in self.trained), default=0.0)

    @property
    def utilisation(self) -> float:
        """Return the busy share of the workers' time until the end, surplus trainings included."""
        return self.seconds / (self.n_workers * self.wall) if self.trained else 1.0


def simulate(player: Player, seconds: Callable[[Key], float], n_workers: int) -> Run:
    """Play a strategy to its end; a free worker asks at once, the earliest end is told first."""
    now = 0.0
    trained: list[tuple[Key, float, float]] = []
    busy: list[tuple[float, int, Key]] = []
    while True:
        while len(busy) < n_workers and (key := player.take()) is not None:
            end = now + seconds(key)
            heapq.heappush(busy, (end, len(trained), key))
            trained.append((key, now, end))
        if not busy:
            return Run(n_workers, tuple(trained))
        now, _, key = heapq.heappop(busy)
        player.finished(key)
