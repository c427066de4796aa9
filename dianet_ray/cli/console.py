"""What the commands print, and where: results on stdout, progress and errors on stderr."""

from __future__ import annotations

import errno
import io
import json
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from pydantic import ValidationError
from rich.console import Console
from typer import BadParameter

from dianet_ray.errors import first_problem, one_line
from dianet_ray.progress import count
from dianet_ray.storage.addresses import is_remote

if TYPE_CHECKING:
    from dianet_ray.doctor.installation import Check
    from dianet_ray.ensemble.predict import Prediction
    from dianet_ray.options import TrackingOptions
    from dianet_ray.protocol.standing import Standing

# Paths and labels come from the user, so nothing in them is markup.
err = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)
out = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)

NOT_WRITTEN = (errno.EPIPE, errno.ENOSPC, errno.EIO)
"""What the system says when stdout takes nothing more."""
NATURAL_WIDTH = 1000
"""Columns that no table needs: each table then takes the width of what is in it."""


def open_streams() -> None:
    """Let what is printed go nowhere where stdout or stderr was closed (`>&-`)."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # instead of a stream
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))


@contextmanager
def speaking() -> Iterator[None]:
    """Let results reach stdout, whatever it can hold and whoever reads it.

    What its encoding cannot hold is written as an escape. When it takes nothing more (a full disk,
    a reader that has gone), the process ends with status 1 after one line.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            yield
        finally:
            sys.stdout.flush()  # here, because at its own exit Python would print a traceback
    except OSError as error:
        # Files are written, too, and it may be their disk that is full.
        if error.errno not in NOT_WRITTEN or not _refuses(sys.stdout):
            raise
        # What is still waiting to be written goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.errno != errno.EPIPE:
            print_error(OSError(f"the results could not be printed: {one_line(error)}"), 1)
        sys.exit(1)


def _refuses(stream: TextIO) -> bool:
    """Whether a stream takes not even a line break, which no result minds at its end."""
    try:
        stream.write("\n")
        stream.flush()
    except OSError:
        return True
    return False


def table_console() -> Console:
    """Make the console of tables, which fit a terminal and are never squeezed elsewhere."""
    # rich takes 80 columns where stdout is no terminal, and squeezes tables into them.
    is_limited = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(highlight=False, width=None if is_limited else NATURAL_WIDTH)


def print_json(document: Any) -> None:
    """Print one JSON document."""
    # An escape of stdout's own, as \xe9, would be no JSON.
    is_unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    # Not by rich, which would wrap long lines.
    print(json.dumps(document, indent=1, ensure_ascii=not is_unicode))


def print_error(error: Exception, status: int) -> int:
    """Print an error as one line and return the exit status."""
    message = _usage(error) if isinstance(error, BadParameter) else one_line(error)
    print(f"dianet-ray: {message}", file=sys.stderr)
    return status


def _usage(error: BadParameter) -> str:
    """Describe what typer refused; its own text quotes pydantic and leaves out the value."""
    # typer hides the rule and the value in the cause.
    if isinstance(error.__cause__, ValidationError):
        problem = first_problem(error.__cause__)
        found = repr(problem.found)
        shown = f"{problem.rule}, got {problem.shown}"
        error.message = problem.rule if found in problem.rule else shown
    return " ".join(error.format_message().split("\n"))


def print_check(check: Check) -> None:
    """Print one check of `doctor`, with the advice on a line of its own."""
    print(f"{check.state:4}  {check.name:8}  {check.found}", flush=True)
    if check.advice:
        print(f"{'':16}to do: {check.advice}", flush=True)


def print_prediction(found: Prediction) -> None:
    """Print the prediction of one clip."""
    shares = "  ".join(f"{name} {p:.2f}" for name, p in found.probabilities.items())
    apex_from = "spotted" if found.apex_from == "spot" else "given"
    out.print(f"{found.clip}: {found.label}  ({shares})")
    out.print(
        f"  onset {found.onset}, apex {found.apex} ({apex_from}), offset {found.offset}; "
        f"{count(found.n_models, 'model')} ({found.models}): {found.note}"
    )


def print_outcome(standing: Standing, path: Path, tracking: TrackingOptions) -> None:
    """Print the champion, or how far the search came, and the commands that come next."""
    from dianet_ray.search.status import status_of
    from dianet_ray.tracking.store import choose_uri, shown, ui_hint

    uri = choose_uri(tracking.uri, path)
    for line in status_of(standing, path).lines():
        out.print(line)
    where = [] if tracking.uri is None else ["--tracking-uri", shown(uri)]
    # Pages and models are local. Studies in one folder must not share them.
    here = Path() if is_remote(path) else path.parent
    # Quoted by shlex below, so that the commands can be copied whatever the paths hold.
    for words in (
        ["report", path, "--html", here / f"{path.name}.html"],
        ["collect", here / f"{path.name}-models", "--study", path, *where],
    ):
        out.print(shlex.join(["dianet-ray", *map(str, words)]))
    out.print(ui_hint(uri))
