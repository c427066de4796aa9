"""Partition subjects into folds: one subject per fold (LOSO), or groups of subjects.

A fold's number and subjects depend on the clips and the study seed, not on the order of the clips.
Its clips are listed in the order in which they are given.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dianet_ray.artefacts import MAX_REPEATS, MIN_SUBJECTS_PER_CLASS, Record
from dianet_ray.errors import InputError
from dianet_ray.settings import derive_seed


@dataclass(frozen=True, slots=True)
class Clip(Record):
    """One annotated clip; `label` indexes the study's classes."""

    clip_id: str
    subject: str
    label: int


@dataclass(frozen=True, slots=True)
class Fold:
    """Subjects held out together, and the indices of their clips in the study's clip order."""

    index: int
    test_subjects: tuple[str, ...]
    test_clips: tuple[int, ...]


def repeat_rung(rungs: Sequence[Sequence[Fold]], repeat: int) -> int:
    """Return the rung that repeat r of LOSO is recorded as: those after the last one."""
    return len(rungs) + repeat


def pair_rung(rungs: Sequence[Sequence[Fold]]) -> int:
    """Return the rung that the pairs of a nested study are recorded as: the one after repeats."""
    return repeat_rung(rungs, MAX_REPEATS)


def folds_at(rungs: Sequence[tuple[Fold, ...]], rung: int) -> tuple[Fold, ...]:
    """Return the folds of a rung, of a repeat of LOSO, or of pairs."""
    if rung < pair_rung(rungs):
        return rungs[min(rung, len(rungs) - 1)]
    return pairs(rungs[-1])


@functools.cache
def pairs(folds: tuple[Fold, ...]) -> tuple[Fold, ...]:
    """Hold out the subjects of two LOSO folds at a time: every pair once, the first ones first.

    A network that has seen neither can be tested on both, so in nested cross-validation one
    training serves two outer folds.
    """
    return tuple(
        Fold(index, one.test_subjects + other.test_subjects, one.test_clips + other.test_clips)
        for index, (one, other) in enumerate(itertools.combinations(folds, 2))
    )


def check_pairs(clips: Sequence[Clip], classes: Sequence[str]) -> None:
    """Check that a network learns every class without any two subjects.

    Raises:
        InputError: a class has fewer than three subjects.
    """
    _check_classes(clips, classes, MIN_SUBJECTS_PER_CLASS + 1, "of a nested study ")


def nested_costs(n_configs: int, n_subjects: int) -> tuple[int, int]:
    """Count the trainings of a nested study, and those that it takes by the textbook.

    Both include LOSO of every configuration, which chooses the settings that are reported. The
    textbook tests each configuration for each subject on every other one, and trains the winners
    again.

    >>> nested_costs(8, 12)
    (624, 1164)
    """
    loso = n_configs * n_subjects
    ours = loso + n_configs * (n_subjects * (n_subjects - 1) // 2)
    return ours, loso + loso * (n_subjects - 1) + n_subjects


N_DEALS = 64
"""Random ways of dealing subjects into groups; the best balanced one is taken."""


def loso(clips: Sequence[Clip], classes: Sequence[str], seed: int) -> tuple[Fold, ...]:
    """Hold out one subject per fold, in an order that the seed shuffles.

    Raises:
        InputError: a class has fewer than two subjects.
    """
    _check_classes(clips, classes)
    subjects = sorted({clip.subject for clip in clips})  # the order of rows must not matter
    order = np.random.default_rng(derive_seed(seed, "folds")).permutation(len(subjects))
    return _folds(clips, [(subjects[place],) for place in order])


def groups(clips: Sequence[Clip], classes: Sequence[str], seed: int, n: int) -> tuple[Fold, ...]:
    """Hold out one of n groups of subjects per fold, balanced by classes and numbers of clips.

    Each of N_DEALS deals goes through the subjects, those with most clips first and ties in random
    order, and puts each into the group where `_imbalance` grows least. The deal with the smallest
    `_imbalance` is taken.

    Raises:
        InputError: a class has fewer than two subjects, or is within one group in every deal, or
            there are fewer subjects than groups.
    """
    _check_classes(clips, classes)
    subjects = sorted({clip.subject for clip in clips})
    if len(subjects) < n:
        raise InputError(f"{n} groups of subjects need {n} subjects: got {len(subjects)}")
    counts = np.zeros((len(subjects), len(classes) + 1))  # the last column counts all clips
    for clip in clips:
        counts[subjects.index(clip.subject), [clip.label, -1]] += 1
    generator = np.random.default_rng(derive_seed(seed, "groups", n))
    orders = np.stack([generator.permutation(len(subjects)) for _ in range(N_DEALS)])
    best = min(_deals(counts, n, orders).tolist(), key=lambda deal: _imbalance(counts, deal, n))
    for label, name in enumerate(classes):
        if len({best[place] for place in np.flatnonzero(counts[:, label])}) < 2:
            raise InputError(f"every class must be in at least two of {n} groups: {name} is not")
    subjects_of = [
        tuple(s for s, group in zip(subjects, best, strict=True) if group == index)
        for index in range(n)
    ]
    return _folds(clips, subjects_of)


def _deals(counts: np.ndarray, n: int, orders: np.ndarray) -> np.ndarray:
    """Deal subjects to n groups, those with most clips first, ties in each of the given orders.

    Args:
        counts: clips, (subjects, classes + 1); the last column counts all of a subject's.
        n: the number of groups.
        orders: one permutation of the subjects per deal, (deals, subjects).

    Returns:
        The group of each subject, (deals, subjects).
    """
    target = counts.sum(axis=0) / n
    # The largest first: small subjects can still even out what large ones left.
    by_size = np.argsort(-counts[orders, -1], axis=1, kind="stable")
    every = np.arange(len(orders))
    held, deals = np.zeros((len(orders), n, counts.shape[1])), np.zeros_like(orders)
    for places in np.take_along_axis(orders, by_size, axis=1).T:
        with_it = held + counts[places, None]
        cost = (((with_it - target) ** 2 - (held - target) ** 2) / target**2).sum(axis=-1)
        chosen = cost.argmin(axis=-1)
        deals[every, places] = chosen
        held[every, chosen] += counts[places]
    return deals


def _imbalance(counts: np.ndarray, deal: list[int], n: int) -> tuple[int, float]:
    """Rate a deal: how many classes are within one group, then the sum over groups and columns.

    A term is ((clips - target) / target)^2, where target is the column's mean over groups.
    """
    held = np.zeros((n, counts.shape[1]))
    np.add.at(held, deal, counts)
    target = counts.sum(axis=0) / n
    n_confined = int(((held > 0).sum(axis=0) < 2).sum())
    return n_confined, float((((held - target) / target) ** 2).sum())


def _folds(clips: Sequence[Clip], subjects_of: Sequence[tuple[str, ...]]) -> tuple[Fold, ...]:
    fold_of = {
        subject: index for index, subjects in enumerate(subjects_of) for subject in subjects
    }
    held_out: list[list[int]] = [[] for _ in subjects_of]
    for index, clip in enumerate(clips):
        held_out[fold_of[clip.subject]].append(index)
    return tuple(
        Fold(index=index, test_subjects=subjects, test_clips=tuple(held_out[index]))
        for index, subjects in enumerate(subjects_of)
    )


def _check_classes(
    clips: Sequence[Clip],
    classes: Sequence[str],
    least: int = MIN_SUBJECTS_PER_CLASS,
    where: str = "",
) -> None:
    for label, name in enumerate(classes):
        subjects = {clip.subject for clip in clips if clip.label == label}
        if len(subjects) < least:
            found = ", ".join(sorted(subjects)) or "none"
            raise InputError(
                f"a class {where}needs at least {least} subjects: "
                f"{name} has {len(subjects)} ({found})"
            )
