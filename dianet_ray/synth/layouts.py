"""The releases that `synth` writes: CASME II, SAMM, MMEW, SMIC-HS, CAS(ME)^3, 4DME and our own.

Names, titles, kinds of cells and flaws are those that are published; every value is invented. A
layout is one release, but MEGC2019 is three, each in a folder of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from operator import attrgetter
from pathlib import Path

import cv2
import numpy as np

from dianet_ray.synth import clip_names
from dianet_ray.synth.release_files import (
    Cell,
    Oddity,
    Record,
    Release,
    cut_short,
    drop_frame,
    says,
)

_NUMBER, _NAME, _LABEL = attrgetter("subject"), attrgetter("name"), attrgetter("label")
_ONSET, _APEX, _OFFSET = attrgetter("onset"), attrgetter("apex"), attrgetter("offset")
_OBJECTIVE = ("happiness", "surprise", "anger", "disgust", "sadness", "fear")  # 1..6, else 7
_JOINED = {"Negative": "Surprise+Negative", "Positive": "Positive+Surprise"}


def _always(value: Cell) -> Callable[[Record], Cell]:
    return lambda _: value


def _text(form: str) -> Callable[[Record], Cell]:
    """Write a record's fields as `form` says, which may look up `{0.subject:03d}`."""
    return lambda record: form.format(record)


def _units(record: Record) -> Cell:
    return int(record.units) if record.units.isdigit() else record.units


def _length(record: Record) -> int:
    return record.offset - record.onset + 1


def _holds(unit: int) -> Callable[[Record], Cell]:
    return lambda record: int(str(unit) in re.findall(r"\d+", record.units))


def _objective(record: Record) -> int:
    """Number the class; CAS(ME)^3 shortens happiness and sadness."""
    long = {"happy": "happiness", "sad": "sadness"}.get(record.label, record.label.lower())
    return _OBJECTIVE.index(long) + 1 if long in _OBJECTIVE else 7


CASME2 = Release(
    annotations="CASME2-coding-20140508.xlsx",
    sheet="Sheet1",
    columns=(
        ("Subject", _NUMBER),
        ("Filename", _NAME),
        (None, _always(None)),  # two have no title: readers call them "Unnamed: 2" and "6"
        ("OnsetFrame", _ONSET),
        ("ApexFrame", _APEX),
        ("OffsetFrame", _OFFSET),
        (None, _always(None)),
        ("Action Units", _units),
        ("Estimated Emotion", _LABEL),
    ),
    proportions={"others": 99, "disgust": 63, "happiness": 32, "repression": 27, "surprise": 25},
    name_clips=clip_names.casme2_clips,
    onsets=(2, 400),
    oddities=(Oddity("apex_missing", says({"ApexFrame": "/"})),),
)


SAMM = Release(
    annotations="SAMM_Micro_FACS_Codes_v2.xlsx",
    sheet="SAMM_Micro_FACS_Codes_v2",
    above=(("Invented by dianet-ray synth",), *((f"Note {k}",) for k in range(1, 12)), ()),
    columns=(
        ("Subject", _text("{0.subject:03d}")),
        ("Filename", _NAME),
        ("Inducement Code", lambda record: int(record.name.split("_")[1])),
        ("Onset Frame", _ONSET),
        ("Apex Frame", _APEX),
        ("Offset Frame", _OFFSET),
        ("Duration", _length),
        ("Micro", _always("Micro - 1/2")),
        ("Action Units", _units),
        ("Estimated Emotion", _LABEL),
        ("Objective Classes", _objective),
        ("Notes", _always(None)),
    ),
    proportions={
        **{"Anger": 57, "Happiness": 26, "Other": 26, "Surprise": 15},
        **{"Contempt": 12, "Disgust": 9, "Fear": 8, "Sadness": 6},
    },
    shows={"Other": "others"},
    name_clips=clip_names.samm_clips,
    onsets=(90, 9500),
    oddities=(
        Oddity("other_spelling", says({"Estimated Emotion": "Others"}), label="Other"),
        Oddity("apex_outside", says({"Apex Frame": lambda record: record.onset - 14})),
        Oddity("offset_mistake", says({"Offset Frame": lambda record: record.offset + 450})),
        Oddity("action_units_or", says({"Action Units": "R14 or R15"}), loses=False),
    ),
)


MMEW = Release(
    annotations="MMEW_Micro_Exp.xlsx",
    sheet="Sheet1",
    columns=(
        ("Subject", _text("S{0.subject:02d}")),
        ("Filename", _NAME),
        ("OnsetFrame", _ONSET),
        ("ApexFrame", _APEX),
        ("OffsetFrame", _OFFSET),
        ("Action Units", _units),
        ("Estimated Emotion", _LABEL),
        ("remarks", _always(None)),
    ),
    proportions={
        **{"surprise": 89, "disgust": 72, "others": 66, "happiness": 36},
        **{"fear": 16, "sadness": 13, "anger": 8},
    },
    shows={"others": "repression"},
    name_clips=clip_names.mmew_clips,
    onsets=(1, 8),
    longer=True,
    oddities=(
        Oddity(
            "apex_and_offset_wrong",
            says(
                {
                    "ApexFrame": lambda record: record.apex + 60,
                    "OffsetFrame": lambda record: record.offset + 60,
                }
            ),
        ),
    ),
)


SMIC = Release(
    annotations="SMIC-HS-E_annotation.xlsx",
    sheet="HS",
    columns=(
        ("Subject", _NUMBER),
        ("Filename", _NAME),
        (None, _always(None)),
        ("OnsetF", _ONSET),
        ("OffsetF", _OFFSET),
        *(
            (title, _always(None))
            for title in ("Onset2F", "Offset2F", "Onset3F", "Offset3F", None)
        ),
        ("FirstF", lambda record: record.onset - 30),
        ("LastF", lambda record: record.offset + 40),
        ("TotalMF1", _length),
        *((title, _always(None)) for title in ("TotalMF2", "TotalMF3")),
        ("TotalVL", lambda record: _length(record) + 70),
        ("Emotion", _LABEL),
        (None, _always(None)),
        (None, _always(None)),
    ),
    below=((), (None, "Invented by dianet-ray synth"), (None, "A row without a subject is text")),
    proportions={"negative": 70, "positive": 51, "surprise": 43},
    shows={"negative": "disgust", "positive": "happiness"},
    name_clips=clip_names.smic_clips,
    onsets=(100_000, 900_000),
    oddities=(
        Oddity(
            "several_in_a_row",
            says(
                {
                    "Onset2F": lambda record: record.offset + 9,
                    "Offset2F": lambda record: record.offset + 28,
                    "TotalMF2": 20,
                }
            ),
            loses=False,
        ),
        Oddity("number_as_text", says({"FirstF": "n/a"}), loses=False),
    ),
)


def _add_depth(record: Record, root: Path) -> None:
    path = (root / record.files.folder).with_name("depth") / f"{record.onset}.png"
    path.parent.mkdir()
    _, data = cv2.imencode(".png", np.full((8, 8), 900, np.uint16))
    path.write_bytes(data.tobytes())


CASME3 = Release(
    annotations="cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx",
    sheet="label",
    columns=(
        ("Subject", _text("spNO.{0.subject}")),
        ("Filename", _NAME),
        ("Onset", _ONSET),
        ("Apex", _APEX),
        ("Offset", _OFFSET),
        ("AU", _units),
        ("Objective class", _objective),
        ("emotion", _LABEL),
    ),
    proportions={
        **{"disgust": 249, "surprise": 187, "others": 157, "fear": 85},
        **{"anger": 64, "sad": 57, "happy": 55},
    },
    shows={"sad": "sadness", "happy": "happiness"},
    name_clips=clip_names.casme3_clips,
    onsets=(4, 12),
    longer=True,
    oddities=(
        Oddity("label_case", says({"emotion": "Others"}), label="others"),
        Oddity("letter_case", says({"Filename": lambda record: record.name.upper()})),
        Oddity("apex_is_onset", says({"Apex": _ONSET})),
        Oddity("absurd_offset", says({"Offset": lambda record: record.onset + 24 * 30})),
        Oddity("frame_zero", says({"Onset": 0, "Apex": 0})),
        Oddity("unreadable_frame", cut_short),
        Oddity("frames_missing", drop_frame, loses=False),
        Oddity("depth_beside_colour", _add_depth, loses=False),
    ),
)


def _among(emotion: str) -> Callable[[Record], Cell]:
    return lambda record: int(emotion in record.label.split("+"))


def _join(record: Record, _: Path) -> None:
    record.label = _JOINED[record.label]


FOURDME = Release(
    annotations="4DME_Labelling_Micro_release v1.xlsx",
    sheet="Sheet1",
    columns=(
        ("fold", _always(None)),
        ("sub_ID", _text("S{0.subject:02d}")),
        ("fold_name", _NAME),
        ("Onset", _ONSET),
        ("Apex", _APEX),
        ("Offset", _OFFSET),
        ("Emotion", _LABEL),
        ("AUs", lambda record: "AU" + record.units.lstrip("LR")),
        *((f"AU{unit}", _holds(unit)) for unit in (1, 2, 4, 6, 12)),
        ("eye blink", _always(0)),
        *(
            (emotion, _among(emotion))
            for emotion in ("Positive", "Negative", "Surprise", "Repression", "Others")
        ),
    ),
    proportions={"Negative": 127, "Positive": 47, "Others": 38, "Surprise": 35, "Repression": 20},
    shows={"Negative": "disgust", "Positive": "happiness"},
    name_clips=clip_names.fourdme_clips,
    onsets=(1, 12_000),
    oddities=(
        Oddity("several_emotions", _join),
        Oddity("several_emotions", _join, label="Positive"),
        Oddity("held_action_unit", says({"AUs": "AU4(k)+L7"}), loses=False),
    ),
)


TABLE = Release(
    annotations="clips.csv",
    sheet="",
    columns=(
        ("clip", _NAME),
        ("subject", _text("p{0.subject:02d}")),
        ("label", _LABEL),
        ("onset", _ONSET),
        ("apex", _APEX),
        ("offset", _OFFSET),
    ),
    proportions=CASME2.proportions,
    name_clips=clip_names.table_clips,
    onsets=(1, 8),
    longer=True,
    oddities=(Oddity("apex_missing", says({"apex": None})),),
)

LAYOUTS: dict[str, tuple[Release, ...]] = {
    "casme2": (CASME2,),
    "samm": (SAMM,),
    "mmew": (MMEW,),
    "smic": (SMIC,),
    "casme3": (CASME3,),
    "fourdme": (FOURDME,),
    "table": (TABLE,),
    "megc2019": tuple(
        replace(release, folder=folder)
        for folder, release in (("casme2", CASME2), ("samm", SAMM), ("smic", SMIC))
    ),
}
