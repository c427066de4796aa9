"""Names of subjects: the data set, a slash, and the subject as the data set's folders spell it."""

from __future__ import annotations

from dianet_ray.datasets.catalogue import all_data_sets, data_set
from dianet_ray.datasets.release import Release
from dianet_ray.datasets.releases import DATASETS

EXAMPLES = {one.dataset: one.subject_example for one in all_data_sets() if one.subject_example}
"""A subject of each data set that has a rule, to show users what names look like."""

COMPOSITES = tuple(one.dataset for one in all_data_sets() if len(one.sources) > 1)
"""Data sets whose subjects belong to several data sets."""


def short_name(dataset: str, text: str) -> str:
    """Spell a subject as the data set's folders do, whatever the user wrote.

    >>> short_name("casme2", "1"), short_name("table", "anna")
    ('sub01', 'anna')
    """
    found = data_set(dataset) if dataset in DATASETS else None
    return found.subject(text) if isinstance(found, Release) else text


def full_name(dataset: str, text: str) -> str:
    """Name a subject as the manifest does, whatever the user wrote.

    A name that starts with a data set follows that data set's rule: a composite holds several.

    >>> full_name("casme2", "1"), full_name("casme2", "CASME2/sub1"), full_name("casme2", "samm/6")
    ('casme2/sub01', 'casme2/sub01', 'samm/006')
    """
    prefix, slash, name = text.strip().partition("/")
    prefix = prefix.casefold()
    if slash and (prefix == dataset or _has_rule(prefix)):
        return f"{prefix}/{short_name(prefix, name)}"
    if slash and _has_rule(dataset):
        return text.strip()
    return f"{dataset}/{short_name(dataset, text.strip())}"  # a table's name may hold a slash


def _has_rule(dataset: str) -> bool:
    return dataset in DATASETS and isinstance(data_set(dataset), Release)
