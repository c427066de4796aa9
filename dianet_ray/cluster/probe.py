"""Whether a node can be used: it has the driver's versions, reads the input, writes the output.

The driver describes what a node must be able to do; `find_problem` checks it in a worker there.
"""

from __future__ import annotations

import hashlib
import os
import platform
import socket
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from dianet_ray import __version__
from dianet_ray.errors import one_line
from dianet_ray.storage import files
from dianet_ray.storage.addresses import is_remote

PACKAGES = ("ray", "torch", "numpy", "pyarrow", "opencv-python-headless")
"""Packages that make images, trainings and files. Nodes must have the driver's versions."""

PREFIX = ".probe-"


@dataclass(frozen=True, slots=True)
class Probe:
    """What a node must be able to do.

    Attributes:
        reads: files that it must read, each with the sha256 of its content in hex.
        writes: the folder that it must write, the same one as the driver's; None for none.
        marker: the name of a file that the driver left in `writes`.
        versions: the driver's versions, by name.
    """

    reads: tuple[tuple[Path, str], ...]
    writes: Path | None
    marker: str
    versions: dict[str, str]


def versions() -> dict[str, str]:
    """List the versions that must be equal; the suffix of a build (+cpu, +cu130) may differ."""
    # Ray pickles functions between nodes, which works within one minor version of Python.
    found = {"python": ".".join(platform.python_version_tuple()[:2]), "dianet_ray": __version__}
    for name in PACKAGES:
        try:
            found[name] = version(name).partition("+")[0]
        except PackageNotFoundError:
            found[name] = "missing"
    return found


def leave_marker(reads: Sequence[Path], writes: Path) -> Probe:
    """Leave a marker in the driver's folder and describe what nodes must be able to do.

    Raises:
        OSError or a store's own exception: the driver itself is not able to.
    """
    marker = f"{PREFIX}{uuid.uuid4().hex}"
    files.make_folder(writes)
    for name in files.names(writes):
        if name.startswith(PREFIX):  # a killed run left it
            files.remove(writes / name)
    files.create(writes / marker, marker.encode())
    contents = tuple((path, digest(path)) for path in reads)
    return Probe(contents, writes, marker, versions())


def remove_marker(probe: Probe) -> None:
    """Delete the driver's marker."""
    if probe.writes is not None:
        files.remove(probe.writes / probe.marker)


def find_problem(probe: Probe) -> str:
    """Describe why this node cannot be used; empty if it can."""
    here = versions()
    for name, wanted in probe.versions.items():
        if here[name] != wanted:
            return f"it has {name} {here[name]}, the driver has {wanted}"
    # By content: the same path may lead to an older copy on this node.
    for path, sha256 in probe.reads:
        try:
            if digest(path) != sha256:
                return f"{path} differs from the file that the driver sees"
        except files.failures() as error:
            return f"it cannot read {_described(path, error)}"
    return "" if probe.writes is None else _writing_problem(probe.writes, probe.marker)


def _writing_problem(folder: Path, marker: str) -> str:
    own = folder / f"{PREFIX}{uuid.uuid4().hex}"
    try:
        try:
            # Being able to write is not enough: a local folder of the same name is writable too.
            files.read(folder / marker)
        except FileNotFoundError:
            return f"{folder} is not the driver's folder: {_seen_here(folder)}"
        files.put(own, b"")
        files.remove(own)
    except files.failures() as error:
        return f"it cannot write {_described(folder, error)}"
    return ""


def digest(path: Path) -> str:
    """Hash a file's content: sha256 in hex."""
    return hashlib.sha256(files.read(path)).hexdigest()


def _seen_here(path: Path) -> str:
    if is_remote(path) or path.is_dir():
        return "another storage has the same path there"
    return f"there is no such folder on {socket.gethostname()}"


def _described(path: Path, error: Exception) -> str:
    """Describe a failed path with its owner and mode, which an administrator asks for first."""
    if is_remote(path):
        return f"{path}: {one_line(error)}"
    text = f"{path}: {one_line(error)} (uid {os.getuid()}"
    for place in (path, *path.parents):
        try:
            found = place.stat()
        except OSError:
            continue
        return f"{text}; {place} has owner {found.st_uid} and mode {found.st_mode & 0o7777:o})"
    return f"{text})"
