"""MMEW: clips `S03-01-002` (subject, emotion, sample) with frames `1.jpg`.

Releases nest the clips by emotion, by subject and emotion, or not at all, so clips are found by
the name of their own folder. The label is the sheet's, whose `others` lie in `repression`.
"""

from __future__ import annotations

import re
from pathlib import Path

from dianet_ray.datasets.annotations import ClipName
from dianet_ray.datasets.release import Release, same_names, subject_rule

_CLIP = re.compile(r"(S\d+)-(\d+)-\d+", re.IGNORECASE)
_EMOTIONS = ("happiness", "surprise", "disgust", "repression", "fear", "sadness", "anger")
_LABELS = {**same_names(*_EMOTIONS), "repression": "others"}  # folder -> label
_subject = subject_rule(r"(?:sub|s)?0*(\d+)", "S{:02d}")


def _place(path: Path) -> ClipName | None:
    match = _CLIP.fullmatch(path.name)
    return ClipName(_subject(match[1]), path.name.upper()) if match else None


def _named(filename: str) -> str:
    match = _CLIP.fullmatch(filename)
    number = int(match[2]) if match else 0  # from 1, in the order of the data set's page
    return _LABELS[_EMOTIONS[number - 1]] if 0 < number <= len(_EMOTIONS) else ""


RELEASE = Release(
    dataset="mmew",
    sheet_patterns=("MMEW_Micro_Exp*.xlsx", "MMEW_Micro_Exp*.csv"),
    columns={
        "subject": ("Subject",),
        "filename": ("Filename",),
        "onset": ("OnsetFrame",),
        "apex": ("ApexFrame",),
        "offset": ("OffsetFrame",),
        "label": ("Estimated Emotion",),
    },
    subject=_subject,
    place=_place,
    example="Micro_Expression/anger/S03-01-002",
    fps=90,
    filename=str.upper,
    named=_named,
    folder_labels=_LABELS,
    label_sets={
        "6": same_names("happiness", "surprise", "anger", "disgust", "fear", "sadness"),
        "4": same_names("happiness", "surprise", "disgust", "others"),
    },
    unconfirmed=(
        "whether the sheet's numbers are file numbers in every release",
        "how the sheet writes a subject (3, 003 and S03 are read)",
        "which emotions the numbers 02 to 06 in clip names are (the order of the data set's page)",
    ),
)
