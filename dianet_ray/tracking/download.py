"""Fetch the champion's model folder out of MLflow, by study or by registered model and alias.

Checks nothing about the files: `ensemble/collect.py` does.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import mlflow.artifacts
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from dianet_ray.artefacts import CARD_JSON, fold_file
from dianet_ray.errors import InputError, one_line
from dianet_ray.protocol.standing import Standing
from dianet_ray.protocol.study import Study
from dianet_ray.tracking import content
from dianet_ray.tracking.registry import MODEL_FOLDER
from dianet_ray.tracking.runs import read_runs
from dianet_ray.tracking.store import shown


def download_study(client: MlflowClient, standing: Standing, folder: Path) -> Path:
    """Fetch the model folder of a study's champion from any experiment that has it.

    Args:
        client: from `store.connect`.
        standing: where the study stands by its ledger.
        folder: an existing folder that nothing else uses.

    Returns:
        The model folder, inside `folder`.

    Raises:
        InputError: the study has no champion yet, or the store lacks a part of it.
    """
    study, champion = standing.study, standing.champion()
    if champion is None:
        raise InputError(f"collect needs a complete configuration: {study.name} has none yet")
    where = shown(client.tracking_uri)
    # Fold runs, not the registered model: a study that still grows has no version yet.
    with _failure_said(f"the champion of {study.name} cannot be fetched from {where}"):
        folds = _fold_runs(client, study, champion.config_id)
        if len(folds) < len(study.folds):
            raise InputError(
                f"collect needs the champion of {study.name}, configuration {champion.number}, in "
                f"MLflow: {len(folds)} of its {len(study.folds)} fold models are in {where}; "
                "write it with track"
            )
        model = folder / "model"
        model.mkdir()
        for fold, run_id in sorted(folds.items()):
            client.download_artifacts(run_id, fold_file(fold), str(model))
        client.download_artifacts(folds[min(folds)], CARD_JSON, str(model))
    return model


def _fold_runs(client: MlflowClient, study: Study, config_id: str) -> dict[int, str]:
    """Find the run ids of the champion's sealed fold runs.

    There are none while the study's run names another champion: `track` writes the new one.
    """
    runs = read_runs(
        client,
        [found.experiment_id for found in client.search_experiments()],
        study_id=content.study_id(study),
        started_at=content.started_at(study),
        champion=config_id,
    )
    if runs is None or not runs.study.holds({content.CHAMPION: config_id}):
        return {}
    own = {fold: run for (owner, fold), run in runs.folds.items() if owner == config_id}
    # A run without its seal may lack a file.
    return {fold: run.run_id for fold, run in own.items() if run.state == "complete"}


def download_model(client: MlflowClient, reference: str, folder: Path) -> Path:
    """Fetch the model folder of a registered model by NAME@ALIAS.

    Args:
        client: from `store.connect`.
        reference: for example `dianet-casme2-5@champion`.
        folder: an existing folder that nothing else uses.

    Returns:
        The model folder, inside `folder`.

    Raises:
        InputError: there is no such model or alias, or dianet-ray did not make the model.
    """
    name, _, alias = reference.partition("@")
    if not name or not alias:
        raise InputError(
            f"--model must be NAME@ALIAS, such as dianet-casme2-5@champion: got {reference}"
        )
    with _failure_said(f"--model {reference} cannot be fetched from {shown(client.tracking_uri)}"):
        version = client.get_model_version_by_alias(name, alias)
        source = client.get_model_version_download_uri(name, version.version)
        fetched = mlflow.artifacts.download_artifacts(
            artifact_uri=f"{source.rstrip('/')}/{MODEL_FOLDER}",
            dst_path=str(folder),
            tracking_uri=client.tracking_uri,
        )
    if not (Path(fetched) / CARD_JSON).is_file():
        raise InputError(
            f"--model must name a model that dianet-ray made: {reference} has no card"
        )
    return Path(fetched)


@contextlib.contextmanager
def _failure_said(what: str) -> Iterator[None]:
    """Turn what MLflow and the disk raise into one line, which says `what` failed."""
    try:
        yield
    except (MlflowException, OSError) as error:
        raise InputError(f"{what}: {one_line(error)}") from None
