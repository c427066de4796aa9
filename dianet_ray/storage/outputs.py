"""Outputs named by the user: written whole or not at all, failures reported in one line.

An output folder is made as `.NAME.part` beside its place and renamed at the end, so whatever
exists under its own name is complete. The next run removes what an interrupted one left.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dianet_ray.errors import InputError
from dianet_ray.storage import files
from dianet_ray.storage.addresses import is_remote

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # a Path makes s3:/ of s3://


JOB_VARIABLE = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Set by Ray inside a submitted job, whose working directory is deleted with the job."""


def write_file(path: Path, content: bytes | str) -> None:
    """Write a file whole or not at all, after making the folders above it; text as UTF-8.

    Raises:
        InputError: the file cannot be written.
    """
    with files.writing(path):
        files.make_folder(path.parent)
        files.put(path, content.encode() if isinstance(content, str) else content)


@contextmanager
def output_folder(path: Path) -> Iterator[Path]:
    """Yield a new folder that becomes `path` at the end; `path` may be an empty folder.

    Raises:
        InputError: the block, or the renaming, raised an OSError.
    """
    beside = path.with_name(f".{path.name}.part")
    try:
        with files.writing(path):
            shutil.rmtree(beside, ignore_errors=True)
            # No exist_ok: if the old folder could not be deleted, its files must not slip in.
            beside.mkdir(parents=True)
            yield beside
            if path.exists():
                # rmdir refuses a folder that is not empty, so no file of the user is replaced.
                path.rmdir()
            beside.replace(path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def output_path(path: Path) -> Path:
    """Make the path of an output absolute; an address in an object store already is.

    Raises:
        InputError: a relative path inside a submitted job, where it would be deleted.
    """
    if is_remote(path):
        return path
    if _SCHEME.match(str(path)):
        raise InputError(f"this output must be a path on this machine, not an address: got {path}")
    if JOB_VARIABLE in os.environ and not path.is_absolute():
        raise InputError(
            "inside a submitted job an output must be an absolute path, because Ray deletes the "
            f"job's working directory with the job: got {path}"
        )
    return path.absolute()


def output_file(
    path: Path, *, inputs: Collection[Path] = (), folders: Collection[Path] = ()
) -> Path:
    """Make the path of an output file absolute; a link is followed, or it would be replaced.

    Raises:
        InputError: it is one of the `inputs`, lies in one of the `folders`, or is no file; or as
            `output_path`.
    """
    found = output_path(path)
    if is_remote(found):
        return found
    found = Path(os.path.realpath(found))
    if found.exists() and not found.is_file():
        raise InputError(f"an output must be a file, new or old: {path} is a folder or a device")
    if any(found == Path(os.path.realpath(one)) for one in inputs):
        raise InputError(f"an output must not overwrite what the command reads: {path}")
    for folder in folders:
        if found.is_relative_to(os.path.realpath(folder)):
            raise InputError(f"an output must not lie in {folder}: got {path}")
    return found


def output_files(paths: Iterable[Path | None], **kept: Collection[Path]) -> list[Path | None]:
    """Do this for several outputs, which must be different files; `kept` as for `output_file`."""
    found = [None if path is None else output_file(path, **kept) for path in paths]
    named = [path for path in found if path is not None]
    if len(set(named)) < len(named):
        raise InputError(f"outputs must be different files: got {', '.join(map(str, named))}")
    return found


def submitted_job() -> str:
    """Return the id of the Ray job that this process drives; empty outside a submitted job."""
    try:
        metadata = json.loads(os.environ.get(JOB_VARIABLE, "{}")).get("metadata", {})
        return str(metadata.get("job_submission_id", ""))
    except (ValueError, AttributeError):
        return ""
