"""Where MLflow keeps things: the store's address, whether it answers, a client for it.

Importing MLflow takes more than a second and making a new SQLite store several, so `check_store`
needs neither for a database file, and MLflow is imported where it is first used.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from dianet_ray.errors import InputError

if TYPE_CHECKING:
    from mlflow import MlflowClient

URI_VARIABLE = "MLFLOW_TRACKING_URI"
EXPERIMENT_VARIABLE = "MLFLOW_EXPERIMENT_NAME"
EXPERIMENT = "dianet-ray"
SQLITE = "sqlite:///"
DATABASES = ("postgresql", "mysql", "mssql")
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
TIMEOUT_S = 4.0
"""Leaves a second of the five in which a command must have refused a store that is not there."""


def default_uri(study: Path) -> str:
    """Name the SQLite store beside a study.

    >>> default_uri(Path("/data/study"))
    'sqlite:////data/mlflow.db'
    """
    return f"{SQLITE}{study.absolute().parent / 'mlflow.db'}"


def choose_uri(given: str | None, study: Path | None = None) -> str:
    """Choose the store: the one given, else MLFLOW_TRACKING_URI, else beside the study.

    Raises:
        InputError: nothing to choose from, or an address that is no server and no database.
    """
    uri = given or os.environ.get(URI_VARIABLE) or (default_uri(study) if study else None)
    if uri is None:
        raise InputError(f"which tracking store: give --tracking-uri or set {URI_VARIABLE}")
    scheme = urlsplit(uri).scheme
    if uri.startswith(SQLITE):
        return f"{SQLITE}{_database(uri).absolute()}"
    if scheme in ("http", "https") or scheme.split("+")[0] in DATABASES:
        return uri
    raise InputError(
        f"a tracking store is http(s)://HOST:PORT, {SQLITE}/PATH or a database URI: got {uri}"
    )


def choose_experiment(given: str | None) -> str:
    """Choose the experiment: the one given, else MLFLOW_EXPERIMENT_NAME, else dianet-ray."""
    return given or os.environ.get(EXPERIMENT_VARIABLE) or EXPERIMENT


def artifact_location(uri: str, study: Path) -> str | None:
    """Say where a new experiment's artifacts go: beside the database; None where a server knows.

    MLflow's own default for a database is ./mlruns of the working directory at that moment.
    """
    if urlsplit(uri).scheme in ("http", "https"):
        return None
    folder = _database(uri).parent if uri.startswith(SQLITE) else study.absolute().parent
    return (folder / "mlflow-artifacts").as_uri()


def check_store(uri: str, timeout_s: float = TIMEOUT_S) -> None:
    """Ask once whether the store can be used.

    Raises:
        InputError: it does not answer in time, refuses, or cannot be written; one line.
    """
    if uri.startswith(SQLITE):
        _check_sqlite(_database(uri))
        return
    ask = _ask_server if urlsplit(uri).scheme in ("http", "https") else _ask_database
    outcome = _within(timeout_s, lambda: ask(uri, timeout_s))
    if outcome:
        credentials, _, host = urlsplit(uri).netloc.rpartition("@")
        outcome = outcome.replace(f"{credentials}@", "")
        shown = urlsplit(uri)._replace(netloc=host).geturl()
        raise InputError(f"the tracking store must answer: {outcome}, at {shown}")


def open_client(uri: str) -> MlflowClient:
    """Make a client of its own: MLflow's global state stays. A new SQLite store takes seconds."""
    quieten()
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def connect(uri: str, timeout_s: float = TIMEOUT_S) -> MlflowClient:
    """Check the store and make a client.

    Raises:
        InputError: as `check_store`.
    """
    check_store(uri, timeout_s)
    return open_client(uri)


def quieten() -> None:
    """Keep MLflow's migrations, bars, advice and usage reports to itself, unless asked for."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    # said by MLflow about its own classes when mlflow.pyfunc is imported
    warnings.filterwarnings("ignore", message=".*Any type hint is inferred as AnyType")
    import mlflow  # noqa: F401 - the import configures its loggers, so levels are set after it

    if "MLFLOW_LOGGING_LEVEL" not in os.environ:
        logging.getLogger("mlflow").setLevel(logging.ERROR)
        # a failed statement is raised to us; its traceback need not be on the terminal as well
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
        logging.getLogger("alembic").setLevel(logging.ERROR)
        logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)


def experiment_id(client: MlflowClient, name: str, location: str | None) -> str:
    """Find an experiment, or make it with an explicit place for artifacts.

    Raises:
        InputError: the experiment was deleted and waits in MLflow's bin.
    """
    found = client.get_experiment_by_name(name)
    if found is None:
        return str(client.create_experiment(name, artifact_location=location))
    if found.lifecycle_stage != "active":
        raise InputError(
            f"an experiment must be active: {name} is deleted; restore it or name another one"
        )
    return str(found.experiment_id)


def _database(uri: str) -> Path:
    return Path(uri.removeprefix(SQLITE).partition("?")[0])


def _check_sqlite(path: Path) -> None:
    target = path if path.exists() else path.parent
    if not path.parent.is_dir():
        raise InputError(f"the tracking store's folder must exist: {path.parent}")
    if not os.access(target, os.W_OK):
        raise InputError(f"the tracking store must be writable: {target}")
    if path.exists():
        with path.open("rb") as file:
            start = file.read(16)
        if start not in (b"", b"SQLite format 3\0"):
            raise InputError(f"the tracking store must be an SQLite database: {path}")


def _ask_server(uri: str, timeout_s: float) -> str:
    quieten()
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

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


def _ask_database(uri: str, timeout_s: float) -> str:
    open_client(uri).search_experiments(max_results=1)
    return ""


def _within(timeout_s: float, ask: Callable[[], str]) -> str:
    """Run `ask` in a thread: name resolution and drivers know no common limit."""
    outcome = [f"no answer within {timeout_s:g} s"]

    def run() -> None:
        try:
            outcome[0] = ask()
        except Exception as error:  # every driver has its own exceptions
            text = " ".join(str(error).split())
            cause = re.search(r"\[Errno -?\d+\] ([^\"')]+)", text)
            outcome[0] = cause[1] if cause else text[:300]

    thread = threading.Thread(target=run, daemon=True, name="ask the tracking store")
    thread.start()
    thread.join(timeout_s)
    return outcome[0]
