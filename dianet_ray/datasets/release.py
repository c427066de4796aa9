"""How a published data set is laid out, and how its sheet and frames are read.

Each module below `releases` describes one data set with a `Release` (or, for a composite, with a
`Composite`). What differs between data sets is data in that module; what they share is here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from dianet_ray.datasets.annotations import Annotation, ApexRule, ChosenPaths, ClipName, Loaded
from dianet_ray.datasets.discovery import (
    Place,
    find_frames,
    find_sheet,
    frames_root,
    has_file_like,
    other_folders,
)
from dianet_ray.datasets.folder_clips import ClipFolders, folder_clips, stand_in
from dianet_ray.datasets.further import further_clips
from dianet_ray.datasets.sheets import Columns, Sheet, SheetRow, read_table
from dianet_ray.errors import InputError
from dianet_ray.progress import count, some

_LISTED = 3

LabelMapping = Mapping[str, str]
"""A plain label (`label_sets.plain_label`) -> the class that it belongs to."""


class DataSet(Protocol):
    """What every module below `releases` provides under the name RELEASE."""

    @property
    def dataset(self) -> str:
        """The name in the catalogue, equal to the module's name."""

    @property
    def sources(self) -> tuple[str, ...]:
        """The data sets it is made of: itself, or the sources of a composite."""

    @property
    def label_sets(self) -> Mapping[str, LabelMapping]:
        """Published label sets by their short name; the first one is the default."""

    @property
    def subject_example(self) -> str:
        """A subject as the manifest names it; empty when the data set has no rule."""

    def read(self, root: Path, chosen: ChosenPaths) -> list[Loaded]:
        """Read sheets and find frames, one result per source."""


@dataclass(frozen=True, slots=True)
class Release:
    r"""One published data set.

    Attributes:
        dataset: its name in the catalogue.
        sheet_patterns: file patterns of its sheet.
        columns: our name of each column -> its titles in released sheets. Leave `apex` out when
            the data set annotates no apexes.
        subject: spells a subject as the folders do; `subject_rule` makes such a function.
        place: which clip's frames a path below the data set holds (a folder, or a video without
            its suffix); None for any other path.
        example: a path that `place` recognises, shown to users.
        fps: frames per second.
        filename: spells a file name of the sheet as `place` does.
        named: the label that the name of a clip carries; empty for none.
        folder_labels: names of folders that hold one class -> label.
        further: columns of further micro-expressions of a row (`further_columns`).
        folders: set if the release can be read without a sheet, from folders that hold just their
            clips and that `named` gives labels to.
        sheet_name: the sheet to read in a workbook that holds several.
        by_onset: several rows share a recording, so a clip is named with its onset.
        apex: what happens to clips without an apex unless the user decides otherwise.
        label_sets: published label sets by their short name, the commonest first.
        unconfirmed: what no public source confirms about this layout, a sentence each.
    """

    dataset: str
    sheet_patterns: tuple[str, ...]
    columns: Columns
    subject: Callable[[str], str]
    place: Place
    example: str
    fps: float
    filename: Callable[[str], str] = str
    named: Callable[[str], str] = lambda _: ""
    folder_labels: LabelMapping = field(default_factory=dict)
    further: Columns = field(default_factory=dict)
    folders: ClipFolders | None = None
    sheet_name: str | None = None
    by_onset: bool = False
    apex: ApexRule = "annotated"
    label_sets: Mapping[str, LabelMapping] = field(default_factory=dict)
    unconfirmed: tuple[str, ...] = ()

    @property
    def sources(self) -> tuple[str, ...]:
        """The data set itself."""
        return (self.dataset,)

    @property
    def subject_example(self) -> str:
        """The subject of the example path."""
        name = self.place(Path(self.example))
        return f"{self.dataset}/{name.subject}" if name else ""

    def read(self, root: Path, chosen: ChosenPaths) -> list[Loaded]:
        """Read the sheet and find the frames of its clips.

        Raises:
            InputError: no sheet or no frames, or several of which none was chosen; or the sheet
                is not this release's.
        """
        refuse_several(self.dataset, chosen)
        folder = frames_root(root, next(iter(chosen.frames), None))
        has_sheet = chosen.sheets or has_file_like(root, self.sheet_patterns)
        if self.folders is not None and not has_sheet:
            return [self._read_folders(folder, self.folders)]
        path = find_sheet(root, self.sheet_patterns, next(iter(chosen.sheets), None))
        sheet, rows = read_table(
            path,
            {**self.columns, **self.further},
            sheet_name=self.sheet_name,
            chosen=chosen.sheet_name,
            optional=frozenset(self.further),
        )
        found = self._find(folder)
        firsts = [self._annotation(row) for row in rows]
        # A folder holds a whole recording or one clip of it, so both names count as listed.
        listed = {name for one in firsts for name in (one.name, one.name_with_onset)}
        firsts = [
            replace(one, frames=found.get(one.name_with_onset) or found.get(one.name))
            for one in firsts
        ]
        unlisted = {name: path for name, path in found.items() if name not in listed}
        further = further_clips(list(zip(rows, firsts, strict=True)), unlisted)
        left = {name: path for name, path in unlisted.items() if name not in further.taken}
        clips = (*firsts, *further.clips)
        if self.folders is not None:
            found_alone = folder_clips(left, folder, self.named, self.folders)
            clips, left = (*clips, *(replace(one, has_row=False) for one in found_alone)), {}
        loaded = self._loaded(sheet, folder, clips)
        return [replace(loaded, unlisted=left, notes=further.notes)]

    def _read_folders(self, folder: Path, form: ClipFolders) -> Loaded:
        """Read a release without a sheet."""
        found = self._find(folder)
        clips = folder_clips(found, folder, self.named, form)
        notes = ["no sheet: the folders' names say subject and label, their files the span"]
        if others := [path.relative_to(folder) for path in other_folders(folder, found.values())]:
            notes.append(
                f"{count(len(others), 'folder')} of frames with names that are no clip's, so they "
                f"were not read: {some(others, _LISTED)}"
            )
        return replace(self._loaded(stand_in(folder, clips), folder, clips), notes=tuple(notes))

    def _find(self, folder: Path) -> dict[ClipName, Path]:
        expected = f"frames of {self.dataset} in folders like {self.example}"
        return find_frames(folder, self.place, expected=expected)

    def _loaded(self, sheet: Sheet, folder: Path, clips: tuple[Annotation, ...]) -> Loaded:
        return Loaded(
            dataset=self.dataset,
            sheet=sheet,
            annotations=tuple(map(self._with_named, clips)),
            frames_root=folder,
            folder_labels=self.folder_labels,
            fps=self.fps,
            has_apexes="apex" in self.columns,
            apex=self.apex,
            by_onset=self.by_onset,
            unconfirmed=self.unconfirmed,
        )

    def _with_named(self, one: Annotation) -> Annotation:
        # Further clips of a recording are named with their onset, which says nothing of the label.
        return replace(one, named=self.named(one.filename.partition("@")[0]))

    def _annotation(self, row: SheetRow) -> Annotation:
        problem = ""
        # Only the first of merged cells has the value; nothing says that it is meant for all.
        if merged := [name for name in row.merged if name in self.columns]:
            problem = f"merged cells: {', '.join(merged)} of this row belong to another cell"
        return Annotation(
            subject=self.subject(row.text("subject")),
            filename=self.filename(row.text("filename")),
            label=row.text("label"),
            onset=row.frame("onset"),
            apex=row.frame("apex"),
            offset=row.frame("offset"),
            apex_text=row.text("apex"),
            span_text=(row.text("onset"), row.text("offset")),
            problem=problem,
            number=row.number,
        )


def subject_rule(pattern: str, form: str) -> Callable[[str], str]:
    r"""Make a function that spells subjects in one way; other texts stay as they are.

    Args:
        pattern: matches every spelling in use; group 1 is the subject's number.
        form: the spelling of the folders.

    >>> rule = subject_rule(r"(?:sub|s)?0*(\d+)", "sub{:02d}")
    >>> rule("1"), rule("Sub01"), rule("anna")
    ('sub01', 'sub01', 'anna')
    """
    known = re.compile(pattern, re.IGNORECASE)

    def spell(text: str) -> str:
        match = known.fullmatch(text)
        return form.format(int(match[1])) if match else text

    return spell


def same_names(*labels: str) -> LabelMapping:
    """Make a class of each label, under the label's name.

    >>> same_names("fear", "anger")
    {'fear': 'fear', 'anger': 'anger'}
    """
    return {label: label for label in labels}


def refuse_several(dataset: str, chosen: ChosenPaths) -> None:
    """Refuse options that are repeated for a data set with one sheet and one frame folder.

    Raises:
        InputError: an option was given twice.
    """
    for option, paths in (("--annotations", chosen.sheets), ("--frames-dir", chosen.frames)):
        if len(paths) > 1:
            raise InputError(f"{option} may be given only once for {dataset}: got {len(paths)}")
