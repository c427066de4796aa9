"""SMIC-HS: `HS/s1/micro/negative/s1_ne_01/image559740.bmp`, without apexes.

The sheet describes recordings that hold up to three micro-expressions; the first one is read, as
every public reader does.
"""

from __future__ import annotations

import re
from pathlib import Path

from dianet_ray.datasets.annotations import ClipName
from dianet_ray.datasets.release import Release, same_names, subject_rule

_CLIP = re.compile(r"(s\d+)_(?:ne|po|sur)_\d+", re.IGNORECASE)
_subject = subject_rule(r"(?:sub|s)?0*(\d+)", "s{}")


def _place(path: Path) -> ClipName | None:
    match = _CLIP.fullmatch(path.name)
    return ClipName(_subject(match[1]), path.name.lower()) if match else None


RELEASE = Release(
    dataset="smic",
    sheet_patterns=("SMIC-HS-E_annotation*.xlsx", "SMIC-HS*annotation*.xlsx"),
    columns={
        "subject": ("Subject",),
        "filename": ("Filename",),
        "onset": ("OnsetF",),
        "offset": ("OffsetF",),
        "label": ("Emotion",),
    },
    subject=_subject,
    place=_place,
    example="HS/s1/micro/negative/s1_ne_01",
    fps=100,
    filename=str.lower,
    sheet_name="HS",
    apex="midpoint",  # the release annotates none, so the midpoint is what published work takes
    label_sets={"3": same_names("positive", "negative", "surprise")},
    unconfirmed=(
        "the name of the sheet, and the columns of the copy with 164 rows",
        "whether the HS release comes with a sheet of its own: SMIC-HS-E's describes recordings",
    ),
)
