"""SMIC-HS as released: `HS/s1/micro/negative/s1_ne_01/image559740.bmp`, no apexes.

The sheet describes recordings that hold several micro-expressions each; its first one is read, as
every public reader does.
"""

from __future__ import annotations

import re
from pathlib import Path

from dianet_ray.datasets.release import Key, Release
from dianet_ray.datasets.subjects import smic_subject

_CLIP = re.compile(r"(s\d+)_(?:ne|po|sur)_\d+", re.IGNORECASE)


def _place(path: Path) -> Key | None:
    match = _CLIP.fullmatch(path.name)
    return (smic_subject(match[1]), path.name.lower()) if match else None


RELEASE = Release(
    dataset="smic",
    tables=("SMIC-HS-E_annotation*.xlsx", "SMIC-HS*annotation*.xlsx"),
    columns={
        "subject": ("Subject",),
        "filename": ("Filename",),
        "onset": ("OnsetF",),
        "offset": ("OffsetF",),
        "label": ("Emotion",),
    },
    subject=smic_subject,
    place=_place,
    example="HS/s1/micro/negative/s1_ne_01",
    fps=100,
    filename=str.lower,
    sheet="HS",
    unconfirmed=(
        "the name of the sheet, and the columns of the copy with 164 rows",
        "whether the HS release comes with a sheet of its own: SMIC-HS-E's describes recordings",
    ),
)
