"""Clips that folders alone describe: label and subject in the names, the span in the files."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dianet_ray.datasets.annotations import Annotation, ClipName
from dianet_ray.datasets.sheets import Sheet


@dataclass(frozen=True, slots=True)
class ClipFolders:
    """How to read a release whose folders hold just their clips.

    Attributes:
        subject: the subject that a folder above the clips is named for; empty for none.
        recording: found in a folder's name where the folders below hold whole recordings instead.
    """

    subject: Callable[[str], str]
    recording: re.Pattern[str]


def folder_clips(
    found: Mapping[ClipName, Path], root: Path, label: Callable[[str], str], form: ClipFolders
) -> tuple[Annotation, ...]:
    """Make a clip of each folder; one that cannot be read that way carries the problem.

    Args:
        found: the folders.
        root: the folder of frames that they were found in.
        label: the label that the name of a clip carries.
        form: of the release.
    """
    return tuple(
        Annotation(
            subject=name.subject,
            filename=name.filename,
            label=label(name.filename),
            onset=None,
            apex=None,
            offset=None,
            frames=path,
            problem=_problem(name, path.relative_to(root), root, form),
            whole_folder=True,
        )
        for name, path in sorted(found.items())
    )


def _problem(name: ClipName, inside: Path, root: Path, form: ClipFolders) -> str:
    if any(form.recording.search(part) for part in (*root.parts, *inside.parts)):
        return "no span: the folder holds a recording, whose onset and offset only a sheet tells"
    above = {subject for part in inside.parent.parts if (subject := form.subject(part))}
    if above - {name.subject}:
        by_folder = ", ".join(sorted(above))
        return f"unclear subject: {name.subject} by its name, {by_folder} by its folder"
    return ""


def stand_in(folder: Path, clips: Sequence[Annotation]) -> Sheet:
    """Describe folders that are read in place of a sheet, the same wherever they lie."""
    content = json.dumps([[*one.name, one.label] for one in clips])
    return Sheet(path=folder, name="", sha256=hashlib.sha256(content.encode()).hexdigest())
