"""Join the Ray cluster that the user named, or start a local Ray of our own.

Never a cluster found by chance: plain `ray.init()` would join the last one started on the machine.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from dianet_ray.errors import InputError

ADDRESS_VARIABLE = "RAY_ADDRESS"


@dataclass(frozen=True, slots=True)
class Cluster:
    """What a cluster offers in all."""

    address: str
    n_cpus: float
    n_gpus: float
    n_nodes: int

    def n_workers(self, *, cpus: float, gpus: float, limit: int | None) -> int:
        """Count the trials that fit at once.

        Raises:
            InputError: not even one fits.
        """
        fits = [self.n_cpus / cpus if cpus else float("inf")]
        fits.append(self.n_gpus / gpus if gpus else float("inf"))
        count = int(min(*fits, limit or float("inf"), 1e6) + 1e-9)
        if count < 1:
            raise InputError(
                f"a trial needs {cpus:g} CPUs and {gpus:g} GPUs: the cluster {self.address} has "
                f"{self.n_cpus:g} and {self.n_gpus:g}"
            )
        return count


def local_cpus() -> int:
    """Count the CPUs that this process may use."""
    return (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )


def local_cluster() -> Cluster:
    """Describe the local Ray that `connected` would start."""
    return Cluster("local", local_cpus(), 0.0, 1)


def named_address(address: str | None) -> str:
    """Choose the cluster: the one given, else RAY_ADDRESS, else a local Ray."""
    return address or os.environ.get(ADDRESS_VARIABLE) or "local"


@contextmanager
def connected(address: str | None, *, n_cpus: int | None = None) -> Iterator[Cluster]:
    """Connect to Ray for the time of the context.

    Args:
        address: a cluster's address; None for RAY_ADDRESS when it is set, else a local Ray.
        n_cpus: CPUs of the local Ray, all that this process may use by default.

    Raises:
        InputError: the address is a job server's, or nobody answers there.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray  # imported here: half a second that `--help` need not wait for

    address = named_address(address)
    if address.startswith(("http://", "https://")):
        raise InputError(
            f"{ADDRESS_VARIABLE} or --address names the cluster (host:6379 or auto), not its job "
            f"server: got {address}; to submit a job there use ray job submit --address {address}"
        )
    options = (
        {"num_cpus": n_cpus or local_cpus(), "include_dashboard": False}
        if address == "local"
        else {}
    )
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **options)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"no Ray cluster answers at {address}: {reason}") from None
    try:
        total = ray.cluster_resources()
        yield Cluster(address, total.get("CPU", 0.0), total.get("GPU", 0.0), len(ray.nodes()))
    finally:
        ray.shutdown()
