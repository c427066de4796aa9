"""Label sets: which of a sheet's labels a study uses, and as which classes.

IMAGES keeps every usable clip with the sheet's own label. A study maps labels to classes, with a
published set or with the user's YAML file, and leaves other labels out. Case, spaces and the
spelling Other or Others do not matter. A clip with several emotions (joined with a plus sign) is
used only by a mapping that names the combination.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from dianet_ray.artefacts import MIN_SUBJECTS_PER_CLASS
from dianet_ray.datasets.catalogue import all_data_sets
from dianet_ray.datasets.release import same_names
from dianet_ray.datasets.releases import DATASETS
from dianet_ray.errors import InputError, one_line

SEVERAL = "+"
ALL = "all"

NAMED: dict[str, dict[str, str]] = {
    f"{one.dataset}:{short}": dict(mapping)
    for one in all_data_sets()
    for short, mapping in one.label_sets.items()
}
"""Published sets. A key may name the data set too (`samm/fear`), for composites."""

COMMONEST = {
    one.dataset: f"{one.dataset}:{next(iter(one.label_sets))}"
    for one in all_data_sets()
    if one.label_sets
}
"""The set that `search` takes when the user names none; `all` for a data set without one."""


@dataclass(frozen=True, slots=True)
class LabelSet:
    """A mapping of labels to classes.

    Attributes:
        name: of a published set, `all`, or derived from the user's file.
        mapping: plain label, with or without its data set -> class.
        dropped: what is not used, with the reason: labels that `all` leaves out, and keys of the
            user's mapping that no clip has.
    """

    name: str
    mapping: dict[str, str]
    dropped: dict[str, str] = field(default_factory=dict)

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes in the order of their index: the order of the mapping."""
        return tuple(dict.fromkeys(self.mapping.values()))

    def class_of(self, label: str, subject: str) -> str | None:
        """Find the class of a clip; None when the set does not use its label.

        Args:
            label: as the sheet writes it.
            subject: name-spaced by the data set.

        >>> LabelSet("", {"samm/fear": "negative"}).class_of("Fear", "samm/006")
        'negative'
        """
        found = (self.mapping.get(key) for key in _keys(label, subject))
        return next((name for name in found if name is not None), None)


def plain_label(label: str) -> str:
    """Spell a label in one way: case, spaces, Other(s) and the order of emotions do not matter.

    >>> plain_label(" Other "), plain_label("Surprise+Positive")
    ('others', 'positive+surprise')
    """
    # An accent may be composed in one row and not in another.
    label = unicodedata.normalize("NFC", label)
    parts = {" ".join(part.split()).casefold() for part in label.split(SEVERAL)}
    # SAMM and CAS(ME)^3 write Other in some copies and Others in others.
    return SEVERAL.join(sorted({"other": "others"}.get(part, part) for part in parts))


def label_set(
    name_or_file: str | None, dataset: str, *, clips: Sequence[tuple[str, str]] = ()
) -> LabelSet:
    """Find a label set by name, or read it from a YAML file.

    Args:
        name_or_file: a name, a file, or None for the commonest set of the data set.
        dataset: whose images they are.
        clips: label and subject of each clip; `all` makes its classes from them.

    Raises:
        InputError: an unknown name, or a file that does not map labels to two classes or more.
    """
    # The commonest set, so that a plain `search` is comparable with published scores.
    name = name_or_file or COMMONEST.get(dataset, ALL)
    if name == ALL:
        return _every_label(clips)
    if name in NAMED:
        return LabelSet(name, NAMED[name])
    path = Path(name)
    if not path.is_file():
        known = ", ".join([*NAMED, ALL])
        raise InputError(f"--classes takes a file or one of {known}: got {name}")
    return _from_file(path, clips)


def _from_file(path: Path, clips: Sequence[tuple[str, str]]) -> LabelSet:
    mapping = _plain_mapping(_read_mapping(path), path)
    seen = {key for label, subject in clips for key in _keys(label, subject)}
    dropped = {key: "no clip has this label" for key in mapping if clips and key not in seen}
    found = LabelSet(_file_name(path), mapping, dropped)
    if len(found.classes) < 2:
        raise InputError(
            f"--classes {path} must map labels to at least two classes, got "
            f"{', '.join(found.classes) or 'none'}"
        )
    return found


def _keys(label: str, subject: str) -> tuple[str, str]:
    """List the keys under which a mapping may hold a clip's label, the more specific one first."""
    name = plain_label(label)
    return f"{subject.partition('/')[0]}/{name}", name


def _every_label(clips: Sequence[tuple[str, str]]) -> LabelSet:
    """Make a class of every label that enough subjects show."""
    subjects: dict[str, set[str]] = {}
    for label, subject in clips:
        subjects.setdefault(plain_label(label), set()).add(subject)
    dropped = {}
    for label, shown_by in sorted(subjects.items()):
        # Several emotions at once would be a class of their own, hardly what the user means.
        if SEVERAL in label:
            dropped[label] = "several emotions: only a mapping that names them uses such clips"
        elif len(shown_by) < MIN_SUBJECTS_PER_CLASS:
            dropped[label] = f"{len(shown_by)} subject, a class needs {MIN_SUBJECTS_PER_CLASS}"
    kept = [label for label in sorted(subjects) if label not in dropped]
    if len(kept) < 2:
        why = "; ".join(f"{label}: {cause}" for label, cause in dropped.items()) or "no clips"
        raise InputError(
            f"--classes all needs two labels that can be classes, got {len(kept)} ({why})"
        )
    return LabelSet(ALL, dict(same_names(*kept)), dropped)


def _read_mapping(path: Path) -> dict[object, object]:
    try:
        # safe_load: a YAML tag could construct any Python object.
        text = path.read_text(encoding="utf-8")
        nodes = yaml.compose(text, yaml.SafeLoader)
        mapping = yaml.safe_load(text)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise InputError(f"--classes {path} is not YAML: {one_line(error)}") from None
    if not isinstance(nodes, yaml.MappingNode):
        raise InputError(f"--classes {path} must be a mapping of labels to classes")
    # YAML would keep the last of them.
    names = [name.value for name, _ in nodes.value]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"--classes {path}: a label has one class, got {twice[0]} twice")
    found: dict[object, object] = mapping
    return found


def _plain_mapping(mapping: Mapping[object, object], path: Path) -> dict[str, str]:
    plain: dict[str, str] = {}
    for label, to in mapping.items():
        if not (_is_name(label) and _is_name(to)):
            raise InputError(
                f"--classes {path}: labels and classes must be words or numbers, got "
                f"{label!r}: {to!r}"
            )
        name = _plain_key(str(label))
        if plain.setdefault(name, str(to)) != str(to):
            raise InputError(
                f"--classes {path}: a label has one class, got {plain[name]} and {to} for {name}"
            )
    return plain


def _plain_key(key: str) -> str:
    """Spell a key of a mapping in one way: a label, or a data set and its label.

    >>> _plain_key("SAMM/Other"), _plain_key("Other")
    ('samm/others', 'others')
    """
    part, _, label = key.partition("/")
    part = part.strip().casefold()
    return f"{part}/{plain_label(label)}" if label and part in DATASETS else plain_label(key)


def _is_name(part: object) -> bool:
    # YAML reads an unquoted yes or no as a boolean, and nothing as None.
    return isinstance(part, (str, int, float)) and not isinstance(part, bool) and part != ""


def _file_name(path: Path) -> str:
    # Models are registered under what follows a colon, so `5.yaml` must not end like casme2:5.
    return f"custom-{path.stem.replace(':', '-')}"
