"""MMEW as released: clips `S03-01-002` (person, emotion, sample) with frames `1.jpg`.

Clips are found by their folder's name, since releases nest them by emotion, by person and emotion,
or not at all; the emotion is the sheet's, whose `others` lie in a folder `repression`.
"""

from __future__ import annotations

import re
from pathlib import Path

from dianet_ray.datasets.release import Key, Release
from dianet_ray.datasets.subjects import mmew_subject

_CLIP = re.compile(r"(S\d+)-\d+-\d+", re.IGNORECASE)


def _place(path: Path) -> Key | None:
    match = _CLIP.fullmatch(path.name)
    return (mmew_subject(match[1]), path.name.upper()) if match else None


RELEASE = Release(
    dataset="mmew",
    tables=("MMEW_Micro_Exp*.xlsx", "MMEW_Micro_Exp*.csv"),
    columns={
        "subject": ("Subject",),
        "filename": ("Filename",),
        "onset": ("OnsetFrame",),
        "apex": ("ApexFrame",),
        "offset": ("OffsetFrame",),
        "label": ("Estimated Emotion",),
    },
    subject=mmew_subject,
    place=_place,
    example="Micro_Expression/anger/S03-01-002",
    fps=90,
    filename=str.upper,
    unconfirmed=(
        "whether the sheet's numbers are file numbers in every release",
        "how the sheet writes a subject (3, 003 and S03 are read)",
    ),
)
