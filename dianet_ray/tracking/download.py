"""Fetch the champion's model folder out of MLflow, by study or by registered model and alias.

Checks nothing about the files: `summary/collect.py` does.
"""

from __future__ import annotations

from pathlib import Path

import mlflow.artifacts
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from dianet_ray.errors import InputError
from dianet_ray.protocol.study import Study
from dianet_ray.schemas import CARD_JSON, fold_file
from dianet_ray.tracking import content
from dianet_ray.tracking.registry import MODEL_FOLDER
from dianet_ray.tracking.runs import read_runs


def download_study(client: MlflowClient, study: Study, folder: Path) -> Path:
    """Fetch the model folder of a study's champion, from whichever experiment has it.

    Args:
        client: from `store.connect`.
        study: the study as its ledger has it.
        folder: an existing folder that nothing else uses.

    Returns:
        The model folder, inside `folder`.

    Raises:
        InputError: the store does not have the study, or not its champion.
    """
    experiments = [found.experiment_id for found in client.search_experiments()]
    runs = read_runs(
        client,
        experiments,
        study_id=content.study_id(study),
        started_at=content.started_at(study),
    )
    champion = runs.study.tags.get(content.CHAMPION) if runs else None
    if runs is None or champion not in runs.configurations:
        raise InputError(
            f"collect needs the champion of {study.name} in MLflow: it is not in "
            f"{client.tracking_uri}; write it with track"
        )
    folds = {fold: run for (owner, fold), run in runs.folds.items() if owner == champion}
    if not folds:
        raise InputError(f"the champion of {study.name} has no fold runs in {client.tracking_uri}")
    model = folder / "model"
    model.mkdir()
    for fold, run in sorted(folds.items()):
        client.download_artifacts(run.run_id, fold_file(fold), str(model))
    client.download_artifacts(folds[min(folds)].run_id, CARD_JSON, str(model))
    return model


def download_model(client: MlflowClient, reference: str, folder: Path) -> Path:
    """Fetch the model folder of a registered model by NAME@ALIAS.

    Args:
        client: from `store.connect`.
        reference: for example `dianet-casme2-5@champion`.
        folder: an existing folder that nothing else uses.

    Returns:
        The model folder, inside `folder`.

    Raises:
        InputError: no such model or alias, or the model is none of ours.
    """
    name, _, alias = reference.partition("@")
    if not name or not alias:
        raise InputError(
            f"--model is NAME@ALIAS, such as dianet-casme2-5@champion: got {reference}"
        )
    try:
        version = client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        raise InputError(
            f"--model {reference}: {error.message}, in {client.tracking_uri}"
        ) from None
    source = client.get_model_version_download_uri(name, version.version)
    return _fetch(client, source, folder)


def _fetch(client: MlflowClient, location: str, folder: Path) -> Path:
    fetched = mlflow.artifacts.download_artifacts(
        artifact_uri=f"{location.rstrip('/')}/{MODEL_FOLDER}",
        dst_path=str(folder),
        tracking_uri=client.tracking_uri,
    )
    return Path(fetched)
