"""Missing frames of a clip, and the frames that stand in for them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

_RUNS_LISTED = 5  # of missing frames, in a reason


def missing_runs(present: Sequence[int], first: int, last: int) -> list[tuple[int, int]]:
    """Find the runs of numbers of first..last that are missing: first and last number of each.

    Args:
        present: the numbers within first..last that exist, ascending.
        first: of the clip.
        last: of the clip, included.

    >>> missing_runs([1, 2, 6, 7, 8], 1, 9)
    [(3, 5), (9, 9)]
    """
    around = pairwise([first - 1, *present, last + 1])
    return [(a + 1, b - 1) for a, b in around if b - a > 1]


def longest(runs: Sequence[tuple[int, int]]) -> int:
    """Count the frames of the longest run; 0 for none."""
    return max((b - a + 1 for a, b in runs), default=0)


def list_runs(runs: Sequence[tuple[int, int]]) -> str:
    """Put runs into words; only the first few.

    >>> list_runs([(3, 5), (9, 9)])
    '3-5, 9'
    """
    listed = ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs[:_RUNS_LISTED])
    n_more = len(runs) - _RUNS_LISTED
    if n_more <= 0:
        return listed
    return f"{listed} and {n_more} more {'run' if n_more == 1 else 'runs'}"


def stand_ins(present: Sequence[int], first: int, last: int, longest_run: int) -> list[int]:
    """Name the frame to read for each of first..last: itself, or the nearest one of the clip.

    Of two that are equally near the earlier one is taken. Frames of a longer run keep their own
    numbers, as do all frames of a clip that has none.

    Args:
        present: the numbers within first..last that exist, ascending.
        first: of the clip.
        last: of the clip, included.
        longest_run: number of missing frames in a row for which others stand in.

    >>> stand_ins([1, 4], 1, 5, 2)
    [1, 1, 4, 4, 4]
    """
    taken = list(range(first, last + 1))
    if not present:
        return taken
    for a, b in missing_runs(present, first, last):
        if b - a < longest_run:
            around = [n for n in (a - 1, b + 1) if first <= n <= last]
            for number in range(a, b + 1):
                taken[number - first] = min(around, key=lambda n: abs(n - number))
    return taken


def still_phase(taken: Sequence[int], onset: int, apex: int | None) -> str:
    """Name a phase for all of which one frame would stand; empty where there is none.

    Args:
        taken: the frame to read for each frame of the clip; empty where none is missing.
        onset: number of the clip's first frame.
        apex: of the frame that ends the first phase and begins the second; None where it will be
            spotted between two others.

    >>> still_phase([1, 1, 3, 4], 1, 2), still_phase([1, 1, 3, 4], 1, 3)
    ('1..2', '')
    """
    offset = onset + len(taken) - 1
    phases = [(onset, offset, 3)] if apex is None else [(onset, apex, 2), (apex, offset, 2)]
    for first, last, n_needed in phases:
        if taken and len(set(taken[first - onset : last - onset + 1])) < n_needed:
            return f"{first}..{last}"
    return ""
