"""What becomes of every clip of a data set, by rules that are the same for all data sets.

Every row of the sheet and every folder of frames ends in exactly one row of the manifest, so the
states add up. Nothing is corrected or left out without being counted and named.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dianet_ray.artefacts import CORRECTED, LEFT_OUT
from dianet_ray.datasets.annotations import Annotation, ChosenPaths, Loaded, Rules
from dianet_ray.datasets.catalogue import read_data_set
from dianet_ray.datasets.contradictions import find_contradictions
from dianet_ray.datasets.corrections import Corrected, Correction, correct
from dianet_ray.datasets.frame_rules import Frames
from dianet_ray.datasets.manifest import (
    BY_FOLDER,
    NO_ROW,
    Contradiction,
    Manifest,
    Row,
    Source,
)
from dianet_ray.datasets.overlaps import refuse_two_subjects
from dianet_ray.datasets.remedies import find_remedies
from dianet_ray.datasets.row_rules import corrected as corrected_row
from dianet_ray.datasets.row_rules import left_out
from dianet_ray.datasets.spellings import one_spelling

NO_RULES = Rules()
_NOT_NAMED = "a folder of frames that the sheet does not name"


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
        InputError: the data set cannot be read, the user must choose between several files, one
            subject has several spellings, or the same frames of a folder are two subjects'.
    """
    root = root.absolute()
    rows: list[Row] = []
    sources: list[Source] = []
    unused: list[Correction] = []
    remedies: dict[str, tuple[str, ...]] = {}
    contradictions: list[Contradiction] = []
    for found in read_data_set(dataset, root, chosen or ChosenPaths()):
        spelt = one_spelling(found.annotations, merge=rules.merge_subjects, sheet=found.sheet.path)
        loaded = replace(found, annotations=spelt)
        mine = [one for one in corrections if one.dataset == loaded.dataset]
        corrected = correct(loaded.annotations, mine)
        frames = Frames(loaded, root, replace(rules, apex=rules.apex or loaded.apex))
        judge = functools.partial(_rows, frames, loaded)
        rows += (judged := judge(frames.rules, corrected))
        remedies |= find_remedies(loaded, judge, frames.rules, corrected)
        contradictions += find_contradictions(loaded, root, judged)
        sources.append(frames.source(judged))
        unused += corrected.unused
    names = {source.dataset for source in sources}
    unused += [one for one in corrections if one.dataset not in names]
    # Sorted, so that nothing that follows depends on the order of the sheet.
    rows.sort(key=lambda row: (row.clip_id, row.onset or 0))
    manifest = Manifest(
        dataset,
        root,
        tuple(sources),
        tuple(rows),
        tuple(unused),
        remedies,
        tuple(contradictions),
    )
    refuse_two_subjects(manifest)
    return manifest


def _rows(frames: Frames, loaded: Loaded, rules: Rules, corrected: Corrected) -> list[Row]:
    """Make the rows of one source: its annotations, and folders that no annotation names."""
    names = [loaded.name_of(one) for one in loaded.annotations]
    frames = frames.under(rules)
    # Counted as text, like clip_id: `a/b` + `c` and `a` + `b/c` are the same clip_id.
    n_rows_of = Counter(map(str, names))
    rows = []
    for given, name, note in zip(corrected.annotations, names, corrected.notes, strict=True):
        one = frames.spanned(given)
        row = frames.new_row(one, name)
        if one.note:
            row = corrected_row(row, one.note)
        # None of them is used, because nothing says which one is right.
        if (n_rows := n_rows_of[str(name)]) > 1:
            rows.append(left_out(row, f"duplicate rows: {n_rows} rows of the sheet"))
        elif one.has_row:
            rows.append(_with_note(frames.apply_rules(row, one), note))
        elif frames.hold_clips:
            note = "; ".join(filter(None, [note, BY_FOLDER + _NOT_NAMED]))
            rows.append(_with_note(frames.apply_rules(row, one), note))
        else:
            rows.append(left_out(row, NO_ROW + _NOT_NAMED))
    for name, path in loaded.unlisted.items():
        folder = Annotation(*name, "", None, None, None, frames=path)
        rows.append(left_out(frames.new_row(folder, name), NO_ROW + _NOT_NAMED))
    return rows


def _with_note(row: Row, note: str) -> Row:
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
