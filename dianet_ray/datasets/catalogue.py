"""The catalogue: every data set by its name, as the modules below `releases` describe them."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path

from dianet_ray.datasets import releases
from dianet_ray.datasets.annotations import ChosenPaths, Loaded
from dianet_ray.datasets.discovery import sheets_below
from dianet_ray.datasets.release import DataSet, Release
from dianet_ray.datasets.releases import DATASETS
from dianet_ray.errors import InputError


@cache
def data_set(name: str) -> DataSet:
    """Look up a data set.

    Raises:
        InputError: an unknown name.
    """
    if name not in DATASETS:
        raise InputError(f"unknown data set: {name}; known: {', '.join(DATASETS)}")
    # Imported by name, so that a new data set is one new module and no list to edit.
    found: DataSet = import_module(f"{releases.__name__}.{name}").RELEASE
    return found


def all_data_sets() -> tuple[DataSet, ...]:
    """List every data set, sorted by name."""
    return tuple(data_set(name) for name in DATASETS)


def read_data_set(dataset: str, root: Path, chosen: ChosenPaths) -> list[Loaded]:
    """Read a data set's annotations and find its frames.

    Args:
        dataset: one of DATASETS.
        root: the data set's folder.
        chosen: sheets and frame folders that the user named.

    Returns:
        One result, or one per source of a composite.

    Raises:
        InputError: an unknown name, a missing folder, another data set's folder, or data that
            cannot be read.
    """
    found = data_set(dataset)
    if not root.is_dir():
        raise InputError(f"the data set must be a folder: {root} is missing or not a folder")
    # A user who names the sheet knows what it is, whatever else lies in the folder.
    if isinstance(found, Release) and not chosen.sheets:
        _refuse_another(found, root)
    return found.read(root, chosen)


def _refuse_another(expected: Release, root: Path) -> None:
    """Refuse a folder that holds the sheet of another data set and not the expected one."""
    if sheets_below(root, expected.sheet_patterns):
        return
    for other in all_data_sets():
        if isinstance(other, Release) and (found := sheets_below(root, other.sheet_patterns)):
            raise InputError(
                f"this folder looks like {other.dataset}, not {expected.dataset}: it has no sheet "
                f"{' or '.join(expected.sheet_patterns)}, but {found[0]}"
            )
