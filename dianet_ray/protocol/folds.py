"""Which people are held out together: one subject at a time, or groups of subjects.

A fold's number and its people depend on the subjects and the study seed, never on the order of
the rows; its clips are in that order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dianet_ray.artefacts import MIN_SUBJECTS_PER_CLASS
from dianet_ray.errors import InputError
from dianet_ray.protocol.study import Clip, Fold
from dianet_ray.settings import derive_seed

N_DEALS = 64
"""How many ways of dealing subjects into groups are tried; the best balanced one is taken."""


def loso(clips: Sequence[Clip], classes: Sequence[str], seed: int) -> tuple[Fold, ...]:
    """Hold out one subject per fold.

    The subjects are shuffled once, so that the first folds are no particular people. A fold lists
    its clips in the order in which they are given.

    Raises:
        InputError: a class is shown by fewer than two subjects.
    """
    _check_classes(clips, classes)
    subjects = sorted({clip.subject for clip in clips})
    order = np.random.default_rng(derive_seed(seed, "folds")).permutation(len(subjects))
    return _folds(clips, [(subjects[place],) for place in order])


def groups(clips: Sequence[Clip], classes: Sequence[str], seed: int, n: int) -> tuple[Fold, ...]:
    """Hold out one group of subjects per fold, of n that balance classes and numbers of clips.

    Subjects are dealt in several random orders, each to the group that it unbalances least, the
    largest first; the deal with the smallest squared relative deviations is taken.

    Raises:
        InputError: a class is shown by fewer than two subjects, or there are fewer subjects than
            groups, or a class that no deal puts into two groups.
    """
    _check_classes(clips, classes)
    subjects = sorted({clip.subject for clip in clips})
    if len(subjects) < n:
        raise InputError(f"{n} groups of subjects need {n} subjects: got {len(subjects)}")
    counts = np.zeros((len(subjects), len(classes) + 1))  # the last column counts all clips
    for clip in clips:
        counts[subjects.index(clip.subject), [clip.label, -1]] += 1
    generator = np.random.default_rng(derive_seed(seed, "groups", n))
    deals = [_deal(counts, n, generator.permutation(len(subjects))) for _ in range(N_DEALS)]
    best = min(deals, key=lambda deal: _imbalance(counts, deal, n))
    for label, name in enumerate(classes):
        if len({best[place] for place in np.flatnonzero(counts[:, label])}) < 2:
            raise InputError(f"every class must be in at least two of {n} groups: {name} is not")
    people = [
        tuple(s for s, group in zip(subjects, best, strict=True) if group == index)
        for index in range(n)
    ]
    return _folds(clips, people)


def _deal(counts: np.ndarray, n: int, order: np.ndarray) -> list[int]:
    """Deal subjects to n groups, the largest first, ties in the given order."""
    target = counts.sum(axis=0) / n
    held, deal = np.zeros((n, counts.shape[1])), [0] * len(counts)
    by_size = order[np.argsort(-counts[order, -1], kind="stable")]
    for place in by_size:
        cost = (((held + counts[place] - target) ** 2 - (held - target) ** 2) / target**2).sum(1)
        deal[place] = int(np.argmin(cost))
        held[deal[place]] += counts[place]
    return deal


def _imbalance(counts: np.ndarray, deal: list[int], n: int) -> tuple[int, float]:
    """Rate a deal: classes within one group first, then squared relative deviations."""
    held = np.zeros((n, counts.shape[1]))
    np.add.at(held, deal, counts)
    target = counts.sum(axis=0) / n
    n_confined = int(((held > 0).sum(axis=0) < 2).sum())
    return n_confined, float((((held - target) / target) ** 2).sum())


def _folds(clips: Sequence[Clip], people: Sequence[tuple[str, ...]]) -> tuple[Fold, ...]:
    fold_of = {subject: index for index, subjects in enumerate(people) for subject in subjects}
    held_out: list[list[int]] = [[] for _ in people]
    for index, clip in enumerate(clips):
        held_out[fold_of[clip.subject]].append(index)
    return tuple(
        Fold(index=index, test_subjects=subjects, test_clips=tuple(held_out[index]))
        for index, subjects in enumerate(people)
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
