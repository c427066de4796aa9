"""Corrections of a sheet: a CSV of cells and their new values, published or the user's own.

A correction names subject and clip, never a row number, because releases order and drop rows
differently.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dianet_ray.datasets import releases
from dianet_ray.datasets.annotations import Annotation, ClipName
from dianet_ray.datasets.catalogue import all_data_sets
from dianet_ray.datasets.sheets import SheetRow, as_frame, as_text, read_table
from dianet_ray.datasets.spellings import fold
from dianet_ray.datasets.subjects import short_name
from dianet_ray.errors import InputError

PUBLISHED = "published"
_FRAMES = ("onset", "apex", "offset")
_COLUMNS = {
    name: (name,) for name in ("dataset", "subject", "clip", "column", "old", "new", "source")
}


@dataclass(frozen=True, slots=True)
class Correction:
    """One cell of a sheet and its new value.

    Attributes:
        dataset: whose sheet it is.
        clip: the clip as the manifest names it, with or without its onset.
        column: onset, apex, offset or label.
        old: what the cell must hold; empty when the old value does not matter.
        new: what it holds after the correction.
        source: who says so, as free text.
    """

    dataset: str
    clip: ClipName
    column: str
    old: str
    new: str
    source: str

    def __str__(self) -> str:
        return f"{self.dataset}/{self.clip} {self.column}"


@dataclass(frozen=True, slots=True)
class Corrected:
    """Annotations after their corrections.

    Attributes:
        annotations: in their order.
        notes: what was changed in each annotation, empty for nothing.
        unused: corrections that fit no annotation, or whose cell holds the new value already.
    """

    annotations: tuple[Annotation, ...]
    notes: tuple[str, ...]
    unused: tuple[Correction, ...]


def read_corrections(name_or_file: str, datasets: Sequence[str]) -> tuple[Correction, ...]:
    """Read the published corrections of some data sets, or all corrections of a CSV file.

    Raises:
        InputError: no such file, or a row that names no cell or holds no frame number.
    """
    if name_or_file == PUBLISHED:
        return tuple(one for dataset in datasets for one in _published(dataset))
    path = Path(name_or_file)
    if not path.is_file():
        raise InputError(f"--corrections takes {PUBLISHED} or a CSV file: got {name_or_file}")
    # Corrections of other data sets are kept, to be reported as unused.
    return _read(path)


def _published(dataset: str) -> tuple[Correction, ...]:
    path = Path(releases.__path__[0]) / f"{dataset}_corrections.csv"
    return _read(path) if path.is_file() else ()


def _read(path: Path) -> tuple[Correction, ...]:
    _, rows = read_table(path, _COLUMNS)
    return tuple(_correction(row, f"row {row.number}, {path}") for row in rows)


def _correction(row: SheetRow, where: str) -> Correction:
    dataset, subject, clip, column, old, new, source = map(row.text, _COLUMNS)
    if column not in (*_FRAMES, "label"):
        raise InputError(
            "--corrections: a column must be onset, apex, offset or label: "
            f"got {column!r}, {where}"
        )
    # Composites are excluded: a correction belongs to the source whose sheet it corrects.
    known = [one.dataset for one in all_data_sets() if one.sources == (one.dataset,)]
    if dataset and dataset not in known:
        raise InputError(
            f"--corrections: a data set must be one of {', '.join(known)}: "
            f"got {dataset!r}, {where}"
        )
    if not (dataset and subject and clip and new):
        raise InputError(f"--corrections: dataset, subject, clip and new are required: {where}")
    if column in _FRAMES and as_frame(new) is None:
        raise InputError(f"--corrections: {column} must be a frame number: got {new!r}, {where}")
    return Correction(
        dataset, ClipName(short_name(dataset, subject), clip), column, old, new, source
    )


def correct(annotations: Sequence[Annotation], corrections: Sequence[Correction]) -> Corrected:
    """Apply corrections to the annotations of one data set.

    Clips of one recording may share a correction's name and old value. Such corrections are
    applied in their own order to the clips in the order of their onsets.

    Raises:
        InputError: a correction without an old value fits several annotations.
    """
    changed = list(annotations)
    notes = [""] * len(changed)
    unused = []
    done: set[tuple[int, str]] = set()  # cells that a correction has been matched with
    for one in corrections:
        at = _find(annotations, one, done)
        if at is not None:
            done.add((at, one.column))
        if at is None or _cell(annotations[at], one.column) == one.new:
            unused.append(one)
            continue
        changed[at] = _change(changed[at], one)
        notes[at] = "; ".join(filter(None, [notes[at], _note(annotations[at], one)]))
    return Corrected(tuple(changed), tuple(notes), tuple(unused))


def _find(
    annotations: Sequence[Annotation], one: Correction, done: set[tuple[int, str]]
) -> int | None:
    """Find the annotation that a correction is about; of several, the one with the first onset."""
    fitting = [
        at
        for at, annotation in enumerate(annotations)
        if _is_named(annotation, one)
        and (at, one.column) not in done
        # A newer sheet may hold the new value already: then the correction counts as unused.
        and (not one.old or _cell(annotation, one.column) in (one.old, one.new))
    ]
    # An old value identifies the row; without one, the first row would be as good as any.
    if len(fitting) > 1 and not one.old:
        example = annotations[fitting[0]].name_with_onset.filename
        raise InputError(
            f"--corrections: {one} fits {len(fitting)} rows: give its old value, or name the "
            f"clip with its onset ({example})"
        )
    return min(fitting, key=lambda at: annotations[at].onset or 0, default=None)


def _is_named(annotation: Annotation, one: Correction) -> bool:
    """Whether a correction names this clip; case and zeros differ between sheets and folders."""
    names = {annotation.filename.casefold(), annotation.name_with_onset.filename.casefold()}
    return fold(annotation.subject) == fold(one.clip.subject) and (
        one.clip.filename.casefold() in names
    )


def _cell(annotation: Annotation, column: str) -> str:
    return annotation.apex_text if column == "apex" else as_text(getattr(annotation, column))


def _note(annotation: Annotation, one: Correction) -> str:
    change = f"{one.column} {_cell(annotation, one.column) or 'empty'} -> {one.new}"
    return f"{change} ({one.source})" if one.source else change


def _change(annotation: Annotation, one: Correction) -> Annotation:
    number = as_frame(one.new)
    match one.column:
        case "onset":
            return replace(annotation, onset=number)
        case "offset":
            return replace(annotation, offset=number)
        case "apex":
            return replace(annotation, apex=number, apex_text=one.new)
        case _:
            return replace(annotation, label=one.new)
