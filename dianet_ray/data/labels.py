"""Label sets: which of a sheet's labels a study uses, and as which classes.

IMAGES keeps every usable clip with the sheet's own label; a study maps labels to classes, by a
published set's name or the user's YAML file. Labels outside the mapping are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from dianet_ray.errors import InputError

_CASME2 = ("happiness", "disgust", "repression", "surprise", "others")

NAMED: dict[str, dict[str, str]] = {
    "casme2:5": {label: label for label in _CASME2},
}
COMMONEST = {"casme2": "casme2:5"}
"""The set that `search` takes when none is named, by data set."""


@dataclass(frozen=True, slots=True)
class LabelSet:
    """`mapping` takes a sheet's label to a class; `classes` are in the order of their index."""

    name: str
    mapping: dict[str, str]

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes, each once, in the mapping's order."""
        return tuple(dict.fromkeys(self.mapping.values()))


def label_set(name_or_file: str | None, dataset: str) -> LabelSet:
    """Find a label set by name, or read a YAML mapping of labels to classes.

    Raises:
        InputError: an unknown name, or a file that is no mapping with two classes or more; what
            YAML reads as nothing, as true or false, or as a list is no class.
    """
    name = name_or_file or COMMONEST[dataset]
    if name in NAMED:
        return LabelSet(name, NAMED[name])
    path = Path(name)
    if not path.is_file():
        raise InputError(f"--classes takes a file or one of {', '.join(NAMED)}: got {name}")
    try:
        mapping = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"--classes {path} is not YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(mapping, dict):
        raise InputError(f"--classes {path}: not a mapping of labels to classes")
    for pair in mapping.items():
        if not all(_is_name(part) for part in pair):
            raise InputError(
                f"--classes {path}: a label and its class are words or numbers, got "
                f"{pair[0]!r}: {pair[1]!r}"
            )
    found = LabelSet(_file_name(path), {str(label): str(to) for label, to in mapping.items()})
    if len(found.classes) < 2:
        raise InputError(f"--classes {path}: a mapping of labels to at least two classes")
    return found


def _is_name(part: object) -> bool:
    return isinstance(part, (str, int, float)) and not isinstance(part, bool) and part != ""


def _file_name(path: Path) -> str:
    # Models are registered under what follows a colon, so `5.yaml` must not end like casme2:5.
    return f"custom-{path.stem.replace(':', '-')}"
