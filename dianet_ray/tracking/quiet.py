"""Settings of MLflow for this process: quiet, with few retries, and without telemetry."""

from __future__ import annotations

import logging
import os
import warnings

QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
BRIEF = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}
"""The client's own seven retries take 254 s, and the end of a search would wait for them. The
thread that writes to MLflow retries by itself."""


def quieten() -> None:
    """Silence MLflow's migrations, bars, advice and reports, and limit its retries.

    Variables that the user has set are left as they are.
    """
    for name, value in {**QUIET, **BRIEF}.items():
        os.environ.setdefault(name, value)
    # MLflow warns about its own classes when mlflow.pyfunc is imported.
    warnings.filterwarnings("ignore", message=".*Any type hint is inferred as AnyType")
    import mlflow  # noqa: F401 - the import configures its loggers, so levels are set after it

    if "MLFLOW_LOGGING_LEVEL" not in os.environ:
        logging.getLogger("mlflow").setLevel(logging.ERROR)
        # A failed statement is raised to us; its traceback need not be on the terminal as well.
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
        logging.getLogger("alembic").setLevel(logging.ERROR)
        logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
