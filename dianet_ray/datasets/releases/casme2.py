"""CASME II as released: `subNN/<file name>/img46.jpg`, cropped `reg_img46.jpg`, one workbook.

The numbers in the file names are the sheet's; `/` is a missing apex.
"""

from __future__ import annotations

import re
from pathlib import Path

from dianet_ray.datasets.release import Key, Release
from dianet_ray.datasets.subjects import casme2_subject

_NAMED = re.compile(r"sub\d+")


def _place(path: Path) -> Key | None:
    subject = casme2_subject(path.parent.name)
    is_one = path.parent.name.casefold().startswith("s") and _NAMED.fullmatch(subject)
    return (subject, path.name) if is_one else None


RELEASE = Release(
    dataset="casme2",
    tables=("CASME2-coding-*.xlsx",),
    columns={
        "subject": ("Subject",),
        "filename": ("Filename",),
        "onset": ("OnsetFrame",),
        "apex": ("ApexFrame",),
        "offset": ("OffsetFrame",),
        "label": ("Estimated Emotion",),
    },
    subject=casme2_subject,
    place=_place,
    example="CASME2_RAW_selected/sub01/EP02_01f",
    fps=200,
    unconfirmed=("the name of the sheet: the one that has the columns is read",),
)
