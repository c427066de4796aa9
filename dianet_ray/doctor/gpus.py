"""Checks of GPUs: whether torch can compute on each, its memory, and who may use it."""

from __future__ import annotations

import os
import re
import subprocess
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dianet_ray.doctor.installation import Check, torch_build
from dianet_ray.errors import one_line

SMI = ("nvidia-smi", "--query-gpu=uuid,compute_mode,driver_version", "--format=csv,noheader")
_SMI_S = 20.0

OLDEST_OF_CUDA_13 = (7, 5)
"""Builds for CUDA 13 have no kernels for older GPUs; those for CUDA 12.6 do (pytorch#190385)."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU as torch and the driver describe it; memory is in bytes.

    `problem` says why torch cannot compute on it. `compute_mode` and `driver` are the words of
    nvidia-smi, empty where it says nothing.
    """

    name: str
    capability: tuple[int, int]
    n_bytes: int
    n_free: int
    problem: str = ""
    compute_mode: str = ""
    driver: str = ""

    def __str__(self) -> str:
        memory = f"{self.n_free / 2**30:.0f} of {self.n_bytes / 2**30:.0f} GiB free"
        return f"{self.name} ({memory}{', driver ' + self.driver if self.driver else ''})"


def check_gpu(devices: Path = Path("/dev")) -> list[Check]:
    """Report which GPUs torch can use here; `devices` is where the driver lists its GPUs."""
    # torch only warns when the driver is too old, and then reports no GPU.
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        gpus, build = usable_gpus()
    if gpus:
        return [check_of(gpu, build) for gpu in gpus]
    is_hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    # The driver's own device files, because torch cannot tell a missing GPU from a broken one.
    if is_hidden or not any(devices.glob("nvidia[0-9]*")):
        return [Check("GPU", "ok", "torch sees no GPU here, so trainings here use the CPU")]
    why = "".join(f": {one_line(Warning(one.message))}" for one in caught[:1])
    found = f"this machine has a GPU that {build} cannot use{why}"
    return [Check("GPU", "warn", found, gpu_advice(build))]


def check_of(gpu: Gpu, build: str, where: str = "") -> Check:
    """Judge a GPU; `where` begins what is found."""
    if gpu.problem:
        found = f"{where}{build} cannot compute on {gpu}: {gpu.problem}"
        return Check("GPU", "bad", found, kernel_advice(gpu))
    found = f"{where}torch can use {gpu}"
    if gpu.compute_mode.startswith("Exclusive"):
        advice = "keep --gpus-per-trial at 1 or more, or set the mode back: nvidia-smi -c DEFAULT"
        return Check("GPU", "warn", f"{found}, one process at a time ({gpu.compute_mode})", advice)
    return Check("GPU", "ok", found)


def usable_gpus() -> tuple[list[Gpu], str]:
    """Describe the GPUs that torch sees in this process, and torch's build."""
    import torch

    n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    said = parse_smi(_smi()) if n_gpus else {}
    return [_gpu(number, said) for number in range(n_gpus)], torch_build()


def _gpu(number: int, said: dict[str, tuple[str, str]]) -> Gpu:
    import torch

    device = torch.device("cuda", number)
    known = torch.cuda.get_device_properties(device)
    capability = known.major, known.minor
    mode, driver = said.get(f"GPU-{known.uuid}", ("", ""))
    problem, n_free = "", 0
    if not has_kernels(torch.cuda.get_arch_list(), capability):
        problem = f"it has no kernels for compute capability {known.major}.{known.minor}"
    else:
        try:
            if float(torch.ones(8, device=device).sum()) != 8:
                problem = "a sum of eight ones is not 8"
            n_free = torch.cuda.mem_get_info(device)[0]
        except RuntimeError as error:  # what torch raises for all that CUDA says
            problem = one_line(error)
    return Gpu(known.name, capability, known.total_memory, n_free, problem, mode, driver)


def has_kernels(built_for: Sequence[str], capability: tuple[int, int]) -> bool:
    """Whether a build of torch runs on a GPU.

    Machine code (`sm_80`) runs on its own generation from its number on, and code that the driver
    translates (`compute_90`) on everything from its number on.

    >>> has_kernels(["sm_75", "sm_80"], (8, 6)), has_kernels(["sm_75", "sm_80"], (7, 0))
    (True, False)
    >>> has_kernels(["sm_80", "compute_80"], (9, 0)), has_kernels(["sm_80"], (9, 0))
    (True, False)
    """
    if not any(name.startswith(("sm_", "compute_")) for name in built_for):
        return True  # a build for other GPUs than NVIDIA's; the sum will tell
    for name in built_for:
        kind, _, digits = name.partition("_")
        number = re.match(r"\d+", digits)
        if number is None:
            continue
        of_build = divmod(int(number[0]), 10)
        is_same = kind == "compute" or of_build[0] == capability[0]
        if is_same and of_build <= capability:
            return True
    return False


def parse_smi(text: str) -> dict[str, tuple[str, str]]:
    """Read compute mode and driver by GPU.

    >>> parse_smi("GPU-1a, Default, 580.65.06")
    {'GPU-1a': ('Default', '580.65.06')}
    """
    rows = [[cell.strip() for cell in line.split(",")] for line in text.splitlines()]
    return {row[0]: (row[1], row[2]) for row in rows if len(row) == 3}


def _smi() -> str:
    """Ask the driver's own tool, which may not be installed."""
    try:
        done = subprocess.run(SMI, capture_output=True, text=True, timeout=_SMI_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout


def kernel_advice(gpu: Gpu) -> str:
    """Advise what to do about a GPU on which torch cannot compute."""
    if gpu.capability < OLDEST_OF_CUDA_13:
        return "install the build of the same torch version for CUDA 12.6 (cu126)"
    if gpu.compute_mode.startswith(("Exclusive", "Prohibited")):
        return "end the process that holds it, or set the mode back: nvidia-smi -c DEFAULT"
    return "free or repair it: nvidia-smi shows who uses it"


def gpu_advice(build: str) -> str:
    """Advise how to make a GPU usable for a build of torch that does not see it."""
    if "CPU build" in build:
        return "install the CUDA build of the same torch version"
    return "repair the NVIDIA driver: nvidia-smi must list the GPU and support that CUDA version"
