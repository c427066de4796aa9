"""The ladder: which partitions a configuration climbs, the last one always LOSO.

Every clip is tested once in each rung, so three groups of subjects screen a configuration on
everybody with three trainings, where three trainings of LOSO would show three people.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dianet_ray.protocol.folds import groups, loso
from dianet_ray.protocol.study import Clip, Fold

Drop = Literal["none", "bootstrap"]


@dataclass(frozen=True, slots=True)
class Rung:
    """A partition into groups of subjects (None: LOSO), and who climbs past it.

    `steps` is the share of the training steps that a training of this rung gets, `keep` the share
    of the configurations that climb, `drop` the rule that stops the others inside the rung.
    """

    groups: int | None = None
    steps: float = 1.0
    keep: float = 0.0
    drop: Drop = "none"

    def quota(self, n: int, *, is_last_wave: bool) -> int:
        """Count the places for n configurations; at least one when no more will come.

        >>> Rung(3, keep=1 / 16).quota(40, is_last_wave=False)
        2
        """
        places = math.floor(self.keep * n + 1e-9)  # 1/49 x 49 is a little less than 1
        return max(places, 1) if is_last_wave else places

    def folds(self, clips: Sequence[Clip], classes: Sequence[str], seed: int) -> tuple[Fold, ...]:
        """Partition the subjects.

        Raises:
            InputError: as `groups` and `loso`.
        """
        if self.groups is None:
            return loso(clips, classes, seed)
        return groups(clips, classes, seed, self.groups)

    def plain(self) -> Any:
        """Write the rung as JSON; `from_plain` reads it back."""
        if self.groups is None:
            return "loso"
        return {"groups": self.groups, "steps": self.steps, "keep": self.keep, "drop": self.drop}


Ladder = tuple[Rung, ...]

EXHAUSTIVE: Ladder = (Rung(),)
"""Every fold of every configuration."""

N_GROUPS = 3
KEEP = 1 / 16
MIN_SUBJECTS = 6
"""With fewer people groups of three hold one or two, and LOSO costs little more."""


def default_ladder(n_subjects: int, drop: Drop = "bootstrap") -> Ladder:
    """Choose the ladder for a data set: three groups, then LOSO; LOSO alone for a handful."""
    if n_subjects < MIN_SUBJECTS:
        return EXHAUSTIVE
    return (Rung(N_GROUPS, keep=KEEP, drop=drop), Rung())


def from_plain(rungs: Sequence[Any]) -> Ladder:
    """Read a ladder from the identity of a study."""
    return tuple(Rung() if rung == "loso" else Rung(**rung) for rung in rungs)
