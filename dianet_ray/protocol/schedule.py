"""Decide what to do next: train a block of folds, draw a wave, wait, or stop.

A pure state machine. Its state depends only on the draws and outcomes that it was given, and not
on the order of the outcomes. A restart gives it the recorded ones again, so nothing else needs
saving. `decisions.py` decides promotions and drops; this module orders the work.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace

from dianet_ray.protocol.comparison import Comparing
from dianet_ray.protocol.decisions import Decisions, Entry
from dianet_ray.protocol.ladder import Ladder, entering, next_look
from dianet_ray.protocol.results import Outcome

MAX_ATTEMPTS = 3

Key = tuple[int, int, int]
"""A training: configuration number, rung and fold."""


Member = tuple[int, int]
"""A training of a block: configuration number and fold."""

Shape = Hashable
"""What trainings must have in common to be trained as one stack."""


@dataclass(frozen=True, slots=True)
class Train:
    """Train a block of one rung; attempts count from 1.

    It `is_certain` if no comparison that is still open can make one of its trainings surplus.
    """

    rung: int
    members: tuple[Member, ...]
    attempt: int = 1
    is_certain: bool = True

    @property
    def keys(self) -> tuple[Key, ...]:
        """The trainings of the block."""
        return tuple((number, self.rung, fold) for number, fold in self.members)

    @property
    def key(self) -> Key:
        """The training of a block of one."""
        (key,) = self.keys
        return key


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

    With blocks of more than one training nothing is speculative. Those configurations of a wave
    whose trainings have equal shapes go from comparison to comparison together, and what they have
    to train until the next one is cut into blocks, by configuration and fold. So blocks follow
    from what is drawn and decided, never from time: a restart forms the same ones.
    docs/decisions.md: Blocks follow from the study.
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
        self._block, self._stacks = 1, False
        self._shape_of: Callable[[int], Shape] = lambda number: None
        self._ladder, self._n_folds = ladder, tuple(n_folds)
        self._n_configs, self._wave_size = n_configs, wave_size
        self._decisions = Decisions(ladder, self._n_folds, comparison)
        self._in_flight: set[Key] = set()
        self._attempts: dict[Key, int] = {}
        # Two heaps; `_push` and `_form` say of what. Only one of them is ever used.
        self._ready: list[tuple[bool, int, int, int, int]] = []
        self._blocks: list[tuple[int, int, int, tuple[Member, ...]]] = []
        self._n_formed = 0
        self._shapes: dict[int, Shape] = {}

    def stack(self, block: int, shape_of: Callable[[int], Shape]) -> None:
        """Form blocks of several trainings, before any work is taken.

        Args:
            block: most trainings of a block.
            shape_of: the shape of the trainings of a configuration, by its number.
        """
        self._block, self._shape_of, self._stacks = block, shape_of, True

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
        if self._stacks:
            self._form()
        while self._blocks:
            above, _, _, members = heapq.heappop(self._blocks)
            if train := self._block_of(-above, members):
                return train
        while self._ready:
            is_speculative, above, _, fold, number = heapq.heappop(self._ready)
            key = (number, -above, fold)
            entry = self._decisions.entry(number, -above)
            # The heap is never searched: work that was overtaken by events is skipped here.
            if entry is None or key in self._in_flight or not entry.needs(fold):
                continue
            self._in_flight.add(key)
            attempt = self._attempts.get(key, 0) + 1
            return Train(-above, ((number, fold),), attempt, not is_speculative)
        return Wait() if self._in_flight else Done()

    def _block_of(self, rung: int, members: tuple[Member, ...]) -> Train | None:
        """Hand out what is left to train of a block."""
        entries = {number: self._decisions.entry(number, rung) for number, _ in members}
        left = []
        is_needed = False
        for number, fold in members:
            entry = entries[number]
            if entry is None or fold in entry.outcomes:
                continue
            if (number, rung, fold) not in self._in_flight:
                left.append((number, fold))
                is_needed |= entry.needs(fold)
        # What a failure has made surplus stays: when it became known must not change the block.
        if not is_needed:
            return None
        train = Train(rung, tuple(left))
        self._in_flight.update(train.keys)
        return replace(train, attempt=1 + min(self._attempts.get(k, 0) for k in train.keys))

    def drawn(self, draw: DrawWave, n: int) -> None:
        """Add the n drawn settings of a wave. Fewer than asked for end the drawing."""
        if n:  # a wave without any is none: the ledger knows nothing of it
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
        """Queue a lost block again. False: its attempts are used up, so record it as lost."""
        self._attempts |= dict.fromkeys(train.keys, train.attempt)
        if train.attempt >= MAX_ATTEMPTS:
            return False
        self.returned(train)
        return True

    def returned(self, train: Train) -> None:
        """Queue a block that never began again; that costs no attempt."""
        self._in_flight.difference_update(train.keys)
        if self._stacks:
            self._put(train.rung, train.members, size=len(train.members))
            return
        entry = self._decisions.entry(*train.key[:2])
        if entry is not None:
            self._push(entry, train.key[2])

    def cut(self, train: Train) -> None:
        """Queue a block again as two halves."""
        self._in_flight.difference_update(train.keys)
        for key in train.keys:
            self._attempts.pop(key, None)
        middle = (len(train.members) + 1) // 2
        self._put(train.rung, train.members, size=middle)

    def split(self, train: Train) -> int:
        """Queue a block again that does not fit, and form smaller ones: return their size."""
        self._block = max(1, min(self._block, len(train.members) // 2))
        self._in_flight.difference_update(train.keys)
        for key in train.keys:
            self._attempts.pop(key, None)
        self._blocks.clear()
        for rung in range(len(self._ladder)):
            for entry in self._decisions.entries(rung):
                entry.n_listed = 0
                self._decisions.touched.append(entry)
        return self._block

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
        if self._stacks:
            return  # formed when work is taken: what is known by then may have come in any order
        for entry in self._decisions.touched:
            if not entry.is_in or entry.state != "running":
                continue
            n_certain = self._n_certain(entry)
            # Folds that became certain were listed as speculative before: list them again.
            for fold in range(entry.n_listed, n_certain if entry.n_listed else entry.n_folds):
                self._push(entry, fold)
            entry.n_listed = n_certain
        self._decisions.touched.clear()

    def _form(self) -> None:
        """Form the blocks of those parts of a wave that have come to their next comparison."""
        if not self._decisions.touched:
            return
        self._decisions.touched.clear()
        # All of them, not those of the entries that changed: an entry may have left another wave.
        for rung in range(len(self._ladder)):
            parts: dict[tuple[int, Shape], list[Entry]] = {}
            for entry in sorted(self._decisions.entries(rung), key=lambda entry: entry.number):
                if entry.is_in:
                    if entry.number not in self._shapes:
                        self._shapes[entry.number] = self._shape_of(entry.number)
                    part = entry.wave, self._shapes[entry.number]
                    parts.setdefault(part, []).append(entry)
            for entries in parts.values():
                self._form_part(rung, entries)

    def _form_part(self, rung: int, entries: list[Entry]) -> None:
        running = [entry for entry in entries if entry.state == "running"]
        if not running:
            return
        # The last ones decide: those that are ahead wait for them, so that all go on together.
        behind = min(entry.n_compared for entry in running)
        due = [entry for entry in running if entry.n_compared == behind]
        if any(entry.n_listed > behind for entry in due):
            return
        for entry in due:
            entry.n_listed = self._n_certain(entry)
        # Cut as at first, also when some of it is known by now: those that have ended since count.
        members = [
            (entry.number, fold)
            for entry in entries
            if entry.n_decided > behind or entry in due
            for fold in range(behind, self._end(entry, behind))
        ]
        self._put(rung, tuple(members))

    def _put(self, rung: int, members: tuple[Member, ...], size: int = 0) -> None:
        """Cut trainings into blocks, of the study's size or another, and queue them."""
        size = size or self._block
        for first in range(0, len(members), size):
            self._n_formed += 1
            block = members[first : first + size]
            heapq.heappush(self._blocks, (-rung, self._wave(rung, block), self._n_formed, block))

    def _wave(self, rung: int, members: Sequence[Member]) -> int:
        entry = self._decisions.entry(members[0][0], rung)
        return entry.wave if entry is not None else 0

    def _push(self, entry: Entry, fold: int) -> None:
        is_speculative = fold >= self._n_certain(entry)
        heapq.heappush(self._ready, (is_speculative, -entry.rung, entry.wave, fold, entry.number))

    def _n_certain(self, entry: Entry) -> int:
        """Count the folds that are needed whatever the next comparison says."""
        return self._end(entry, entry.n_compared)

    def _end(self, entry: Entry, n_compared: int) -> int:
        if not self._decisions.can_drop(entry):
            return entry.n_folds
        return next_look(entry.n_folds, n_compared)

    def _next_wave(self) -> DrawWave | None:
        if self.n_drawn >= self._n_configs:
            return None
        wave = self.n_drawn // self._wave_size
        if self._decisions.n_closed < wave - 1:  # the sampler is told waves 0..wave-2
            return None
        last = min((wave + 1) * self._wave_size, self._n_configs)
        return DrawWave(wave, self.n_drawn, last - self.n_drawn)
