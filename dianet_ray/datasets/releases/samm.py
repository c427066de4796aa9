"""SAMM as released: `006/006_1_2/006_05562.jpg`, greyscale, one workbook below banner rows.

Subjects are text of three digits; the padding of the frame numbers differs from clip to clip.
"""

from __future__ import annotations

import re
from pathlib import Path

from dianet_ray.datasets.release import Key, Release
from dianet_ray.datasets.subjects import samm_subject

_CLIP = re.compile(r"(\d{3})_\d+_\d+")


def _place(path: Path) -> Key | None:
    match = _CLIP.fullmatch(path.name)
    return (match[1], path.name) if match else None


RELEASE = Release(
    dataset="samm",
    tables=("SAMM_*Micro_FACS_Codes*.xlsx",),
    columns={
        "subject": ("Subject",),
        "filename": ("Filename",),
        "onset": ("Onset Frame",),
        "apex": ("Apex Frame",),
        "offset": ("Offset Frame",),
        "label": ("Estimated Emotion",),
    },
    subject=samm_subject,
    place=_place,
    example="006/006_1_2",
    fps=200,
    unconfirmed=("the name of the sheet, and that a folder holds onset..offset",),
)
