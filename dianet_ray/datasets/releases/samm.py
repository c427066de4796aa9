"""SAMM: `006/006_1_2/006_05562.jpg`, greyscale, one workbook below 13 banner rows.

Subjects are texts of three digits. The zero padding of frame numbers differs from clip to clip.
"""

from __future__ import annotations

import re
from pathlib import Path

from dianet_ray.datasets.annotations import ClipName
from dianet_ray.datasets.release import Release, same_names, subject_rule

_CLIP = re.compile(r"(\d{3})_\d+_\d+")


def _place(path: Path) -> ClipName | None:
    match = _CLIP.fullmatch(path.name)
    return ClipName(match[1], path.name) if match else None


RELEASE = Release(
    dataset="samm",
    sheet_patterns=("SAMM_*Micro_FACS_Codes*.xlsx",),
    columns={
        "subject": ("Subject",),
        "filename": ("Filename",),
        "onset": ("Onset Frame",),
        "apex": ("Apex Frame",),
        "offset": ("Offset Frame",),
        "label": ("Estimated Emotion", "Emotion"),
    },
    subject=subject_rule(r"([0-9]+)(?:\.0)?", "{:03d}"),  # Excel turns 006 into 6 or 6.0
    place=_place,
    example="006/006_1_2",
    fps=200,
    sheet_name="MICRO_ONLY",
    label_sets={"5": same_names("anger", "others", "happiness", "surprise", "contempt")},
    unconfirmed=("that a folder holds onset..offset",),
)
