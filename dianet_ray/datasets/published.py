"""A composite's sources against its published list: what is there, what is missing, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from dianet_ray.artefacts import LEFT_OUT, Record
from dianet_ray.datasets.annotations import NOT_LISTED
from dianet_ray.datasets.catalogue import data_set
from dianet_ray.datasets.composite import Composite, Published
from dianet_ray.datasets.contradictions import FLAG
from dianet_ray.datasets.label_sets import COMMONEST, NAMED, LabelSet
from dianet_ray.datasets.manifest import Manifest, Row


@dataclass(frozen=True, slots=True)
class Number(Record):
    """How many were found, and how many were published."""

    found: int
    published: int

    def __str__(self) -> str:
        return f"{self.found} of {self.published}"


@dataclass(frozen=True, slots=True)
class MissingClip(Record):
    """A clip that was left out: why, and the flags each of which would make it usable."""

    clip: str
    reason: str
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PartNumbers(Record):
    """One source of a composite.

    Attributes:
        dataset: the source.
        clips: of all classes.
        subjects: that show a clip of a class.
        classes: class -> clips.
        missing: clips that are there and were left out, or that count as another class.
        n_unknown: published clips that neither the sheet nor the folders name.
    """

    dataset: str
    clips: Number
    subjects: Number
    classes: dict[str, Number]
    missing: tuple[MissingClip, ...]
    n_unknown: int


def part_text(part: PartNumbers) -> str:
    """Say in one line what of a source's published clips was found."""
    classes = ", ".join(f"{name} {number}" for name, number in part.classes.items())
    unknown = f"; {part.n_unknown} more in neither sheet nor folders" if part.n_unknown else ""
    return f"{part.dataset} {part.clips} clips ({classes}), {part.subjects} subjects{unknown}"


def missing_text(clip: MissingClip) -> str:
    """Say why a clip is missing, and which flags bring it back.

    >>> missing_text(MissingClip("a/b/c", "missing apex: /", ("--apex midpoint", "--apex spot")))
    'a/b/c (missing apex: /): back with --apex midpoint or --apex spot'
    """
    back = f"back with {' or '.join(clip.flags)}" if clip.flags else "no flag brings it back"
    return f"{clip.clip} ({clip.reason}): {back}"


def part_numbers(manifest: Manifest) -> tuple[PartNumbers, ...]:
    """Compare each source of a composite with the published list; nothing for other data sets."""
    found = data_set(manifest.dataset)
    if not isinstance(found, Composite):
        return ()
    return tuple(_part(manifest, name, part) for name, part in found.published.items())


def _misnamed(manifest: Manifest, part: str, chosen: LabelSet) -> Iterator[MissingClip]:
    """Find clips that the sheet puts into another class than their names do."""
    for one in manifest.contradictions:
        subject = one.clip.rpartition("/")[0]
        classes = {chosen.class_of(label, subject) for label in (one.label, one.named)}
        if one.clip.startswith(f"{part}/") and one.named and len(classes) > 1:
            yield MissingClip(one.clip, str(one), (f"{FLAG} name",))


def _part(manifest: Manifest, name: str, published: Published) -> PartNumbers:
    chosen = LabelSet("", NAMED[COMMONEST[manifest.dataset]])
    # By clip_id: rows that name one clip twice are one missing clip.
    rows = {row.clip_id: row for row in manifest.rows if row.subject.startswith(f"{name}/")}
    classes = {row: chosen.class_of(row.label, row.subject) for row in rows.values()}
    used = [row for row, found in classes.items() if found and row.state != LEFT_OUT]
    counts = Counter(classes[row] for row in used)
    missing = tuple(
        _missing(manifest, row) for row, found in classes.items() if found and _is_missing(row)
    )
    n_published = sum(published.classes.values())
    return PartNumbers(
        dataset=name,
        clips=Number(len(used), n_published),
        subjects=Number(len({row.subject for row in used}), published.subjects),
        classes={c: Number(counts[c], n) for c, n in published.classes.items()},
        missing=(*missing, *_misnamed(manifest, name, chosen)),
        n_unknown=max(0, n_published - len(used) - len(missing)),
    )


def _is_missing(row: Row) -> bool:
    # What the published list itself leaves out is not missing.
    return row.state == LEFT_OUT and not row.reason.startswith(NOT_LISTED)


def _missing(manifest: Manifest, row: Row) -> MissingClip:
    return MissingClip(row.clip_id, row.reason, manifest.remedies.get(row.clip_id, ()))
