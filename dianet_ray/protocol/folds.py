"""Which people are held out together: leave-one-subject-out.

A fold's number and its people depend on the subjects and the study seed, never on the order of
the rows; its clips are in that order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dianet_ray.errors import InputError
from dianet_ray.protocol.study import Clip, Fold
from dianet_ray.schemas import MIN_SUBJECTS_PER_CLASS
from dianet_ray.settings import derive_seed


def loso(clips: Sequence[Clip], classes: Sequence[str], seed: int) -> tuple[Fold, ...]:
    """Hold out one subject per fold.

    The subjects are shuffled once, so that the first folds are no particular people. A fold lists
    its clips in the order in which they are given.

    Raises:
        InputError: a class is shown by fewer than two subjects.
    """
    _check_classes(clips, classes)
    subjects = sorted({clip.subject for clip in clips})
    clips_of: dict[str, list[int]] = {subject: [] for subject in subjects}
    for index, clip in enumerate(clips):
        clips_of[clip.subject].append(index)
    order = np.random.default_rng(derive_seed(seed, "folds")).permutation(len(subjects))
    shuffled = [subjects[place] for place in order]
    return tuple(
        Fold(index=index, test_subjects=(subject,), test_clips=tuple(clips_of[subject]))
        for index, subject in enumerate(shuffled)
    )


def _check_classes(clips: Sequence[Clip], classes: Sequence[str]) -> None:
    for label, name in enumerate(classes):
        subjects = {clip.subject for clip in clips if clip.label == label}
        if len(subjects) < MIN_SUBJECTS_PER_CLASS:
            found = ", ".join(sorted(subjects)) or "none"
            raise InputError(
                f"a class needs at least {MIN_SUBJECTS_PER_CLASS} subjects: "
                f"{name} has {len(subjects)} ({found})"
            )
