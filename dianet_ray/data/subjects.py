"""How people are named: the data set, then the subject as its frame folders write it."""

from __future__ import annotations

import re

_CASME2 = re.compile(r"(?:sub|s)?0*(\d+)", re.IGNORECASE)


def casme2_subject(text: str) -> str:
    """Name a subject of CASME II, whose sheet and folders write it in several ways.

    >>> casme2_subject("1"), casme2_subject("Sub01"), casme2_subject("sub01")
    ('sub01', 'sub01', 'sub01')
    """
    match = _CASME2.fullmatch(text)
    return f"sub{int(match[1]):02d}" if match else text


RULES = {"casme2": casme2_subject}
EXAMPLES = {"casme2": "casme2/sub01"}
"""One name per data set, to show people what they look like."""


def full_name(dataset: str, text: str) -> str:
    """Name a person as the manifest does, from what somebody typed.

    A name of another data set stays as it is.

    >>> full_name("casme2", "1"), full_name("casme2", "CASME2/sub1"), full_name("casme2", "samm/6")
    ('casme2/sub01', 'casme2/sub01', 'samm/6')
    """
    given, _, name = text.strip().rpartition("/")
    if given and given.casefold() != dataset:
        return text.strip()
    return f"{dataset}/{RULES[dataset](name) if dataset in RULES else name}"
