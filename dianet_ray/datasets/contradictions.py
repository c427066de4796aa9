"""Labels of a sheet against what the names of clips and folders say.

Some releases put the class into a clip's name or into a folder above it, and people sort clips
into folders of classes. Where the sheet says another class, one of the two is wrong. What a
release writes into its names is believed. Other names and folders are believed to carry the class
if they agree with the sheet for at least half of the clips, or if each of them says an emotion: a
sheet whose rows have slipped agrees with hardly any.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from dianet_ray.artefacts import CORRECTED, LEFT_OUT
from dianet_ray.datasets.annotations import Loaded
from dianet_ray.datasets.label_sets import SEVERAL, plain_label
from dianet_ray.datasets.manifest import Contradiction, Manifest, Row
from dianet_ray.imaging.frames import is_video

LabelRule = Literal["sheet", "leave-out", "name"]
"""What happens to a clip whose own name contradicts the sheet: it keeps the sheet's label, is left
out, or gets the label of its name."""

FLAG = "--label-conflicts"
KIND = "label conflict"
ADVICE = f"{FLAG} leave-out leaves them out, {FLAG} name takes the label of the name"


_WORDS = {
    **{"happy": "happiness", "sad": "sadness", "angry": "anger", "fearful": "fear"},
    **{"surprised": "surprise", "disgusted": "disgust", "repressed": "repression"},
    **{"other": "others", "neg": "negative", "pos": "positive", "sur": "surprise"},
    **{"ne": "negative", "po": "positive"},
}
"""Other words for a class, which names of clips and folders use."""
_CLASSES = frozenset({*_WORDS.values(), "contempt", "neutral"})

Claims = Mapping[str, str]
"""clip_id -> the plain label that the clip's name, or its folder, carries."""


def find_contradictions(loaded: Loaded, root: Path, rows: Sequence[Row]) -> list[Contradiction]:
    """Find the used clips of one source whose own name or folder says another label.

    Args:
        loaded: the source.
        root: of the data set.
        rows: of the source.
    """
    used = [row for row in rows if row.state != LEFT_OUT]
    witnesses = {
        "name": _claims_of_names(loaded, root, used),
        "folder": _claims_of_folders(loaded, root, used),
    }
    found = (_contradiction(row, witnesses, loaded.folder_labels) for row in used)
    return [one for one in found if one is not None]


def _contradiction(
    row: Row, witnesses: Mapping[str, Claims], aliases: Mapping[str, str]
) -> Contradiction | None:
    claims = {by: label for by, of in witnesses.items() if (label := of.get(row.clip_id))}
    others = {by: label for by, label in claims.items() if not _agrees(row.label, label, aliases)}
    if not others:
        return None
    agreed = set(claims.values())
    return Contradiction(
        clip=row.clip_id,
        label=row.label,
        named=agreed.pop() if len(agreed) == 1 else "",
        said=_said(others),
    )


def _said(others: Mapping[str, str]) -> str:
    """Put into words what name and folder say.

    >>> _said({"name": "surprise", "folder": "surprise"}), _said({"folder": "fear"})
    ('surprise by its name and folder', 'fear by its folder')
    """
    by: dict[str, list[str]] = {}
    for who, label in others.items():
        by.setdefault(label, []).append(who)
    return ", ".join(f"{label} by its {' and '.join(who)}" for label, who in by.items())


def _agrees(label: str, claim: str, aliases: Mapping[str, str]) -> bool:
    # A clip with several emotions agrees with a folder of any of them.
    parts = {aliases.get(part, _plain(part)) for part in plain_label(label).split(SEVERAL)}
    return claim in parts or claim == _plain(label)


def _plain(label: str) -> str:
    """Spell a label, or a word for one, in one way.

    >>> _plain("Happy"), _plain("Happiness")
    ('happiness', 'happiness')
    """
    plain = plain_label(label)
    return _WORDS.get(plain, plain)


def _classes(used: Sequence[Row]) -> frozenset[str]:
    """Return the words that may be class names: the sheet's own and the usual ones."""
    return _CLASSES | {_plain(row.label) for row in used}


def _claims_of_names(loaded: Loaded, root: Path, used: Sequence[Row]) -> Claims:
    """Read the class off the clips' own names."""
    named = {f"{loaded.dataset}/{loaded.name_of(one)}": one.named for one in loaded.annotations}
    of_release = {row.clip_id: named[row.clip_id] for row in used if named.get(row.clip_id)}
    if of_release:
        return of_release
    words = _classes(used)
    guessed = {row.clip_id: _token(_inside(loaded, root, row), words) for row in used}
    return guessed if _is_believed(guessed, used) else {}


def _claims_of_folders(loaded: Loaded, root: Path, used: Sequence[Row]) -> Claims:
    """Read the class off the folders above the clips."""
    above = {row.clip_id: _inside(loaded, root, row).parent for row in used}
    names = loaded.folder_labels
    of_release = {k: names[word] for k, path in above.items() if (word := _word(path, names))}
    if of_release:
        return of_release
    words = _classes(used)
    guessed = {k: _word(path, words) for k, path in above.items()}
    return guessed if _is_believed(guessed, used) else {}


def _is_believed(guessed: Claims, used: Sequence[Row]) -> bool:
    """Whether what may be class names are class names."""
    # Fewer may be chance: a subject's folder, or a number in a name, that is spelled like a label.
    n_agreeing = sum(_agrees(row.label, guessed[row.clip_id], {}) for row in used)
    return 2 * n_agreeing >= len(used) or _are_emotions(guessed, used)


def _are_emotions(guessed: Claims, used: Sequence[Row]) -> bool:
    """Whether every clip says one of several emotions that the sheet has, too."""
    # Emotions that the sheet lacks are other classes (positive for happiness), no contradiction.
    said = set(guessed.values())
    return len(said) > 1 and said <= _CLASSES & {_plain(row.label) for row in used}


def _inside(loaded: Loaded, root: Path, row: Row) -> Path:
    return (root / row.frames_path).relative_to(loaded.frames_root)


def _word(path: Path, words: Container[str]) -> str:
    """Find the nearest folder that is called like a class; empty for none.

    >>> _word(Path("10_repression/sub01"), {"repression"})
    'repression'
    """
    parts = path.parts[::-1]
    whole = (word for part in parts if (word := _plain(part)) in words)
    return next(whole, "") or next((w for part in parts if (w := _token(Path(part), words))), "")


def _token(path: Path, words: Container[str]) -> str:
    """Find the one label in a clip's name; empty for none or several.

    >>> _token(Path("a/p1_sad_02.mp4"), {"sadness"}), _token(Path("sad_fear"), {"fear"})
    ('sadness', 'fear')
    """
    stem = path.stem if is_video(path) else path.name
    tokens = {_plain(token) for token in re.split(r"[\W\d_]+", stem)} | {_plain(stem)}
    found = {token for token in tokens if token in words}
    return found.pop() if len(found) == 1 else ""


def resolve(manifest: Manifest, rule: LabelRule) -> Manifest:
    """Apply the rule to the clips whose names contradict the sheet."""
    if rule == "sheet" or not manifest.contradictions:
        return manifest
    found = {one.clip: one for one in manifest.contradictions}
    rows = []
    remedies = dict(manifest.remedies)
    for row in manifest.rows:
        one = found.get(row.clip_id)
        if one is None or row.state == LEFT_OUT:
            rows.append(row)
        elif rule == "name" and one.named:
            rows.append(_renamed(row, _spelling(manifest, row, one.named)))
        else:
            rows.append(replace(row, state=LEFT_OUT, reason=f"{KIND}: {one}"))
            rules = ("sheet", "name") if one.named else ("sheet",)
            remedies[row.clip_id] = tuple(f"{FLAG} {other}" for other in rules if other != rule)
    return replace(manifest, rows=tuple(rows), remedies=remedies, contradictions=())


def _spelling(manifest: Manifest, row: Row, label: str) -> str:
    """Spell a plain label as most rows of the clip's source do."""
    source = f"{row.subject.partition('/')[0]}/"
    written = Counter(
        other.label
        for other in manifest.rows
        if other.subject.startswith(source) and _plain(other.label) == _plain(label)
    )
    return max(written, key=lambda spelling: written[spelling], default=label)


def _renamed(row: Row, label: str) -> Row:
    change = f"{row.label} -> {label}, which the clip's name says"
    reason = f"{row.reason}; label {change}" if row.reason else f"{KIND}: {change}"
    return replace(row, label=label, state=CORRECTED, reason=reason)
