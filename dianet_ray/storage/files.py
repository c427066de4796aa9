"""Read, write, list and delete, on a file system or in an object store (s3://, gs://).

The only module that knows the difference: whole writes, exclusive creation, listing, folders, and
the exceptions by which a storage says that it is unavailable.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from dianet_ray.errors import InputError, StorageAway, one_line
from dianet_ray.storage.addresses import is_remote, store_of

PATIENCE_S = 600.0
"""How long a storage may be unavailable or full before a search stops with its ledger intact."""

RETRY_S = 1.0

# What os.link raises where a file system has no hard links; Linux says EPERM.
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
# By name, because these packages are optional, and slow to import for a mere except clause.
_THEIR_FAILURES = (
    ("botocore.exceptions", ("BotoCoreError", "ClientError")),
    ("aiohttp", ("ClientError",)),
    ("gcsfs.retry", ("HttpError",)),
    ("google.auth.exceptions", ("GoogleAuthError",)),
)

Result = TypeVar("Result")


def failures(*also: type[Exception]) -> tuple[type[Exception], ...]:
    """List what an unavailable or full storage raises; object stores have their own exceptions."""
    theirs = (
        getattr(sys.modules[module], name)
        for module, names in _THEIR_FAILURES
        if module in sys.modules  # else it cannot have been raised
        for name in names
    )
    return (OSError, *theirs, *also)


@contextlib.contextmanager
def answering(path: Path) -> Iterator[None]:
    """Report an object store that does not answer, or refuses, as an `InputError`.

    Raises:
        InputError: the block raised one of the store's own exceptions.
    """
    try:
        yield
    except InputError:
        raise
    except failures() as error:
        # A local path has its own callers' messages; no object store is involved.
        if isinstance(error, OSError) and not is_remote(path):
            raise
        # These are answers of the store, and callers act on them.
        if isinstance(error, FileNotFoundError | FileExistsError | NotADirectoryError):
            raise
        raise InputError(f"the object store does not answer: {path}: {one_line(error)}") from None


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Report an output that cannot be written as an `InputError`.

    Raises:
        InputError: the block raised one of `failures`.
    """
    try:
        yield
    except InputError:
        raise
    except failures() as error:
        raise InputError(f"the output cannot be written: {path} ({one_line(error)})") from error


def patiently(action: Callable[[], Result], on_wait: Callable[[Exception], None]) -> Result:
    """Run an action on the storage, and retry each second while the storage is unavailable.

    Args:
        action: can be repeated after a failure.
        on_wait: called with each failure; it may raise to give up.

    Raises:
        FileExistsError: at once, from `action`: waiting would not help.
        StorageAway: after `PATIENCE_S`.
    """
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return action()
        except FileExistsError:
            raise
        except failures() as error:
            if time.monotonic() >= deadline:
                raise StorageAway(one_line(error)) from error
            on_wait(error)
            time.sleep(RETRY_S)


def create(path: Path, content: bytes) -> None:
    """Create a file that must not exist yet; durable, whole or not at all.

    A file with equal content is no failure: an earlier attempt made it, and its answer was lost.

    Raises:
        FileExistsError: the file exists with other content.
        InputError: the file system has no hard links.
    """
    try:
        _create(path, content)
    except FileExistsError:
        if read(path) != content:
            raise


def _create(path: Path, content: bytes) -> None:
    if is_remote(path):
        store, key = store_of(path)
        # A PUT on a condition. docs/decisions.md: A lock that needs only exclusive creation
        store.pipe_file(key, content, mode="create")  # If-None-Match, or generation 0
        return
    with _beside(path, content) as beside:
        try:
            os.link(beside, path)  # unlike a rename, never replaces a file
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            raise InputError(f"the file system must support hard links: {path.parent}") from None
    _sync(path.parent)


def put(path: Path, content: bytes) -> None:
    """Write or replace a file in an existing folder; durable, whole or not at all."""
    if is_remote(path):
        store, key = store_of(path)
        store.pipe_file(key, content)
        return
    with _beside(path, content) as beside:
        beside.replace(path)
    _sync(path.parent)


@contextlib.contextmanager
def _beside(path: Path, content: bytes) -> Iterator[Path]:
    # A name of its own for every attempt: two writers never share a half-written file.
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # else a power cut can leave the name without the content
        yield beside
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


def _sync(folder: Path) -> None:
    # A new name is durable only once its folder is synchronised too.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def names(folder: Path) -> list[str]:
    """List the names of a folder's entries, sorted; empty when there is no such folder."""
    try:
        if not is_remote(folder):
            return sorted(path.name for path in folder.iterdir())
        store, key = store_of(folder)
        found = store.ls(key, detail=False, refresh=True)
    except FileNotFoundError:
        return []
    # A console makes an empty folder as an object of the folder's own name.
    inside = (path.rstrip("/") for path in found if path.rstrip("/") != key.rstrip("/"))
    return sorted({path.rpartition("/")[2] for path in inside})


def make_folder(path: Path, *, parents: bool = True) -> None:
    """Make a folder and its parents; an object store needs none."""
    if not is_remote(path):
        path.mkdir(parents=parents, exist_ok=True)


def read(path: Path) -> bytes:
    """Read a file; from an object store in one request, so that old and new never mix."""
    if not is_remote(path):
        return path.read_bytes()
    store, key = store_of(path)
    # UPath.read_bytes asks for size and content apart and fails if a heartbeat falls between.
    # docs/decisions.md: File systems for buckets
    return bytes(store.cat_file(key))


def read_files(paths: Sequence[Path]) -> list[bytes]:
    """Read several files; from an object store in parallel."""
    if not paths or not is_remote(paths[0]):
        return [read(path) for path in paths]
    store, _ = store_of(paths[0])
    keys = [store_of(path)[1] for path in paths]
    found = store.cat(keys)  # one round trip each, but all at once
    return [found[key] for key in keys]


def remove(path: Path) -> bool:
    """Delete a file, or a folder with everything in it; return whether it is gone."""
    try:
        if is_remote(path):
            store, key = store_of(path)
            store.rm(key, recursive=True)
        elif path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except FileNotFoundError:
        return True
    except failures():
        return False
    return True
