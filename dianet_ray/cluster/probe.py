"""Whether a node can take part: it has our versions, reads the input and writes the output.

`find_problem` runs in a worker of the node; what it must find is described by the driver.
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
from dianet_ray.storage import files

PACKAGES = ("ray", "torch", "numpy", "pyarrow", "opencv-python-headless")
"""What makes images, trainings and files; a node must have the driver's versions of them."""


PREFIX = ".probe-"


@dataclass(frozen=True, slots=True)
class Probe:
    """What a node must be able to do.

    Attributes:
        reads: files that it must read, and the sha256 of their content in hex.
        writes: the folder that it must write, and see as the driver does; None for none.
        marker: a file that the driver left there.
        versions: the driver's.
    """

    reads: tuple[tuple[Path, str], ...]
    writes: Path | None
    marker: str
    versions: dict[str, str]


def versions() -> dict[str, str]:
    """Name the versions that must be equal; a build's suffix (+cpu, +cu130) may differ."""
    found = {"python": ".".join(platform.python_version_tuple()[:2]), "dianet_ray": __version__}
    for name in PACKAGES:
        try:
            found[name] = version(name).partition("+")[0]
        except PackageNotFoundError:
            found[name] = "missing"
    return found


def leave_marker(reads: Sequence[Path], writes: Path) -> Probe:
    """Describe what nodes must do, and leave the file by which they know the driver's folder.

    Raises:
        OSError or a store's own exception: the driver itself cannot do it.
    """
    marker = f"{PREFIX}{uuid.uuid4().hex}"
    files.make_folder(writes)
    for name in files.names(writes):
        if name.startswith(PREFIX):  # left by a run that was killed
            files.remove(writes / name)
    files.create(writes / marker, marker.encode())
    contents = tuple((path, digest(path)) for path in reads)
    return Probe(contents, writes, marker, versions())


def remove_marker(probe: Probe) -> None:
    """Take the driver's file away."""
    if probe.writes is not None:
        files.remove(probe.writes / probe.marker)


def find_problem(probe: Probe) -> str:
    """Say what keeps this node from taking part; empty when nothing does."""
    here = versions()
    for name, wanted in probe.versions.items():
        if here[name] != wanted:
            return f"{name} {here[name]}, the driver has {wanted}"
    for path, sha256 in probe.reads:
        try:
            if digest(path) != sha256:
                return f"{path} is another file than the driver's"
        except files.failures() as error:
            return f"cannot read {_described(path, error)}"
    return "" if probe.writes is None else _writing_problem(probe.writes, probe.marker)


def _writing_problem(folder: Path, marker: str) -> str:
    own = folder / f"{PREFIX}{uuid.uuid4().hex}"
    try:
        try:
            files.read(folder / marker)
        except FileNotFoundError:
            return f"{folder} is not the driver's folder: {_sight(folder)}"
        files.put(own, b"")
        files.remove(own)
    except files.failures() as error:
        return f"cannot write {_described(folder, error)}"
    return ""


def digest(path: Path) -> str:
    """Hash a file's content: sha256 in hex."""
    return hashlib.sha256(files.read(path)).hexdigest()


def _sight(path: Path) -> str:
    if files.is_remote(path) or path.is_dir():
        return "another storage of the same name"
    return f"no such folder on {socket.gethostname()}"


def _described(path: Path, error: Exception) -> str:
    """Name a path, why it failed, and whose it is: what an administrator asks first."""
    if files.is_remote(path):
        return f"{path}: {files.reason(error)}"
    text = f"{path}: {files.reason(error)} (uid {os.getuid()}"
    for place in (path, *path.parents):
        try:
            found = place.stat()
        except OSError:
            continue
        return f"{text}; {place} has owner {found.st_uid} and mode {found.st_mode & 0o7777:o})"
    return f"{text})"
