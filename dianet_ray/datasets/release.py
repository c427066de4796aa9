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

from dianet_ray.datasets.annotations import Annotation, ApexRule, ChosenPaths, Loaded
from dianet_ray.datasets.discovery import Place, find_frames, find_sheet, frames_root
from dianet_ray.datasets.sheets import Columns, SheetRow, read_table
from dianet_ray.errors import InputError

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
        path = find_sheet(root, self.sheet_patterns, next(iter(chosen.sheets), None))
        sheet, rows = read_table(path, self.columns, sheet_name=self.sheet_name)
        folder = frames_root(root, next(iter(chosen.frames), None))
        expected = f"frames of {self.dataset} in folders like {self.example}"
        found = find_frames(folder, self.place, expected=expected)
        annotations = [self._annotation(row) for row in rows]
        # A folder holds a whole recording or one clip of it, so both names count as listed.
        listed = {name for one in annotations for name in (one.name, one.name_with_onset)}
        loaded = Loaded(
            dataset=self.dataset,
            sheet=sheet,
            annotations=tuple(
                replace(one, frames=found.get(one.name_with_onset) or found.get(one.name))
                for one in annotations
            ),
            frames_root=folder,
            unlisted={name: path for name, path in found.items() if name not in listed},
            fps=self.fps,
            has_apexes="apex" in self.columns,
            apex=self.apex,
            by_onset=self.by_onset,
            unconfirmed=self.unconfirmed,
        )
        return [loaded]

    def _annotation(self, row: SheetRow) -> Annotation:
        problem = ""
        # Only the first of merged cells has the value; nothing says that it is meant for all.
        if row.merged:
            problem = f"merged cells: {', '.join(row.merged)} of this row belong to another cell"
        return Annotation(
            subject=self.subject(row.text("subject")),
            filename=self.filename(row.text("filename")),
            label=row.text("label"),
            onset=row.frame("onset"),
            apex=row.frame("apex"),
            offset=row.frame("offset"),
            apex_text=row.text("apex"),
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
