"""The champion as a model in MLflow: a LoggedModel, a version of a registered model, its alias.

Everything is written with explicit ids. MLflow's own `log_model` and `register_model` use the
process's active run and tracking URI, which belong to the program that calls us.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import mlflow
import numpy as np
from mlflow import MlflowClient, pyfunc
from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import Schema, TensorSpec

from dianet_ray import __version__
from dianet_ray.artefacts import CARD_JSON, N_CHANNELS, PHASES
from dianet_ray.tracking import content
from dianet_ray.tracking.champion import ModelFiles

ALIAS = "champion"
MODEL_TYPE = "dianet-ensemble"
MODEL_FOLDER = "artifacts/model"
"""Where the model folder lies inside the LoggedModel."""

CODE = Path(__file__).with_name("ensemble.py")


@dataclass(frozen=True, slots=True)
class Registration:
    """What MLflow stores of the model, beside its files.

    `name` is the registered model's, `run_id` the champion's configuration run. `tags` hold the
    hash of the card, and so of every file in the model. `image_size` is in pixels.
    """

    name: str
    run_id: str
    tags: dict[str, str]
    params: dict[str, str]
    n_classes: int
    image_size: int


def register(
    client: MlflowClient, experiment: str, entry: Registration, *, model_files: ModelFiles
) -> ModelVersion:
    """Make sure that the model is logged, registered and linked to its run, and has the alias.

    The alias only moves to a newer version, so that writing an old study again does not take it
    from a newer study.
    """
    version = _find_version(client, entry)
    # Each step is looked up before it is done, so a killed writer is continued, not repeated.
    model = _ready_model(client, experiment, entry)
    if model is None:
        model = _log_model(client, experiment, entry, model_files=model_files)
    if version is None or version.source != model.artifact_location:
        version = client.create_model_version(
            entry.name,
            # A database store would look models:/ID up at the process's own tracking URI.
            source=model.artifact_location,
            run_id=entry.run_id,
            tags=entry.tags,
            model_id=model.model_id,
        )
    outputs = client.get_run(entry.run_id).outputs
    linked = {output.model_id for output in outputs.model_outputs} if outputs else set()
    if model.model_id not in linked:
        client.log_outputs(entry.run_id, [LoggedModelOutput(model.model_id, step=0)])
    aliases = client.get_registered_model(entry.name).aliases
    if int(aliases.get(ALIAS, 0)) < int(version.version):
        client.set_registered_model_alias(entry.name, ALIAS, version.version)
    return version


def forget(client: MlflowClient, experiment: str, run_id: str) -> None:
    """Delete a run, and the models that were logged and registered from it."""
    for version in client.search_model_versions(f"run_id = '{run_id}'"):
        client.delete_model_version(version.name, version.version)
    for model in client.search_logged_models(
        [experiment], filter_string=f"source_run_id = '{run_id}'"
    ):
        client.delete_logged_model(model.model_id)
    client.delete_run(run_id)


def _find_version(client: MlflowClient, entry: Registration) -> ModelVersion | None:
    try:
        client.get_registered_model(entry.name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        _create_model(client, entry.name)
    token = None
    while True:
        page = client.search_model_versions(f"name = '{entry.name}'", page_token=token)
        for version in page:
            if version.run_id == entry.run_id and _matches(version.tags, entry):
                return version
        token = page.token
        if not token:
            return None


def _create_model(client: MlflowClient, name: str) -> None:
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another process was faster
            raise


def _matches(tags: dict[str, str], entry: Registration) -> bool:
    return entry.tags.items() <= tags.items()


def _ready_model(client: MlflowClient, experiment: str, entry: Registration) -> LoggedModel | None:
    """Find the LoggedModel; delete those that lack files.

    A killed writer left them unfinished, or the folder of the store was moved.
    """
    card = entry.tags[content.CARD]
    found = client.search_logged_models(
        [experiment], filter_string=f"tags.`{content.CARD}` = '{card}'"
    )
    own = [m for m in found if m.source_run_id == entry.run_id and _matches(m.tags, entry)]
    whole = [model for model in own if _is_whole(client, model)]
    for model in own:
        if model not in whole:
            client.delete_logged_model(model.model_id)
    return next(iter(whole), None)


def _is_whole(client: MlflowClient, model: LoggedModel) -> bool:
    if model.status != LoggedModelStatus.READY:
        return False
    files = client.list_logged_model_artifacts(model.model_id, MODEL_FOLDER)
    return f"{MODEL_FOLDER}/{CARD_JSON}" in {file.path for file in files}


def _log_model(
    client: MlflowClient, experiment: str, entry: Registration, *, model_files: ModelFiles
) -> LoggedModel:
    made = client.create_logged_model(
        experiment,
        name=entry.name,
        source_run_id=entry.run_id,
        tags=entry.tags,
        params=entry.params,
        model_type=MODEL_TYPE,
    )
    with tempfile.TemporaryDirectory(prefix="dianet-ensemble-") as folder:
        path = Path(folder) / "mlflow-model"
        _save(path, made, entry, model_files.folder())
        client.log_model_artifacts(made.model_id, str(path))
    return client.finalize_logged_model(made.model_id, LoggedModelStatus.READY)


def _save(path: Path, made: LoggedModel, entry: Registration, model: Path) -> None:
    size = entry.image_size
    # Dynamic images as they are stored: the network normalises them itself.
    described = Model(
        artifact_path=made.artifact_location,
        run_id=entry.run_id,
        model_id=made.model_id,
        model_uuid=made.model_id,
        signature=ModelSignature(
            inputs=Schema(
                [TensorSpec(np.dtype("float32"), (-1, len(PHASES), size, size, N_CHANNELS))]
            ),
            outputs=Schema([TensorSpec(np.dtype("float32"), (-1, entry.n_classes))]),
        ),
    )
    pyfunc.save_model(
        path,
        python_model=str(CODE),
        artifacts={"model": str(model)},
        # Given, because MLflow would load the model in a new process to find them.
        pip_requirements=[f"dianet-ray=={__version__}", f"mlflow=={mlflow.__version__}"],
        mlflow_model=described,
        # There is no project in it. MLflow would copy the one of the working directory instead.
        uv_project_path=str(model),
    )
    # MLflow records where the files came from, a temporary folder that is about to go.
    described.flavors["python_function"]["artifacts"]["model"]["uri"] = MODEL_FOLDER
    described.save(str(path / "MLmodel"))
    # Compiled files differ between processes, and equal studies must give equal artifacts.
    for cache in path.rglob("__pycache__"):
        shutil.rmtree(cache, ignore_errors=True)
