"""Where IMAGES and STUDY lie: on a file system, or in an object store (s3://, gs://).

The only module that knows the difference. An address in a store becomes universal_pathlib's path,
which is used like a `Path`; what differs is here: whole writes, exclusive creation, listing,
folders, and the exceptions by which a storage says that it is away.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar, cast

from dianet_ray.errors import InputError, StorageAway

STORES = {"s3": "s3fs", "gs": "gcsfs"}
"""The schemes, and the package that each needs (the extras of this package have their names)."""

PATIENCE_S = 600.0
"""How long a storage may be away or full before a search stops with its ledger intact."""

RETRY_S = 1.0

_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_THEIR_FAILURES = (
    ("botocore.exceptions", ("BotoCoreError", "ClientError")),
    ("aiohttp", ("ClientError",)),
    ("gcsfs.retry", ("HttpError",)),
    ("google.auth.exceptions", ("GoogleAuthError",)),
)

# Without these a store that takes requests and does not answer holds a command for minutes.
_S3_CONFIG = {"connect_timeout": 5, "read_timeout": 20, "retries": {"max_attempts": 1}}
_S3_TRIES = 2

Result = TypeVar("Result")


def located(text: str) -> Path:
    """Read a path of a file system, or a folder's address in an object store.

    >>> located("work/images")
    PosixPath('work/images')

    Raises:
        InputError: another scheme, no folder below the bucket, `..`, or the store's package is
            not installed.
    """
    found = _ADDRESS.fullmatch(text)
    if found is None:
        return Path(text)
    scheme, place = found[1].lower(), found[2].strip("/")
    if scheme not in STORES:
        raise InputError(f"a folder is a path, s3://BUCKET/FOLDER or gs://BUCKET/FOLDER: {text}")
    names = place.split("/")
    if len(names) < 2 or any(name in ("", ".", "..") for name in names):
        raise InputError(f"an address names a bucket and a folder in it: got {text}")
    if set(place) & set("*?[]"):  # fsspec would take them for a pattern, also when it deletes
        raise InputError(f"an address has none of * ? [ ]: got {text}")
    if find_spec(STORES[scheme]) is None:
        raise InputError(
            f"{scheme}:// needs {STORES[scheme]}: pip install -c constraints.txt '.[{scheme}]'; "
            f"got {text}"
        )
    from upath import UPath

    # Somebody else writes there too, so listings are never remembered.
    options: dict[str, Any] = {"use_listings_cache": False}
    if scheme == "s3":
        options["config_kwargs"] = _S3_CONFIG
    return cast(Path, UPath(f"{scheme}://{place}", **options))


def is_remote(path: Path) -> bool:
    """Whether a path is in an object store."""
    return not isinstance(path, Path)


def failures(*also: type[Exception]) -> tuple[type[Exception], ...]:
    """List what a storage raises when it is away, full or refuses; stores' own are no OSErrors."""
    theirs = (
        getattr(sys.modules[module], name)
        for module, names in _THEIR_FAILURES
        if module in sys.modules  # else it cannot have been raised
        for name in names
    )
    return (OSError, *theirs, *also)


def reason(error: BaseException) -> str:
    """Say in one line why a storage failed.

    >>> reason(OSError(28, "No space left on device", "/data/x"))
    'No space left on device'
    """
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())[:300]


@contextlib.contextmanager
def answering(path: Path) -> Iterator[None]:
    """Turn an object store that does not answer, or refuses, into the user's one line.

    Raises:
        InputError: the block raised an exception of the store's own.
    """
    try:
        yield
    except InputError:
        raise
    except failures() as error:
        if isinstance(error, OSError) and not is_remote(path):
            raise
        if isinstance(error, FileNotFoundError | FileExistsError | NotADirectoryError):
            raise
        raise InputError(f"the object store must answer: {path}: {reason(error)}") from None


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an output that cannot be written into the user's one line.

    Raises:
        InputError: the block raised what a storage raises.
    """
    try:
        yield
    except InputError:
        raise
    except failures() as error:
        # A worker's error comes with its traceback, whose last line is the error.
        why = getattr(error, "strerror", None) or str(error).strip().rpartition("\n")[2]
        raise InputError(f"the output cannot be written: {path} ({why})") from error


def patiently(action: Callable[[], Result], on_wait: Callable[[Exception], None]) -> Result:
    """Do what needs the storage, again each second while it is away or full, or refuses.

    Args:
        action: may be repeated after a failure.
        on_wait: told of each failure; it may raise to give up.

    Raises:
        FileExistsError: at once, from `action`: nothing to wait for.
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
                raise StorageAway(reason(error)) from error
            on_wait(error)
            time.sleep(RETRY_S)


def create(path: Path, content: bytes) -> None:
    """Create a file whole or not at all, durable, and only when it does not exist.

    Equal content is no failure: it is ours, and the answer to an earlier attempt was lost.

    Raises:
        FileExistsError: the file exists with other content.
        InputError: a file system without hard links.
    """
    try:
        _create(path, content)
    except FileExistsError:
        if read(path) != content:
            raise


def _create(path: Path, content: bytes) -> None:
    if is_remote(path):
        store, key = _store(path)
        store.pipe_file(key, content, mode="create")  # If-None-Match, or generation 0
        return
    with _beside(path, content) as beside:
        try:
            os.link(beside, path)  # unlike a rename it never replaces
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            raise InputError(f"a file system must have hard links: {path.parent}") from None
    _sync(path.parent)


def put(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, durable, in place of what is there; its folder exists."""
    if is_remote(path):
        store, key = _store(path)
        store.pipe_file(key, content)
        return
    with _beside(path, content) as beside:
        beside.replace(path)
    _sync(path.parent)


@contextlib.contextmanager
def _beside(path: Path, content: bytes) -> Iterator[Path]:
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield beside
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def names(folder: Path) -> list[str]:
    """List a folder's entries by name, sorted; none when there is no such folder."""
    try:
        if not is_remote(folder):
            return sorted(path.name for path in folder.iterdir())
        store, key = _store(folder)
        found = store.ls(key, detail=False, refresh=True)
    except FileNotFoundError:
        return []
    # A folder that was made by hand is an object of its own name.
    inside = (path.rstrip("/") for path in found if path.rstrip("/") != key.rstrip("/"))
    return sorted({path.rpartition("/")[2] for path in inside})


def make_folder(path: Path, *, parents: bool = True) -> None:
    """Make a folder, and those above it; an object store has none to make."""
    if not is_remote(path):
        path.mkdir(parents=parents, exist_ok=True)


def read(path: Path) -> bytes:
    """Read a file; from an object store in one request, so never half old and half new."""
    if not is_remote(path):
        return path.read_bytes()
    store, key = _store(path)
    return bytes(store.cat_file(key))


def read_files(paths: Sequence[Path]) -> list[bytes]:
    """Read several files, from an object store all at once."""
    if not paths or not is_remote(paths[0]):
        return [read(path) for path in paths]
    store, _ = _store(paths[0])
    keys = [_store(path)[1] for path in paths]
    found = store.cat(keys)
    return [found[key] for key in keys]


def remove(path: Path) -> bool:
    """Delete a file or a folder with everything in it; say whether it is gone."""
    try:
        if is_remote(path):
            store, key = _store(path)
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


def _store(path: Path) -> tuple[Any, str]:
    remote: Any = path
    store = remote.fs
    if hasattr(store, "retries"):  # s3fs: `patiently` is what tries again for long
        store.retries = _S3_TRIES
    return store, remote.path
