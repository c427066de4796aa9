"""What the frame numbers of a sheet count: file numbers, or frames from the start of a clip.

Releases of one data set differ in this, so the frame folders decide. They decide for the whole
data set at once, because a single clip may fit by coincidence. Pure.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import Literal

Numbering = Literal["file_numbers", "clip_relative", "renumbered"]
"""`file_numbers`: the numbers in the file names. `clip_relative`: 1 in the sheet is the folder's
first file. `renumbered`: the folder holds exactly the clip, but its files start at another number
than the clip's onset."""

NUMBERINGS: tuple[Numbering, ...] = ("file_numbers", "clip_relative", "renumbered")

Interval = tuple[int, int]
"""Onset and offset, both included."""


def shift(numbering: Numbering, interval: Interval, numbers: Sequence[int]) -> int:
    """Return what to add to the sheet's numbers of a clip to get file numbers.

    Args:
        numbering: what the sheet's numbers count.
        interval: onset and offset in the sheet.
        numbers: the numbers of the clip's files, ascending.

    >>> shift("clip_relative", (1, 5), [46, 47, 48, 49, 50]), shift("renumbered", (46, 50), [1, 2])
    (45, -45)
    """
    if numbering == "file_numbers" or not numbers:
        return 0
    return numbers[0] - (1 if numbering == "clip_relative" else interval[0])


def fits(numbering: Numbering, interval: Interval, numbers: Sequence[int]) -> bool:
    """Tell whether every frame of onset..offset exists."""
    onset, offset = (number + shift(numbering, interval, numbers) for number in interval)
    # Only a folder of exactly the clip tells where its first frame is.
    if numbering == "renumbered" and len(numbers) != offset - onset + 1:
        return False
    n_present = bisect_right(numbers, offset) - bisect_left(numbers, onset)
    return n_present == offset - onset + 1 > 0


def choose_numbering(clips: Iterable[tuple[Interval, Sequence[int]]]) -> tuple[Numbering, int]:
    """Choose the numbering that most clips fit.

    File numbers are kept unless fewer than half of the clips fit them and at least half of the
    clips fit the other numbering.

    Args:
        clips: interval in the sheet and file numbers of each clip that has both.

    Returns:
        The numbering, and how many clips fit it.
    """
    listed = list(clips)
    n_fitting = {n: sum(fits(n, *clip) for clip in listed) for n in NUMBERINGS}
    best = max(NUMBERINGS, key=lambda n: n_fitting[n])  # the first of equals: file numbers
    # A folder with exactly its clip also fits `renumbered`, so a few faulty clips must not decide.
    if 2 * n_fitting["file_numbers"] >= len(listed) or 2 * n_fitting[best] < len(listed):
        best = "file_numbers"
    return best, n_fitting[best]
