"""The exceptions that the command line turns into a single line and an exit status."""

from __future__ import annotations


class InputError(ValueError):
    """The user's input breaks a rule; the message is one line: rule, what was found, where."""


class StudyFailed(RuntimeError):
    """The study cannot go on, as when every training of the first wave failed; status 1."""


class StorageAway(RuntimeError):
    """A storage was away or full, or refused, for longer than patience lasts."""


class Stopped(RuntimeError):
    """Somebody interrupted the search; what is recorded stays; status 1."""
