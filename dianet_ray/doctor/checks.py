"""Checks of what a search needs here and on a cluster, and what to do about each problem.

Each check looks at one thing and returns `Check` records. None leaves anything behind, and one
that fails itself becomes a bad record. No token or password is ever shown.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from dianet_ray.cluster import connection
from dianet_ray.doctor import clusters, folders, gpus, installation
from dianet_ray.doctor.installation import INSTALL, Check
from dianet_ray.errors import InputError, one_line
from dianet_ray.storage.addresses import is_remote
from dianet_ray.storage.outputs import output_path
from dianet_ray.tracking import store

ADVICE = {
    "Ray": INSTALL,
    "scratch": "set RAY_TMPDIR to a short, writable folder, and keep the loopback interface up",
    "cluster": "start it, or correct --address or RAY_ADDRESS; use its head's versions and token",
    "MLflow": "start or repair it, or name another one with --tracking-uri or MLFLOW_TRACKING_URI",
}
"""What to do about an `InputError` of a check, by the name of the check."""


def examine(
    paths: Sequence[Path], *, address: str | None, tracking_uri: str | None
) -> Iterator[Check]:
    """Check everything in order, and yield each record as soon as it is known.

    Raises:
        InputError: every command refuses this path, address or tracking store.
    """
    named = connection.named_address(address)
    connection.check_protocol(named)
    return _checks([output_path(path) for path in paths], named, _named_store(tracking_uri))


def _named_store(given: str | None) -> str | None:
    uri = given or os.environ.get(store.URI_VARIABLE)
    return store.choose_uri(uri) if uri else None


def _checks(paths: Sequence[Path], address: str, uri: str | None) -> Iterator[Check]:
    # From the installation outwards, so that the first bad line is the cause of later ones.
    yield installation.check_python(sys.version_info)
    yield from _safely("packages", installation.check_packages)
    yield from _safely("torch", installation.check_torch)
    yield from _safely("faces", installation.check_cascade)
    yield from _safely("Ray", installation.check_ray)
    if address == connection.LOCAL:
        yield from _safely("scratch", installation.check_scratch)
    with ExitStack() as stack:
        joined, check = _join(address, stack)
        yield check
        yield from _safely("token", clusters.check_token, address)
        if not paths:
            yield Check("storage", "ok", "not checked, because no PATH was given")
        for path in paths:
            yield from _safely("storage", folders.check_storage, path, on_nodes=joined is not None)
        yield from _safely("MLflow", check_mlflow, uri, paths)
        yield from _safely("GPU", gpus.check_gpu)
        if joined is not None and joined.n_gpus:
            yield from _safely("GPU", clusters.check_node_gpus)


def _safely(name: str, check: Callable[..., Any], *args: Any, **also: Any) -> list[Check]:
    try:
        found = check(*args, **also)
    except Exception as error:  # a broken installation can raise anything
        return [_failed(name, error)]
    return [found] if isinstance(found, Check) else list(found)


def _failed(name: str, error: Exception) -> Check:
    if isinstance(error, InputError):
        return Check(
            name, "bad", one_line(error), ADVICE.get(name, "correct what the message names")
        )
    found = f"this check failed: {type(error).__name__}: {one_line(error)}"
    return Check(
        name, "bad", found, f"repair what the message names; to reinstall the packages: {INSTALL}"
    )


def _join(address: str, stack: ExitStack) -> tuple[connection.Cluster | None, Check]:
    """Join the named cluster until the stack closes; start no local Ray."""
    try:
        # Starting Ray would take seconds and show nothing that `local_cluster` does not know.
        if address == connection.LOCAL:
            return None, clusters.check_cluster(connection.local_cluster())
        joined = stack.enter_context(connection.connected(address))
    except Exception as error:
        return None, _failed("cluster", error)
    return joined, clusters.check_cluster(joined)


def check_mlflow(uri: str | None, paths: Sequence[Path]) -> Check:
    """Check the named tracking store; without one, report which file a search would write.

    Raises:
        InputError: the store cannot be used.
    """
    if uri is not None:
        store.check_store(uri)
        return Check("MLflow", "ok", f"{store.shown(uri)} can be used")
    if any(map(is_remote, paths)):
        found = "no store is named, and a study in an object store needs one"
        return Check("MLflow", "warn", found, "give --tracking-uri or set MLFLOW_TRACKING_URI")
    found = "no store is named, so a search writes mlflow.db beside its study"
    if paths:
        found += f": {store.default_uri(paths[-1])} for {paths[-1]}"
    return Check("MLflow", "ok", found)
