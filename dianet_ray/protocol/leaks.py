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

RULE = "a training sees every clip but those of the subjects that test it"


def seen(trained: Iterable[str], tested: Iterable[str]) -> Seen:
    """Hash what a training saw.

    Args:
        trained: the hashes of the images of each clip that it was trained on, in any order.
        tested: of each clip that it predicted, in the order of the predictions.
    """
    return Seen(_hash(sorted(trained)), _hash(tested))


def _hash(hashes: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def expected(study: Study, rung: int, fold: int) -> Seen:
    """Work out what a training of a fold must have seen: all clips but those of its subjects."""
    held_out = study.folds_of(rung)[fold].test_clips
    hashes = study.origin.image_hashes
    others = set(range(len(hashes))) - set(held_out)
    return seen((hashes[i] for i in others), (hashes[i] for i in held_out))


def check(study: Study) -> None:
    """Check that no test clip was trained on, and that every clip is scored once in each rung.

    Raises:
        InputError: a clip is held out in several folds of a rung or in none, or a training saw
            other clips than its fold gives.
    """
    if len(study.origin.image_hashes) != len(study.clips):
        raise InputError(
            f"a study has a hash for each clip: {len(study.origin.image_hashes)} for "
            f"{len(study.clips)} in {study.name}"
        )
    _check_partitions(study)
    _check_seen(study)


def _check_partitions(study: Study) -> None:
    for rung, folds in enumerate(study.rungs):
        n_of = Counter(index for fold in folds for index in fold.test_clips)
        for index, clip in enumerate(study.clips):
            if n_of[index] != 1:
                raise InputError(
                    f"every clip is held out once in each rung: {clip.clip_id} is held out "
                    f"{n_of[index]} times in rung {rung + 1} of {study.name}"
                )


def _check_seen(study: Study) -> None:
    wanted: dict[tuple[int, int], Seen] = {}
    for training in study.all_trainings():
        place = training.rung, training.fold
        if training.outcome != "ok":
            continue
        if not 0 <= training.fold < len(study.folds_of(training.rung)):
            raise InputError(f"a ledger names folds of its study: got fold {training.fold}")
        if place not in wanted:
            wanted[place] = expected(study, *place)
        if training.result.seen != wanted[place]:
            raise InputError(
                f"{RULE}: configuration {training.number} saw others in fold {training.fold} of "
                f"rung {training.rung + 1} of {study.name}, so its scores are worth nothing; "
                "search again into a new folder"
            )
