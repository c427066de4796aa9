"""How many processors this process may use: the machine's, less what limits it.

An affinity mask (taskset, Slurm) limits which ones, a control group (a container) how much time of
them. Python counts the machine's, and more workers than time would only take turns.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

ROOT = Path("/")


@dataclass(frozen=True, slots=True)
class Processors:
    """A number of processors, at least one, and what limits it to that."""

    n: int
    limit: Literal["machine", "affinity", "quota"]

    def __str__(self) -> str:
        why = {
            "machine": "",
            "affinity": " (the affinity mask of this process)",
            "quota": " (the CPU quota of the container)",
        }
        return f"{self.n} CPU{'s' * (self.n != 1)}{why[self.limit]}"


def processors(root: Path = ROOT) -> Processors:
    """Count the processors that this process may use; `root` holds proc/ and sys/."""
    n_machine = os.cpu_count() or 1
    n = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else n_machine
    quota = cpu_quota(root)
    # Rounded down: with 2.5 processors a third worker would make all of them wait.
    if quota is not None and quota < n:
        return Processors(max(1, math.floor(quota)), "quota")
    return Processors(n, "affinity" if n < n_machine else "machine")


def cpu_quota(root: Path = ROOT) -> float | None:
    """Return the processors' worth of time that control groups allow; None without a limit.

    A group's limit holds for the groups within it, so the smallest one on the way up counts. Reads
    version 2 (`cpu.max`) and version 1 (`cpu.cfs_quota_us`), also where both are mounted.
    """
    limits = [
        limit
        for folder in _folders(root)
        for limit in (_version_2(folder / "cpu.max"), _version_1(folder))
        if limit is not None
    ]
    return min(limits, default=None)


def _folders(root: Path) -> Iterator[Path]:
    """Yield the folders of this process's control groups, and of the groups around them."""
    mounted = root / "sys" / "fs" / "cgroup"
    for line in _read(root / "proc" / "self" / "cgroup").splitlines():
        # 0::/PATH in version 2; NUMBER:cpu,cpuacct:/PATH in version 1.
        _, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if names and "cpu" not in names.split(","):
            continue
        tops = [mounted, mounted / "unified"] if not names else [mounted / names, mounted / "cpu"]
        inside = PurePosixPath(path.lstrip("/"))
        for top in tops:
            # Inside a container the path may be the host's, of which only the top is visible.
            yield from (top / folder for folder in (inside, *inside.parents))


def _version_2(file: Path) -> float | None:
    quota, _, period = _read(file).strip().partition(" ")
    return _ratio(quota, period)


def _version_1(folder: Path) -> float | None:
    return _ratio(_read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us"))


def _ratio(quota: str, period: str) -> float | None:
    """Divide; None for "max", -1 or a file that is not there."""
    try:
        found = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):
        return None
    return found if found > 0 else None


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:  # another system, or no permission
        return ""
