"""What a sheet's frame numbers count: the files' own numbers, or frames from a clip's start.

Releases of one data set differ, so the folders decide, and for a whole data set at once: one clip
alone could fit by chance. Pure.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import Literal

Numbering = Literal["file_numbers", "clip_relative", "renumbered"]
"""`file_numbers`: the numbers in the file names. `clip_relative`: the sheet's 1 is the folder's
first file. `renumbered`: the folder holds exactly the clip, its files count from elsewhere."""

NUMBERINGS: tuple[Numbering, ...] = ("file_numbers", "clip_relative", "renumbered")

Span = tuple[int, int]


def shift(numbering: Numbering, span: Span, numbers: Sequence[int]) -> int:
    """Say what to add to the sheet's numbers of a clip to get its files' numbers.

    Args:
        numbering: What the sheet's numbers count.
        span: Onset and offset as the sheet has them.
        numbers: Of the files, ascending.

    >>> shift("clip_relative", (1, 5), [46, 47, 48, 49, 50]), shift("renumbered", (46, 50), [1, 2])
    (45, -45)
    """
    if numbering == "file_numbers" or not numbers:
        return 0
    return numbers[0] - (1 if numbering == "clip_relative" else span[0])


def fits(numbering: Numbering, span: Span, numbers: Sequence[int]) -> bool:
    """Whether every frame of onset..offset exists."""
    onset, offset = (number + shift(numbering, span, numbers) for number in span)
    if numbering == "renumbered" and len(numbers) != offset - onset + 1:
        return False
    n_present = bisect_right(numbers, offset) - bisect_left(numbers, onset)
    return n_present == offset - onset + 1 > 0


def choose_numbering(clips: Iterable[tuple[Span, Sequence[int]]]) -> tuple[Numbering, int]:
    """Take file numbers unless fewer than half of the clips fit them and at least half another.

    Args:
        clips: Span in the sheet and file numbers, of the clips that have both.

    Returns:
        The numbering, and how many clips fit it.
    """
    listed = list(clips)
    n_fitting = {n: sum(fits(n, *clip) for clip in listed) for n in NUMBERINGS}
    best = max(NUMBERINGS, key=lambda n: n_fitting[n])  # ties to file numbers, the first
    # A folder that holds exactly its clip fits as renumbered too: a few bad ones must not decide.
    if 2 * n_fitting["file_numbers"] >= len(listed) or 2 * n_fitting[best] < len(listed):
        best = "file_numbers"
    return best, n_fitting[best]
