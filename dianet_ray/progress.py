"""Show the progress of long work on stderr: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.text import Text

# Without a terminal each line stays: a log of a night's search must remain readable.
PLAIN_EVERY_S = 5.0
TOGETHER_S = 1.0
"""Work that is done so soon after the first piece was done beside it, by others or as a block."""


class Progress:
    """A counter with an estimate of the remaining time, as a context manager.

    `status` is called each time a line is drawn and returns what to add to it.
    """

    def __init__(
        self,
        title: str,
        total: int,
        *,
        unit: str,
        status: Callable[[], str] = str,
        console: Console | None = None,
    ) -> None:
        self._title, self._total, self._unit, self._status = title, total, unit, status
        self._console = console or Console(file=sys.stderr, highlight=False)
        self._n_done = self._n_before = 0
        # monotonic, because the wall clock may be set while the work runs.
        self._started_at = self._printed_at = time.monotonic()
        self._first_at: float | None = None  # when the first work of this run was done
        self._n_first = 0
        self._live = Live(
            get_renderable=lambda: Text(self.line()),  # Text, so that no name is read as markup
            console=self._console,
            refresh_per_second=4,
            transient=True,  # __exit__ prints the last line, which then stays
            redirect_stdout=False,  # stdout carries results and may be a pipe
            redirect_stderr=False,
        )

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()
        if error is None:
            self._console.print(self.line(), soft_wrap=True)

    def advance(self, n: int = 1) -> None:
        """Count finished work."""
        self.set(self._n_done + n)

    def skip(self, n: int) -> None:
        """Count work that was done before this run, and so tells nothing about its speed."""
        self._n_before += n
        self._n_first += n
        self.set(self._n_done + n)

    def set(self, n_done: int, total: int | None = None) -> None:
        """Set how much is done in all, and how much there is to do."""
        self._n_done = n_done
        self._note_first()
        self._total = self._total if total is None else total
        self.tick()

    def tick(self) -> None:
        """Print a plain line if one is due; a terminal redraws by itself."""
        now = time.monotonic()
        if not self._console.is_terminal and now - self._printed_at >= PLAIN_EVERY_S:
            self._printed_at = now
            self._console.print(self.line(), soft_wrap=True)

    def _note_first(self) -> None:
        """Remember the first work of this run: what took it to begin says nothing of its speed."""
        now = time.monotonic()
        if self._n_done > self._n_before and self._first_at is None:
            self._first_at = now
        if self._first_at is not None and now - self._first_at <= TOGETHER_S:
            self._n_first = self._n_done

    def line(self) -> str:
        """Compose the line: done, total, remaining time, status."""
        now = time.monotonic()
        line = f"{self._title}: {self._n_done}/{self._total} {self._unit}"
        n_since, n_left = self._n_done - self._n_first, self._total - self._n_done
        if self._first_at is not None and n_since > 0 and n_left > 0:
            line += f", {duration((now - self._first_at) / n_since * n_left)} left"
        else:
            line += f", {duration(now - self._started_at)}"
        status = self._status()
        return f"{line} | {status}" if status else line


def count(n: float, noun: str) -> str:
    """Write a number with its noun, which takes a plural s unless there is exactly one.

    >>> count(1, "clip"), count(0, "clip"), count(0.25, "GPU")
    ('1 clip', '0 clips', '0.25 GPUs')
    """
    number = f"{n:g}" if isinstance(n, float) else str(n)
    return f"{number} {noun}" if n == 1 else f"{number} {noun}s"


def some(items: Sequence[object], most: int) -> str:
    """Name the first few of many, and count the rest.

    >>> some([4, 6, 9], 3), some([4, 6, 9], 1)
    ('4, 6, 9', '4 and 2 more')
    """
    listed, n_more = ", ".join(map(str, items[:most])), len(items) - most
    return f"{listed} and {n_more} more" if n_more > 0 else listed


def duration(seconds: float) -> str:
    """Write a duration for a reader.

    >>> duration(5), duration(65), duration(3700)
    ('5 s', '1 min 05 s', '1 h 01 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
