"""Every data set that is known by name, and how it is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from dianet_ray.datasets.release import Source, read_release, tables_below
from dianet_ray.datasets.releases import casme2, casme3, fourdme, megc2019, mmew, samm, smic, table
from dianet_ray.errors import InputError

_RELEASES = [module.RELEASE for module in (casme2, samm, mmew, smic, casme3, fourdme)]
LOADERS: dict[str, Callable[[Path, Path | None, Path | None], Source]] = {
    **{release.dataset: partial(read_release, release) for release in _RELEASES},
    "table": table.read,
}
DATASETS = (*LOADERS, "megc2019")
_TABLES = {release.dataset: release.tables for release in _RELEASES}


def parts_of(dataset: str) -> tuple[str, ...]:
    """List the data sets that one is made of: itself, or the parts of a composite."""
    return tuple(megc2019.PARTS) if dataset == "megc2019" else (dataset,)


def read_sources(
    dataset: str, root: Path, annotations: Sequence[Path], frames_dirs: Sequence[Path]
) -> list[Source]:
    """Read a data set: one source, or the parts of a composite.

    Args:
        dataset: One of DATASETS.
        root: The data set's folder.
        annotations: The sheets, where several are there: at most one, or one per part.
        frames_dirs: The folders of frames, likewise.

    Raises:
        InputError: an unknown name, no such folder, another data set, or what cannot be read.
    """
    if dataset not in DATASETS:
        raise InputError(f"unknown data set: {dataset}; known: {', '.join(DATASETS)}")
    if not root.is_dir():
        raise InputError(f"the data set must be a folder: {root} is missing or no folder")
    if dataset == "megc2019":
        return megc2019.read(root, annotations, frames_dirs)
    for flag, given in (("--annotations", annotations), ("--frames-dir", frames_dirs)):
        if len(given) > 1:
            raise InputError(f"{flag} is given once for {dataset}: got {len(given)}")
    _refuse_another(dataset, root, annotations)
    return [LOADERS[dataset](root, next(iter(annotations), None), next(iter(frames_dirs), None))]


def _refuse_another(dataset: str, root: Path, annotations: Sequence[Path]) -> None:
    """Say which data set a folder holds when its sheet is another one's."""
    if annotations or dataset not in _TABLES or tables_below(root, _TABLES[dataset]):
        return
    for other, patterns in _TABLES.items():
        if found := tables_below(root, patterns):
            raise InputError(
                f"this folder looks like {other}, not {dataset}: no sheet "
                f"{' or '.join(_TABLES[dataset])}, but {found[0]}"
            )
