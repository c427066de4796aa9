"""Label sets: which of a sheet's labels a study uses, and as which classes.

IMAGES keeps every usable clip with the sheet's own label; a study maps labels to classes, by a
published set's name or the user's YAML file. Labels outside the mapping are left out. Case and
spaces do not matter, nor whether a release writes Other or Others. Several emotions of one clip
are joined by a plus sign; only a mapping that names the combination uses such a clip.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from dianet_ray.artefacts import MIN_SUBJECTS_PER_CLASS
from dianet_ray.errors import InputError, one_line

SEVERAL = "+"
ALL = "all"

_MMEW6 = ("happiness", "surprise", "anger", "disgust", "fear", "sadness")
_CASME3 = ("happy", "disgust", "fear", "anger", "sad", "surprise", "others")
_THREE = ("positive", "negative", "surprise")
_CASME3_GROUPS = {
    "happy": "positive",
    **dict.fromkeys(("disgust", "fear", "anger", "sad"), "negative"),
    "surprise": "surprise",
}
_MEGC2019 = {
    "casme2/happiness": "positive",
    "samm/happiness": "positive",
    "smic/positive": "positive",
    **dict.fromkeys(("casme2/disgust", "casme2/repression"), "negative"),
    **dict.fromkeys(
        (f"samm/{label}" for label in ("anger", "contempt", "disgust", "fear", "sadness")),
        "negative",
    ),
    "smic/negative": "negative",
    **dict.fromkeys(("casme2/surprise", "samm/surprise", "smic/surprise"), "surprise"),
}


def _same(*labels: str) -> dict[str, str]:
    return {label: label for label in labels}


NAMED: dict[str, dict[str, str]] = {
    "casme2:5": _same("happiness", "disgust", "repression", "surprise", "others"),
    "samm:5": _same("anger", "others", "happiness", "surprise", "contempt"),
    "mmew:6": _same(*_MMEW6),
    "mmew:4": _same("happiness", "surprise", "disgust", "others"),
    "smic:3": _same(*_THREE),
    "casme3:7": _same(*_CASME3),
    "casme3:4": {**_CASME3_GROUPS, "others": "others"},
    "casme3:3": _CASME3_GROUPS,
    "fourdme:5": _same(*_THREE, "repression", "others"),
    "megc2019:3": _MEGC2019,
}
"""Published sets; a key may say of which data set's subjects it holds (`samm/fear`)."""

COMMONEST = {
    "casme2": "casme2:5",
    "samm": "samm:5",
    "mmew": "mmew:6",
    "smic": "smic:3",
    "casme3": "casme3:7",
    "fourdme": "fourdme:5",
    "megc2019": "megc2019:3",
}
"""The set that `search` takes when none is named, by data set; `all` for any other."""

_DATASETS = (*COMMONEST, "table")


@dataclass(frozen=True, slots=True)
class LabelSet:
    """`mapping` takes a plain label to a class; `classes` are in the order of their index.

    `dropped` says of each label that `all` does not use why, and of each key of the user's
    mapping that no clip has that label.
    """

    name: str
    mapping: dict[str, str]
    dropped: dict[str, str] = field(default_factory=dict)

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes, each once, in the mapping's order."""
        return tuple(dict.fromkeys(self.mapping.values()))

    def class_of(self, label: str, subject: str) -> str | None:
        """Find the class of a clip; None when the set does not use it.

        Args:
            label: As the sheet writes it.
            subject: Name-spaced by the data set.

        >>> LabelSet("", {"samm/fear": "negative"}).class_of("Fear", "samm/006")
        'negative'
        """
        found = (self.mapping.get(key) for key in _keys(label, subject))
        return next((name for name in found if name is not None), None)


def plain_label(label: str) -> str:
    """Write a label as all releases could: case, spaces, Other(s) and order do not matter.

    >>> plain_label(" Other "), plain_label("Surprise+Positive")
    ('others', 'positive+surprise')
    """
    parts = {" ".join(part.split()).casefold() for part in label.split(SEVERAL)}
    return SEVERAL.join(sorted({"other": "others"}.get(part, part) for part in parts))


def label_set(
    name_or_file: str | None, dataset: str, *, clips: Sequence[tuple[str, str]] = ()
) -> LabelSet:
    """Find a label set by name, or read a YAML mapping of labels to classes.

    Args:
        name_or_file: A name, a file, or None for the commonest set of the data set.
        dataset: Whose images they are.
        clips: Label and subject of each clip, from which `all` makes its classes.

    Raises:
        InputError: an unknown name, or a file that is no mapping with two classes or more; what
            YAML reads as nothing, as true or false, or as a list is no class.
    """
    name = name_or_file or COMMONEST.get(dataset, ALL)
    if name == ALL:
        return _all(clips)
    if name in NAMED:
        return LabelSet(name, NAMED[name])
    path = Path(name)
    if not path.is_file():
        known = ", ".join([*NAMED, ALL])
        raise InputError(f"--classes takes a file or one of {known}: got {name}")
    mapping = _plain_mapping(_read_mapping(path), path)
    seen = {key for label, subject in clips for key in _keys(label, subject)}
    dropped = {key: "no clip has this label" for key in mapping if clips and key not in seen}
    found = LabelSet(_file_name(path), mapping, dropped)
    if len(found.classes) < 2:
        raise InputError(f"--classes {path}: a mapping of labels to at least two classes")
    return found


def _keys(label: str, subject: str) -> tuple[str, str]:
    """List the keys of a mapping that take a clip, the first one first."""
    name = plain_label(label)
    return f"{subject.partition('/')[0]}/{name}", name


def _all(clips: Sequence[tuple[str, str]]) -> LabelSet:
    """Make a class of every label that enough subjects show."""
    subjects: dict[str, set[str]] = {}
    for label, subject in clips:
        subjects.setdefault(plain_label(label), set()).add(subject)
    dropped = {}
    for label, shown_by in sorted(subjects.items()):
        if SEVERAL in label:
            dropped[label] = "several emotions: only a mapping that names them uses such clips"
        elif len(shown_by) < MIN_SUBJECTS_PER_CLASS:
            dropped[label] = f"{len(shown_by)} subject, a class needs {MIN_SUBJECTS_PER_CLASS}"
    kept = [label for label in sorted(subjects) if label not in dropped]
    if len(kept) < 2:
        said = "; ".join(f"{label}: {why}" for label, why in dropped.items())
        raise InputError(f"--classes all: {len(kept)} classes are left, two are needed ({said})")
    return LabelSet(ALL, _same(*kept), dropped)


def _read_mapping(path: Path) -> dict[Any, Any]:
    try:
        mapping = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"--classes {path} is not YAML: {one_line(error)}") from None
    if not isinstance(mapping, dict):
        raise InputError(f"--classes {path}: not a mapping of labels to classes")
    return mapping


def _plain_mapping(mapping: Mapping[Any, Any], path: Path) -> dict[str, str]:
    plain: dict[str, str] = {}
    for label, to in mapping.items():
        if not (_is_name(label) and _is_name(to)):
            raise InputError(
                f"--classes {path}: a label and its class are words or numbers, got "
                f"{label!r}: {to!r}"
            )
        name = _plain_key(str(label))
        if plain.setdefault(name, str(to)) != str(to):
            raise InputError(
                f"--classes {path}: {name} is written twice, as {plain[name]} and {to}"
            )
    return plain


def _plain_key(key: str) -> str:
    """Write a key of a mapping plainly: a label, or a data set's label.

    >>> _plain_key("SAMM/Other"), _plain_key("Other")
    ('samm/others', 'others')
    """
    part, _, label = key.partition("/")
    part = part.strip().casefold()
    return f"{part}/{plain_label(label)}" if label and part in _DATASETS else plain_label(key)


def _is_name(part: object) -> bool:
    return isinstance(part, (str, int, float)) and not isinstance(part, bool) and part != ""


def _file_name(path: Path) -> str:
    # Models are registered under what follows a colon, so `5.yaml` must not end like casme2:5.
    return f"custom-{path.stem.replace(':', '-')}"
