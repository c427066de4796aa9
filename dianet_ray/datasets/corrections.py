"""Corrections of a sheet: a CSV of cells with their new values, published or the user's own.

The published table is `corrections.csv` beside this file. A correction names the subject and the
clip, never a row number: releases order and drop rows differently.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dianet_ray.datasets.release import Annotated, Key
from dianet_ray.datasets.sheets import as_frame, as_text, read_table
from dianet_ray.datasets.subjects import RULES, short_name
from dianet_ray.errors import InputError

PUBLISHED = "published"
TABLE = Path(__file__).with_name("corrections.csv")
_FRAMES = ("onset", "apex", "offset")
_DATASETS = (*RULES, "table")
_COLUMNS = {
    name: (name,) for name in ("dataset", "subject", "clip", "column", "old", "new", "source")
}


@dataclass(frozen=True, slots=True)
class Correction:
    """One cell: `column` is onset, apex, offset or label; `old` is empty when any value may be."""

    dataset: str
    key: Key
    column: str
    old: str
    new: str
    source: str

    def __str__(self) -> str:
        """Name the cell."""
        return f"{self.dataset}/{'/'.join(self.key)} {self.column}"


@dataclass(frozen=True, slots=True)
class Corrected:
    """Rows after the corrections; `notes` says per row what was changed, empty for nothing.

    `unused` are the corrections that fit no row, or whose row has the new value already.
    """

    annotated: tuple[Annotated, ...]
    notes: tuple[str, ...]
    unused: tuple[Correction, ...]


def read_corrections(name_or_file: str, datasets: Sequence[str]) -> tuple[Correction, ...]:
    """Read the published table as far as it is of these data sets, or all of a CSV like it.

    Raises:
        InputError: no such file, or a row that names no cell or no frame number.
    """
    path = TABLE if name_or_file == PUBLISHED else Path(name_or_file)
    if not path.is_file():
        raise InputError(f"--corrections takes {PUBLISHED} or a CSV file: got {name_or_file}")
    _, rows = read_table(path, _COLUMNS)
    found = tuple(
        _correction({name: as_text(cell) for name, cell in row.items()}, f"row {at}, {path}")
        for at, row in enumerate(rows, 2)
    )
    # A row of the user's for another data set will be said to change nothing.
    return tuple(one for one in found if path != TABLE or one.dataset in datasets)


def _correction(row: dict[str, str], where: str) -> Correction:
    column, dataset = row["column"], row["dataset"]
    if column not in (*_FRAMES, "label"):
        raise InputError(
            f"--corrections: a column is onset, apex, offset or label: {column!r}, {where}"
        )
    if dataset and dataset not in _DATASETS:
        raise InputError(f"--corrections: a data set is one of {', '.join(_DATASETS)}: {where}")
    if not (dataset and row["subject"] and row["clip"] and row["new"]):
        raise InputError(f"--corrections: dataset, subject, clip and new are needed: {where}")
    if column in _FRAMES and as_frame(row["new"]) is None:
        raise InputError(f"--corrections: {column} is a frame number: {row['new']!r}, {where}")
    key = (short_name(dataset, row["subject"]), row["clip"])
    return Correction(dataset, key, column, row["old"], row["new"], row["source"])


def correct(annotated: Sequence[Annotated], corrections: Sequence[Correction]) -> Corrected:
    """Apply corrections to the rows of one data set.

    Rows that share a recording may share a correction's key and old value: they are then taken in
    the order of their onsets, as the corrections are written.

    Raises:
        InputError: a correction without an old value names several rows.
    """
    rows = list(annotated)
    notes = [""] * len(rows)
    unused = []
    done: set[tuple[int, str]] = set()
    for one in corrections:
        fitting = [
            i
            for i, row in enumerate(annotated)
            if _is_named(row, one) and (i, one.column) not in done and _holds(row, one)
        ]
        if len(fitting) > 1 and not one.old:
            raise InputError(
                f"--corrections: {one} is one of {len(fitting)} rows: give its old value, or the "
                f"clip with its onset ({annotated[fitting[0]].key_at_onset[1]})"
            )
        if not fitting:
            unused.append(one)
            continue
        at = min(fitting, key=lambda i: annotated[i].onset or 0)
        done.add((at, one.column))
        if _cell(annotated[at], one.column) == one.new:
            unused.append(one)
            continue
        rows[at] = _changed(rows[at], one)
        change = f"{one.column} {_cell(annotated[at], one.column) or 'empty'} -> {one.new}"
        said = f"{change} ({one.source})" if one.source else change
        notes[at] = f"{notes[at]}; {said}" if notes[at] else said
    return Corrected(tuple(rows), tuple(notes), tuple(unused))


def _is_named(row: Annotated, one: Correction) -> bool:
    """Whether a row is the correction's clip; case differs between sheets and folders."""
    subject, filename = one.key
    names = {row.filename.casefold(), row.key_at_onset[1].casefold()}
    return row.subject == subject and filename.casefold() in names


def _holds(row: Annotated, one: Correction) -> bool:
    return not one.old or _cell(row, one.column) in (one.old, one.new)


def _cell(row: Annotated, column: str) -> str:
    if column == "apex":
        return row.apex_text
    return as_text(getattr(row, column))


def _changed(row: Annotated, one: Correction) -> Annotated:
    if one.column == "label":
        return replace(row, label=one.new)
    changed = replace(row, **{one.column: as_frame(one.new)})  # type: ignore[arg-type]
    return replace(changed, apex_text=one.new) if one.column == "apex" else changed
