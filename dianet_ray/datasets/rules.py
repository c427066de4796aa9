"""What becomes of every clip of a data set, by rules that are the same for all data sets.

Every row of the sheet and every folder of frames ends in exactly one row of the manifest, so the
states add up. Nothing is corrected or left out without being counted and named.
"""

from __future__ import annotations

import copy
import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from dianet_ray.artefacts import CORRECTED, LEFT_OUT, USED
from dianet_ray.datasets.annotations import (
    Annotation,
    ApexRule,
    ChosenPaths,
    ClipName,
    Loaded,
)
from dianet_ray.datasets.catalogue import read_data_set
from dianet_ray.datasets.contradictions import find_contradictions
from dianet_ray.datasets.corrections import Corrected, Correction, correct
from dianet_ray.datasets.manifest import (
    BY_FOLDER,
    NO_ROW,
    UNREADABLE,
    Contradiction,
    Manifest,
    Row,
    Source,
)
from dianet_ray.datasets.numbering import Interval, choose_numbering, fits, shift
from dianet_ray.datasets.overlaps import refuse_two_subjects
from dianet_ray.datasets.remedies import find_remedies
from dianet_ray.datasets.row_rules import impossible, left_out, missing_name, without_apex
from dianet_ray.imaging.frames import FolderError, FrameError, frame_numbers

_RUNS_LISTED = 5  # runs of missing frames in a reason
_NOT_NAMED = "a folder of frames that the sheet does not name"


def read_manifest(
    dataset: str,
    root: Path,
    *,
    chosen: ChosenPaths | None = None,
    apex: ApexRule | None = None,
    corrections: Sequence[Correction] = (),
) -> Manifest:
    """Read a data set's sheet, list its frames, and apply the rules to every clip.

    Args:
        dataset: a name of the catalogue.
        root: the data set's folder.
        chosen: sheets and frame folders that the user named.
        apex: what happens to clips without an apex; None takes the data set's default.
        corrections: cells of the sheet to replace.

    Raises:
        InputError: the data set cannot be read, the user must choose between several files, or
            the same frames of a folder are two subjects'.
    """
    root = root.absolute()
    rows: list[Row] = []
    sources: list[Source] = []
    unused: list[Correction] = []
    remedies: dict[str, tuple[str, ...]] = {}
    contradictions: list[Contradiction] = []
    for loaded in read_data_set(dataset, root, chosen or ChosenPaths()):
        mine = [one for one in corrections if one.dataset == loaded.dataset]
        corrected = correct(loaded.annotations, mine)
        frames = _Frames(loaded, root, apex or loaded.apex)
        judge = functools.partial(_rows, frames, loaded)
        rows += (judged := judge(frames.apex, corrected))
        remedies |= find_remedies(loaded, judge, frames.apex, corrected)
        contradictions += find_contradictions(loaded, root, judged)
        sources.append(frames.source(judged))
        unused += corrected.unused
    names = {source.dataset for source in sources}
    unused += [one for one in corrections if one.dataset not in names]
    # Sorted, so that nothing that follows depends on the order of the sheet.
    rows.sort(key=lambda row: (row.clip_id, row.onset or 0))
    found = Manifest(
        dataset,
        root,
        tuple(sources),
        tuple(rows),
        tuple(unused),
        remedies,
        tuple(contradictions),
    )
    refuse_two_subjects(found)
    return found


def _rows(frames: _Frames, loaded: Loaded, apex: ApexRule, corrected: Corrected) -> list[Row]:
    """Make the rows of one source: its annotations, and folders that no annotation names."""
    names = [loaded.name_of(one) for one in loaded.annotations]
    frames = frames.under(apex)
    # Counted as text, like clip_id: `a/b` + `c` and `a` + `b/c` are the same clip_id.
    n_rows_of = Counter(map(str, names))
    rows = []
    for given, name, note in zip(corrected.annotations, names, corrected.notes, strict=True):
        one = frames.spanned(given)
        row = frames.new_row(one, name)
        # None of them is used, because nothing says which one is right.
        if (n_rows := n_rows_of[str(name)]) > 1:
            rows.append(left_out(row, f"duplicate rows: {n_rows} rows of the sheet"))
        elif one.has_row:
            rows.append(_with_note(frames.apply_rules(row, one), one, note))
        elif frames.hold_clips:
            note = "; ".join(filter(None, [note, BY_FOLDER + _NOT_NAMED]))
            rows.append(_with_note(frames.apply_rules(row, one), one, note))
        else:
            rows.append(left_out(row, NO_ROW + _NOT_NAMED))
    for name, path in loaded.unlisted.items():
        folder = Annotation(*name, "", None, None, None, frames=path)
        rows.append(left_out(frames.new_row(folder, name), NO_ROW + _NOT_NAMED))
    return rows


def _with_note(row: Row, one: Annotation, note: str) -> Row:
    """Add to a row what was corrected, unless a rule left the clip out."""
    if not note or row.state == LEFT_OUT:
        return row
    kind = "" if note.startswith(BY_FOLDER) else "correction: "
    reason = f"{row.reason}; {note}" if row.reason else f"{kind}{note}"
    # Each change starts with its column; the source after it may mention the apex as well.
    has_new_apex = any(change.startswith("apex ") for change in note.split("; "))
    is_corrected = row.apex_from == "annotated" and has_new_apex
    apex_from = "correction" if is_corrected else row.apex_from
    return replace(row, state=CORRECTED, reason=reason, apex_from=apex_from)


class _Frames:
    """The frames of one source's clips; a folder that several clips share is listed once."""

    def __init__(self, loaded: Loaded, root: Path, apex: ApexRule) -> None:
        self._loaded, self._root, self.apex = loaded, root, apex
        self._numbers: dict[Path, Sequence[int] | FrameError] = {}
        clips = [
            ((one.onset, one.offset), numbers)
            for one in loaded.annotations
            if one.onset is not None and one.offset is not None and one.frames is not None
            if not isinstance(numbers := self._list(one.frames), FrameError)
        ]
        self._numbering, self._n_fitting = choose_numbering(clips)
        # The same folders cut into clips: then one without a row is a clip as well.
        n_exact = sum(b - a + 1 == len(numbers) for (a, b), numbers in clips)
        self.hold_clips = n_exact > 0 and 2 * n_exact >= len(clips)

    def under(self, apex: ApexRule) -> _Frames:
        """Return these frames under another apex rule; no folder is listed again."""
        other = copy.copy(self)
        other.apex = apex
        return other

    def spanned(self, one: Annotation) -> Annotation:
        """Give a clip that is its whole folder the span of the files, where it has none yet."""
        numbers = self._list(one.frames) if one.whole_folder and one.frames is not None else ()
        if isinstance(numbers, FrameError) or not numbers:
            return one
        onset = numbers[0] if one.onset is None else one.onset
        return replace(one, onset=onset, offset=one.offset or numbers[-1])

    def source(self, rows: Sequence[Row]) -> Source:
        """Describe where the rows come from."""
        loaded = self._loaded
        n_by_folder = sum(BY_FOLDER in row.reason for row in rows)
        by_folder = f"folders without a row, read by their names and files: {n_by_folder}"
        return Source(
            dataset=loaded.dataset,
            sheet=loaded.sheet,
            frames_root=loaded.frames_root,
            numbering=self._numbering,
            n_fitting=self._n_fitting,
            apex=self.apex,
            notes=(*loaded.notes, by_folder) if n_by_folder else loaded.notes,
            unconfirmed=loaded.unconfirmed,
        )

    def new_row(self, one: Annotation, name: ClipName) -> Row:
        """Make the row of a clip to which no rule has been applied."""
        path = ""
        if one.frames is not None:
            inside = one.frames.is_relative_to(self._root)
            path = (one.frames.relative_to(self._root) if inside else one.frames).as_posix()
        subject = f"{self._loaded.dataset}/{one.subject}"
        return Row(
            clip_id=f"{subject}/{name.filename}",
            subject=subject,
            label=one.label,
            onset=one.onset,
            apex=one.apex,
            offset=one.offset,
            n_frames=0,
            apex_from="",
            box="",
            state=USED,
            reason="",
            frames_path=path,
        )

    def apply_rules(self, row: Row, one: Annotation) -> Row:
        """Apply the rules in order; the first one that a clip breaks leaves it out."""
        if reason := one.problem or missing_name(one):
            return left_out(row, reason)
        if not one.whole_folder and (one.onset is None or one.offset is None):
            return left_out(row, "no onset or offset: not both are frame numbers")
        # A whole folder without files has neither, and the rules below say what is wrong with it.
        interval = (one.onset or 0, one.offset or 0)
        if reason := impossible(interval, self._loaded.fps, whole_folder=one.whole_folder):
            return left_out(row, reason)
        if one.frames is None:
            return left_out(row, f"no frame folder: none for {one.name}")
        numbers = self._list(one.frames)
        if isinstance(numbers, FrameError):
            kind = UNREADABLE if isinstance(numbers, FolderError) else "unclear frames: "
            # Without the path, so that the manifest's hash does not depend on where the data lie.
            return left_out(row, kind + str(numbers).replace(str(one.frames), str(one.name)))
        if not numbers:
            return left_out(row, f"no frames: no numbered jpg, png or bmp in {one.name}")
        return self._apply_frame_rules(row, one, interval, numbers)

    def _apply_frame_rules(
        self, row: Row, one: Annotation, interval: Interval, numbers: Sequence[int]
    ) -> Row:
        """Compare onset, apex and offset with the frames that exist."""
        numbering = "file_numbers" if one.whole_folder else self._numbering
        added = shift(numbering, interval, numbers)
        onset, offset = interval[0] + added, interval[1] + added
        present = [number for number in numbers if onset <= number <= offset]
        apex = None if one.apex is None else one.apex + added
        row = replace(row, onset=onset, apex=apex, offset=offset, n_frames=len(present))
        # A gap shifts the weights of rank pooling, so a clip with missing frames is not used.
        if missing := _missing(present, onset, offset):
            return left_out(row, f"frames missing: {missing} of {onset}..{offset}")
        if not fits(numbering, interval, numbers):
            counts = f"{len(numbers)} renumbered files, the clip has {offset - onset + 1} frames"
            return left_out(row, f"unclear frames: {counts}")
        # Strictly inside: a phase of one frame holds no motion.
        if apex is not None and onset < apex < offset:
            return replace(row, apex_from="annotated")
        if not self._loaded.has_apexes:
            reason = "missing apex: the data set annotates none"
        elif apex is None:
            reason = f"missing apex: {one.apex_text or 'empty'}"
        else:
            reason = f"impossible apex: {apex} is not inside {onset}..{offset}"
        return without_apex(row, reason, self.apex, (onset, offset))

    def _list(self, path: Path) -> Sequence[int] | FrameError:
        if path not in self._numbers:
            try:
                self._numbers[path] = frame_numbers(path)
            except FrameError as error:
                self._numbers[path] = error
        return self._numbers[path]


def _missing(present: list[int], first: int, last: int) -> str:
    """List the numbers of first..last that are missing, as runs; only the first few runs.

    >>> _missing([1, 2, 6, 7, 8], 1, 9)
    '3-5, 9'
    """
    around = pairwise([first - 1, *present, last + 1])
    runs = [(a + 1, b - 1) for a, b in around if b - a > 1]
    listed = ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs[:_RUNS_LISTED])
    n_more = len(runs) - _RUNS_LISTED
    if n_more <= 0:
        return listed
    return f"{listed} and {n_more} more {'run' if n_more == 1 else 'runs'}"
