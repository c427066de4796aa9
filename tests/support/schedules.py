"""Studies to schedule through, and workers that play them: losses, kills, any timing."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from dianet_ray.protocol.ladder import Drop, Rung
from dianet_ray.protocol.results import Outcome
from dianet_ray.protocol.schedule import (
    MAX_ATTEMPTS,
    Action,
    Done,
    DrawWave,
    Key,
    Member,
    Schedule,
    Train,
    Wait,
)


@dataclass(frozen=True)
class Chance:
    """A comparison whose scores and verdicts come from a seed; coarse, so that scores tie."""

    seed: int = 0
    hopeless: float = 0.3

    def score(self, number: int, rung: int, n_folds: int) -> float:
        return random.Random(f"{self.seed} {number} {rung} {n_folds}").randrange(6) / 6

    def point_read(self, number: int, rung: int, n_folds: int) -> int:
        """Return the only point."""
        return 0

    def is_ahead(self, number: int, rival: int) -> bool:
        raise AssertionError("no schedule asks this")

    def is_behind(self, number: int, rung: int, n_folds: int, rival: int) -> bool:
        assert number != rival
        key = f"{self.seed} {number} {rung} {n_folds} {rival}"
        return random.Random(key).random() < self.hopeless


@dataclass(frozen=True)
class Game:
    """A study to schedule through: its ladder, sizes, and what every training would give."""

    ladder: tuple[Rung, ...]
    n_folds: tuple[int, ...]
    n_configs: int
    wave_size: int
    seed: int
    n_in_space: int = 10**6
    bad: float = 0.1
    block: int | None = None  # None: trainings one by one
    n_shapes: int = 2

    def schedule(self) -> Schedule:
        """Make the schedule of the study."""
        schedule = Schedule(
            self.ladder,
            n_folds=self.n_folds,
            n_configs=self.n_configs,
            wave_size=self.wave_size,
            comparison=Chance(self.seed),
        )
        if self.block is not None:
            schedule.stack(self.block, self.shape)
        return schedule

    def shape(self, number: int) -> int:
        """Say which trainings have equal shapes."""
        return random.Random(f"{self.seed} {number}").randrange(self.n_shapes)

    def outcome(self, number: int, rung: int, fold: int) -> Outcome:
        """Say how a training ends."""
        rng = random.Random(f"{self.seed} {number} {rung} {fold}")
        bad: list[Outcome] = ["failed", "lost"]
        return "ok" if rng.random() >= self.bad else rng.choice(bad)


@st.composite
def games(draw: st.DrawFn) -> Game:
    """Draw studies of every kind."""
    n_rungs = draw(st.integers(1, 4))
    keeps = st.sampled_from([0.1, 0.25, 0.5, 0.8])
    drops: st.SearchStrategy[Drop] = st.sampled_from(["none", "bootstrap"])
    first = draw(st.booleans())
    below = [
        Rung(3, keep=draw(keeps), drop=draw(drops), keeps_first=first) for _ in range(n_rungs - 1)
    ]
    return Game(
        ladder=(*below, Rung(drop=draw(drops) if below else "none")),
        n_folds=tuple(draw(st.integers(2, 7)) for _ in range(n_rungs)),
        n_configs=draw(st.integers(1, 24)),
        wave_size=draw(st.integers(1, 5)),
        seed=draw(st.integers(0, 10**6)),
        n_in_space=draw(st.sampled_from([7, 10**6])),
        bad=draw(st.sampled_from([0.0, 0.05, 0.3])),
    )


GAMES = games()
RANDOMS = st.integers(0, 10**9).map(random.Random)


class Play:
    """Workers that finish in random order, lose trainings, and drivers that die."""

    def __init__(
        self,
        game: Game,
        *,
        n_workers: int = 2,
        rng: random.Random | None = None,
        p_lose: float = 0.0,
        p_die: float = 0.0,
    ) -> None:
        self.game, self.n_workers, self.rng = game, n_workers, rng or random.Random(0)
        self.p_lose, self.p_die = p_lose, p_die
        self.records: dict[Key, Outcome] = {}
        self.waves: dict[DrawWave, int] = {}
        self.events: list[tuple[Any, ...]] = []
        self.blocks: dict[Key, tuple[Member, ...]] = {}

    def run(self) -> Schedule:
        """Play to the end, with as many drivers as it takes; return the last one's schedule."""
        while (schedule := self._drive()) is None:
            self.events.append(("died",))
        return schedule

    def run_one(self) -> Schedule | None:
        """Let a driver live until one more training is recorded; its schedule when none is."""
        return self._drive(len(self.records) + 1)

    def _drive(self, last: int = 10**9) -> Schedule | None:
        schedule = self.game.schedule()
        busy: list[Train] = []
        while True:
            action = self._fill(schedule, busy)
            if not busy:
                assert isinstance(action, Done)
                assert schedule.decisions.is_over, "the schedule ended with work left"
                return schedule
            assert len(busy) == self.n_workers or isinstance(action, Wait)
            if self.rng.random() < self.p_die or len(self.records) >= last:
                return None
            train = busy.pop(self.rng.randrange(len(busy)))
            if self.rng.random() < self.p_lose and train.attempt < MAX_ATTEMPTS:
                assert schedule.lost(train)
                continue
            for key in train.keys:
                self.records[key], self.blocks[key] = self.game.outcome(*key), train.members
                self.events.append(("train", *key))
            for key in train.keys:
                schedule.finished(*key, self.records[key])

    def _fill(self, schedule: Schedule, busy: list[Train]) -> Action | None:
        """Give every free worker something, as long as there is work; return the last action."""
        action: Action | None = None
        while len(busy) < self.n_workers:
            action = schedule.take()
            if isinstance(action, DrawWave):
                self._draw(schedule, action)
            elif isinstance(action, Train):
                assert not set(action.keys) & set(self.records)
                assert not set(action.keys) & {key for train in busy for key in train.keys}
                busy.append(action)
            else:
                break
        return action

    def _draw(self, schedule: Schedule, draw: DrawWave) -> None:
        drawn = max(0, min(draw.n, self.game.n_in_space - schedule.n_drawn))
        assert self.waves.setdefault(draw, drawn) == drawn
        self.events.append(("draw", draw.wave))
        schedule.drawn(draw, drawn)
        for (number, rung, fold), outcome in self.records.items():
            if draw.first <= number < draw.first + drawn:
                schedule.finished(number, rung, fold, outcome)


def decisions(schedule: Schedule, game: Game) -> tuple[list[tuple[Any, ...]], int | None]:
    """Everything that a schedule has decided: states, what made them, waves and the champion."""
    entries = [
        schedule.decisions.entry(number, rung)
        for number in range(schedule.n_drawn)
        for rung in range(len(game.ladder))
    ]
    states = [(r.number, r.rung, r.wave, r.state, r.n_decided) for r in entries if r is not None]
    return states, schedule.decisions.best()
