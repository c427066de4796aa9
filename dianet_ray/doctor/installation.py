"""Checks of what is installed here: Python, packages, OpenCV's files, Ray.

Each check imports the heavy library that it needs, because that may be what is missing.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from dianet_ray.cluster import connection
from dianet_ray.cluster.scratch import check_loopback, choose_base
from dianet_ray.errors import InputError

DISTRIBUTION = "dianet-ray"
INSTALL = "pip install -c constraints.txt -e ."


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check: what was found and, unless the state is ok, what to do about it."""

    name: str
    state: Literal["ok", "warn", "bad"]
    found: str
    advice: str = ""


def check_python(version: Sequence[Any]) -> Check:
    """Check a Python's version, given as (major, minor, micro, ...)."""
    try:
        connection.check_python(version)
    except InputError as error:
        return Check("Python", "bad", str(error), f"use Python {connection.SUPPORTED_PYTHON}")
    return Check("Python", "ok", f"Python {'.'.join(map(str, version[:3]))}")


def requirements() -> list[str]:
    """List our dependencies as this checkout declares them, else as they were installed."""
    # A submitted job runs in a copy of the checkout, which may be newer than what is installed.
    project = Path(__file__).parents[2] / "pyproject.toml"
    if project.is_file():
        declared = tomllib.loads(project.read_text())["project"]
        if declared["name"] == DISTRIBUTION:
            return list(declared["dependencies"])
    return metadata.requires(DISTRIBUTION) or []


def check_packages(needed: Sequence[str] | None = None) -> Check:
    """Check that requirements (by default ours) and their extras are installed and in range."""
    needed = requirements() if needed is None else needed
    lacking = list(dict.fromkeys(line for one in needed for line in _lacking(one)))
    if lacking:
        return Check("packages", "bad", "; ".join(lacking), INSTALL)
    return Check("packages", "ok", "all dependencies are installed in supported versions")


def _lacking(requirement: str, extra: str = "") -> Iterator[str]:
    from packaging.requirements import Requirement

    wanted = Requirement(requirement)
    if wanted.marker and not wanted.marker.evaluate({"extra": extra}):
        return
    try:
        found = metadata.version(wanted.name)
    except metadata.PackageNotFoundError:
        yield f"{wanted.name} is missing"
        return
    # A pre-release counts, because it was installed on purpose.
    if not wanted.specifier.contains(found, prereleases=True):
        yield f"{wanted.name} is {found}, but must be {wanted.specifier}"
    for name in sorted(wanted.extras):
        for one in metadata.requires(wanted.name) or []:
            yield from _lacking(one, name)


def check_torch() -> Check:
    """Report which torch this is and what it was built for."""
    return Check("torch", "ok", torch_build())


def torch_build() -> str:
    """Describe torch's version and what it was built for."""
    import torch

    kind = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU"
    return f"torch {torch.__version__} ({kind} build)"


def check_cascade(folder: Path | None = None) -> Check:
    """Check that OpenCV came with its face detector; `folder` is where the file should be."""
    import cv2
    from cv2.data import haarcascades

    from dianet_ray.imaging.faces import CASCADE

    path = (folder or Path(haarcascades)) / CASCADE
    with suppress(cv2.error, SystemError):  # a damaged file raises either
        if path.is_file() and not cv2.CascadeClassifier(str(path)).empty():
            return Check("faces", "ok", f"OpenCV {cv2.__version__} has {CASCADE}")
    found = f"OpenCV {cv2.__version__} cannot use {path}"
    return Check("faces", "bad", found, f"--crop face needs this file of OpenCV 4: {INSTALL}")


def check_ray() -> Check:
    """Check the version of Ray in this process.

    Raises:
        InputError: it is not supported.
    """
    found = metadata.version("ray")
    connection.check_ray(found)
    return Check("Ray", "ok", f"Ray {found}")


def check_scratch() -> Check:
    """Check that a local Ray finds a place for its sockets, and that its processes can talk.

    Raises:
        InputError: one of them is not so.
    """
    check_loopback()
    return Check("scratch", "ok", f"a local Ray keeps its files below {choose_base()}")
