"""4DME, grey videos: `gray_micro/S01/001_01_1/Frame_000002410.jpg`.

A cell of the sheet may join several emotions with a plus sign. The sessions of one subject
(`S09`, `S9_1st`) are one subject.
"""

from __future__ import annotations

import re
from pathlib import Path

from dianet_ray.datasets.annotations import ClipName
from dianet_ray.datasets.release import Release, same_names, subject_rule

_SUBJECT = re.compile(r"S\d+(?:_[a-z0-9]+)?", re.IGNORECASE)
_CLIP = re.compile(r"\d+_\d+_\d+")
_JOINED = re.compile(r"(S\d+(?:_[a-z0-9]+)?)_(\d+_\d+_\d+)", re.IGNORECASE)
_subject = subject_rule(r"S?0*(\d+)(?:_\w+)?", "S{:02d}")


def _place(path: Path) -> ClipName | None:
    if match := _JOINED.fullmatch(path.name):
        return ClipName(_subject(match[1]), match[2])
    if _CLIP.fullmatch(path.name) and _SUBJECT.fullmatch(path.parent.name):
        return ClipName(_subject(path.parent.name), path.name)
    return None


RELEASE = Release(
    dataset="fourdme",
    sheet_patterns=("4DME_Labelling_Micro_release*.xlsx",),
    columns={
        "subject": ("sub_ID",),
        "filename": ("fold_name",),
        "onset": ("Onset",),
        "apex": ("Apex",),
        "offset": ("Offset",),
        "label": ("Emotion",),
    },
    subject=_subject,
    place=_place,
    example="gray_micro/S01/001_01_1",
    fps=60,
    label_sets={"5": same_names("positive", "negative", "surprise", "repression", "others")},
    unconfirmed=(
        "the names of the frame files, and that their numbers are the sheet's",
        "the order of the columns, and 60 frames a second",
    ),
)
