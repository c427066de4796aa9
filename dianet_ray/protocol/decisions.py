"""Decide every configuration's state in each rung: who is dropped, who is promoted.

Decisions depend on outcomes, never on when they arrived. Inside a rung, outcomes count in fold
order: the first failure or drop decides, and later folds are surplus. Promotions are worked out
wave by wave, and again whenever an outcome arrives that may change them. A promoted configuration
that fails later is then passed over, as if its failure had always been known. Rarely, its
replacements use up the places that another promoted configuration had: the latter loses its
promotion, and its trainings above become surplus.
docs/decisions.md: When a promoted configuration fails.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from dianet_ray.protocol.comparison import Comparing
from dianet_ray.protocol.ladder import Ladder, next_look
from dianet_ray.protocol.results import Outcome

RungState = Literal["running", "complete", "dropped", "failed", "lost"]
"""A configuration's state in one rung."""

FIRST = 0
"""The number of the first configuration."""

FIRST_DROPPED_WAVE = 2
"""The first wave that may drop: wave w is compared with waves 0..w-2, which closed before it was
drawn."""


@dataclass(slots=True)
class Entry:
    """A configuration in a rung; its first `n_decided` outcomes, in fold order, made its state.

    `is_in` is False before the configuration is promoted to the rung, and again if it loses its
    promotion. That is rare: it takes a failure, or three rungs, where promotions change
    comparisons.

    It was last compared, and not dropped, after `n_compared` folds. `n_listed` of its folds are
    listed as certain work.
    """

    number: int
    rung: int
    n_folds: int
    wave: int = -1
    is_in: bool = False
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    state: RungState = "running"
    n_decided: int = 0
    n_compared: int = 0
    n_listed: int = 0

    @property
    def is_alive(self) -> bool:
        """Whether it has not failed."""
        return self.state not in ("failed", "lost")

    def needs(self, fold: int) -> bool:
        """Say whether a fold is still to be trained: no earlier fold decides the state."""
        if not self.is_in or self.state != "running" or fold in self.outcomes:
            return False
        return all(outcome == "ok" for f, outcome in self.outcomes.items() if f < fold)

    @property
    def next_look(self) -> int:
        """The number of folds after which it is compared next, or ends."""
        return next_look(self.n_folds, self.n_compared)

    def enter(self, wave: int) -> None:
        """Enter the rung with a wave, and count the known outcomes from the first."""
        self.wave, self.is_in, self.n_listed = wave, True, 0
        self.state, self.n_decided, self.n_compared = "running", 0, 0

    def count(self, outcome: Outcome) -> None:
        """Count the next fold's outcome."""
        self.n_decided += 1
        if outcome != "ok":
            self.state = outcome
        elif self.n_decided == self.n_folds:
            self.state = "complete"


class Decisions:
    """What is decided about every configuration, given the outcomes so far.

    `touched` collects the entries that changed; the schedule lists their work and clears it.
    """

    def __init__(self, ladder: Ladder, n_folds: Sequence[int], comparison: Comparing) -> None:
        self._ladder, self._n_folds, self._comparison = ladder, tuple(n_folds), comparison
        self._entries: list[dict[int, Entry]] = [{} for _ in ladder]
        # By rung and wave: the numbers of the configurations that entered the rung with the wave.
        self._waves: list[list[list[int]]] = [[] for _ in ladder]
        self._n_closed = [0] * len(ladder)  # by rung: how many waves, from the first, have closed
        self._has_all = False
        self._thresholds: dict[int, int | None] = {}  # of the first rung, by wave
        self.touched: list[Entry] = []

    @property
    def n_drawn(self) -> int:
        """How many configurations have been drawn."""
        return sum(map(len, self._waves[0]))

    @property
    def n_closed(self) -> int:
        """How many waves, from the first, have closed in the first rung."""
        return self._n_closed[0]

    def entry(self, number: int, rung: int) -> Entry | None:
        """Return a configuration's entry in a rung, None unless it was promoted to it."""
        entry = self._entries[rung].get(number)
        return entry if entry is not None and entry.is_in else None

    def entries(self, rung: int) -> list[Entry]:
        """List all entries of a rung, also those of configurations that lost their promotion."""
        return list(self._entries[rung].values())

    def total(self, number: int, rung: int) -> float:
        """Sum a configuration's scores over the rungs up to this one, which it finished."""
        return sum(self._comparison.score(number, r, self._n_folds[r]) for r in range(rung + 1))

    def point_read(self, number: int, rung: int) -> int:
        """Return the place of the point at which a configuration is read in a finished rung."""
        return self._comparison.point_read(number, rung, self._n_folds[rung])

    def is_ahead(self, number: int, rival: int) -> bool:
        """Say whether a complete configuration is clearly ahead of another complete one."""
        return self._comparison.is_ahead(number, rival)

    def best(self) -> int | None:
        """Return the number with the largest total among those that finished the last rung."""
        ranked = self._ranked([entry.number for entry in self.complete()], len(self._ladder) - 1)
        return ranked[0] if ranked else None

    def complete(self, rung: int = -1) -> list[Entry]:
        """List the entries that finished a rung, by default the last one."""
        entries = self._entries[rung].values()
        return [entry for entry in entries if entry.is_in and entry.state == "complete"]

    @property
    def is_over(self) -> bool:
        """Whether drawing has ended and every entry has ended."""
        entries = (entry for rung in self._entries for entry in rung.values() if entry.is_in)
        return self._has_all and all(entry.state != "running" for entry in entries)

    def can_drop(self, entry: Entry) -> bool:
        """Say whether a comparison may drop an entry."""
        return self._ladder[entry.rung].drop != "none" and entry.wave >= FIRST_DROPPED_WAVE

    def draw(self, wave: int, n: int) -> None:
        """Add n drawn configurations to the first rung."""
        first = self.n_drawn
        while len(self._waves[0]) <= wave:
            self._waves[0].append([])
        for number in range(first, first + n):
            entry = self._entries[0].setdefault(number, Entry(number, 0, self._n_folds[0]))
            self._waves[0][wave].append(number)
            entry.enter(wave)
            self.touched.append(entry)
            self._advance(entry)
        self._settle(has_changed=False)

    def end_drawing(self) -> None:
        """Take note that no more configurations will be drawn."""
        self._has_all = True
        self._settle(has_changed=True)

    def finished(self, number: int, rung: int, fold: int, outcome: Outcome) -> None:
        """Take the outcome of a training.

        Raises:
            ValueError: the training already has one.
        """
        entry = self._entries[rung].setdefault(number, Entry(number, rung, self._n_folds[rung]))
        if fold in entry.outcomes:
            raise ValueError(
                f"training recorded twice: configuration {number}, rung {rung}, fold {fold}"
            )
        entry.outcomes[fold] = outcome
        if entry.is_in and entry.state == "running":
            self._advance(entry)
            if entry.state != "running":
                # In the first rung promotions wait for a wave to close; _settle finds that out.
                self._settle(has_changed=rung > 0)

    def _advance(self, entry: Entry) -> None:
        """Count the known outcomes in fold order, comparing where comparisons are due."""
        before = entry.n_decided, entry.n_compared, entry.state
        while entry.state == "running" and self._is_compared(entry):
            outcome = entry.outcomes.get(entry.n_decided)
            if outcome is None:
                break
            entry.count(outcome)
        if before != (entry.n_decided, entry.n_compared, entry.state):
            self.touched.append(entry)

    def _is_compared(self, entry: Entry) -> bool:
        """Compare an entry if that is due. False: it is dropped, or its rival is not known yet."""
        if entry.n_decided < entry.next_look or not self.can_drop(entry):
            return True
        last = entry.wave - FIRST_DROPPED_WAVE
        if self._n_closed[entry.rung] <= last:
            return False
        rival = self._threshold(entry.rung, last)
        if rival is not None and self._comparison.is_behind(
            entry.number, entry.rung, entry.n_decided, rival
        ):
            entry.state = "dropped"
            return False
        entry.n_compared = entry.n_decided
        return True

    def _threshold(self, rung: int, last: int) -> int | None:
        """Return the configuration that one must not be behind; None while too few are complete.

        Of the configurations in waves 0..last, which have closed, it is the last one within the
        quota. The last rung promotes nobody, so its quota is 1: there it is the best of them. The
        first configuration takes no place where it always enters, so nobody has to reach it there.
        """
        # In the first rung closed waves are final; above, promotions are worked out again.
        if rung == 0 and last in self._thresholds:
            return self._thresholds[last]
        numbers = [number for wave in self._waves[rung][: last + 1] for number in wave]
        quota = self._ladder[rung].quota(len(numbers), is_last_wave=True)
        best = self._ranked(self._complete(numbers, rung), rung)
        if self._ladder[rung].keeps_first:
            best = [number for number in best if number != FIRST]
        found = best[quota - 1] if len(best) >= quota else None
        if rung == 0:
            self._thresholds[last] = found
        return found

    def _complete(self, numbers: Sequence[int], rung: int) -> list[int]:
        return [n for n in numbers if self._entries[rung][n].state == "complete"]

    def _ranked(self, numbers: Sequence[int], rung: int) -> list[int]:
        return sorted(numbers, key=lambda number: (-self.total(number, rung), number))

    def _settle(self, *, has_changed: bool) -> None:
        """Close the waves that have ended; work out the promotions if that may change them."""
        if self._close(0, len(self._waves[0]) - (not self._has_all)) or has_changed:
            for rung in range(len(self._ladder) - 1):
                self._promote(rung)

    def _close(self, rung: int, n_whole: int) -> bool:
        """Close a rung's waves in order, and compare what waited for them. Say if any closed."""
        before = self._n_closed[rung]
        waves, entries = self._waves[rung], self._entries[rung]
        while self._n_closed[rung] < n_whole and all(
            entries[number].state != "running" for number in waves[self._n_closed[rung]]
        ):
            self._n_closed[rung] += 1
            for number in (n for wave in waves[self._n_closed[rung] :] for n in wave):
                self._advance(entries[number])
        return self._n_closed[rung] > before

    def _promote(self, rung: int) -> None:
        """Work out all promotions past a rung from what is known now.

        When wave w closes, every configuration in the top floor(keep x n) of the n in waves 0..w
        that has not been promoted yet is promoted (at the last wave at least one). Never more
        than PLACES_PER_QUOTA times that number is promoted in all. Configurations that failed
        above count in neither number, and neither does the first one where it always enters.
        docs/decisions.md: Promotion quota.
        """
        above, n_waves = rung + 1, len(self._waves[0])
        self._waves[above], self._n_closed[above] = [], 0
        ranked: list[int] = []
        promoted: dict[int, Entry] = {}
        n_entered = n_taken = 0
        for wave in range(self._n_closed[rung]):
            numbers = self._waves[rung][wave]
            n_entered += len(numbers)
            ranked = self._ranked(ranked + self._complete(numbers, rung), rung)
            is_last = self._has_all and wave == n_waves - 1
            quota = self._ladder[rung].quota(n_entered, is_last_wave=is_last)
            places = self._ladder[rung].places(n_entered, is_last_wave=is_last)
            self._waves[above].append([])
            if FIRST in ranked and self._ladder[rung].keeps_first:
                ranked.remove(FIRST)
                promoted[FIRST] = self._enter_above(FIRST, above, wave)
            n_best = 0
            for number in ranked:
                if n_best == quota:
                    break
                if number not in promoted:
                    if n_taken == places:
                        break
                    promoted[number] = self._enter_above(number, above, wave)
                    n_taken += promoted[number].is_alive
                n_best += promoted[number].is_alive
            # Closing a wave above may reveal failures there, which later waves must make up for.
            self._close(above, wave + 1)
        for entry in self._entries[above].values():
            entry.is_in = entry.number in promoted

    def _enter_above(self, number: int, above: int, wave: int) -> Entry:
        self._waves[above][wave].append(number)
        entry = self._entries[above].setdefault(number, Entry(number, above, self._n_folds[above]))
        if not entry.is_in or entry.wave != wave:
            entry.enter(wave)
            self.touched.append(entry)
        self._advance(entry)
        return entry
