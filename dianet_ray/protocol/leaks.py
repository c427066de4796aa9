"""Whether every training saw the clips that it should see, and no others.

A worker hashes the images that it trains and tests a network with, and the ledger keeps the two
hashes. Whoever reads a study works out from its clips and folds what they must be.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable

from dianet_ray.errors import InputError
from dianet_ray.protocol.results import Seen
from dianet_ray.protocol.study import Study


def seen(trained: Iterable[str], tested: Iterable[str]) -> Seen:
    """Hash what a training saw.

    Args:
        trained: the fingerprints of the clips that it was trained on, in any order.
        tested: of those that it predicted, in the order of the predictions.
    """
    return Seen(_hash(sorted(trained)), _hash(tested))


def _hash(fingerprints: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(fingerprints).encode()).hexdigest()


def expected(study: Study, rung: int, fold: int) -> Seen:
    """Work out what a training of a fold must have seen: all clips but those of its subjects."""
    held_out = study.folds_of(rung)[fold].test_clips
    prints = study.origin.fingerprints
    others = set(range(len(prints))) - set(held_out)
    return seen((prints[i] for i in others), (prints[i] for i in held_out))


def check(study: Study) -> None:
    """Check that no test clip was trained on, and that every clip is scored once in each rung.

    Raises:
        InputError: a clip is held out in several folds of a rung or in none, or a training saw
            other clips than its fold gives.
    """
    for rung, folds in enumerate(study.rungs):
        n_of = Counter(index for fold in folds for index in fold.test_clips)
        for index, clip in enumerate(study.clips):
            if n_of[index] != 1:
                raise InputError(
                    f"every clip is held out once in each rung: {clip.clip_id} is held out "
                    f"{n_of[index]} times in rung {rung + 1} of {study.name}"
                )
    wanted: dict[tuple[int, int], Seen] = {}
    for training in study.all_trainings():
        place = training.rung, training.fold
        if place not in wanted:
            wanted[place] = expected(study, *place)
        if training.outcome == "ok" and training.result.seen != wanted[place]:
            raise InputError(
                "a training sees every clip but those of the subjects that test it: "
                f"configuration {training.number} saw others in fold {training.fold} of rung "
                f"{training.rung + 1} of {study.name}, so its scores are worth nothing; search "
                "again into a new folder"
            )
