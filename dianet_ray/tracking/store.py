"""The MLflow store: its address, a check that it can be used, and a client for it.

Importing MLflow takes more than a second, and making a new database several. So MLflow is imported
where it is first used, and checking a database does neither.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from dianet_ray.errors import InputError, one_line
from dianet_ray.storage.addresses import is_remote
from dianet_ray.storage.outputs import output_path
from dianet_ray.tracking.quiet import quieten
from dianet_ray.tracking.reachable import ask_database, ask_server, check_sqlite

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

URI_VARIABLE = "MLFLOW_TRACKING_URI"
EXPERIMENT_VARIABLE = "MLFLOW_EXPERIMENT_NAME"
EXPERIMENT = "dianet-ray"
SQLITE = "sqlite:///"
DATABASES = ("postgresql", "mysql", "mssql")
TIMEOUT_S = 4.0
"""A command refuses a store that is not there within five seconds; one is left for the rest."""

_CREDENTIALS = re.compile(r"//([^/@:]*)(:.*)?@")
_SECRET_OPTION = re.compile(r"([?&][^=&]*(?:password|passwd|pwd|token)[^=&]*=)[^&]*", re.I)


def default_uri(study: Path) -> str:
    """Name the SQLite store beside a study.

    >>> default_uri(Path("/data/study"))
    'sqlite:////data/mlflow.db'
    >>> default_uri(Path("/data/100 %?/study"))
    'sqlite:////data/100 %25%3F/mlflow.db'
    """
    return _sqlite_uri(study.absolute().parent / "mlflow.db")


def choose_uri(given: str | None, study: Path | None = None) -> str:
    """Choose the store: the given URI, else MLFLOW_TRACKING_URI, else a file beside the study.

    Raises:
        InputError: no store is named, the address names neither a server nor a database,
            or it is a relative file inside a submitted job.
    """
    beside = default_uri(study) if study and not is_remote(study) else None
    uri = given or os.environ.get(URI_VARIABLE) or beside
    if uri is None:
        raise InputError(
            f"a tracking store must be named: give --tracking-uri or set {URI_VARIABLE} (without "
            "either, one is made only beside a study on a local path)"
        )
    try:
        scheme = urlsplit(uri).scheme
    except ValueError:  # the address may hold a password, so it is not repeated
        raise InputError(
            f"a tracking store is a URI: --tracking-uri or {URI_VARIABLE} is no address of a store"
        ) from None
    if uri.startswith(SQLITE):
        return _sqlite_uri(output_path(_typed_database(uri)))
    if _is_server(uri) or scheme.split("+")[0] in DATABASES:
        return uri
    raise InputError(
        f"a tracking store is http(s)://HOST:PORT, {SQLITE}/PATH or a database URI: "
        f"got {shown(uri)}"
    )


def shown(uri: str) -> str:
    """Write an address without passwords, and a server's without any credentials.

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
    """Choose the experiment: the given name, else MLFLOW_EXPERIMENT_NAME, else dianet-ray."""
    return given or os.environ.get(EXPERIMENT_VARIABLE) or EXPERIMENT


def artifact_location(uri: str, study: Path) -> str | None:
    """Place a new experiment's artifacts beside the database; None lets a server decide.

    MLflow's own default for a database is ./mlruns, wherever the command happens to be started.
    """
    if _is_server(uri):
        return None
    # An absolute address: a submitted job loses ./mlruns with its working directory.
    folder = _database(uri).parent if uri.startswith(SQLITE) else study.absolute().parent
    return (folder / "mlflow-artifacts").as_uri()


def check_store(uri: str, timeout_s: float = TIMEOUT_S, *, reads_only: bool = False) -> None:
    """Ask once whether the store can be used.

    Raises:
        InputError: it does not answer in time, refuses, or cannot be written (unless it is only
            read); one line.
    """
    if uri.startswith(SQLITE):
        check_sqlite(_database(uri), reads_only=reads_only)
        return
    # One request with a short limit: the client itself retries a refused port for minutes.
    problem = (ask_server if _is_server(uri) else ask_database)(uri, timeout_s)
    if problem:
        # Drivers and HTTP libraries repeat the address in their messages.
        credentials = _CREDENTIALS.search(uri)
        if credentials:
            problem = problem.replace(credentials[0], "//")
        raise InputError(f"the tracking store must answer: {problem}, at {shown(uri)}")


def open_client(uri: str, *, reads_only: bool = False) -> MlflowClient:
    """Make a client, which leaves MLflow's global state alone; a new database takes seconds.

    Raises:
        InputError: an SQLite database cannot be made, or is broken.
    """
    quieten()
    from mlflow import MlflowClient

    if not uri.startswith(SQLITE):
        return MlflowClient(tracking_uri=uri, registry_uri=uri)
    database = _database(uri)
    # A reader may have no right to make the file of the lock.
    with contextlib.nullcontext() if reads_only else _alone_at(database):
        try:
            with _no_twin(uri) as twins:
                client = MlflowClient(tracking_uri=uri, registry_uri=uri)
                # This opens the database, which makes its tables.
                client.search_experiments(max_results=1)
                if twins:  # the registry opens it by itself, and would make them later
                    client.search_registered_models(max_results=1)
        except Exception as error:  # whatever MLflow and SQLAlchemy raise
            raise InputError(
                f"the tracking store must be usable: {database}: {one_line(error)}; move it away, "
                "and dianet-ray track writes a study again"
            ) from None
    return client


@contextlib.contextmanager
def _no_twin(uri: str) -> Iterator[list[Path]]:
    """Delete the empty folders that MLflow makes of a quoted path, where quoting changed it."""
    quoted = Path(uri.removeprefix(SQLITE))
    twins = [folder for folder in quoted.parents if not folder.exists()]
    yield twins
    for folder in twins:
        with contextlib.suppress(OSError):
            folder.rmdir()


@contextlib.contextmanager
def _alone_at(database: Path) -> Iterator[None]:
    """Let one process at a time make or migrate a database.

    MLflow's migrations take no lock: two studies that started together left a broken database.
    """
    # flock, because SQLite needs a local file system anyway.
    with (database.parent / f".{database.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def connect(uri: str, timeout_s: float = TIMEOUT_S, *, reads_only: bool = False) -> MlflowClient:
    """Check the store and make a client; one that reads only needs no right to write.

    Raises:
        InputError: as `check_store`.
    """
    check_store(uri, timeout_s, reads_only=reads_only)
    return open_client(uri, reads_only=reads_only)


def experiment_id(client: MlflowClient, name: str, location: str | None) -> str:
    """Find an experiment, or make it with an explicit place for artifacts.

    Raises:
        InputError: the experiment is deleted; MLflow keeps its name until it is purged.
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
    # Runs in a deleted experiment would be written, and shown nowhere.
    if found.lifecycle_stage != "active":
        raise InputError(
            f"an experiment must be active: {name} is deleted; restore it or name another one"
        )
    if location is not None and found.artifact_location != location:
        _find_artifacts(found.artifact_location, name, location)
    return str(found.experiment_id)


def _find_artifacts(recorded: str, name: str, wanted: str) -> None:
    """Make the folder of an experiment's artifacts again where it is gone, and say where it is.

    MLflow fixes it when the experiment is made. It is gone where the store was moved, or is used
    from another machine.
    """
    if urlsplit(recorded).scheme not in ("", "file"):
        return
    folder, beside = (Path(unquote(urlsplit(one).path)) for one in (recorded, wanted))
    if folder.is_dir():
        return
    way_out = (
        f"to have them in {beside}, write the study to a new store there (--tracking-uri "
        f"{SQLITE}/PATH)"
    )
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise InputError(
            f"the store keeps the artifacts of experiment {name} in {folder}, which is not there "
            f"(was it moved?) and cannot be made: {error.strerror}; {way_out}, or fetch models "
            "with dianet-ray collect --study, which needs no store"
        ) from None
    logger.warning(
        "the store keeps the artifacts of experiment %s in %s, which was not there (was it "
        "moved?): they are written there; %s",
        name,
        folder,
        way_out,
    )


def _is_server(uri: str) -> bool:
    return urlsplit(uri).scheme in ("http", "https")


def _sqlite_uri(database: Path) -> str:
    # SQLAlchemy reads %XX as a character and everything after a ? as options.
    return SQLITE + str(database).replace("%", "%25").replace("?", "%3F")


def _database(uri: str) -> Path:
    return Path(unquote(uri.removeprefix(SQLITE).partition("?")[0]))


def _typed_database(uri: str) -> Path:
    """Read an address that somebody typed: a folder that is there as it stands is meant.

    A `?` or `%41` in its name begins no options and is no character, although SQLAlchemy says so.
    """
    folder, name = os.path.split(uri.removeprefix(SQLITE))
    if Path(folder).is_dir():
        return Path(folder) / _database(SQLITE + name)
    return _database(uri)
