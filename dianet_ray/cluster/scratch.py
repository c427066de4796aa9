"""What a local Ray needs of its machine: a folder for its files, and the loopback interface.

Ray's default folder, `ray` in the temporary folder, may be another user's, and a long TMPDIR makes
paths of sockets that the system refuses. So sockets, session and logs lie in one of their own.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from dianet_ray.errors import InputError, one_line

VARIABLE = "RAY_TMPDIR"
LOOPBACK, LOOPBACK_S = "127.0.0.1", 2.0
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


def check_loopback() -> None:
    """Check that this machine reaches itself, as the processes of a local Ray must.

    Raises:
        InputError: it does not. Ray itself would try for ever.
    """
    try:
        with socket.create_server((LOOPBACK, 0)) as server:
            socket.create_connection(server.getsockname(), LOOPBACK_S).close()
    except OSError as error:
        raise InputError(
            f"a local Ray needs the loopback interface: {LOOPBACK} cannot be reached "
            f"({one_line(error)}); bring it up with `ip link set lo up`, or name a cluster with "
            "--address"
        ) from None


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
