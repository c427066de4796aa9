"""Addresses of folders: a path of a file system, or s3://BUCKET/FOLDER and gs://BUCKET/FOLDER.

An address in an object store becomes a path of universal_pathlib, which is used like a `Path`.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from dianet_ray.errors import InputError

STORES = {"s3": "s3fs", "gs": "gcsfs"}
"""Each scheme and the package that it needs. The extras of this package have the same names."""

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)

# Without these limits a store that accepts connections but never answers blocks a command for
# minutes.
_S3_CONFIG = {"connect_timeout": 5, "read_timeout": 20, "retries": {"max_attempts": 1}}
_S3_TRIES = 2


def located(text: str) -> Path:
    """Read a path of a file system, or the address of a folder in an object store.

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
    _check_address(scheme, place, text)
    # universal_pathlib keeps the code on paths; fsspec below it creates files exclusively.
    # docs/decisions.md: File systems for buckets
    from upath import UPath

    # Other processes write there too, so listings must not be cached.
    options: dict[str, Any] = {"use_listings_cache": False}
    if scheme == "s3":
        options["config_kwargs"] = _S3_CONFIG
    return cast(Path, UPath(f"{scheme}://{place}", **options))


def _check_address(scheme: str, place: str, text: str) -> None:
    if scheme not in STORES:
        raise InputError(
            f"a folder must be a path, s3://BUCKET/FOLDER or gs://BUCKET/FOLDER: got {text}"
        )
    names = place.split("/")
    if len(names) < 2 or any(name in ("", ".", "..") for name in names):
        raise InputError(f"an address must name a bucket and a folder in it: got {text}")
    if set(place) & set("*?[]"):  # fsspec treats them as a pattern, even when it deletes
        raise InputError(f"an address must not contain * ? [ or ]: got {text}")
    if find_spec(STORES[scheme]) is None:
        raise InputError(
            f"{scheme}:// needs the package {STORES[scheme]}: run pip install -c constraints.txt "
            f"'.[{scheme}]'; got {text}"
        )


def is_remote(path: Path) -> bool:
    """Return whether a path is in an object store."""
    return not isinstance(path, Path)


def store_of(path: Path) -> tuple[Any, str]:
    """Return the fsspec file system of a remote path, and the path's key in it."""
    remote: Any = path
    store = remote.fs
    # s3fs alone has this attribute. Waiting for a store is the work of `files.patiently`, which
    # reports that it waits.
    if hasattr(store, "retries"):
        store.retries = _S3_TRIES
    return store, remote.path
