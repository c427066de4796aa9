"""Who shows what: how many clips each invented subject has, and with which labels.

Numbers imitate CASME II: 2 to 34 clips per subject, and some subjects with one class only. The
proportions of the classes are the caller's. Pure: no faces, no files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

FEWEST_SUBJECTS = 3
FEWEST_EACH, MOST_EACH = 2, 34
"""Clips of one subject. The upper bound is raised when the mean would not fit below it."""


def fewest_clips(n_classes: int) -> int:
    """Count the clips that `cast` needs to give every class two subjects with several classes.

    >>> fewest_clips(5)
    12
    """
    return -(-2 * n_classes * 6 // 5)


def cast(
    rng: np.random.Generator, n_subjects: int, n_clips: int, proportions: Mapping[str, float]
) -> list[list[str]]:
    """Deal labels to subjects: a list of labels per subject, in random order.

    Every class has at least two subjects. A sixth of the subjects (4 of 26) have one class only,
    if the class totals allow it.

    Args:
        rng: draws everything.
        n_subjects: at least FEWEST_SUBJECTS.
        n_clips: at least `fewest_clips`, and FEWEST_EACH per subject.
        proportions: label -> any number; the class totals are proportional, but at least 2.
    """
    sizes = _sizes(rng, n_subjects, n_clips, n_classes=len(proportions))
    pool = _class_totals(n_clips, proportions)
    hands: list[list[str]] = [[] for _ in sizes]
    by_size = [int(subject) for subject in np.argsort(sizes, kind="stable")]
    single, several = by_size[: n_subjects // 6], by_size[n_subjects // 6 :]
    # First every class gets two subjects: with one, the fold that tests it cannot learn it.
    for label in pool:
        free = sorted(several, key=lambda s: len(hands[s]) - min(len(pool), sizes[s]))
        for subject in free[:2]:
            hands[subject].append(label)
            pool[label] -= 1
    # Then the subjects with few clips get one class each, while a class has enough clips left.
    for subject in single:
        fits = {label: n if n >= sizes[subject] else 0 for label, n in pool.items()}
        if any(fits.values()):
            label = _pick(rng, fits)
            hands[subject] = [label] * sizes[subject]
            pool[label] -= sizes[subject]
    for subject in by_size:
        # Subjects favour some emotions, but 0.05 leaves none impossible.
        taste = 0.05 + rng.dirichlet(np.full(len(pool), 0.6))
        while len(hands[subject]) < sizes[subject]:
            label = _pick(rng, dict(zip(pool, taste * list(pool.values()), strict=True)))
            hands[subject].append(label)
            pool[label] -= 1
    return [[hand[i] for i in rng.permutation(len(hand))] for hand in hands]


def spare(clips: Sequence[tuple[int, str]]) -> list[int]:
    """List which clips, (subject, label), can each be lost so that every class keeps two subjects.

    >>> spare([(1, "joy"), (1, "joy"), (2, "joy")])
    [0, 1]
    """
    held = Counter(clips)
    subjects = Counter(label for _, label in held)
    return [k for k, clip in enumerate(clips) if held[clip] > 1 or subjects[clip[1]] > 2]


def shuffle(rng: np.random.Generator, hands: list[list[str]]) -> list[list[str]]:
    """Permute labels at random over clips and subjects, so that each class keeps two subjects."""
    labels = np.array([label for hand in hands for label in hand])
    classes = set(labels.tolist())
    ends = np.cumsum([len(hand) for hand in hands])[:-1]
    # Drawing again until each class has two subjects keeps all such permutations equally likely.
    while True:
        drawn = [list(map(str, part)) for part in np.split(rng.permutation(labels), ends)]
        if all(sum(label in hand for hand in drawn) >= 2 for label in classes):
            return drawn


def _class_totals(n_clips: int, proportions: Mapping[str, float]) -> dict[str, int]:
    """Apportion the clips to classes by largest remainders, with at least 2 of each class."""
    exact = np.array(list(proportions.values())) * n_clips / sum(proportions.values())
    totals = np.maximum(2, np.floor(exact)).astype(int)
    while totals.sum() < n_clips:
        totals[np.argmax(exact - totals)] += 1
    while totals.sum() > n_clips:
        totals[np.argmax(totals)] -= 1
    return dict(zip(proportions, totals.tolist(), strict=True))


def _sizes(
    rng: np.random.Generator, n_subjects: int, n_clips: int, *, n_classes: int
) -> list[int]:
    """Draw how many clips each subject has: skewed, as in CASME II."""
    most = max(MOST_EACH, 2 * -(-n_clips // n_subjects))
    weights = np.exp(rng.normal(0, 0.9, n_subjects))
    sizes = np.full(n_subjects, FEWEST_EACH)
    for _ in range(n_clips - sizes.sum()):
        open_weights = weights * (sizes < most)
        sizes[rng.choice(n_subjects, p=open_weights / open_weights.sum())] += 1
    # With few subjects the numbers are evened out until each class fits on two of them.
    n_several = n_subjects - n_subjects // 6
    while np.minimum(np.sort(sizes)[-n_several:], n_classes).sum() < 2 * n_classes:
        sizes[np.argmax(sizes)] -= 1
        sizes[np.argmin(sizes)] += 1
    return [int(size) for size in sizes]


def _pick(rng: np.random.Generator, weights: Mapping[str, float]) -> str:
    share = np.array(list(weights.values()), dtype=np.float64)
    return str(rng.choice(list(weights), p=share / share.sum()))
