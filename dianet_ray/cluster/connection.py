"""Join the Ray cluster that the user named, or start a local Ray of our own.

Never a cluster found by chance: plain `ray.init()` would join the last one started on the machine.
"""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dianet_ray.errors import InputError

ADDRESS_VARIABLE = "RAY_ADDRESS"
SUPPORTED_RAY = "2.60"
SUPPORTED_PYTHON = "3.11 to 3.13"
LOCAL = "local"
KNOCK_S = 5.0
_TOKEN = (
    "RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH (else ~/.ray/auth_token) "
    "with the token that the cluster's head was started with"
)


Shape = tuple[float, float]
"""CPUs and GPUs: what a node has, or what a trial takes."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """What a cluster's living nodes offer: `nodes` holds the CPUs and GPUs of each."""

    address: str
    nodes: tuple[Shape, ...]

    @property
    def is_ours(self) -> bool:
        """Whether it is the local Ray that this process started: one node, this machine."""
        return self.address == LOCAL

    @property
    def n_cpus(self) -> float:
        """CPUs of all nodes."""
        return sum(cpus for cpus, _ in self.nodes)

    @property
    def n_gpus(self) -> float:
        """GPUs of all nodes."""
        return sum(gpus for _, gpus in self.nodes)

    @property
    def n_nodes(self) -> int:
        """Living nodes."""
        return len(self.nodes)

    def lacks_room(self, trial: Shape) -> InputError:
        """Say that no node can hold a trial: what it asks for and what there is."""
        found = " or ".join(f"{c:g} and {g:g}" for c, g in sorted(set(self.nodes)))
        return InputError(
            f"a trial needs {trial[0]:g} CPUs and {trial[1]:g} GPUs on one node: a node of the "
            f"cluster {self.address} has {found or 'none'}"
        )


def n_workers(nodes: Iterable[Shape], trial: Shape, limit: int | None) -> int:
    """Count the trials that fit at once, each on one node, up to `limit`."""
    count = sum(_fitting(node, *trial) for node in nodes)
    return count if limit is None else min(count, limit)


def check_gpus(gpus: float) -> None:
    """Check the GPUs of a trial: none, a share of one, or whole ones.

    Raises:
        InputError: neither.
    """
    if gpus > 1 and gpus != int(gpus):
        raise InputError(f"a trial takes a share of one GPU or whole GPUs: got {gpus:g}")


def _fitting(node: Shape, cpus: float, gpus: float) -> int:
    """Count the trials that fit on a node; Ray never splits a trial's share over two GPUs."""
    by_cpus = _floor(node[0] / cpus)
    if not gpus:
        return by_cpus
    by_gpus = _floor(node[1] / gpus) if gpus >= 1 else _floor(node[1]) * _floor(1 / gpus)
    return min(by_cpus, by_gpus)


def _floor(ratio: float) -> int:
    return int(ratio + 1e-9)


def local_cpus() -> int:
    """Count the CPUs that this process may use."""
    return (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )


def local_gpus() -> int:
    """Count the GPUs that trainings of this process could use."""
    import torch  # imported here: a second that `--help` need not wait for

    return torch.cuda.device_count()


def local_cluster() -> Cluster:
    """Describe the local Ray that `connected` would start."""
    return Cluster(LOCAL, ((local_cpus(), local_gpus()),))


def named_address(address: str | None) -> str:
    """Choose the cluster: the one given, else RAY_ADDRESS, else a local Ray."""
    return address or os.environ.get(ADDRESS_VARIABLE) or LOCAL


@contextmanager
def connected(address: str | None, *, n_cpus: int | None = None) -> Iterator[Cluster]:
    """Connect to Ray for the time of the context.

    Args:
        address: a cluster's address; None for RAY_ADDRESS when it is set, else a local Ray.
        n_cpus: CPUs of the local Ray, all that this process may use by default.

    Raises:
        InputError: the address is a job server's or a Ray client's, nobody answers there, or
            the cluster asks for a token that this process lacks.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray  # imported here: half a second that `--help` need not wait for

    address = named_address(address)
    check_ray(ray.__version__)
    check_protocol(address)
    _knock(address)
    options: dict[str, Any] = {}
    if address != LOCAL:  # a wrong token is one line of ours, not twenty of Ray's
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    if address == LOCAL:  # what `local_cluster` says, so that a dry run's plan is the run's
        options = {
            "num_cpus": n_cpus or local_cpus(),
            "num_gpus": local_gpus(),
            "include_dashboard": False,
        }
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **options)
    except ray.exceptions.AuthenticationError:
        raise InputError(f"the cluster at {address} asks for a token: set {_TOKEN}") from None
    except ConnectionError as error:  # also the answer to a wrong token, or to none
        raise InputError(
            f"no Ray cluster answers at {address}: {_reason(error)}; one that asks for a token "
            f"answers only with {_TOKEN}"
        ) from None
    except (RuntimeError, ValueError, OSError) as error:
        raise _unusable(address, error) from None
    try:
        yield Cluster(address, living_nodes(ray.nodes()))
    finally:
        ray.shutdown()


def check_python(version: Sequence[Any]) -> None:
    """Check the version of Python, given as (major, minor, micro, ...).

    Raises:
        InputError: found and supported.
    """
    first, last = (tuple(map(int, text.split("."))) for text in SUPPORTED_PYTHON.split(" to "))
    if not first <= tuple(version[:2]) <= last:
        found = ".".join(map(str, version[:3]))
        raise InputError(f"dianet_ray supports Python {SUPPORTED_PYTHON}: found {found}")


def check_ray(found: str) -> None:
    """Check the version of Ray that this process uses.

    Raises:
        InputError: found and supported.
    """
    if not found.startswith(f"{SUPPORTED_RAY}."):
        raise InputError(f"dianet_ray supports Ray {SUPPORTED_RAY}: found {found}")


def _unusable(address: str, error: Exception) -> InputError:
    """Say why a cluster cannot be used: other versions than ours, or no answer."""
    # Ray's text lists what the cluster was started with, then what this process was.
    versions = re.findall(r"(Ray|Python): ([0-9][^\s]*)", str(error))
    if "mismatch" in str(error) and len(versions) == 4:
        there, here = (" and ".join(map(" ".join, half)) for half in (versions[:2], versions[2:]))
        return InputError(
            f"the cluster at {address} has {there}, this command {here}: they must be equal "
            f"(supported: Ray {SUPPORTED_RAY}, Python {SUPPORTED_PYTHON})"
        )
    return InputError(f"no Ray cluster answers at {address}: {_reason(error)}")


def _knock(address: str) -> None:
    """Refuse an address where nothing listens: Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not (host and port.isdigit()):
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), KNOCK_S).close()
    except (OSError, OverflowError, UnicodeError) as error:
        raise InputError(f"no Ray cluster answers at {address}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def living_nodes(nodes: Sequence[Mapping[str, Any]]) -> tuple[Shape, ...]:
    """Read the CPUs and GPUs of the nodes that are alive from `ray.nodes()`."""
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    return tuple((found.get("CPU", 0.0), found.get("GPU", 0.0)) for found in alive)


def check_protocol(address: str) -> None:
    """Check that an address is a cluster's.

    Raises:
        InputError: it is a job server's or a Ray Client server's; with the way out.
    """
    if address.startswith(("http://", "https://")):
        raise InputError(
            f"{ADDRESS_VARIABLE} or --address names the cluster (host:6379 or auto), not its job "
            f"server: got {address}; to submit a job there use ray job submit --address {address}"
        )
    if address.startswith("ray://"):
        raise InputError(
            f"{ADDRESS_VARIABLE} or --address names the cluster (host:6379 or auto), not its Ray "
            f"Client server: got {address}; submit the search with ray job submit, or run it on "
            "the cluster's head with --address auto"
        )
