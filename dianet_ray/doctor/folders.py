"""Checks of the folders that hold IMAGES or STUDY, on this machine and on a cluster's nodes."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path

from dianet_ray.doctor.installation import Check
from dianet_ray.errors import InputError, one_line
from dianet_ray.progress import count
from dianet_ray.storage import files
from dianet_ray.storage.addresses import is_remote

# IMAGES of a large data set and the kept weights of a search can take some GB each.
LEAST_FREE_GB = 5.0

MARKER = ".doctor-"
"""Differs from the prefix of a search's marker, which the next driver there deletes."""


def check_storage(path: Path, *, on_nodes: bool = False) -> list[Check]:
    """Check that a folder can hold IMAGES or STUDY, and on request that every node can use it."""
    marker = path / f"{MARKER}{uuid.uuid4().hex}"
    with _left_as_found(path):
        try:
            found = [_use(path, marker)]
            if found[0].state == "ok":
                found += _check_room(path)
            if found[0].state != "bad" and on_nodes:
                found += _on_nodes(path, marker.name if found[0].state == "ok" else None)
        finally:
            files.remove(marker)
    return found


@contextmanager
def _left_as_found(path: Path) -> Iterator[None]:
    """Delete the folders that the block makes, unless another process has written into them."""
    folders = [] if is_remote(path) else [path, *path.parents]
    missing = [folder for folder in folders if not os.path.lexists(folder)]
    try:
        yield
    finally:
        for folder in missing:
            with suppress(OSError):
                folder.rmdir()  # fails for a folder that is not empty


def _use(path: Path, marker: Path) -> Check:
    """Try to list, write, read and create exclusively; leave `marker`, which holds its name."""
    advice = f"give uid {os.getuid()} access, or choose another folder"
    if is_remote(path):
        advice = "check bucket, endpoint and credentials (environment, or the machine's role)"
    entries: list[str] = []
    is_new = not (is_remote(path) or os.path.lexists(path))
    try:
        entries = files.names(path)
        files.make_folder(path)
        files.create(marker, marker.name.encode())
        files.read(marker)
    except files.failures(InputError) as error:
        if not entries or is_remote(path):  # data sets are never in a store
            return Check("storage", "bad", f"{path}: {one_line(error)}", advice)
        found = f"{path}: can be read but not written: {one_line(error)}"
        return Check("storage", "warn", found, f"{advice}; for a data set, reading is enough")
    try:
        # A store that ignores the condition replaces the marker, and would replace ledger parts.
        # docs/decisions.md: A lock that needs only exclusive creation
        files.create(marker, b"")
    except FileExistsError:
        what = "can be made" if is_new else "can be read and written"
        return Check("storage", "ok", f"{path}: {what}, and creates files exclusively")
    found = f"{path}: creating a file twice replaces it, so two drivers could write one study"
    return Check("storage", "bad", found, "use a store with conditional writes (If-None-Match)")


def _check_room(path: Path) -> list[Check]:
    if is_remote(path):
        return []
    free_gb = shutil.disk_usage(path).free / 1e9
    if free_gb >= LEAST_FREE_GB:
        return []
    found = f"{path}: only {free_gb:.1f} GB are free"
    return [
        Check(
            "storage", "warn", found, f"free at least {LEAST_FREE_GB:g} GB, or use another folder"
        )
    ]


def _on_nodes(path: Path, marker: str | None) -> list[Check]:
    """Check that every node can use a folder as this machine does, with the same versions.

    Args:
        path: the folder.
        marker: the name of a file in it; None to check reading only.
    """
    from dianet_ray.cluster.nodes import Nodes
    from dianet_ray.cluster.probe import Probe, digest, versions

    if marker is None:
        reads = [(file, digest(file)) for file in _some_file(path)]
        probe, does = Probe(tuple(reads), None, "", versions()), "read"
    else:
        probe, does = Probe((), path, marker, versions()), "read and write"
    nodes = Nodes(probe)
    nodes.wait_for_answers()
    advice = "repair the node, or remove it: a search gives it no trials"
    bad = [Check("storage", "bad", f"{path}: {line}", advice) for line in nodes.problems]
    good = f"{path}: {count(len(nodes.good), 'node')} can {does} it, with this machine's versions"
    return bad or [Check("storage", "ok", good)]


def _some_file(folder: Path) -> list[Path]:
    """Find one file in a folder or below it; an empty list if there is none."""
    found = (Path(above) / name for above, _, names in os.walk(folder) for name in sorted(names))
    return list(islice(found, 1))
