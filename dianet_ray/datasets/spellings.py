"""Subjects of a sheet that are one person in two spellings, such as `1` and `001`.

Left as they are, leave-one-subject-out would train on the subject that it tests.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dianet_ray.datasets.annotations import Annotation
from dianet_ray.errors import InputError
from dianet_ray.progress import some

_SEPARATOR = re.compile(r"(?<=[^\W\d_])[-_]+(?=\d)")  # between a letter and a digit
_POINT_ZERO = re.compile(r"(?<=\d)(?:\.0+)+$")
_LEADING_ZEROS = re.compile(r"(?<![\d.])0+(?=\d)")
_ROWS_LISTED = 3


def fold(subject: str) -> str:
    """Reduce a subject's name to what tells people apart.

    Case, width, accents' composition, blanks, leading zeros of numbers, a trailing `.0`, and a
    dash or underscore between a letter and a number do not.

    >>> fold("P 01"), fold("p_1"), fold("007.0"), fold("1.01"), fold("10")
    ('p1', 'p1', '7', '1.01', '10')
    """
    plain = unicodedata.normalize("NFKC", subject).casefold()
    # Characters of category Cf show nothing: joiners, direction marks, a byte order mark.
    plain = "".join(c for c in plain if not c.isspace() and unicodedata.category(c) != "Cf")
    # Again, because what was changed since may leave letters and accents apart.
    plain = unicodedata.normalize("NFKC", plain)
    return _LEADING_ZEROS.sub("", _POINT_ZERO.sub("", _SEPARATOR.sub("", plain)))


def one_spelling(
    annotations: Sequence[Annotation], *, merge: bool, sheet: Path
) -> tuple[Annotation, ...]:
    """Give every person one spelling: the commonest, of equally common ones the first by name.

    Args:
        annotations: of one sheet.
        merge: whether several spellings are taken as one person.
        sheet: for the message.

    Raises:
        InputError: a person has several spellings and `merge` is False.
    """
    people: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for one in annotations:
        if one.subject:
            people[fold(one.subject)][one.subject].append(one.number)
    several = [spellings for spellings in people.values() if len(spellings) > 1]
    if several and not merge:
        raise InputError(_refusal(several, sheet))
    taken = {
        spelling: min(spellings, key=lambda name: (-len(spellings[name]), name))
        for spellings in several
        for spelling in spellings
    }
    return tuple(_respelt(one, taken.get(one.subject, one.subject)) for one in annotations)


def _respelt(one: Annotation, subject: str) -> Annotation:
    if subject == one.subject:
        return one
    note = f"subject: written {one.subject!r}, taken as {subject!r}"
    return replace(one, subject=subject, note=note)


def _refusal(several: Sequence[dict[str, list[int]]], sheet: Path) -> str:
    first = several[0]
    # Two spellings may look the same, as composed and decomposed accents do.
    look_alike = len({unicodedata.normalize("NFC", name) for name in first}) < len(first)
    show = ascii if look_alike else repr
    named = " and ".join(f"{show(name)} ({_rows(rows)})" for name, rows in first.items())
    more = f"; {len(several)} subjects have several spellings" if len(several) > 1 else ""
    return (
        f"a subject must have one spelling: {named} of {sheet}{more}; correct the table, or take "
        "such spellings as one subject with --merge-subjects"
    )


def _rows(numbers: Sequence[int]) -> str:
    """Name the rows of a sheet, only the first few.

    >>> _rows([2]), _rows([2, 3, 5, 8])
    ('row 2', 'rows 2, 3, 5 and 1 more')
    """
    return f"{'row' if len(numbers) == 1 else 'rows'} {some(numbers, _ROWS_LISTED)}"
