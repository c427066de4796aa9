"""The manifest of a data set: what becomes of every clip, by rules that hold for all data sets.

Every row of the sheet and every folder of frames ends in exactly one row, so the states add up.
Nothing is corrected or left out without being counted and named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from dianet_ray.artefacts import CORRECTED, LEFT_OUT, USED
from dianet_ray.datasets.catalogue import read_sources
from dianet_ray.datasets.corrections import Correction, correct
from dianet_ray.datasets.manifest import NO_ROW, UNREADABLE, ApexRule, Manifest, Part, Row
from dianet_ray.datasets.numbering import Span, choose_numbering, fits, shift
from dianet_ray.datasets.release import Annotated, Source
from dianet_ray.imaging.frames import FolderError, FrameError, frame_numbers

_RUNS_LISTED = 5  # runs of missing frames in a reason

MOST_S = 5.0
"""Seconds that a clip may last, where the frame rate is known: a micro-expression takes half a
second, and a sheet that says 24 means something else."""


def read_manifest(  # noqa: PLR0913 - one parameter per option of `validate` and `prepare`
    dataset: str,
    root: Path,
    *,
    annotations: Sequence[Path] = (),
    frames_dirs: Sequence[Path] = (),
    apex: ApexRule | None = None,
    corrections: Sequence[Correction] = (),
) -> Manifest:
    """Read a data set's sheet, look at its frames, and judge every clip.

    Args:
        dataset: A name in `loaders.DATASETS`.
        root: The data set's folder.
        annotations: The sheet, when several are there.
        frames_dirs: The folder of frames, when several are there.
        apex: `annotated` leaves a clip without a usable apex out; `midpoint` gives it the middle
            of onset..offset and marks it corrected; `spot` marks it corrected and leaves the apex
            to be found in the frames. Other clips keep their annotated apex. None: annotated,
            or midpoint for a data set that annotates no apexes at all.
        corrections: Cells of the sheet to replace.

    Raises:
        InputError: the data set cannot be read at all, or something must be chosen.
    """
    root = root.absolute()
    sources = read_sources(dataset, root, annotations, frames_dirs)
    rows: list[Row] = []
    parts: list[Part] = []
    unused: list[str] = []
    for source in sources:
        part, found, idle = _read_part(source, root, apex, corrections)
        parts.append(part)
        rows += found
        unused += idle
    names = {source.dataset for source in sources}
    unused += [str(one) for one in corrections if one.dataset not in names]
    rows.sort(key=lambda row: (row.clip_id, row.onset or 0))
    return Manifest(dataset, root, tuple(parts), tuple(rows), tuple(unused))


def _read_part(
    source: Source, root: Path, apex: ApexRule | None, corrections: Sequence[Correction]
) -> tuple[Part, list[Row], list[str]]:
    mine = [one for one in corrections if one.dataset == source.dataset]
    corrected = correct(source.annotated, mine)
    look = _Look(source, root, apex or ("annotated" if source.has_apexes else "midpoint"))
    names = [clip.key_at_onset if source.by_onset else clip.key for clip in source.annotated]
    n_rows_of = Counter(map("/".join, names))  # as clip_id has them: a subject may hold a slash
    rows = []
    for clip, name, note in zip(corrected.annotated, names, corrected.notes, strict=True):
        row = look.start(clip, name[1])
        if (n_rows := n_rows_of["/".join(name)]) > 1:
            rows.append(_left_out(row, f"duplicate rows: {n_rows} rows of the sheet"))
        else:
            rows.append(_with_note(look.judge(row, clip), clip, note))
    for (subject, filename), path in source.unnamed.items():
        clip = Annotated(subject, filename, "", None, None, None, frames=path)
        row = look.start(clip, filename)
        rows.append(_left_out(row, NO_ROW + "a folder of frames that the sheet does not name"))
    part = Part(
        source.dataset,
        source.sheet,
        source.frames_root,
        look.numbering,
        look.n_fitting,
        look.apex,
        source.unconfirmed,
    )
    return part, rows, [str(one) for one in corrected.unused]


def _left_out(row: Row, reason: str) -> Row:
    return replace(row, state=LEFT_OUT, reason=reason)


def _with_note(row: Row, clip: Annotated, note: str) -> Row:
    """Add what was corrected to a row that is not left out."""
    if not note or row.state == LEFT_OUT:
        return row
    reason = f"{row.reason}; {note}" if row.reason else f"correction: {note}"
    changes = note.split("; ")  # a source may speak of the apex too
    by_correction = row.apex_from == "annotated" and any(c.startswith("apex ") for c in changes)
    return replace(
        row,
        state=CORRECTED,
        reason=reason,
        apex_from="correction" if by_correction else row.apex_from,
    )


class _Look:
    """The frames of one source's clips: a folder that several share is listed once."""

    def __init__(self, source: Source, root: Path, apex: ApexRule) -> None:
        self._source, self._root, self.apex = source, root, apex
        self._numbers: dict[Path, Sequence[int] | FrameError] = {}
        spans = [
            ((clip.onset, clip.offset), numbers)
            for clip in source.annotated
            if clip.onset is not None and clip.offset is not None and clip.frames is not None
            if not isinstance(numbers := self._list(clip.frames), FrameError)
        ]
        self.numbering, self.n_fitting = choose_numbering(spans)

    def start(self, clip: Annotated, name: str) -> Row:
        """Begin the row of a clip, still used."""
        path = ""
        if clip.frames is not None:
            inside = clip.frames.is_relative_to(self._root)
            path = (clip.frames.relative_to(self._root) if inside else clip.frames).as_posix()
        subject = f"{self._source.dataset}/{clip.subject}"
        span = (clip.onset, clip.apex, clip.offset)
        return Row(f"{subject}/{name}", subject, clip.label, *span, 0, "", "", USED, "", path)

    def judge(self, row: Row, clip: Annotated) -> Row:
        """Apply every rule to a clip, the first that it breaks leaves it out."""
        if reason := clip.problem or _unnamed(clip):
            return _left_out(row, reason)
        if clip.onset is None or clip.offset is None:
            return _left_out(row, "no onset or offset: not both are frame numbers")
        span = (clip.onset, clip.offset)
        if reason := _impossible(span, self._source.fps):
            return _left_out(row, reason)
        if clip.frames is None:
            return _left_out(row, f"no frame folder: none for {clip.subject}/{clip.filename}")
        numbers = self._list(clip.frames)
        if isinstance(numbers, FrameError):
            kind = UNREADABLE if isinstance(numbers, FolderError) else "unclear frames: "
            # The row has the path; a reason that repeats it would depend on where the data lie.
            said = str(numbers).replace(str(clip.frames), f"{clip.subject}/{clip.filename}")
            return _left_out(row, kind + said)
        if not numbers:
            said = f"no numbered jpg, png or bmp in {clip.subject}/{clip.filename}"
            return _left_out(row, f"no frames: {said}")
        return self._with_numbers(row, clip, span, numbers)

    def _with_numbers(self, row: Row, clip: Annotated, span: Span, numbers: Sequence[int]) -> Row:
        """Judge onset, apex and offset by the files that are there."""
        added = shift(self.numbering, span, numbers)
        onset, offset = span[0] + added, span[1] + added
        present = [number for number in numbers if onset <= number <= offset]
        apex = None if clip.apex is None else clip.apex + added
        row = replace(row, onset=onset, apex=apex, offset=offset, n_frames=len(present))
        if missing := _missing(present, onset, offset):
            return _left_out(row, f"frames missing: {missing} of {onset}..{offset}")
        if not fits(self.numbering, span, numbers):
            said = f"{len(numbers)} renumbered files, the clip has {offset - onset + 1} frames"
            return _left_out(row, f"unclear frames: {said}")
        if apex is not None and onset < apex < offset:
            return replace(row, apex_from="annotated")
        if apex is not None:
            reason = f"impossible apex: {apex} is not inside {onset}..{offset}"
        else:
            reason = f"missing apex: {clip.apex_text or 'empty'}"
        if not self._source.has_apexes:
            reason = "missing apex: the data set annotates none"
        return _without_apex(row, reason, self.apex, (onset, offset))

    def _list(self, path: Path) -> Sequence[int] | FrameError:
        if path not in self._numbers:
            try:
                self._numbers[path] = frame_numbers(path)
            except FrameError as error:
                self._numbers[path] = error
        return self._numbers[path]


def _unnamed(clip: Annotated) -> str:
    if not (clip.subject and clip.filename):
        return f"no name: subject {clip.subject!r}, file name {clip.filename!r}"
    return "" if clip.label else "no label: the emotion is empty"


def _impossible(span: Span, fps: float | None) -> str:
    """Name what is wrong with onset and offset, whatever the frames are."""
    onset, offset = span
    if onset > offset:
        return f"onset after offset: {onset} > {offset}"
    n_frames = offset - onset + 1
    if fps and n_frames > MOST_S * fps:
        return f"too long: {n_frames} frames are {n_frames / fps:.1f} s, more than {MOST_S:g} s"
    return ""


def _without_apex(row: Row, reason: str, rule: ApexRule, span: Span) -> Row:
    onset, offset = span
    if rule == "annotated":
        return _left_out(row, reason)
    if offset - onset < 2:
        return _left_out(row, f"{reason}, and there is no frame between")
    if rule == "spot":
        return replace(row, apex=None, apex_from="spot", state=CORRECTED, reason=reason)
    middle = (onset + offset) // 2
    reason += f", took the midpoint {middle}"
    return replace(row, apex=middle, apex_from="midpoint", state=CORRECTED, reason=reason)


def _missing(present: list[int], first: int, last: int) -> str:
    """Write what sorted numbers lack of first..last as runs, the first few of them.

    >>> _missing([1, 2, 6, 7, 8], 1, 9)
    '3-5, 9'
    """
    around = pairwise([first - 1, *present, last + 1])
    runs = [(a + 1, b - 1) for a, b in around if b - a > 1]
    listed = ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs[:_RUNS_LISTED])
    n_more = len(runs) - _RUNS_LISTED
    return f"{listed} and {n_more} more runs" if n_more > 0 else listed
