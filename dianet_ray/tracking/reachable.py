"""Ask a tracking store once, with a time limit, whether it answers.

Neither makes nor changes anything in the store. Imports MLflow only to ask a server.
"""

from __future__ import annotations

import os
import re
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from dianet_ray.errors import InputError, one_line
from dianet_ray.tracking.quiet import quieten

SQLITE_HEADER = b"SQLite format 3\0"


def check_sqlite(path: Path, *, reads_only: bool = False) -> None:
    """Refuse a path where no SQLite database is or, unless it is only read, can be made.

    Raises:
        InputError: no folder, no database, or not writable (readable).
    """
    if not path.parent.is_dir():
        raise InputError(f"the tracking store's folder must exist: {path.parent}")
    if path.is_dir():
        raise InputError(f"the tracking store must be an SQLite database: {path} is a folder")
    try:
        if not reads_only:
            with tempfile.TemporaryFile(dir=path.parent):  # SQLite writes its journal there
                pass
            if not path.exists():
                return
        with path.open("rb" if reads_only else "r+b") as file:
            start = file.read(len(SQLITE_HEADER))
    except OSError as error:
        needs = "readable" if reads_only else "writable"
        raise InputError(f"the tracking store must be {needs}: {path}: {error.strerror}") from None
    # An empty file is what SQLite itself leaves when it was interrupted before its first page.
    if start not in (b"", SQLITE_HEADER):
        raise InputError(f"the tracking store must be an SQLite database: {path}")


def ask_server(uri: str, timeout_s: float) -> str:
    """Ask a server for one experiment; return what is wrong, or nothing.

    MLflow's own client would retry for four minutes before it gives up.
    """
    # Imported here and not in `ask`, so that only the asking is timed.
    quieten()
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    def ask() -> str:
        response = http_request(
            get_default_host_creds(uri),
            "/api/2.0/mlflow/experiments/search",
            "POST",
            max_retries=0,
            timeout=timeout_s,
            raise_on_status=False,
            json={"max_results": 1},
        )
        if response.status_code in (401, 403):
            return f"it refused the credentials (status {response.status_code})"
        return "" if response.ok else f"it answered with status {response.status_code}"

    problem = _within(timeout_s, ask)
    return problem and problem + _proxy(uri)


def _proxy(uri: str) -> str:
    """Say that a proxy of the environment was asked, which may be what does not answer."""
    from requests.utils import get_environ_proxies, select_proxy

    address = urlsplit(uri)
    proxy = select_proxy(uri, get_environ_proxies(uri))
    if not proxy:
        return ""
    names = (f"{address.scheme}_proxy", "all_proxy")
    found = (name for lower in names for name in (lower, lower.upper()) if os.environ.get(name))
    variable = next(found, "the system's settings")
    # An address without a scheme has no host for urlsplit.
    host = urlsplit(
        proxy if "://" in proxy else f"//{proxy}"
    ).hostname  # without the credentials that its address may hold
    return (
        f" (asked through the proxy {host} of {variable}; to ask the server itself, add "
        f"{address.hostname} to no_proxy)"
    )


def ask_database(uri: str, timeout_s: float) -> str:
    """Connect to a database server; return what is wrong, or nothing.

    MLflow makes or migrates its tables later, which may take longer than the limit.
    """
    import sqlalchemy  # as MLflow connects to databases

    def ask() -> str:
        engine = sqlalchemy.create_engine(uri)
        try:
            with engine.connect() as connection:
                connection.execute(sqlalchemy.text("SELECT 1"))
        finally:
            engine.dispose()
        return ""

    return _within(timeout_s, ask)


def _within(timeout_s: float, ask: Callable[[], str]) -> str:
    """Run `ask` in a thread, because name resolution and drivers have no common limit."""
    outcome = [f"no answer within {timeout_s:g} s"]

    def run() -> None:
        try:
            outcome[0] = ask()
        except Exception as error:  # every driver has its own exceptions
            # Drivers wrap the cause in their own classes' names and addresses.
            cause = re.search(r"\[Errno -?\d+\] ([^\"')]+)", str(error))
            outcome[0] = cause[1] if cause else one_line(error)

    # A daemon, because a thread that is stuck in a driver call cannot be stopped.
    thread = threading.Thread(target=run, daemon=True, name="ask the tracking store")
    thread.start()
    thread.join(timeout_s)
    return outcome[0]
