"""Apply the rules to a clip and the frames that exist of it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dianet_ray.artefacts import LEFT_OUT, USED
from dianet_ray.datasets.annotations import Annotation, ApexRule, ClipName, Loaded, Rules
from dianet_ray.datasets.manifest import BY_FOLDER, MISSING_APEX, UNREADABLE, Row, Source
from dianet_ray.datasets.numbering import Interval, choose_numbering, fits, shift
from dianet_ray.datasets.row_rules import (
    corrected,
    impossible,
    left_out,
    missing_name,
    without_apex,
)
from dianet_ray.imaging.frames import FolderError, FrameError, frame_numbers
from dianet_ray.imaging.gaps import list_runs, longest, missing_runs, stand_ins, still_phase


class Frames:
    """The frames of one source's clips; a folder that several clips share is listed once."""

    def __init__(self, loaded: Loaded, root: Path, rules: Rules) -> None:
        self._loaded, self._root, self.rules = loaded, root, rules
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

    @property
    def _apex(self) -> ApexRule:
        return self.rules.apex or self._loaded.apex

    def under(self, rules: Rules) -> Frames:
        """Return these frames under other rules; no folder is listed again."""
        other = copy.copy(self)
        other.rules = rules
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
            apex=self._apex,
            notes=(*loaded.sheet.notes, *loaded.notes, *([by_folder] if n_by_folder else [])),
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
            return left_out(row, f"no onset or offset: {_no_numbers(one)}")
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
        if runs := missing_runs(present, onset, offset):
            row = self._filled(row, runs)
            # Renumbered files tell where their clip lies only if its last one is there.
            is_clear = numbering != "renumbered" or numbers[-1] == offset
        else:
            is_clear = fits(numbering, interval, numbers)
        if row.state == LEFT_OUT:
            return row
        if not is_clear:
            counts = f"{len(numbers)} renumbered files, the clip has {offset - onset + 1} frames"
            return left_out(row, f"unclear frames: {counts}")
        row = self._with_apex(row, one, apex)
        taken = stand_ins(present, onset, offset, self.rules.fill_gaps) if runs else []
        if row.state != LEFT_OUT and (still := still_phase(taken, onset, row.apex)):
            return left_out(row, f"frames missing: too few are left of {still}")
        return row

    def _filled(self, row: Row, runs: Sequence[tuple[int, int]]) -> Row:
        """Let the nearest frames stand in for missing ones, or leave the clip out."""
        missing = f"frames missing: {list_runs(runs)} of {row.onset}..{row.offset}"
        most = self.rules.fill_gaps
        # A gap shifts the weights of rank pooling, so nothing is filled unless the user says so.
        if not most:
            return left_out(row, missing)
        if longest(runs) > most:
            return left_out(row, f"{missing}, more than {most} in a row")
        if not row.n_frames:
            return left_out(row, f"{missing}, and no other is there")
        return corrected(row, f"{missing}, took the nearest")

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
        return without_apex(row, reason, self._apex, (onset, offset))

    def _list(self, path: Path) -> Sequence[int] | FrameError:
        if path not in self._numbers:
            try:
                self._numbers[path] = frame_numbers(path)
            except FrameError as error:
                self._numbers[path] = error
        return self._numbers[path]


def _no_numbers(one: Annotation) -> str:
    """Say which of onset and offset is no frame number, and what its cell holds."""
    cells = zip(("onset", "offset"), (one.onset, one.offset), one.span_text, strict=True)
    return ", ".join(
        f"{name} {text!r} is no frame number" if text else f"{name} is empty"
        for name, number, text in cells
        if number is None
    )
