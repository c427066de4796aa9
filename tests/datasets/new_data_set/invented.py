"""An invented release: `P01/clip_001/0046.png`, one CSV with the columns below.

This file and invented.yaml are all that a new data set needs; the test beside them shows it.
"""

from __future__ import annotations

import re
from pathlib import Path

from dianet_ray.datasets.annotations import ClipName
from dianet_ray.datasets.release import Release, same_names, subject_rule

_CLIP = re.compile(r"clip_\d{3}")
_SUBJECT = re.compile(r"P\d{2}")


def _place(path: Path) -> ClipName | None:
    subject = path.parent.name
    if _CLIP.fullmatch(path.name) and _SUBJECT.fullmatch(subject):
        return ClipName(subject, path.name)
    return None


RELEASE = Release(
    dataset="invented",
    sheet_patterns=("invented_labels.csv",),
    columns={
        "subject": ("Participant",),
        "filename": ("Clip",),
        "onset": ("First frame",),
        "apex": ("Peak frame",),
        "offset": ("Last frame",),
        "label": ("Emotion",),
    },
    subject=subject_rule(r"P?0*(\d+)", "P{:02d}"),
    place=_place,
    example="P01/clip_001",
    fps=120,
    label_sets={"2": same_names("joy", "anger")},
    unconfirmed=("everything: the data set does not exist",),
)
