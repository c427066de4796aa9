"""How people are named: the data set, then the subject as its frame folders write it."""

from __future__ import annotations

import re

_NUMBERED = re.compile(r"(?:sub|s)?0*(\d+)", re.IGNORECASE)
_FOURDME = re.compile(r"S?0*(\d+)(?:_\w+)?", re.IGNORECASE)
_CASME3 = re.compile(r"(?:spNO\.?)?0*(\d+)", re.IGNORECASE)


def casme2_subject(text: str) -> str:
    """Name a subject of CASME II, whose sheet and folders write it in several ways.

    >>> casme2_subject("1"), casme2_subject("Sub01"), casme2_subject("sub01")
    ('sub01', 'sub01', 'sub01')
    """
    match = _NUMBERED.fullmatch(text)
    return f"sub{int(match[1]):02d}" if match else text


def samm_subject(text: str) -> str:
    """Name a subject of SAMM: three digits, also where a sheet made a number of them.

    >>> samm_subject("006"), samm_subject("6"), samm_subject("6.0")
    ('006', '006', '006')
    """
    number = text.removesuffix(".0")
    return f"{int(number):03d}" if number.isascii() and number.isdecimal() else text


def mmew_subject(text: str) -> str:
    """Name a subject of MMEW as its clips do.

    >>> mmew_subject("3"), mmew_subject("S03"), mmew_subject("s3")
    ('S03', 'S03', 'S03')
    """
    match = _NUMBERED.fullmatch(text)
    return f"S{int(match[1]):02d}" if match else text


def smic_subject(text: str) -> str:
    """Name a subject of SMIC as its folders do.

    >>> smic_subject("1"), smic_subject("s01"), smic_subject("S1")
    ('s1', 's1', 's1')
    """
    match = _NUMBERED.fullmatch(text)
    return f"s{int(match[1])}" if match else text


def casme3_subject(text: str) -> str:
    """Name a subject of CAS(ME)^3 as its folders do.

    >>> casme3_subject("1"), casme3_subject("spNO.1")
    ('spNO.1', 'spNO.1')
    """
    match = _CASME3.fullmatch(text)
    return f"spNO.{int(match[1])}" if match else text


def fourdme_subject(text: str) -> str:
    """Name a subject of 4DME; the sessions of one person are one subject.

    >>> fourdme_subject("S09"), fourdme_subject("S9_1st")
    ('S09', 'S09')
    """
    match = _FOURDME.fullmatch(text)
    return f"S{int(match[1]):02d}" if match else text


RULES = {
    "casme2": casme2_subject,
    "samm": samm_subject,
    "mmew": mmew_subject,
    "smic": smic_subject,
    "casme3": casme3_subject,
    "fourdme": fourdme_subject,
}
COMPOSITES = ("megc2019",)
EXAMPLES = {
    "casme2": "casme2/sub01",
    "samm": "samm/006",
    "mmew": "mmew/S03",
    "smic": "smic/s1",
    "casme3": "casme3/spNO.1",
    "fourdme": "fourdme/S01",
    "megc2019": "samm/006",
}
"""One name per data set, to show people what they look like."""


def short_name(dataset: str, text: str) -> str:
    """Name a person within a data set, from what somebody wrote.

    >>> short_name("casme2", "1"), short_name("table", "anna")
    ('sub01', 'anna')
    """
    return RULES[dataset](text) if dataset in RULES else text


def full_name(dataset: str, text: str) -> str:
    """Name a person as the manifest does, from what somebody typed.

    A name that starts with a data set is read by that one's rule: a composite holds several.

    >>> full_name("casme2", "1"), full_name("casme2", "CASME2/sub1"), full_name("casme2", "samm/6")
    ('casme2/sub01', 'casme2/sub01', 'samm/006')
    """
    given, slash, name = text.strip().partition("/")
    known = given.casefold()
    if slash and (known == dataset or known in RULES):
        return f"{known}/{short_name(known, name)}"
    if slash and dataset in RULES:
        return text.strip()
    return f"{dataset}/{short_name(dataset, text.strip())}"  # a name may hold a slash
