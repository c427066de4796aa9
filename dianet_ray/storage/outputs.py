"""Writing what a command was asked for: whole or not at all, and failures in one line.

An output folder is made as `.NAME.part` beside it and renamed at the end, so that what exists
under its own name is complete; what an interrupted run left is removed by the next one.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dianet_ray.errors import InputError
from dianet_ray.options import JOB_VARIABLE
from dianet_ray.storage.files import is_remote, writing

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # what a Path leaves of s3://


@contextmanager
def output_folder(path: Path) -> Iterator[Path]:
    """Yield a new folder that becomes `path`, which may be an empty folder, at the end.

    Raises:
        InputError: the block, or the renaming, raised an OSError.
    """
    beside = path.with_name(f".{path.name}.part")
    try:
        with writing(path):
            shutil.rmtree(beside, ignore_errors=True)
            beside.mkdir(parents=True)
            yield beside
            if path.exists():
                path.rmdir()
            beside.replace(path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def output_path(path: Path) -> Path:
    """Make an output path absolute; an address in an object store is.

    Raises:
        InputError: a relative path inside a submitted job, where it would be deleted.
    """
    if is_remote(path):
        return path
    if _SCHEME.match(str(path)):
        raise InputError(f"this output is a file or folder of this machine: got {path}")
    if JOB_VARIABLE in os.environ and not path.is_absolute():
        raise InputError(
            "inside a submitted job an output must be an absolute path (the job's directory is "
            f"deleted with the job): got {path}"
        )
    return path.absolute()
