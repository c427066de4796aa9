"""Who shows what: how many clips each invented person has, and of which emotion.

Counts imitate CASME II: 99/63/32/27/25 clips of five classes, 2 to 34 clips of a person, some
people with one class only. Pure: integers in, labels out; knows nothing of faces or files.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

PROPORTIONS = {"others": 99, "disgust": 63, "happiness": 32, "repression": 27, "surprise": 25}
"""Clips of each class in CASME II's five-class set."""

FEWEST_SUBJECTS, FEWEST_CLIPS = 3, 12
FEWEST_EACH, MOST_EACH = 2, 34
"""Clips of one person; the upper bound gives way when the mean needs it."""


def cast(rng: np.random.Generator, n_subjects: int, n_clips: int) -> list[list[str]]:
    """Deal labels to people, one list of labels per person, in random order.

    Class totals are the shares of PROPORTIONS, at least 2; every class has at least two people;
    a sixth of the people (4 of 26) have one class only where the totals allow it. Needs
    FEWEST_SUBJECTS people, FEWEST_CLIPS clips and FEWEST_EACH clips per person.
    """
    sizes = _sizes(rng, n_subjects, n_clips)
    pool = _class_totals(n_clips)
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


def spare(hands: list[list[str]]) -> list[tuple[int, int]]:
    """List the (person, clip) that can be lost with every class keeping two people."""
    people = {label: sum(label in hand for hand in hands) for label in PROPORTIONS}
    return [
        (subject, clip)
        for subject, hand in enumerate(hands)
        for clip, label in enumerate(hand)
        if hand.count(label) > 1 or people[label] > 2
    ]


def shuffle(rng: np.random.Generator, hands: list[list[str]]) -> list[list[str]]:
    """Draw labels that say nothing of clips or people: a permutation, each class on two people."""
    labels = np.array([label for hand in hands for label in hand])
    ends = np.cumsum([len(hand) for hand in hands])[:-1]
    while True:
        drawn = [list(map(str, part)) for part in np.split(rng.permutation(labels), ends)]
        if all(sum(label in hand for hand in drawn) >= 2 for label in PROPORTIONS):
            return drawn


def _class_totals(n_clips: int) -> dict[str, int]:
    """Share the clips by largest remainders, at least 2 of each class."""
    exact = np.array(list(PROPORTIONS.values())) * n_clips / sum(PROPORTIONS.values())
    totals = np.maximum(2, np.floor(exact)).astype(int)
    while totals.sum() < n_clips:
        totals[np.argmax(exact - totals)] += 1
    while totals.sum() > n_clips:
        totals[np.argmax(totals)] -= 1
    return dict(zip(PROPORTIONS, totals.tolist(), strict=True))


def _sizes(rng: np.random.Generator, n_subjects: int, n_clips: int) -> list[int]:
    """Draw how many clips each person has: skewed, as in CASME II."""
    most = max(MOST_EACH, 2 * -(-n_clips // n_subjects))
    weights = np.exp(rng.normal(0, 0.9, n_subjects))
    sizes = np.full(n_subjects, FEWEST_EACH)
    for _ in range(n_clips - sizes.sum()):
        open_weights = weights * (sizes < most)
        sizes[rng.choice(n_subjects, p=open_weights / open_weights.sum())] += 1
    # Few people: even them out until two of them can show each class.
    n_several, n_classes = n_subjects - n_subjects // 6, len(PROPORTIONS)
    while np.minimum(np.sort(sizes)[-n_several:], n_classes).sum() < 2 * n_classes:
        sizes[np.argmax(sizes)] -= 1
        sizes[np.argmin(sizes)] += 1
    return [int(size) for size in sizes]


def _pick(rng: np.random.Generator, weights: Mapping[str, float]) -> str:
    share = np.array(list(weights.values()), dtype=np.float64)
    return str(rng.choice(list(weights), p=share / share.sum()))
