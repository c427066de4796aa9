"""What becomes of every clip of a data set, by rules that are the same for all data sets.

Every row of the sheet and every folder of frames ends in exactly one row of the manifest, so the
states add up. Nothing is corrected or left out without being counted and named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dianet_ray.artefacts import CORRECTED, LEFT_OUT, USED
from dianet_ray.datasets.annotations import (
    Annotation,
    ApexRule,
    ChosenPaths,
    ClipName,
    Loaded,
    Rules,
)
from dianet_ray.datasets.catalogue import read_data_set
from dianet_ray.datasets.corrections import Correction, correct
from dianet_ray.datasets.manifest import MISSING_APEX, NO_ROW, UNREADABLE, Manifest, Row, Source
from dianet_ray.datasets.numbering import Interval, choose_numbering, fits, shift
from dianet_ray.datasets.spellings import one_spelling
from dianet_ray.imaging.frames import FolderError, FrameError, frame_numbers
from dianet_ray.imaging.gaps import list_runs, longest, missing_runs, stand_ins, still_phase

NO_RULES = Rules()

MAX_SECONDS = 5.0
"""Longest clip, where the frame rate is known. A micro-expression lasts about half a second."""


def read_manifest(
    dataset: str,
    root: Path,
    *,
    chosen: ChosenPaths | None = None,
    rules: Rules = NO_RULES,
    corrections: Sequence[Correction] = (),
) -> Manifest:
    """Read a data set's sheet, list its frames, and apply the rules to every clip.

    Args:
        dataset: a name of the catalogue.
        root: the data set's folder.
        chosen: sheets and frame folders that the user named.
        rules: what the user decided about clips that are not clear.
        corrections: cells of the sheet to replace.

    Raises:
        InputError: the data set cannot be read, or the user must choose between several files.
    """
    root = root.absolute()
    rows: list[Row] = []
    sources: list[Source] = []
    unused: list[Correction] = []
    for found in read_data_set(dataset, root, chosen or ChosenPaths()):
        spelt = one_spelling(found.annotations, merge=rules.merge_subjects, sheet=found.sheet.path)
        loaded = replace(found, annotations=spelt)
        mine = [one for one in corrections if one.dataset == loaded.dataset]
        corrected = correct(loaded.annotations, mine)
        frames = _Frames(loaded, root, rules)
        rows += _rows(frames, loaded, corrected.annotations, corrected.notes)
        sources.append(frames.source())
        unused += corrected.unused
    names = {source.dataset for source in sources}
    unused += [one for one in corrections if one.dataset not in names]
    # Sorted, so that nothing that follows depends on the order of the sheet.
    rows.sort(key=lambda row: (row.clip_id, row.onset or 0))
    return Manifest(dataset, root, tuple(sources), tuple(rows), tuple(unused))


def _rows(
    frames: _Frames, loaded: Loaded, corrected: Sequence[Annotation], notes: Sequence[str]
) -> list[Row]:
    """Make the rows of one source: its annotations, and folders that no annotation names."""
    names = [one.name_with_onset if loaded.by_onset else one.name for one in loaded.annotations]
    # Counted as text, like clip_id: `a/b` + `c` and `a` + `b/c` are the same clip_id.
    n_rows_of = Counter(map(str, names))
    rows = []
    for one, name, note in zip(corrected, names, notes, strict=True):
        row = frames.new_row(one, name)
        # None of them is used, because nothing says which one is right.
        if (n_rows := n_rows_of[str(name)]) > 1:
            rows.append(_left_out(row, f"duplicate rows: {n_rows} rows of the sheet"))
        else:
            rows.append(_with_note(frames.apply_rules(_noted(row, one), one), note))
    for name, path in loaded.unlisted.items():
        folder = Annotation(*name, "", None, None, None, frames=path)
        reason = NO_ROW + "a folder of frames that the sheet does not name"
        rows.append(_left_out(frames.new_row(folder, name), reason))
    return rows


def _left_out(row: Row, reason: str) -> Row:
    return replace(row, state=LEFT_OUT, reason=reason)


def _noted(row: Row, one: Annotation) -> Row:
    return _corrected(row, one.note) if one.note else row


def _corrected(row: Row, reason: str) -> Row:
    """Mark a row as corrected; what was corrected before is kept."""
    reason = f"{row.reason}; {reason}" if row.reason else reason
    return replace(row, state=CORRECTED, reason=reason)


def _with_note(row: Row, note: str) -> Row:
    """Add to a row what was corrected, unless a rule left the clip out."""
    if not note or row.state == LEFT_OUT:
        return row
    reason = f"{row.reason}; {note}" if row.reason else f"correction: {note}"
    # Each change starts with its column; the source after it may mention the apex as well.
    has_new_apex = any(change.startswith("apex ") for change in note.split("; "))
    is_corrected = row.apex_from == "annotated" and has_new_apex
    apex_from = "correction" if is_corrected else row.apex_from
    return replace(row, state=CORRECTED, reason=reason, apex_from=apex_from)


class _Frames:
    """The frames of one source's clips; a folder that several clips share is listed once."""

    def __init__(self, loaded: Loaded, root: Path, rules: Rules) -> None:
        self._loaded, self._root, self._rules = loaded, root, rules
        self._apex = rules.apex or loaded.apex
        self._numbers: dict[Path, Sequence[int] | FrameError] = {}
        clips = [
            ((one.onset, one.offset), numbers)
            for one in loaded.annotations
            if one.onset is not None and one.offset is not None and one.frames is not None
            if not isinstance(numbers := self._list(one.frames), FrameError)
        ]
        self._numbering, self._n_fitting = choose_numbering(clips)

    def source(self) -> Source:
        """Describe where the rows come from."""
        loaded = self._loaded
        return Source(
            dataset=loaded.dataset,
            sheet=loaded.sheet,
            frames_root=loaded.frames_root,
            numbering=self._numbering,
            n_fitting=self._n_fitting,
            apex=self._apex,
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
        if reason := one.problem or _missing_name(one):
            return _left_out(row, reason)
        if one.onset is None or one.offset is None:
            return _left_out(row, "no onset or offset: not both are frame numbers")
        interval = (one.onset, one.offset)
        if reason := _impossible(interval, self._loaded.fps):
            return _left_out(row, reason)
        if one.frames is None:
            return _left_out(row, f"no frame folder: none for {one.name}")
        numbers = self._list(one.frames)
        if isinstance(numbers, FrameError):
            kind = UNREADABLE if isinstance(numbers, FolderError) else "unclear frames: "
            # Without the path, so that the manifest's hash does not depend on where the data lie.
            return _left_out(row, kind + str(numbers).replace(str(one.frames), str(one.name)))
        if not numbers:
            return _left_out(row, f"no frames: no numbered jpg, png or bmp in {one.name}")
        return self._apply_frame_rules(row, one, interval, numbers)

    def _apply_frame_rules(
        self, row: Row, one: Annotation, interval: Interval, numbers: Sequence[int]
    ) -> Row:
        """Compare onset, apex and offset with the frames that exist."""
        added = shift(self._numbering, interval, numbers)
        onset, offset = interval[0] + added, interval[1] + added
        present = [number for number in numbers if onset <= number <= offset]
        apex = None if one.apex is None else one.apex + added
        row = replace(row, onset=onset, apex=apex, offset=offset, n_frames=len(present))
        if runs := missing_runs(present, onset, offset):
            row = self._filled(row, runs)
            # Renumbered files tell where their clip lies only if its last one is there.
            is_clear = self._numbering != "renumbered" or numbers[-1] == offset
        else:
            is_clear = fits(self._numbering, interval, numbers)
        if row.state == LEFT_OUT:
            return row
        if not is_clear:
            counts = f"{len(numbers)} renumbered files, the clip has {offset - onset + 1} frames"
            return _left_out(row, f"unclear frames: {counts}")
        row = self._with_apex(row, one, apex)
        taken = stand_ins(present, onset, offset, self._rules.fill_gaps) if runs else []
        if row.state != LEFT_OUT and (still := still_phase(taken, onset, row.apex)):
            return _left_out(row, f"frames missing: too few are left of {still}")
        return row

    def _filled(self, row: Row, runs: Sequence[tuple[int, int]]) -> Row:
        """Let the nearest frames stand in for missing ones, or leave the clip out."""
        missing = f"frames missing: {list_runs(runs)} of {row.onset}..{row.offset}"
        most = self._rules.fill_gaps
        # A gap shifts the weights of rank pooling, so nothing is filled unless the user says so.
        if not most:
            return _left_out(row, missing)
        if longest(runs) > most:
            return _left_out(row, f"{missing}, more than {most} in a row")
        if not row.n_frames:
            return _left_out(row, f"{missing}, and no other is there")
        return _corrected(row, f"{missing}, took the nearest")

    def _with_apex(self, row: Row, one: Annotation, apex: int | None) -> Row:
        """Keep the annotated apex, else apply the rule for a clip without one."""
        onset, offset = row.onset or 0, row.offset or 0
        # Strictly inside: a phase of one frame holds no motion.
        if apex is not None and onset < apex < offset:
            return replace(row, apex_from="annotated")
        if not self._loaded.has_apexes:
            reason = MISSING_APEX + "the data set annotates none"
        elif apex is None:
            reason = MISSING_APEX + (one.apex_text or "empty")
        else:
            reason = f"impossible apex: {apex} is not inside {onset}..{offset}"
        return _without_apex(row, reason, self._apex, (onset, offset))

    def _list(self, path: Path) -> Sequence[int] | FrameError:
        if path not in self._numbers:
            try:
                self._numbers[path] = frame_numbers(path)
            except FrameError as error:
                self._numbers[path] = error
        return self._numbers[path]


def _missing_name(one: Annotation) -> str:
    if not (one.subject and one.filename):
        return f"no name: subject {one.subject!r}, file name {one.filename!r}"
    return "" if one.label else "no label: the emotion is empty"


def _impossible(interval: Interval, fps: float | None) -> str:
    """Say what is wrong with onset and offset, whatever the frames are."""
    onset, offset = interval
    if onset > offset:
        return f"onset after offset: {onset} > {offset}"
    n_frames = offset - onset + 1
    # CAS(ME)^3 has offsets that make clips of 24 seconds: typing errors in the sheet.
    if fps and n_frames > MAX_SECONDS * fps:
        seconds = n_frames / fps
        return f"too long: {n_frames} frames are {seconds:.1f} s, more than {MAX_SECONDS:g} s"
    return ""


def _without_apex(row: Row, reason: str, rule: ApexRule, interval: Interval) -> Row:
    onset, offset = interval
    if rule == "annotated":
        return _left_out(row, reason)
    if offset - onset < 2:
        return _left_out(row, f"{reason}, and there is no frame between")
    if rule == "spot":
        # The frames tell when they are decoded. docs/decisions.md: Apex spotting
        return _corrected(replace(row, apex=None, apex_from="spot"), reason)
    middle = (onset + offset) // 2
    reason += f", took the midpoint {middle}"
    return _corrected(replace(row, apex=middle, apex_from="midpoint"), reason)
