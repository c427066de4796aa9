"""CAS(ME)^3 part A as released: `spNO.1/b/color/175.jpg`, recordings that hold several clips.

Subject and file name repeat in the sheet, so a clip is named with its onset (`b@175`). The release
of single clips (`spNo.1_b_175/175.jpg`) is read too.
"""

from __future__ import annotations

import re
from pathlib import Path

from dianet_ray.datasets.release import Key, Release
from dianet_ray.datasets.subjects import casme3_subject

_SUBJECT = re.compile(r"spNO\.\d+", re.IGNORECASE)
_ONE_CLIP = re.compile(r"(spNO\.\d+)_([^_]+)_(\d+)", re.IGNORECASE)
_COLOUR = "color"  # `depth` lies beside it


def _place(path: Path) -> Key | None:
    if match := _ONE_CLIP.fullmatch(path.name):
        return casme3_subject(match[1]), f"{match[2].casefold()}@{int(match[3])}"
    clip = path.parent
    if path.name != _COLOUR or not _SUBJECT.fullmatch(clip.parent.name):
        return None
    return casme3_subject(clip.parent.name), clip.name.casefold()


RELEASE = Release(
    dataset="casme3",
    tables=("cas(me)3_part_A_ME_label_JpgIndex*.xlsx",),
    columns={
        "subject": ("Subject",),
        "filename": ("Filename",),
        "onset": ("Onset",),
        "apex": ("Apex",),
        "offset": ("Offset",),
        "label": ("emotion",),
    },
    subject=casme3_subject,
    place=_place,
    example="part_A/spNO.1/b/color",
    fps=30,
    filename=str.casefold,
    sheet="label",
    by_onset=True,
    unconfirmed=("the class counts of all 860 rows, and the columns of the older .xls sheet",),
)
