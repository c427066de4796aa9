"""What is installed here: Python, dependencies and their ranges, OpenCV's files, Ray, GPUs.

Heavy libraries are imported by the check that needs them: one of them may be what is missing.
"""

from __future__ import annotations

import os
import tomllib
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from dianet_ray.cluster import connection
from dianet_ray.errors import InputError

DISTRIBUTION = "dianet-ray"
INSTALL = "pip install -c constraints.txt -e ."


@dataclass(frozen=True, slots=True)
class Check:
    """What one check found; `advice` says what to do about it when that is not ok."""

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
    """List what we depend on: as this checkout, or a job's copy of it, says; else as installed."""
    project = Path(__file__).parents[2] / "pyproject.toml"
    if project.is_file():
        declared = tomllib.loads(project.read_text())["project"]
        if declared["name"] == DISTRIBUTION:
            return list(declared["dependencies"])
    return metadata.requires(DISTRIBUTION) or []


def check_packages(needed: Sequence[str] | None = None) -> Check:
    """Check that requirements (ours), and those of their extras, are installed and in range."""
    needed = requirements() if needed is None else needed
    lacking = list(dict.fromkeys(line for one in needed for line in _lacking(one)))
    if lacking:
        return Check("packages", "bad", "; ".join(lacking), INSTALL)
    return Check("packages", "ok", "every dependency is installed and in its range")


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
    if not wanted.specifier.contains(found, prereleases=True):
        yield f"{wanted.name} is {found}, needed is {wanted.specifier}"
    for name in sorted(wanted.extras):
        for one in metadata.requires(wanted.name) or []:
            yield from _lacking(one, name)


def check_torch() -> Check:
    """Say which torch this is and what it was built for."""
    return Check("torch", "ok", torch_build())


def torch_build() -> str:
    """Name torch's version and what it was built for."""
    import torch

    kind = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU"
    return f"torch {torch.__version__} ({kind} build)"


def check_cascade(folder: Path | None = None) -> Check:
    """Check that OpenCV brought what finds faces; `folder` is where it should be."""
    import cv2
    from cv2.data import haarcascades

    from dianet_ray.imaging.faces import CASCADE

    path = (folder or Path(haarcascades)) / CASCADE
    with suppress(cv2.error, SystemError):  # both for a damaged file
        if path.is_file() and not cv2.CascadeClassifier(str(path)).empty():
            return Check("faces", "ok", f"OpenCV {cv2.__version__} has {CASCADE}")
    found = f"OpenCV {cv2.__version__} has no usable {path}"
    return Check("faces", "bad", found, f"--crop face needs the file of OpenCV 4: {INSTALL}")


def check_ray() -> Check:
    """Check the version of Ray that this process has.

    Raises:
        InputError: it is not supported.
    """
    found = metadata.version("ray")
    connection.check_ray(found)
    return Check("Ray", "ok", f"Ray {found}")


def check_gpu(devices: Path = Path("/dev")) -> Check:
    """Say which GPUs torch can use here; `devices` is where a driver shows its GPUs."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        gpus, build = usable_gpus()
    if gpus:
        return Check("GPU", "ok", f"torch can use {gpus}")
    is_hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    if is_hidden or not any(devices.glob("nvidia[0-9]*")):
        return Check("GPU", "ok", "torch sees none here: what trains here uses the CPU")
    why = "".join(f": {' '.join(str(one.message).split())}" for one in said[:1])
    return Check("GPU", "warn", f"a GPU is here, {build} cannot use it{why}", gpu_advice(build))


def usable_gpus() -> tuple[str, str]:
    """Name the GPUs that torch can use in this process, and torch's build."""
    import torch

    n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return ", ".join(torch.cuda.get_device_name(one) for one in range(n_gpus)), torch_build()


def gpu_advice(build: str) -> str:
    """Say what makes a GPU usable for a build of torch that does not see it."""
    if "CPU build" in build:
        return "install torch's CUDA build, of the same version"
    return "see to the NVIDIA driver: nvidia-smi must list the GPU, and be new enough for CUDA"
