"""A folder of one's own for a local Ray: its sockets, its session, its logs.

Ray's default, `ray` in the temporary folder, may be another user's, and a long TMPDIR makes paths
of sockets that the system refuses.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from dianet_ray.errors import InputError

VARIABLE = "RAY_TMPDIR"
MAX_BASE = 24
"""Characters of a base folder's path, at most. A socket's path has at most 107 on Linux and 103 on
macOS, of which Ray needs 64 below the folder that it is given, and its name takes 14."""


def bases() -> list[Path]:
    """List where a local Ray's folder may lie, what the user named first."""
    named = os.environ.get(VARIABLE)
    usual = (tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm")
    return [Path(place) for place in dict.fromkeys([named, *usual] if named else usual)]


def choose_base(candidates: Sequence[Path] | None = None) -> Path:
    """Choose the first place that is short enough and can be written.

    Raises:
        InputError: there is none; says what is wrong with each.
    """
    problems = []
    for base in bases() if candidates is None else candidates:
        problem = _problem(base)
        if not problem:
            return base
        problems.append(f"{base} {problem}")
    raise InputError(
        f"a local Ray needs a folder for its sockets: {'; '.join(problems)}; set {VARIABLE} to a "
        f"writable folder whose path has at most {MAX_BASE} characters"
    )


def _problem(base: Path) -> str:
    if len(str(base)) > MAX_BASE:
        return f"has {len(str(base))} characters, more than {MAX_BASE}"
    if not base.is_dir():
        return "is no folder"
    return "" if os.access(base, os.W_OK | os.X_OK) else "cannot be written"


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Make a folder that nobody else reaches, and delete it at the end.

    Raises:
        InputError: as `choose_base`.
    """
    folder = Path(tempfile.mkdtemp(prefix="ray", dir=choose_base()))
    inside = folder / "r"
    inside.mkdir()
    try:
        yield inside  # which Ray opens to everybody; the folder around it stays closed
    finally:
        # A process of Ray that ends late may still hold a file.
        shutil.rmtree(folder, ignore_errors=True)
