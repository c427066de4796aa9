"""Which clips of IMAGES a study uses, and as which classes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dianet_ray.datasets.label_sets import LabelSet, label_set, plain_label
from dianet_ray.errors import InputError
from dianet_ray.options import SearchOptions
from dianet_ray.prepare.images import fingerprint, images_hash
from dianet_ray.protocol.folds import Clip
from dianet_ray.protocol.study import Origin, Study

if TYPE_CHECKING:
    from dianet_ray.prepare.images import Images


def labels_of(images: Images, existing: Study | None, options: SearchOptions) -> LabelSet:
    """Read the label set that the command names, else the study's, else the data set's usual one.

    Raises:
        InputError: no such set, or a file that is none.
    """
    if options.classes is None and existing is not None:
        return LabelSet(existing.identity.classes, existing.identity.labels)
    clips = list(zip(images.labels, images.subjects, strict=True))
    return label_set(options.classes, images.record.dataset, clips=clips)


@dataclass(frozen=True, slots=True)
class UsedClips:
    """The clips of IMAGES whose label is in a class: `rows` (clips,) index IMAGES.

    `other_labels` counts the labels of the clips that are not used.
    """

    rows: np.ndarray
    clips: tuple[Clip, ...]
    other_labels: dict[str, int]


def clips_of(images: Images, labels: LabelSet) -> UsedClips:
    """Choose the clips of a study.

    Raises:
        InputError: no clip has a label of the set.
    """
    named = zip(images.labels, images.subjects, strict=True)
    class_of = [labels.class_of(label, subject) for label, subject in named]
    rows = np.array([i for i, name in enumerate(class_of) if name is not None])
    if not len(rows):
        raise InputError(f"no clip has a label of {labels.name}: {images.path}")
    clips = tuple(
        Clip(images.clip_ids[i], images.subjects[i], labels.classes.index(str(class_of[i])))
        for i in rows
    )
    others = (
        plain_label(label)
        for label, name in zip(images.labels, class_of, strict=True)
        if name is None
    )
    return UsedClips(rows, clips, dict(Counter(others)))


def origin_of(images: Images, labels: LabelSet, used: UsedClips) -> Origin:
    """Record what else is true of a study when it is made."""
    record = images.record
    return Origin(
        dataset=record.dataset,
        images_path=str(images.path),
        recipe=record.recipe,
        apex=record.apex,
        n_left_out=record.n_left_out,
        n_unlabelled=len(images.labels) - len(used.rows),
        other_labels=used.other_labels,
        dropped_labels=labels.dropped,
        duplicates=record.duplicates,
        fingerprints=tuple(fingerprint(images.images[i]) for i in used.rows),
        image_hashes=tuple(images_hash(images.images[i]) for i in used.rows),
    )
