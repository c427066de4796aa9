"""Who shows what: how many clips each invented person has, and of which emotion.

Sizes imitate CASME II: 2 to 34 clips of a person, some people with one class only; the shares of
the classes are the caller's. Pure: integers in, labels out; knows nothing of faces or files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

FEWEST_SUBJECTS = 3
FEWEST_EACH, MOST_EACH = 2, 34
"""Clips of one person; the upper bound gives way when the mean needs it."""


def fewest_clips(n_classes: int) -> int:
    """Count the clips that `cast` needs: two of a class for the five sixths with several classes.

    >>> fewest_clips(5)
    12
    """
    return -(-2 * n_classes * 6 // 5)


def cast(
    rng: np.random.Generator, n_subjects: int, n_clips: int, proportions: Mapping[str, float]
) -> list[list[str]]:
    """Deal labels to people, one list of labels per person, in random order.

    Class totals are the shares of `proportions`, at least 2; every class has at least two people;
    a sixth of the people (4 of 26) have one class only where the totals allow it. Needs
    FEWEST_SUBJECTS people, `fewest_clips` clips and FEWEST_EACH clips per person.
    """
    sizes = _sizes(rng, n_subjects, n_clips, n_classes=len(proportions))
    pool = _class_totals(n_clips, proportions)
    hands: list[list[str]] = [[] for _ in sizes]
    by_size = [int(subject) for subject in np.argsort(sizes, kind="stable")]
    single, several = by_size[: n_subjects // 6], by_size[n_subjects // 6 :]
    for label in pool:
        free = sorted(several, key=lambda s: len(hands[s]) - min(len(pool), sizes[s]))
        for subject in free[:2]:
            hands[subject].append(label)
            pool[label] -= 1
    for subject in single:
        fits = {label: n if n >= sizes[subject] else 0 for label, n in pool.items()}
        if any(fits.values()):
            label = _pick(rng, fits)
            hands[subject] = [label] * sizes[subject]
            pool[label] -= sizes[subject]
    for subject in by_size:
        taste = 0.05 + rng.dirichlet(np.full(len(pool), 0.6))
        while len(hands[subject]) < sizes[subject]:
            label = _pick(rng, dict(zip(pool, taste * list(pool.values()), strict=True)))
            hands[subject].append(label)
            pool[label] -= 1
    return [[hand[i] for i in rng.permutation(len(hand))] for hand in hands]


def spare(clips: Sequence[tuple[int, str]]) -> list[int]:
    """List which of the clips, (person, label), can be lost with every class keeping two people.

    >>> spare([(1, "joy"), (1, "joy"), (2, "joy")])
    [0, 1]
    """
    held = Counter(clips)
    people = Counter(label for _, label in held)
    return [k for k, clip in enumerate(clips) if held[clip] > 1 or people[clip[1]] > 2]


def shuffle(rng: np.random.Generator, hands: list[list[str]]) -> list[list[str]]:
    """Draw labels that say nothing of clips or people: a permutation, each class on two people."""
    labels = np.array([label for hand in hands for label in hand])
    classes = set(labels.tolist())
    ends = np.cumsum([len(hand) for hand in hands])[:-1]
    while True:
        drawn = [list(map(str, part)) for part in np.split(rng.permutation(labels), ends)]
        if all(sum(label in hand for hand in drawn) >= 2 for label in classes):
            return drawn


def _class_totals(n_clips: int, proportions: Mapping[str, float]) -> dict[str, int]:
    """Share the clips by largest remainders, at least 2 of each class."""
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
    """Draw how many clips each person has: skewed, as in CASME II."""
    most = max(MOST_EACH, 2 * -(-n_clips // n_subjects))
    weights = np.exp(rng.normal(0, 0.9, n_subjects))
    sizes = np.full(n_subjects, FEWEST_EACH)
    for _ in range(n_clips - sizes.sum()):
        open_weights = weights * (sizes < most)
        sizes[rng.choice(n_subjects, p=open_weights / open_weights.sum())] += 1
    # Few people: even them out until two of them can show each class.
    n_several = n_subjects - n_subjects // 6
    while np.minimum(np.sort(sizes)[-n_several:], n_classes).sum() < 2 * n_classes:
        sizes[np.argmax(sizes)] -= 1
        sizes[np.argmin(sizes)] += 1
    return [int(size) for size in sizes]


def _pick(rng: np.random.Generator, weights: Mapping[str, float]) -> str:
    share = np.array(list(weights.values()), dtype=np.float64)
    return str(rng.choice(list(weights), p=share / share.sum()))
