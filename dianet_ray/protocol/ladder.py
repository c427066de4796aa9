"""The ladder: the partitions that a configuration is promoted through, the last one LOSO.

Each rung tests every clip once. Three groups of subjects therefore test a configuration on all
subjects with three trainings; three trainings of LOSO would test three subjects.
docs/decisions.md: Groups of subjects before LOSO.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from dianet_ray.artefacts import Record
from dianet_ray.errors import InputError
from dianet_ray.protocol.folds import Clip, Fold, groups, loso

Drop = Literal["none", "bootstrap"]

PLACES_PER_QUOTA = 2
"""Places past a rung, in quotas. More than the quota are promoted: some of the best of an early
wave are overtaken by later ones. docs/decisions.md: Promotion quota."""

N_LOOKS = 12
"""The most comparisons of a configuration in a rung: after every group; in LOSO of 26 subjects
after every second fold from the sixth on. docs/decisions.md: How often LOSO is compared."""

CONFIDENCE, LOSO_CONFIDENCE = 0.9, 0.995
"""The share of bootstrap replicates in which a configuration must end its rung behind, to be
dropped. A wrong drop in groups costs one of many candidates; in LOSO it may cost the champion.
docs/decisions.md: Drop confidence."""


@dataclass(frozen=True, slots=True)
class Rung(Record):
    """A partition into groups of subjects (None: LOSO), and the rules of promotion and drops.

    `steps` is the share of the training steps that a training of this rung gets, `keep` the share
    of the configurations that is promoted, `drop` the rule that drops configurations inside it.
    With `keeps_first` the first configuration is promoted beside them, whatever its score: the
    champion is chosen among the settings that the search began with, too.
    """

    groups: int | None = None
    steps: float = 1.0
    keep: float = 0.0
    drop: Drop = "none"
    keeps_first: bool = False

    @property
    def confidence(self) -> float:
        """The share of bootstrap replicates that a drop takes."""
        return LOSO_CONFIDENCE if self.groups is None else CONFIDENCE

    def quota(self, n: int, *, is_last_wave: bool) -> int:
        """Return how many of the best of n configurations are promoted: floor(keep x n).

        At least one at the last wave.

        >>> Rung(3, keep=1 / 16).quota(40, is_last_wave=False)
        2
        """
        best = math.floor(self.keep * n + 1e-9)  # 1/49 x 49 is a little less than 1
        return max(best, 1) if is_last_wave else best

    def places(self, n: int, *, is_last_wave: bool) -> int:
        """Bound how many of n configurations are promoted in all, wave after wave."""
        return PLACES_PER_QUOTA * self.quota(n, is_last_wave=is_last_wave)

    def folds(self, clips: Sequence[Clip], classes: Sequence[str], seed: int) -> tuple[Fold, ...]:
        """Partition the subjects.

        Raises:
            InputError: see `groups` and `loso`.
        """
        if self.groups is None:
            return loso(clips, classes, seed)
        return groups(clips, classes, seed, self.groups)

    def __str__(self) -> str:
        if self.groups is None:
            return f"loso, drop {self.drop}"
        shares = f"{self.steps:g} of the steps, keep {self.keep:g}"
        return f"{self.groups} groups, {shares}, drop {self.drop}"


Ladder = tuple[Rung, ...]

EXHAUSTIVE: Ladder = (Rung(),)
"""Trains every fold of every configuration."""

N_GROUPS = 3
STEPS = 0.5
KEEP = 1 / 16
MIN_SUBJECTS = 6
"""With fewer subjects three groups hold one or two each, and LOSO costs little more."""


def default_ladder(n_subjects: int, drop: Drop = "bootstrap") -> Ladder:
    """Choose the ladder for a data set: three groups with half the steps, then LOSO.

    With fewer than MIN_SUBJECTS subjects it is LOSO alone. Half the steps rank configurations as
    well as all of them. docs/decisions.md: Steps in the group rung.
    """
    if n_subjects < MIN_SUBJECTS:
        return EXHAUSTIVE
    return (Rung(N_GROUPS, STEPS, KEEP, drop), Rung(drop=drop))


def next_look(n_folds: int, n_compared: int) -> int:
    """Return the number of folds after which a configuration is compared next, or ends.

    The first look comes after a quarter of the folds. docs/decisions.md: First look in LOSO.

    >>> next_look(3, 0), next_look(26, 0), next_look(26, 6), next_look(26, 24)
    (1, 6, 8, 26)
    """
    looks = (round(n_folds * look / (N_LOOKS + 1)) for look in range(1, N_LOOKS + 1))
    least = max(n_compared + 1, n_folds // 4)
    return min((k for k in looks if k >= least), default=n_folds)


def entering(ladder: Ladder, n_configs: int, wave_size: int) -> list[int]:
    """Bound the number of configurations that enter each rung if none fails.

    A closing wave promotes at most its quota, and all waves together at most the places, the
    first configuration not counted.

    >>> entering((Rung(3, keep=1 / 16), Rung()), 64, 8)
    [64, 8]
    """
    counts = [n_configs]
    for place, rung in enumerate(ladder[:-1]):
        n = counts[-1]
        bound = rung.places(n, is_last_wave=True)
        if place == 0:
            drawn = [*range(wave_size, n, wave_size), n]
            bound = min(bound, sum(rung.quota(k, is_last_wave=k == n) for k in drawn))
        counts.append(min(n, bound + rung.keeps_first))
    return counts


def parse_keep(text: str, where: str) -> float:
    """Read the share of the configurations that is promoted: a number or a fraction.

    Raises:
        InputError: not between 0 and 1.

    >>> parse_keep("1/16", "")
    0.0625
    """
    top, _, bottom = text.partition("/")
    try:
        keep = float(top) / float(bottom or 1)
    except (ValueError, ZeroDivisionError):
        keep = math.nan
    if not 0 < keep < 1:
        raise InputError(f"{where}: the promoted share lies between 0 and 1: got {text}")
    return keep


def parse_ladder(text: str) -> Ladder:
    """Read the rungs below LOSO: numbers of groups, each with a share of the steps if not all.

    Raises:
        InputError: not a list of these.

    >>> [(rung.groups, rung.steps) for rung in parse_ladder("3*0.5,7")]
    [(3, 0.5), (7, 1.0), (None, 1.0)]
    """
    rungs = []
    for part in text.split(","):
        n, _, steps = part.partition("*")
        try:
            read = int(n), float(steps or 1)
        except ValueError:
            raise InputError(
                f"--ladder takes groups and shares of steps like 3*0.5,7: got {text}"
            ) from None
        rungs.append(check_rung(*read, KEEP, "--ladder"))
    return (*rungs, Rung())


def check_rung(n_groups: int, steps: float, keep: float, where: str) -> Rung:
    """Make a rung of groups that drops nobody.

    Raises:
        InputError: fewer than two groups, or a share that is not in 0..1.
    """
    if n_groups < 2:
        raise InputError(f"{where}: a rung has at least 2 groups: got {n_groups}")
    if not 0 < steps <= 1:
        raise InputError(f"{where}: the share of the steps lies in 0..1: got {steps:g}")
    return Rung(n_groups, steps, keep)
