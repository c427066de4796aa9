"""How often corrected intervals hold the truth, as it was measured in simulations."""

from __future__ import annotations

import math

MEASURED = {12: 0.95, 26: 0.94, 68: 0.93}
"""Share of searches with signal, by number of subjects: docs/measurements.md, Correction for the
search. The mean over three metrics and both strategies."""


MOST_APART = 2
"""Studies of more than so many times more or fewer subjects are not told of any coverage."""


def most_similar(n_subjects: int) -> int:
    """Return the simulated number of subjects that is most similar.

    >>> most_similar(5), most_similar(30)
    (12, 26)
    """
    return min(MEASURED, key=lambda size: abs(math.log(size / n_subjects)))


def coverage(n_subjects: int) -> float | None:
    """Return the measured coverage of 95 % intervals for a similar number of subjects.

    None where no similar number was simulated.

    >>> coverage(5), coverage(26), coverage(100)
    (None, 0.94, 0.93)
    """
    nearest = most_similar(n_subjects)
    is_similar = nearest / MOST_APART <= n_subjects <= nearest * MOST_APART
    return MEASURED[nearest] if is_similar else None
