"""The summary of a data set: the document that `validate --json` prints.

`terminal` shows the same document on a screen. Its keys are a contract: scripts read them.
"""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from dianet_ray.artefacts import CORRECTED, LEFT_OUT, USED, Record
from dianet_ray.datasets.annotations import ApexRule
from dianet_ray.datasets.label_sets import COMMONEST, NAMED, LabelSet
from dianet_ray.datasets.manifest import Contradiction, Manifest, Row, Source
from dianet_ray.datasets.numbering import Numbering
from dianet_ray.datasets.overlaps import Overlap
from dianet_ray.datasets.published import PartNumbers, part_numbers
from dianet_ray.datasets.validation import Inspected


@dataclass(frozen=True, slots=True)
class SourceSummary(Record):
    """One source: paths of sheet and frames, the sheet's hash, and how it was read.

    Where folders stand in for a sheet, `annotations` is their folder and `sheet` is empty.
    `encoding` is that of a sheet that is a text, else empty.
    """

    dataset: str
    annotations: str
    sheet: str
    sha256: str
    encoding: str
    frames: str
    numbering: Numbering
    n_fitting: int
    apex: ApexRule
    unconfirmed: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ClassSetSummary(Record):
    """Clips per class of the label set that `search` takes by default, and clips outside it."""

    name: str
    classes: dict[str, int]
    n_outside: int


@dataclass(frozen=True, slots=True)
class Lengths(Record):
    """Numbers of frames of one phase over all clips, both ends included."""

    min: int
    median: int | float
    max: int


@dataclass(frozen=True, slots=True)
class ClipDetail(Record):
    """Why one clip was corrected or left out: clip_id, and the detail of the reason."""

    clip: str
    detail: str


@dataclass(frozen=True, slots=True)
class DuplicateClips(Record):
    """Two clips with the same frames, by clip_id, and the correlation of their signatures."""

    clips: tuple[str, str]
    correlation: float
    across_subjects: bool


@dataclass(frozen=True, slots=True)
class Summary(Record):
    """What a data set holds. Counts leave out the clips whose state is left_out.

    Attributes:
        dataset: its name in the catalogue.
        root: its folder.
        parts: the sources, one or those of a composite.
        manifest_hash: of the manifest before any frame was decoded.
        n_clips: rows of the manifest; the counts of `states` add up to it.
        states: used, corrected and left_out -> clips.
        classes: the sheet's label -> clips, the commonest first.
        class_set: None for a data set without published label sets.
        subjects: subject -> label -> clips.
        n_frames: frames of all clips.
        frame_sizes: `WIDTHxHEIGHT` in pixels -> clips, the commonest first.
        phases: onset_apex, apex_offset and whole_clip -> lengths; absent without clips.
        reasons: left_out and corrected -> kind of reason -> clips.
        contradictions: used clips whose own names say another label than the sheet.
        remedies: flag -> clips that are left out, and that the flag alone would make usable.
        published: of a composite, each part against the published list.
        unused_corrections: corrections that changed nothing.
        duplicates: clips that show the same frames.
        overlaps: clips that share frames of one folder, or copied files.
    """

    dataset: str
    root: str
    parts: tuple[SourceSummary, ...]
    manifest_hash: str
    n_clips: int
    states: dict[str, int]
    classes: dict[str, int]
    class_set: ClassSetSummary | None
    subjects: dict[str, dict[str, int]]
    n_frames: int
    frame_sizes: dict[str, int]
    phases: dict[str, Lengths]
    reasons: dict[str, dict[str, tuple[ClipDetail, ...]]]
    contradictions: tuple[Contradiction, ...]
    remedies: dict[str, tuple[str, ...]]
    published: tuple[PartNumbers, ...]
    unused_corrections: tuple[str, ...]
    duplicates: tuple[DuplicateClips, ...]
    overlaps: tuple[Overlap, ...]


def summarise(inspected: Inspected, manifest_hash: str) -> Summary:
    """Summarise an inspected data set."""
    manifest = inspected.manifest
    usable = manifest.usable()
    states = Counter(row.state for row in manifest.rows)
    return Summary(
        dataset=manifest.dataset,
        root=str(manifest.root),
        parts=tuple(map(_source, manifest.sources)),
        manifest_hash=manifest_hash,
        n_clips=len(manifest.rows),
        states={state: states[state] for state in (USED, CORRECTED, LEFT_OUT)},
        classes=_clips_per_label(usable),
        class_set=_class_set(manifest.dataset, usable),
        subjects=_clips_per_subject(usable),
        n_frames=sum(row.n_frames for row in usable),
        frame_sizes=inspected.sizes,
        phases=_phases(usable),
        reasons=_reasons(manifest),
        contradictions=manifest.contradictions,
        remedies=manifest.clips_by_remedy(),
        published=part_numbers(manifest),
        unused_corrections=tuple(map(str, manifest.unused)),
        duplicates=tuple(
            DuplicateClips((one.first, one.second), one.correlation, one.across_subjects)
            for one in inspected.duplicates
        ),
        overlaps=inspected.overlaps,
    )


def _source(source: Source) -> SourceSummary:
    return SourceSummary(
        dataset=source.dataset,
        annotations=str(source.sheet.path),
        sheet=source.sheet.name,
        sha256=source.sheet.sha256,
        encoding=source.sheet.encoding,
        frames=str(source.frames_root),
        numbering=source.numbering,
        n_fitting=source.n_fitting,
        apex=source.apex,
        unconfirmed=source.unconfirmed,
        notes=source.notes,
    )


def _clips_per_label(usable: Sequence[Row]) -> dict[str, int]:
    counts = Counter(row.label for row in usable)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _clips_per_subject(usable: Sequence[Row]) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for row in usable:
        counts[row.subject][row.label] += 1
    return {subject: dict(sorted(n.items())) for subject, n in sorted(counts.items())}


def _class_set(dataset: str, usable: Sequence[Row]) -> ClassSetSummary | None:
    if dataset not in COMMONEST:
        return None
    chosen = LabelSet(COMMONEST[dataset], NAMED[COMMONEST[dataset]])
    counts = Counter(chosen.class_of(row.label, row.subject) for row in usable)
    classes = {name: counts[name] for name in chosen.classes}
    return ClassSetSummary(chosen.name, classes, counts[None])


def _phases(usable: Sequence[Row]) -> dict[str, Lengths]:
    annotated = [row for row in usable if row.apex is not None]
    lengths = {
        "onset_apex": [(r.apex or 0) - (r.onset or 0) + 1 for r in annotated],
        "apex_offset": [(r.offset or 0) - (r.apex or 0) + 1 for r in annotated],
        "whole_clip": [r.n_frames for r in usable],
    }
    return {
        phase: Lengths(min(found), statistics.median(found), max(found))
        for phase, found in lengths.items()
        if found
    }


def _reasons(manifest: Manifest) -> dict[str, dict[str, tuple[ClipDetail, ...]]]:
    """Group the clips that were left out or corrected by the kind of their reason."""
    reasons: dict[str, dict[str, tuple[ClipDetail, ...]]] = {LEFT_OUT: {}, CORRECTED: {}}
    for row in manifest.rows:
        if row.state != USED:
            # Reasons are `kind: detail` by a rule of `Row`, so kinds can be counted.
            kind, _, detail = row.reason.partition(": ")
            kinds = reasons[row.state]
            kinds[kind] = (*kinds.get(kind, ()), ClipDetail(row.clip_id, detail))
    return reasons
