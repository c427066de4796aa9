"""Micro-expressions of a sheet's row after the first one, each as a clip of its own.

SMIC's sheet describes recordings: a row may hold the onset and offset of a second and a third
micro-expression. Where the frames are cut into clips, each of them has a folder of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dianet_ray.datasets.annotations import Annotation, ClipName
from dianet_ray.datasets.numbering import Interval
from dianet_ray.datasets.sheets import Columns, SheetRow, plain_title
from dianet_ray.imaging.frames import FrameError, frame_numbers

_EMPTY = frozenset({"", "0", "na", "nan", "none", "null"})  # of `-` and `/` nothing is left
_NUMBERED = range(2, 10)  # released sheets go to 3

Span = tuple[int | None, int | None]


@dataclass(frozen=True, slots=True)
class Further:
    """What was found: the clips, the folders that they took, and what to tell the user."""

    clips: tuple[Annotation, ...] = ()
    taken: frozenset[ClipName] = frozenset()
    notes: tuple[str, ...] = ()


def further_columns(*forms: str) -> Columns:
    """Name the columns of further onsets and offsets.

    Args:
        forms: titles, with `{name}` for Onset or Offset and `{k}` for the number.

    >>> further_columns("{name}{k}F")["offset3"]
    ('Offset3F',)
    """
    return {
        f"{name.lower()}{k}": tuple(form.format(name=name, k=k) for form in forms)
        for k in _NUMBERED
        for name in ("Onset", "Offset")
    }


def further_clips(
    listed: Sequence[tuple[SheetRow, Annotation]], unlisted: Mapping[ClipName, Path]
) -> Further:
    """Make a clip of each further micro-expression of the rows.

    It takes the subject's folder without a row that holds its frames, else the folder of its row
    if that holds them. What has a row of its own too is not read twice.

    Args:
        listed: every row, and the clip that was made of its first micro-expression.
        unlisted: folders without a row.
    """
    spans = [(one.subject, (one.onset, one.offset)) for _, one in listed]
    clips: list[Annotation] = []
    taken: set[ClipName] = set()
    n_repeated = 0
    for at, (row, first) in enumerate(listed):
        others = [span for k, (who, span) in enumerate(spans) if who == first.subject and k != at]
        for span, cells in _spans(row):
            if any(_nearly_equal(span, other) for other in others):
                n_repeated += 1
                continue
            free = {name: path for name, path in unlisted.items() if name not in taken}
            home = _home(first, span, free)
            mine = replace(first, span_text=cells, apex=None, apex_text="")
            clips.append(_clip(mine, span, home, unlisted))
            taken |= {home} if home else set()
    return Further(tuple(clips), frozenset(taken), tuple(_notes(len(clips), n_repeated)))


def _spans(row: SheetRow) -> Iterator[tuple[Span, tuple[str, str]]]:
    """List the row's further spans, each with its two cells as text."""
    for k in _NUMBERED:
        cells = row.text(f"onset{k}"), row.text(f"offset{k}")
        # Empty cells may be filled in. Anything else is a clip, to be counted at least.
        if not {plain_title(cell) for cell in cells} <= _EMPTY:
            yield (row.frame(f"onset{k}"), row.frame(f"offset{k}")), cells


def _nearly_equal(span: Span, other: Span) -> bool:
    """Whether two spans share at least half of the longer one."""
    (a, b), (c, d) = span, other
    if a is None or b is None or c is None or d is None:
        return False
    n_shared = min(b, d) - max(a, c) + 1
    return 2 * n_shared >= max(b - a, d - c) + 1


def _home(first: Annotation, span: Span, free: Mapping[ClipName, Path]) -> ClipName | None:
    """Find the subject's folder that holds most of the clip's frames, at least half of them."""
    onset, offset = span
    if onset is None or offset is None:
        return None
    mine = {name: path for name, path in free.items() if name.subject == first.subject}
    held = {name: n for name, path in mine.items() if (n := _held((onset, offset), path))}
    return max(held, key=lambda name: held[name], default=None)


def _held(span: Interval, path: Path) -> int:
    """Count the frames of a clip that a folder holds; 0 for fewer than half."""
    onset, offset = span
    try:
        numbers = frame_numbers(path)
    except FrameError:
        return 0
    n_held = sum(onset <= number <= offset for number in numbers)
    return n_held if 2 * n_held >= offset - onset + 1 else 0


def _clip(
    first: Annotation, span: Span, home: ClipName | None, unlisted: Mapping[ClipName, Path]
) -> Annotation:
    onset, offset = span
    clip = replace(first, onset=onset, offset=offset)
    if home is not None:
        return replace(clip, filename=home.filename, frames=unlisted[home])
    inside = (
        first.frames is not None
        and onset is not None
        and offset is not None
        and _held((onset, offset), first.frames)
    )
    named = clip.name_with_onset.filename
    return replace(clip, filename=named, frames=first.frames if inside else None)


def _notes(n_clips: int, n_repeated: int) -> Iterator[str]:
    if n_clips:
        yield f"further micro-expressions of the sheet's rows, each a clip of its own: {n_clips}"
    if n_repeated:
        yield f"further micro-expressions that have a row too, read once: {n_repeated}"
