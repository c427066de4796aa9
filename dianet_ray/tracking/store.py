"""Where MLflow keeps things: the store's address, whether it answers, a client for it.

Importing MLflow takes more than a second and making a new database several, so `check_store` does
neither for a database, and MLflow is imported where it is first used.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import shlex
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from dianet_ray.errors import InputError, one_line
from dianet_ray.storage.addresses import is_remote
from dianet_ray.storage.outputs import output_path

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
BRIEF = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}
"""The thread that writes tries again by itself; the client's own seven retries take 254 s, for
which the end of a search would wait."""

TIMEOUT_S = 4.0
"""Leaves a second of the five in which a command must have refused a store that is not there."""

_CREDENTIALS = re.compile(r"//([^/@:]*)(:.*)?@")
_SECRET_OPTION = re.compile(r"([?&][^=&]*(?:password|passwd|pwd|token)[^=&]*=)[^&]*", re.I)


def default_uri(study: Path) -> str:
    """Name the SQLite store beside a study.

    >>> default_uri(Path("/data/study"))
    'sqlite:////data/mlflow.db'
    """
    return f"{SQLITE}{study.absolute().parent / 'mlflow.db'}"


def choose_uri(given: str | None, study: Path | None = None) -> str:
    """Choose the store: the one given, else MLFLOW_TRACKING_URI, else beside the study.

    Raises:
        InputError: nothing to choose from, an address that is no server and no database, or a
            relative file inside a submitted job.
    """
    beside = default_uri(study) if study and not is_remote(study) else None
    uri = given or os.environ.get(URI_VARIABLE) or beside
    if uri is None:
        raise InputError(
            f"which tracking store: give --tracking-uri or set {URI_VARIABLE} (one is made only "
            "beside a study on a file system)"
        )
    try:
        scheme = urlsplit(uri).scheme
    except ValueError:  # its text may hold a password
        raise InputError(f"--tracking-uri or {URI_VARIABLE} is no address of a store") from None
    if uri.startswith(SQLITE):
        return f"{SQLITE}{output_path(_database(uri))}"
    if _is_server(uri) or scheme.split("+")[0] in DATABASES:
        return uri
    raise InputError(
        f"a tracking store is http(s)://HOST:PORT, {SQLITE}/PATH or a database URI: "
        f"got {shown(uri)}"
    )


def shown(uri: str) -> str:
    """Write an address without its secrets: passwords, and all credentials of a server.

    >>> shown("postgresql://me:secret@there/db"), shown("https://token@there")
    ('postgresql://me@there/db', 'https://there')
    """
    if uri.startswith(SQLITE):
        return uri
    plain = _CREDENTIALS.sub("//" if _is_server(uri) else r"//\1@", uri)
    return _SECRET_OPTION.sub(r"\1...", plain)


def ui_hint(uri: str) -> str:
    """Say how to look at a store: a server's address, or the command that shows a database.

    >>> ui_hint("sqlite:////data/my study/mlflow.db")
    "mlflow ui --backend-store-uri 'sqlite:////data/my study/mlflow.db'"
    """
    if _is_server(uri):
        return shown(uri)
    return f"mlflow ui --backend-store-uri {shlex.quote(shown(uri))}"


def choose_experiment(given: str | None) -> str:
    """Choose the experiment: the one given, else MLFLOW_EXPERIMENT_NAME, else dianet-ray."""
    return given or os.environ.get(EXPERIMENT_VARIABLE) or EXPERIMENT


def artifact_location(uri: str, study: Path) -> str | None:
    """Say where a new experiment's artifacts go: beside the database; None where a server knows.

    MLflow's own default for a database is ./mlruns of the working directory at that moment.
    """
    if _is_server(uri):
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
    ask = _server_question(uri, timeout_s) if _is_server(uri) else _database_question(uri)
    outcome = _within(timeout_s, ask)
    if outcome:
        credentials = _CREDENTIALS.search(uri)
        if credentials:
            outcome = outcome.replace(credentials[0], "//")
        raise InputError(f"the tracking store must answer: {outcome}, at {shown(uri)}")


def open_client(uri: str) -> MlflowClient:
    """Make a client of its own: MLflow's global state stays. A new database takes seconds."""
    quieten()
    from mlflow import MlflowClient

    if not uri.startswith(SQLITE):
        return MlflowClient(tracking_uri=uri, registry_uri=uri)
    with _only_one(_database(uri)):
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        client.search_experiments(max_results=1)
    return client


@contextlib.contextmanager
def _only_one(database: Path) -> Iterator[None]:
    """Let one process at a time make or migrate a database: two that do break it for good.

    Raises:
        InputError: it cannot be made, or is broken.
    """
    with (database.parent / f".{database.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        except Exception as error:  # whatever MLflow and SQLAlchemy raise
            raise InputError(
                f"the tracking store must be usable: {database}: {one_line(error)}; move it "
                "away, and dianet-ray track writes a study again"
            ) from None


def connect(uri: str, timeout_s: float = TIMEOUT_S) -> MlflowClient:
    """Check the store and make a client.

    Raises:
        InputError: as `check_store`.
    """
    check_store(uri, timeout_s)
    return open_client(uri)


def quieten() -> None:
    """Keep MLflow quiet (migrations, bars, advice, reports) and brief, unless asked otherwise."""
    for name, value in {**QUIET, **BRIEF}.items():
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
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_location=location))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(name)  # another process was faster
    if found.lifecycle_stage != "active":
        raise InputError(
            f"an experiment must be active: {name} is deleted; restore it or name another one"
        )
    return str(found.experiment_id)


def _is_server(uri: str) -> bool:
    return urlsplit(uri).scheme in ("http", "https")


def _database(uri: str) -> Path:
    return Path(uri.removeprefix(SQLITE).partition("?")[0])


def _check_sqlite(path: Path) -> None:
    if not path.parent.is_dir():
        raise InputError(f"the tracking store's folder must exist: {path.parent}")
    if path.is_dir():
        raise InputError(f"the tracking store must be an SQLite database: {path} is a folder")
    try:
        with tempfile.TemporaryFile(dir=path.parent):  # SQLite writes its journal there
            pass
        if not path.exists():
            return
        with path.open("r+b") as file:
            start = file.read(16)
    except OSError as error:
        raise InputError(
            f"the tracking store must be writable: {path}: {one_line(error)}"
        ) from None
    if start not in (b"", b"SQLite format 3\0"):
        raise InputError(f"the tracking store must be an SQLite database: {path}")


def _server_question(uri: str, timeout_s: float) -> Callable[[], str]:
    """Import what asking a server needs, so that only the asking is timed."""
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

    return ask


def _database_question(uri: str) -> Callable[[], str]:
    """Only connect: MLflow makes or migrates its tables later, in its own time."""
    import sqlalchemy  # MLflow's own way to databases

    def ask() -> str:
        engine = sqlalchemy.create_engine(uri)
        try:
            with engine.connect() as connection:
                connection.execute(sqlalchemy.text("SELECT 1"))
        finally:
            engine.dispose()
        return ""

    return ask


def _within(timeout_s: float, ask: Callable[[], str]) -> str:
    """Run `ask` in a thread: name resolution and drivers know no common limit."""
    outcome = [f"no answer within {timeout_s:g} s"]

    def run() -> None:
        try:
            outcome[0] = ask()
        except Exception as error:  # every driver has its own exceptions
            cause = re.search(r"\[Errno -?\d+\] ([^\"')]+)", str(error))
            outcome[0] = cause[1] if cause else one_line(error)

    thread = threading.Thread(target=run, daemon=True, name="ask the tracking store")
    thread.start()
    thread.join(timeout_s)
    return outcome[0]
