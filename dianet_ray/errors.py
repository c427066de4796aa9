"""The one exception that the command line turns into a single line and exit status 2."""

from __future__ import annotations


class InputError(ValueError):
    """The user's input breaks a rule; the message is one line: rule, what was found, where."""
