"""CAS(ME)^3 part A: `spNO.1/b/color/175.jpg`, recordings that hold several clips.

Subject and file name repeat in the sheet, so a clip is named with its onset (`b@175`). The release
of single clips (`spNo.1_b_175/175.jpg`) is read too.
"""

from __future__ import annotations

import re
from pathlib import Path

from dianet_ray.datasets.annotations import ClipName
from dianet_ray.datasets.release import Release, same_names, subject_rule

_FOLDER = re.compile(r"spNO\.\d+", re.IGNORECASE)
_ONE_CLIP = re.compile(r"(spNO\.\d+)_([^_]+)_(\d+)", re.IGNORECASE)
_NEGATIVE = dict.fromkeys(("disgust", "fear", "anger", "sad"), "negative")
_GROUPS = {"happy": "positive", **_NEGATIVE, "surprise": "surprise"}
_subject = subject_rule(r"(?:spNO\.?)?0*(\d+)", "spNO.{}")


def _place(path: Path) -> ClipName | None:
    if match := _ONE_CLIP.fullmatch(path.name):
        return ClipName(_subject(match[1]), f"{match[2].casefold()}@{int(match[3])}")
    recording, subject = path.parent, path.parent.parent.name
    if path.name != "color" or not _FOLDER.fullmatch(subject):  # `depth` lies beside `color`
        return None
    return ClipName(_subject(subject), recording.name.casefold())


RELEASE = Release(
    dataset="casme3",
    sheet_patterns=("cas(me)3_part_A_ME_label_JpgIndex*.xlsx",),
    columns={
        "subject": ("Subject",),
        "filename": ("Filename",),
        "onset": ("Onset",),
        "apex": ("Apex",),
        "offset": ("Offset",),
        "label": ("emotion",),
    },
    subject=_subject,
    place=_place,
    example="part_A/spNO.1/b/color",
    fps=30,
    filename=str.casefold,
    sheet_name="label",
    by_onset=True,
    label_sets={
        "7": same_names("happy", "disgust", "fear", "anger", "sad", "surprise", "others"),
        "4": {**_GROUPS, "others": "others"},
        "3": _GROUPS,
    },
    unconfirmed=("the class counts of all 860 rows, and the columns of the older .xls sheet",),
)
