"""Which people are held out together: leave-one-subject-out.

A fold's number and its clips depend on the subjects, the clip names and the study seed, never on
the order of the rows. Whatever reads or writes folds can `check` them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from dianet_ray.errors import InputError
from dianet_ray.protocol.study import Clip, Fold
from dianet_ray.settings import derive_seed

MIN_SUBJECTS_PER_CLASS = 2
"""With one, the fold that tests this subject trains without the class."""


def loso(clips: Sequence[Clip], classes: Sequence[str], seed: int) -> tuple[Fold, ...]:
    """Hold out one subject per fold.

    The subjects are shuffled once, so that the first folds are no particular people. A fold lists
    its clips in the order of their names.

    Raises:
        InputError: a class is shown by fewer than two subjects.
    """
    _check_classes(clips, classes)
    subjects = sorted({clip.subject for clip in clips})
    clips_of: dict[str, list[int]] = {subject: [] for subject in subjects}
    for index in sorted(range(len(clips)), key=lambda index: clips[index].clip_id):
        clips_of[clips[index].subject].append(index)
    order = np.random.default_rng(derive_seed(seed, "folds")).permutation(len(subjects))
    shuffled = [subjects[place] for place in order]
    return tuple(
        Fold(index=index, test_subjects=(subject,), test_clips=tuple(clips_of[subject]))
        for index, subject in enumerate(shuffled)
    )


def check(folds: Sequence[Fold], clips: Sequence[Clip]) -> None:
    """Verify that the folds are numbered in order, test every clip once, and split no subject.

    Raises:
        InputError: naming the first fold, clip or subject that breaks the rule.
    """
    tested: Counter[int] = Counter()
    for place, fold in enumerate(folds):
        if fold.index != place:
            raise InputError(f"folds are numbered in order: got {fold.index} at place {place}")
        _check_subjects(fold, clips)
        tested.update(fold.test_clips)
    for index, clip in enumerate(clips):
        if tested[index] != 1:
            raise InputError(
                "a partition tests every clip once: "
                f"{clip.clip_id} is tested {tested[index]} times"
            )


def _check_subjects(fold: Fold, clips: Sequence[Clip]) -> None:
    held_out = set(fold.test_clips)
    for index, clip in enumerate(clips):
        if (index in held_out) != (clip.subject in fold.test_subjects):
            raise InputError(
                f"no subject is on both sides of a fold: subject {clip.subject}, "
                f"clip {clip.clip_id}, fold {fold.index}"
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
