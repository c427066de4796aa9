"""Who climbs the ladder: states inside a rung, closings, promotions, drops.

Decisions never depend on when something finished. Inside a rung, outcomes count in fold order:
the first failure or drop decides, later folds are surplus. Across rungs, closings are worked out
wave by wave from the states that are known, and again when more is known: a promoted configuration
that turns out to fail is passed over as if it had been known. Who was promoted stays so, but for
rare cases in which those who climb in its place use places up: such trainings become surplus.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from dianet_ray.protocol.comparison import Comparing
from dianet_ray.protocol.ladder import Ladder, next_look
from dianet_ray.protocol.results import Outcome

RungState = Literal["running", "complete", "dropped", "failed", "lost"]
"""Where a configuration stands in one rung."""

FIRST_DROPPED_WAVE = 2
"""A wave is compared with those before the last one, which had closed when it was drawn."""


@dataclass(slots=True)
class Entry:
    """A configuration in a rung; `n_decided` outcomes, in fold order, made its state.

    `is_in` is False for one whose promotion is not known yet, or was taken back as more became
    known (rare: after failures, or with three rungs, where promotions change comparisons).
    """

    number: int
    rung: int
    n_folds: int
    wave: int = -1
    is_in: bool = False
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    state: RungState = "running"
    n_decided: int = 0
    n_compared: int = 0  # after so many folds it was last compared, and not dropped
    n_listed: int = 0  # so many folds are among the ready work, those that may be surplus aside

    @property
    def is_alive(self) -> bool:
        """It has not failed."""
        return self.state not in ("failed", "lost")

    def needs(self, fold: int) -> bool:
        """Say whether a training of this fold is work to do: nothing decides before it."""
        if not self.is_in or self.state != "running" or fold in self.outcomes:
            return False
        return all(outcome == "ok" for f, outcome in self.outcomes.items() if f < fold)

    @property
    def next_look(self) -> int:
        """After so many folds it is compared next, or ends."""
        return next_look(self.n_folds, self.n_compared)

    def enter(self, wave: int) -> None:
        """Count its outcomes anew, as one that was drawn or promoted with a wave."""
        self.wave, self.is_in, self.n_listed = wave, True, 0
        self.state, self.n_decided, self.n_compared = "running", 0, 0

    def count(self, outcome: Outcome) -> None:
        """Take the next fold's outcome into account."""
        self.n_decided += 1
        if outcome != "ok":
            self.state = outcome
        elif self.n_decided == self.n_folds:
            self.state = "complete"


class Decisions:
    """What is decided of every configuration, given what has finished.

    `touched` collects the entries that entered a rung or moved in it, for whoever queues work.
    """

    def __init__(self, ladder: Ladder, n_folds: Sequence[int], comparison: Comparing) -> None:
        self._ladder, self._n_folds, self._comparison = ladder, tuple(n_folds), comparison
        self._entries: list[dict[int, Entry]] = [{} for _ in ladder]
        # By rung and wave, the configurations that were drawn or promoted with it.
        self._waves: list[list[list[int]]] = [[] for _ in ladder]
        self._n_closed = [0] * len(ladder)  # waves, from the first
        self._has_all = False
        self._thresholds: dict[int, int | None] = {}  # of the first rung, by wave
        self.touched: list[Entry] = []

    @property
    def n_drawn(self) -> int:
        """How many configurations are drawn."""
        return sum(map(len, self._waves[0]))

    @property
    def n_closed(self) -> int:
        """How many waves, from the first, have closed the first rung."""
        return self._n_closed[0]

    def entry(self, number: int, rung: int) -> Entry | None:
        """Find a configuration in a rung, None where it has not been promoted to it."""
        entry = self._entries[rung].get(number)
        return entry if entry is not None and entry.is_in else None

    def entries(self, rung: int) -> list[Entry]:
        """List whatever has outcomes or work in a rung, also those that it no longer needs."""
        return list(self._entries[rung].values())

    def total(self, number: int, rung: int) -> float:
        """Sum a configuration's scores over the rungs up to one that it has finished."""
        return sum(self._comparison.score(number, r, self._n_folds[r]) for r in range(rung + 1))

    def champion(self) -> int | None:
        """Choose, among those that finished the last rung, the largest sum of scores."""
        ranked = self._ranked([entry.number for entry in self.complete()], len(self._ladder) - 1)
        return ranked[0] if ranked else None

    def complete(self, rung: int = -1) -> list[Entry]:
        """List the entries that finished a rung, the last one by default."""
        entries = self._entries[rung].values()
        return [entry for entry in entries if entry.is_in and entry.state == "complete"]

    @property
    def is_over(self) -> bool:
        """Nothing that is drawn can change any more, and nothing more will be drawn."""
        entries = (entry for rung in self._entries for entry in rung.values() if entry.is_in)
        return self._has_all and all(entry.state != "running" for entry in entries)

    def can_drop(self, entry: Entry) -> bool:
        """Say whether comparisons may stop an entry: not in early waves."""
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
        """Take the last wave as whole: there will be no other."""
        self._has_all = True
        self._settle(has_changed=True)

    def finished(self, number: int, rung: int, fold: int, outcome: Outcome) -> None:
        """Take an outcome.

        Raises:
            ValueError: the training has one already.
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
                self._settle(has_changed=rung > 0)

    def _advance(self, entry: Entry) -> None:
        """Decide as many folds as are known, in order."""
        before = entry.n_decided, entry.n_compared
        while entry.state == "running" and self._is_compared(entry):
            outcome = entry.outcomes.get(entry.n_decided)
            if outcome is None:
                break
            entry.count(outcome)
        if before != (entry.n_decided, entry.n_compared):
            self.touched.append(entry)

    def _is_compared(self, entry: Entry) -> bool:
        """Compare an entry where it has to be. False: it is dropped, or its rival not known."""
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
        """Find who stands last among the best of waves 0..last, which are closed.

        In the last rung that is the best of them, whom the champion has to beat.
        """
        if rung == 0 and last in self._thresholds:
            return self._thresholds[last]
        numbers = [number for wave in self._waves[rung][: last + 1] for number in wave]
        quota = self._ladder[rung].quota(len(numbers), is_last_wave=True)
        best = self._ranked(self._complete(numbers, rung), rung)
        found = best[quota - 1] if len(best) >= quota else None
        if rung == 0:
            self._thresholds[last] = found
        return found

    def _complete(self, numbers: Sequence[int], rung: int) -> list[int]:
        return [n for n in numbers if self._entries[rung][n].state == "complete"]

    def _ranked(self, numbers: Sequence[int], rung: int) -> list[int]:
        return sorted(numbers, key=lambda number: (-self.total(number, rung), number))

    def _settle(self, *, has_changed: bool) -> None:
        """Close what can be closed; where that or anything above changed, see who climbs."""
        if self._close(0, len(self._waves[0]) - (not self._has_all)) or has_changed:
            for rung in range(len(self._ladder) - 1):
                self._promote(rung)

    def _close(self, rung: int, n_whole: int) -> bool:
        """Close a rung's waves in order; what waited for them is compared. Say if any closed."""
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
        """Work out the promotions of a rung's closed waves from what is known now.

        At a closing everybody climbs who is among the best so far, failures above aside, and has
        not climbed yet, while there are places.
        """
        above, n_waves = rung + 1, len(self._waves[0])
        self._waves[above], self._n_closed[above] = [], 0
        ranked: list[int] = []
        climbed: dict[int, Entry] = {}
        n_entered = n_given = 0
        for wave in range(self._n_closed[rung]):
            numbers = self._waves[rung][wave]
            n_entered += len(numbers)
            ranked = self._ranked(ranked + self._complete(numbers, rung), rung)
            is_last = self._has_all and wave == n_waves - 1
            quota = self._ladder[rung].quota(n_entered, is_last_wave=is_last)
            places = self._ladder[rung].places(n_entered, is_last_wave=is_last)
            self._waves[above].append([])
            n_best = 0
            for number in ranked:
                if n_best == quota:
                    break
                if number not in climbed:
                    if n_given == places:
                        break
                    climbed[number] = self._enter_above(number, above, wave)
                    n_given += climbed[number].is_alive
                n_best += climbed[number].is_alive
            self._close(above, wave + 1)
        for entry in self._entries[above].values():
            entry.is_in = entry.number in climbed

    def _enter_above(self, number: int, above: int, wave: int) -> Entry:
        self._waves[above][wave].append(number)
        entry = self._entries[above].setdefault(number, Entry(number, above, self._n_folds[above]))
        if not entry.is_in or entry.wave != wave:
            entry.enter(wave)
            self.touched.append(entry)
        self._advance(entry)
        return entry
