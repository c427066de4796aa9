"""SMIC-HS: `HS/s1/micro/negative/s1_ne_01/image559740.bmp`, without apexes.

The sheet describes recordings of up to three micro-expressions; each of them is a clip, and has a
folder of its own in HS. Without a sheet HS is read from these folders, which hold onset..offset.
"""

from __future__ import annotations

import re
from pathlib import Path

from dianet_ray.datasets.annotations import ClipName
from dianet_ray.datasets.folder_clips import ClipFolders
from dianet_ray.datasets.further import further_columns
from dianet_ray.datasets.release import Release, same_names, subject_rule

_LABELS = {"ne": "negative", "po": "positive", "su": "surprise"}
# As published: ne, po, sur. Folders that people named neg, pos or surprise are no other clips.
_CLIP = re.compile(r"(s\d+)_(neg?|negative|pos?|positive|sur|surprise)_\d+", re.IGNORECASE)
_subject = subject_rule(r"(?:sub|s)?0*(\d+)", "s{}")


def _place(path: Path) -> ClipName | None:
    match = _CLIP.fullmatch(path.name)
    return ClipName(_subject(match[1]), path.name.lower()) if match else None


def _named(filename: str) -> str:
    match = _CLIP.fullmatch(filename)
    return _LABELS[match[2].lower()[:2]] if match else ""


def _subject_folder(name: str) -> str:
    return _subject(name) if re.fullmatch(r"s\d+", name, re.IGNORECASE) else ""


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
    named=_named,
    folder_labels=same_names(*_LABELS.values()),
    further=further_columns("{name}{k}F", "{name}{k}", "{name}F{k}"),
    folders=ClipFolders(_subject_folder, re.compile(r"(?i)^HS[-_ ]?long|HS[-_]E\b")),
    sheet_name="HS",
    apex="midpoint",  # the release annotates none, so the midpoint is what published work takes
    label_sets={"3": same_names("positive", "negative", "surprise")},
    unconfirmed=("the name of the sheet, and the columns of the copy with 164 rows",),
)
