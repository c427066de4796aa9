"""CASME II: `sub01/EP02_01f/img46.jpg`, cropped `reg_img46.jpg`, one workbook.

The numbers in the file names are the sheet's. `/` marks a missing apex. Corrections of 19 apexes
were published by tvaranka/meb (Apache-2.0).
"""

from __future__ import annotations

import re
from pathlib import Path

from dianet_ray.datasets.annotations import ClipName
from dianet_ray.datasets.release import Release, same_names, subject_rule

_FOLDER = re.compile(r"sub\d+")
_subject = subject_rule(r"(?:sub|s)?0*(\d+)", "sub{:02d}")


def _place(path: Path) -> ClipName | None:
    folder = path.parent.name
    subject = _subject(folder)
    # The rule reads `01` as a subject too, but SAMM and others have folders of such names.
    is_subject = folder.casefold().startswith("s") and _FOLDER.fullmatch(subject)
    return ClipName(subject, path.name) if is_subject else None


RELEASE = Release(
    dataset="casme2",
    # Any edition: 20140508, 20190701 and updated are all in use.
    sheet_patterns=("CASME2-coding-*.xlsx",),
    columns={
        "subject": ("Subject",),
        "filename": ("Filename",),
        "onset": ("OnsetFrame",),
        "apex": ("ApexFrame",),
        "offset": ("OffsetFrame",),
        "label": ("Estimated Emotion", "Emotion"),
    },
    subject=_subject,
    place=_place,
    example="CASME2_RAW_selected/sub01/EP02_01f",
    fps=200,
    label_sets={"5": same_names("happiness", "disgust", "repression", "surprise", "others")},
    unconfirmed=("the name of the sheet: the one that has the columns is read",),
)
