"""A composite: several published data sets below one folder, each as it was released.

Subjects keep the name of their data set, so equal numbers are different subjects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from dianet_ray.datasets.annotations import NOT_LISTED, ChosenPaths, ClipName, Loaded
from dianet_ray.datasets.discovery import chosen_path
from dianet_ray.datasets.release import LabelMapping, Release
from dianet_ray.errors import InputError


@dataclass(frozen=True, slots=True)
class Published:
    """What a composite's published list holds of one source: subjects, and clips per class."""

    subjects: int
    classes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Composite:
    """A data set that is made of others.

    Attributes:
        dataset: its name in the catalogue.
        releases: what it is made of.
        folders: for each source, how the names of its folder may start; letters and digits only.
        label_sets: as of `Release`; a key names the source too (`samm/fear`).
        excluded: clips of a source that the composite's published list does not contain.
        published: what that list holds of each source, to be compared with what is found.
    """

    dataset: str
    releases: tuple[Release, ...]
    folders: Mapping[str, tuple[str, ...]]
    label_sets: Mapping[str, LabelMapping]
    excluded: Mapping[str, frozenset[ClipName]] = field(default_factory=dict)
    published: Mapping[str, Published] = field(default_factory=dict)

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of the data sets it is made of."""
        return tuple(release.dataset for release in self.releases)

    @property
    def subject_example(self) -> str:
        """A subject of the last source; its name says which source it belongs to."""
        return self.releases[-1].subject_example

    def read(self, root: Path, chosen: ChosenPaths) -> list[Loaded]:
        """Read each source; a chosen sheet or folder belongs to the source that it lies in.

        Raises:
            InputError: a source's folder is missing or there are several, or it cannot be read; or
                a sheet of a workbook was chosen.
        """
        if chosen.sheet_name is not None:
            raise InputError(
                f"--sheet may be given for one data set only, not for {self.dataset}: save the "
                "sheet as a file of its own, and name that with --annotations"
            )
        folders = {name: self._folder(root, name) for name in self.sources}
        sheets = _by_source(
            folders, [chosen_path(p, root, "--annotations") for p in chosen.sheets]
        )
        frames = _by_source(folders, [chosen_path(p, root, "--frames-dir") for p in chosen.frames])
        found = []
        for release in self.releases:
            name = release.dataset
            mine = ChosenPaths(sheets.get(name, ()), frames.get(name, ()))
            found += [self._mark(loaded) for loaded in release.read(folders[name], mine)]
        return found

    def _mark(self, loaded: Loaded) -> Loaded:
        """Give clips outside the published list the reason to leave them out."""
        excluded = self.excluded.get(loaded.dataset, frozenset())
        problem = f"{NOT_LISTED}not in {self.dataset.upper()}'s published list"
        marked = (
            replace(one, problem=problem) if one.name in excluded else one
            for one in loaded.annotations
        )
        return replace(loaded, annotations=tuple(marked))

    def _folder(self, root: Path, name: str) -> Path:
        found = [
            path
            for path in sorted(root.iterdir())
            if path.is_dir() and _plain(path.name).startswith(self.folders[name])
        ]
        if len(found) != 1:
            listed = ", ".join(map(str, found)) or "none"
            raise InputError(
                f"{self.dataset} needs one folder for each of {', '.join(self.sources)} (links "
                f"work too): {len(found)} for {name} under {root}: {listed}"
            )
        return found[0]


def _plain(name: str) -> str:
    return "".join(c for c in name.casefold() if c.isalnum())


def _by_source(folders: Mapping[str, Path], paths: Sequence[Path]) -> dict[str, tuple[Path, ...]]:
    chosen: dict[str, tuple[Path, ...]] = {}
    for path in paths:
        # Resolved, because the sources of a composite are often links to where releases lie.
        real = path.resolve()
        inside = (s for s, folder in folders.items() if real.is_relative_to(folder.resolve()))
        source = next(inside, None)
        if source is None or source in chosen:
            raise InputError(
                "choose at most one sheet and one frame folder per source, inside its folder: "
                f"got {path}"
            )
        chosen[source] = (path,)
    return chosen
