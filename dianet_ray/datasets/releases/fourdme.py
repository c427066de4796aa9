"""4DME's grey videos as released: `gray_micro/S01/001_01_1/Frame_000002410.jpg`.

A cell of the sheet may join several emotions by a plus sign.
"""

from __future__ import annotations

import re
from pathlib import Path

from dianet_ray.datasets.release import Key, Release
from dianet_ray.datasets.subjects import fourdme_subject

_SUBJECT = re.compile(r"S\d+(?:_[a-z0-9]+)?", re.IGNORECASE)
_CLIP = re.compile(r"\d+_\d+_\d+")
_JOINED = re.compile(r"(S\d+(?:_[a-z0-9]+)?)_(\d+_\d+_\d+)", re.IGNORECASE)


def _place(path: Path) -> Key | None:
    if match := _JOINED.fullmatch(path.name):
        return fourdme_subject(match[1]), match[2]
    if _CLIP.fullmatch(path.name) and _SUBJECT.fullmatch(path.parent.name):
        return fourdme_subject(path.parent.name), path.name
    return None


RELEASE = Release(
    dataset="fourdme",
    tables=("4DME_Labelling_Micro_release*.xlsx",),
    columns={
        "subject": ("sub_ID",),
        "filename": ("fold_name",),
        "onset": ("Onset",),
        "apex": ("Apex",),
        "offset": ("Offset",),
        "label": ("Emotion",),
    },
    subject=fourdme_subject,
    place=_place,
    example="gray_micro/S01/001_01_1",
    fps=60,
    unconfirmed=(
        "the names of the frame files, and that their numbers are the sheet's",
        "the order of the columns, and 60 frames a second",
    ),
)
