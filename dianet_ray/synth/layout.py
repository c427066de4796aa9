"""Layouts: how a release names its clips and files, writes its table, and which flaws it has.

A layout is data, in `layouts/<name>.yaml`. A text in it may hold fields in braces, with a format
as in Python (`{subject:03d}`); `Cell` lists the fields of a table's cells and `ClipForms` those of
names. A composite is a list of layouts, each written into a folder of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, TypeAdapter, ValidationError

from dianet_ray.artefacts import Record
from dianet_ray.errors import InputError, first_problem
from dianet_ray.synth import casting
from dianet_ray.synth.layouts import FOLDER, LAYOUTS

Value = int | str | None
FileFlaw = Literal["truncate_apex_frame", "remove_frame_before_onset", "add_depth_folder"]


@dataclass(frozen=True, slots=True)
class ByLabel(Record):
    """A cell that depends on the label: its value for some labels, and for all others."""

    labels: dict[str, int]
    others: int


@dataclass(frozen=True, slots=True)
class HasUnit(Record):
    """A cell that is 1 if the clip shows an action unit, else 0."""

    has_unit: int


@dataclass(frozen=True, slots=True)
class HasLabel(Record):
    """A cell that is 1 if the clip has an emotion, alone or among several, else 0."""

    has_label: str


Cell = ByLabel | HasUnit | HasLabel | int | str | None
"""What a cell of a table holds. A text may hold the fields subject, name, upper_name, film, label,
onset, apex, offset, length (frames, onset and offset included), units and units_from_number
(action units, without a side before the first). A lone field keeps its type and may have a number
added: `{onset-30}`."""


@dataclass(frozen=True, slots=True)
class Column(Record):
    """A column of the table: its title, None for a column without one, and its cells."""

    title: str | None
    cell: Cell


@dataclass(frozen=True, slots=True)
class Label(Record):
    """A label as the table writes it.

    Attributes:
        clips: published number of clips with it (a plausible one where none is known).
        shows: emotion that is filmed; the label in lower case when empty.
        folder: field `label_folder` of names; the label when empty.
        code: field `code` of names.
    """

    clips: Annotated[int, Field(ge=1)]
    shows: str = ""
    folder: str = ""
    code: int | str = ""


@dataclass(frozen=True, slots=True)
class Videos(Record):
    """Videos instead of folders, for the first clip of some subjects.

    Subject s has the file suffix number s modulo their count; an empty one means no video. `path`
    has the fields of names, and `suffix`.
    """

    suffixes: tuple[str, ...]
    path: str


@dataclass(frozen=True, slots=True)
class ClipForms(Record):
    """How clips and frames are named.

    The texts may hold the fields subject, count (of a subject's clips, from 1), film and take,
    ending, letter (of the recording), label, label_folder, code, nth (of the subject's clips with
    the label, from 1) and, once it is known, name.

    Attributes:
        folder: of a clip's frames, below the release.
        frames: file names, with `number`; the clips of a subject take them in turn.
        name: in the table; empty where the table writes the path of the folder or video.
        seed_key: tells the clip from all others of a seed. It must not hold labels, or `--null`
            would film other images.
        n_films: films that subjects watch, at random; 0 if the release numbers no films.
        endings: of names, at random.
        per_recording: consecutive clips of a subject that share a recording.
        grey: frames have one channel.
        videos: None if all clips are folders.
    """

    folder: str
    frames: Annotated[tuple[str, ...], Field(min_length=1)]
    name: str = ""
    seed_key: str = "{subject}/{index}"
    n_films: int = 0
    endings: tuple[str, ...] = ()
    per_recording: Annotated[int, Field(ge=1)] = 1
    grey: bool = False
    videos: Videos | None = None


@dataclass(frozen=True, slots=True)
class Oddity(Record):
    """A flaw of the release, written into one clip.

    Attributes:
        name: for tests and reports.
        label: the clip has this label if one can be spared.
        cells: title -> what the cell holds instead.
        relabel: label of the clip -> label that is written.
        joins: title -> what it holds of a later clip of the subject with the same label, which
            has no row of its own then.
        files: what happens to the clip's files.
        loses: the flaw may make the clip unusable.
    """

    name: str
    label: str = ""
    cells: dict[str, Cell] = field(default_factory=dict)
    relabel: dict[str, str] = field(default_factory=dict)
    joins: dict[str, Cell] = field(default_factory=dict)
    files: FileFlaw | None = None
    loses: bool = True


@dataclass(frozen=True, slots=True)
class Layout(Record):
    """How a data set is written.

    Attributes:
        annotations: file name of the table; empty for a release without one.
        columns: from left to right.
        labels: the labels of the release.
        clips: names of clips and files.
        onsets: half-open range of a clip's first frame number, counted from the last frame that
            its folder already has.
        sheet: name of the workbook's sheet; empty if the table is a CSV.
        longer: folders hold frames before the onset and after the offset.
        above: rows above the titles.
        below: rows below the clips.
        oddities: each is written into one clip.
        folder: holds the release below a composite's folder.
        dataset: what reads it; the layout's own name when empty.
    """

    annotations: str
    columns: tuple[Column, ...]
    labels: dict[str, Label]
    clips: ClipForms
    onsets: tuple[int, int]
    sheet: str = ""
    longer: bool = False
    above: tuple[tuple[Value, ...], ...] = ()
    below: tuple[tuple[Value, ...], ...] = ()
    oddities: tuple[Oddity, ...] = ()
    folder: str = ""
    dataset: str = ""

    @property
    def proportions(self) -> dict[str, int]:
        """Published clips of each label."""
        return {name: label.clips for name, label in self.labels.items()}

    def emotion(self, label: str) -> str:
        """Name the emotion that is filmed for a label."""
        return self.labels[label].shows or label.lower()

    def fewest_clips(self) -> int:
        """Count the clips with which every label keeps two subjects after the oddities."""
        n_labels, n_lost = len(self.labels), sum(oddity.loses for oddity in self.oddities)
        return max(casting.fewest_clips(n_labels), 2 * n_labels + n_lost)


@dataclass(frozen=True, slots=True)
class _Composite(Record):
    composite_of: tuple[str, ...]


@cache
def read_layouts(name: str) -> tuple[Layout, ...]:
    """Read a layout, or the layouts of a composite.

    Raises:
        InputError: an unknown name, or a file that breaks a rule of these records.
    """
    if name not in LAYOUTS:
        raise InputError(f"synth: layout must be one of {', '.join(LAYOUTS)}, got {name}")
    path = FOLDER / f"{name}.yaml"
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    kind: Any = _Composite if "composite_of" in document else Layout
    try:
        found = TypeAdapter(kind).validate_python(document)
    except ValidationError as error:
        raise InputError(f"synth: {path}: {first_problem(error)}") from None
    if isinstance(found, Layout):
        return (found,)
    # A composite holds each release in a folder of its own, as its reader expects.
    return tuple(replace(read_layouts(one)[0], folder=one) for one in found.composite_of)
