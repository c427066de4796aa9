"""The exceptions that the command line turns into one line and an exit status."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError


class InputError(ValueError):
    """The user's input breaks a rule. The message is one line: rule, what was found, where."""


class StudyFailed(RuntimeError):
    """The study cannot go on, as when every training of the first wave failed; status 1."""


class StorageAway(RuntimeError):
    """A storage stayed unreachable, full or forbidden for longer than the driver waits."""


class Stopped(RuntimeError):
    """Somebody interrupted the search. What is recorded stays; status 1."""


@dataclass(frozen=True, slots=True)
class Problem:
    """The first rule that a value broke: its dotted name, the rule, and what was found."""

    name: str
    rule: str
    found: Any
    is_unknown: bool

    def __str__(self) -> str:
        if self.is_unknown:
            return f"unknown key {self.name}"
        found = f"{self.name}: got {self.found!r}; " if self.name else ""
        return f"{found}{self.rule}"


def first_problem(error: ValidationError) -> Problem:
    """Read the first problem that pydantic found, without pydantic's own prefixes."""
    first = error.errors()[0]
    return Problem(
        name=".".join(str(part) for part in first["loc"]),
        rule=first["msg"].removeprefix("Value error, "),
        found=first["input"],
        is_unknown=first["type"] in ("extra_forbidden", "unexpected_keyword_argument"),
    )


def one_line(error: BaseException) -> str:
    """Say an exception in one line, which ends the line of the message that holds it."""
    return " ".join(str(error).split())
