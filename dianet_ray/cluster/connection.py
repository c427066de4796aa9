"""Join the Ray cluster that the user named, or start a local Ray of our own.

Plain `ray.init()` is never called: it would join the last cluster started on this machine.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from dianet_ray.cluster.listening import TOKEN, check_listening, token_error
from dianet_ray.cluster.scratch import check_loopback, scratch_folder
from dianet_ray.errors import InputError, one_line
from dianet_ray.processors import processors
from dianet_ray.progress import count

logger = logging.getLogger(__name__)

ADDRESS_VARIABLE = "RAY_ADDRESS"
# One release only: the autoscaler's reports and the drained nodes have no public interface.
SUPPORTED_RAY = "2.60"
SUPPORTED_PYTHON = "3.11 to 3.13"
LOCAL, AUTO = "local", "auto"


class Bundle(NamedTuple):
    """CPUs and GPUs on one node: all that it has, or what a trial takes; GPUs may be fractions."""

    cpus: float
    gpus: float

    def __str__(self) -> str:
        return f"{count(self.cpus, 'CPU')} and {count(self.gpus, 'GPU')}"


@dataclass(frozen=True, slots=True)
class Cluster:
    """The address of a cluster and what each of its living nodes has."""

    address: str
    nodes: tuple[Bundle, ...]

    @property
    def is_ours(self) -> bool:
        """Whether this is the local Ray that this process started: one node, this machine."""
        return self.address == LOCAL

    @property
    def n_cpus(self) -> float:
        """CPUs of all nodes."""
        return sum(node.cpus for node in self.nodes)

    @property
    def n_gpus(self) -> float:
        """GPUs of all nodes."""
        return sum(node.gpus for node in self.nodes)

    @property
    def n_nodes(self) -> int:
        """Number of living nodes."""
        return len(self.nodes)

    def too_small_for(self, trial: Bundle) -> InputError:
        """Make the error for a trial that no node can hold; it names the needs and the nodes."""
        found = " or ".join(map(str, sorted(set(self.nodes))))
        return InputError(
            f"a trial needs {trial} on one node: the nodes of the cluster {self.address} have "
            f"{found or 'none'}"
        )


def n_workers(nodes: Iterable[Bundle], trial: Bundle, limit: int | None) -> int:
    """Count the trials that fit at the same time, each on one node, up to `limit`."""
    count = sum(_fitting(node, trial) for node in nodes)
    return count if limit is None else min(count, limit)


def check_gpus(gpus: float) -> None:
    """Check the GPUs of a trial: none, a fraction of one, or a whole number of them.

    Raises:
        InputError: a number above one with a fraction.
    """
    if gpus > 1 and gpus != int(gpus):
        raise InputError(f"a trial takes a fraction of one GPU or whole GPUs: got {gpus:g}")


def _fitting(node: Bundle, trial: Bundle) -> int:
    """Count the trials that fit on a node; Ray never splits a fraction over two GPUs."""
    by_cpus = _floor(node.cpus / trial.cpus)
    if not trial.gpus:
        return by_cpus
    if trial.gpus >= 1:
        return min(by_cpus, _floor(node.gpus / trial.gpus))
    return min(by_cpus, _floor(node.gpus) * _floor(1 / trial.gpus))


def _floor(ratio: float) -> int:
    return int(ratio + 1e-9)  # 0.3 / 0.1 is 2.9999999999999996


def local_gpus() -> int:
    """Count the GPUs that trainings on this machine could use."""
    import torch  # takes a second, which `--help` need not wait for

    return torch.cuda.device_count()


def local_cluster() -> Cluster:
    """Describe the local Ray that `connected` would start."""
    return Cluster(LOCAL, (Bundle(processors().n, local_gpus()),))


def named_address(address: str | None) -> str:
    """Choose the cluster: the given address, else RAY_ADDRESS, else a local Ray."""
    return address or os.environ.get(ADDRESS_VARIABLE) or LOCAL


@contextmanager
def connected(address: str | None, *, n_cpus: int | None = None) -> Iterator[Cluster]:
    """Connect to Ray for as long as the context lasts.

    Args:
        address: a cluster's address; None for RAY_ADDRESS when it is set, else a local Ray.
        n_cpus: CPUs of a local Ray; by default all that this process may use.

    Raises:
        InputError: the address is that of a job server or a Ray Client server, nothing answers
            there, or the cluster requires a token that this process does not have.
    """
    # Nothing about a user's work leaves the machine. 0 is Ray's own default by now (ray issue
    # 54868): workers without a GPU see all of them, so a trial asks Ray for its device, not torch.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # By default a task that is killed for memory is run again for ever.
    os.environ.setdefault("RAY_task_oom_retries", "3")
    import ray  # takes half a second, which `--help` need not wait for

    address = named_address(address)
    check_ray(ray.__version__)
    check_protocol(address)
    check_listening(address)
    with ExitStack() as stack:
        options: dict[str, Any] = {}
        if address == LOCAL:
            check_loopback()
            options = {"_temp_dir": str(stack.enter_context(scratch_folder()))}
        _join(address, n_cpus, options)
        stack.callback(ray.shutdown)
        yield Cluster(address, living_nodes(ray.nodes()))


def _join(address: str, n_cpus: int | None, options: dict[str, Any]) -> None:
    import ray

    if address == LOCAL:  # what `local_cluster` describes, so that a dry run shows the true plan
        options |= {
            "num_cpus": n_cpus or processors().n,
            "num_gpus": local_gpus(),
            # The dashboard would start more processes, and nothing here looks at it.
            "include_dashboard": False,
        }
    else:  # a wrong token is reported in one line of ours instead of twenty of Ray's
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    # Whatever it is told, Ray prints a paragraph on stdout for each worker that dies.
    ray._private.worker.print_to_stdstream = _log
    try:
        # Workers log nothing here: their lines would break into our progress line.
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **options)
    except ray.exceptions.AuthenticationError:
        raise token_error(address) from None
    except ConnectionError as error:  # also raised for a wrong or missing token
        if address == AUTO:
            raise InputError(
                "no Ray cluster runs on this machine (--address auto): start one with ray start, "
                "or name another one with --address HOST:6379"
            ) from None
        raise InputError(
            f"no Ray cluster answers at {address}: {one_line(error)}; if it requires a token, set "
            f"{TOKEN}"
        ) from None
    except (RuntimeError, ValueError, OSError) as error:
        raise _unusable(address, error) from None


def _log(data: Mapping[str, Any], ignore_prefix: bool) -> None:
    """Log what Ray would print."""
    for line in data["lines"]:
        logger.info("Ray: %s", line)


def check_python(version: Sequence[Any]) -> None:
    """Check the version of Python, given as (major, minor, micro, ...).

    Raises:
        InputError: it is not supported.
    """
    first, last = (tuple(map(int, text.split("."))) for text in SUPPORTED_PYTHON.split(" to "))
    if not first <= tuple(version[:2]) <= last:
        found = ".".join(map(str, version[:3]))
        raise InputError(f"dianet_ray supports Python {SUPPORTED_PYTHON}: found {found}")


def check_ray(found: str) -> None:
    """Check the version of Ray that this process uses.

    Raises:
        InputError: it is not supported.
    """
    if not found.startswith(f"{SUPPORTED_RAY}."):
        raise InputError(f"dianet_ray supports Ray {SUPPORTED_RAY}: found {found}")


def _unusable(address: str, error: Exception) -> InputError:
    """Explain why a cluster cannot be used: other versions than ours, or no answer."""
    # Ray's text lists first the versions of the cluster, then those of this process.
    versions = re.findall(r"(Ray|Python): ([0-9][^\s]*)", str(error))
    # Any other text is passed on: a Ray that words it differently must not be misread.
    if "mismatch" in str(error) and len(versions) == 4:
        there, here = (" and ".join(map(" ".join, half)) for half in (versions[:2], versions[2:]))
        return InputError(
            f"the cluster at {address} has {there}, this command has {here}: they must be equal "
            f"(supported: Ray {SUPPORTED_RAY}, Python {SUPPORTED_PYTHON})"
        )
    if address == LOCAL:
        return InputError(f"a local Ray cannot start: {one_line(error)}")
    return InputError(f"no Ray cluster answers at {address}: {one_line(error)}")


def living_nodes(nodes: Sequence[Mapping[str, Any]]) -> tuple[Bundle, ...]:
    """Read the CPUs and GPUs of the living nodes from `ray.nodes()`."""
    return tuple(bundle_of(node) for node in nodes if node["Alive"])


def bundle_of(node: Mapping[str, Any]) -> Bundle:
    """Read the CPUs and GPUs of one node from its entry in `ray.nodes()`."""
    resources = node["Resources"]
    return Bundle(resources.get("CPU", 0.0), resources.get("GPU", 0.0))


def check_protocol(address: str) -> None:
    """Check that an address is that of a cluster.

    Raises:
        InputError: it is that of a job server or a Ray Client server.
    """
    if address.startswith(("http://", "https://")):
        raise InputError(
            f"{ADDRESS_VARIABLE} or --address must be the cluster's address (HOST:6379 or auto), "
            f"not that of its job server: got {address}; to submit a job to it, use ray job "
            f"submit --address {address}"
        )
    if address.startswith("ray://"):
        raise InputError(
            f"{ADDRESS_VARIABLE} or --address must be the cluster's address (HOST:6379 or auto), "
            f"not that of its Ray Client server: got {address}; submit the search with ray job "
            "submit, or run it on the cluster's head with --address auto"
        )
