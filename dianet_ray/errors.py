"""The exceptions that the command line turns into one line and an exit status."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError


MOST_CHARACTERS = 300
"""Exceptions of databases and stores quote whole statements and documents."""

MOST_SHOWN = 100
"""Characters of a value that breaks a rule."""

_TRACEBACK = re.compile(r'^\s*File ".*", line \d+', re.MULTILINE)


class InputError(ValueError):
    """The user's input breaks a rule. The message is one line: rule, what was found, where."""


class StudyFailed(RuntimeError):
    """The study cannot continue, for example because its whole first wave failed; status 1."""


class StorageAway(RuntimeError):
    """The storage was unreachable, full or forbidden for longer than the driver waits."""


class Stopped(RuntimeError):
    """The search was interrupted. Everything recorded stays recorded; status 1."""


def one_line(error: BaseException) -> str:
    r"""Describe an exception in one line.

    That is the operating system's own words if it has any, else the exception's text, else its
    type. Our own exceptions are never shortened: the end of their message says what to do.

    >>> one_line(OSError(28, "No space left on device", "/data/x"))
    'No space left on device'
    >>> one_line(ValueError("two\n  lines")), one_line(KeyError())
    ('two lines', 'KeyError')
    """
    # strerror is the words alone; str() would add the number and repeat the path.
    text = str(getattr(error, "strerror", None) or error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if _TRACEBACK.search(text):  # Ray puts a worker's traceback into the text: the error is last
        lines = lines[-1:]
    line = " ".join(lines) or type(error).__name__
    is_ours = isinstance(error, InputError | StudyFailed | StorageAway | Stopped)
    return line if is_ours else line[:MOST_CHARACTERS]


@dataclass(frozen=True, slots=True)
class Problem:
    """The first rule that a value broke: dotted name, rule and the value that was found."""

    name: str
    rule: str
    found: Any
    is_unknown: bool

    @property
    def shown(self) -> str:
        """The value as it is shown: its beginning, if it is long."""
        text = repr(self.found)
        return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."

    def __str__(self) -> str:
        if self.is_unknown:
            return f"unknown key {self.name}"
        found = f"{self.name}: got {self.shown}; " if self.name else ""
        return f"{found}{self.rule}"


def first_problem(error: ValidationError) -> Problem:
    """Read the first problem that pydantic found, without the prefix that pydantic adds."""
    # One rule at a time: the others may only follow from the first.
    first = error.errors()[0]
    return Problem(
        name=".".join(str(part) for part in first["loc"]),
        rule=first["msg"].removeprefix("Value error, "),
        found=first["input"],
        is_unknown=first["type"] in ("extra_forbidden", "unexpected_keyword_argument"),
    )
