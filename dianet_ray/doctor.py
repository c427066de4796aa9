"""What keeps this machine, or a cluster, from running a search, and what to do about it.

Each check looks at one thing and answers with `Check` records; none raises, and none leaves
anything behind. A check that itself fails is a bad record of its own. Heavy libraries are imported
by the check that needs them: one of them may be what is missing.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import sys
import tomllib
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from dianet_ray import cluster, storage
from dianet_ray.errors import InputError
from dianet_ray.options import output_path
from dianet_ray.tracking import store

State = Literal["ok", "warn", "bad"]

DISTRIBUTION = "dianet-ray"
LEAST_FREE_GB = 5.0
GPU_ANSWER_S = 30.0
"""How long a task may wait for a share of a node's GPUs; they may all be taken."""

MARKER = ".doctor-"
"""Another prefix than a search's own marks, which a search that starts takes away."""

INSTALL = "pip install -c constraints.txt -e ."
MODE_VARIABLE, TOKEN_VARIABLE = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"
TOKEN_PATH_VARIABLE = "RAY_AUTH_TOKEN_PATH"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `advice` says what to do unless the state is ok."""

    name: str
    state: State
    found: str
    advice: str = ""


def examine(
    paths: Sequence[Path], *, address: str | None, tracking_uri: str | None
) -> Iterator[Check]:
    """Check everything in order; the records come as they are made.

    Raises:
        InputError: a path, an address or a store's address that no command takes.
    """
    named = cluster.named_address(address)
    cluster.check_protocol(named)
    return _checks([output_path(path) for path in paths], named, _chosen_store(tracking_uri))


def _chosen_store(given: str | None) -> str | None:
    uri = given or os.environ.get(store.URI_VARIABLE)
    if not uri:
        return None
    try:
        urlsplit(uri)
    except ValueError:  # whose text may hold the password
        raise InputError(
            f"--tracking-uri or {store.URI_VARIABLE} must be an address: this one cannot be read"
        ) from None
    return store.choose_uri(uri)


def _checks(paths: Sequence[Path], address: str, uri: str | None) -> Iterator[Check]:
    yield check_python(sys.version_info[:3])
    yield from _safely("packages", lambda: check_packages(requirements()))
    yield from _safely("torch", check_torch)
    yield from _safely("faces", check_cascade)
    yield from _safely("Ray", check_ray)
    with ExitStack() as stack:
        n_gpus = None

        def join() -> Check:
            nonlocal n_gpus
            joined = stack.enter_context(cluster.connected(address))
            n_gpus = joined.n_gpus
            return check_cluster(joined)

        yield from _safely("cluster", check_local if address == cluster.LOCAL else join)
        yield from _safely("token", lambda: check_token(address))
        if not paths:
            yield Check("storage", "ok", "no PATH was given, so none was checked")
        for path in paths:
            on_nodes = n_gpus is not None
            yield from _safely("storage", lambda p=path, n=on_nodes: check_storage(p, on_nodes=n))
        yield from _safely("MLflow", lambda: check_mlflow(uri, paths))
        yield from _safely("GPU", check_gpu)
        if n_gpus:
            yield from _safely("GPU", check_node_gpus)


def _safely(name: str, check: Callable[[], Check | list[Check]]) -> list[Check]:
    try:
        found = check()
    except InputError as error:
        return [Check(name, "bad", str(error), ADVICE.get(name, "see there"))]
    except Exception as error:  # whatever a broken installation raises
        text = f"the check failed: {type(error).__name__}: {storage.reason(error)}"
        return [Check(name, "bad", text, f"repair what it names, or install again: {INSTALL}")]
    return [found] if isinstance(found, Check) else found
