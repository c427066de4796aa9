"""The `collect` command: fetch the champion's model folder from MLflow and verify it.

Reads the store and never writes to it: who collects may have the right to read alone.
"""

from __future__ import annotations

import logging
import tempfile
from contextlib import ExitStack
from pathlib import Path

from dianet_ray.cli.publishing import model_card
from dianet_ray.ensemble import collect
from dianet_ray.ensemble.card import Card
from dianet_ray.errors import InputError
from dianet_ray.protocol.standing import Standing, standing_of
from dianet_ray.search.study_file import load_study
from dianet_ray.tracking import store

logger = logging.getLogger(__name__)


def collect_models(
    out: Path, *, study_path: Path | None, model: str | None, tracking_uri: str | None
) -> Card:
    """Fetch a model folder from MLflow, verify it and put it at `out`; return its card.

    Raises:
        InputError: not exactly one source, nothing there, or a damaged file.
    """
    if (study_path is None) == (model is None):
        raise InputError("collect needs either --study STUDY or --model NAME@champion")
    uri = store.choose_uri(tracking_uri, study_path)
    # Verified here first: OUT never holds a file that the card does not vouch for.
    with tempfile.TemporaryDirectory(prefix="dianet-collect-") as folder:
        if study_path is None:
            return collect.collect(_of_model(uri, str(model), Path(folder)), out)
        standing = standing_of(load_study(study_path))
        try:
            return collect.collect(_of_study(uri, standing, Path(folder)), out)
        except InputError as error:
            return _from_own_weights(standing, study_path, out, problem=error)


def _of_study(uri: str, standing: Standing, folder: Path) -> Path:
    client = store.connect(uri, reads_only=True)
    from dianet_ray.tracking import download  # imports MLflow, which takes a second

    return download.download_study(client, standing, folder)


def _of_model(uri: str, model: str, folder: Path) -> Path:
    client = store.connect(uri, reads_only=True)
    from dianet_ray.tracking import download

    return download.download_model(client, model, folder)


def _from_own_weights(
    standing: Standing, study_path: Path, out: Path, *, problem: InputError
) -> Card:
    """Collect from the weights in the study, which the ledger vouches for.

    A work folder that was moved or copied has a store that names files where they were.

    Raises:
        InputError: what MLflow lacks, when the study lacks it, too; or OUT is taken.
    """
    champion = standing.champion()
    if champion is None:
        raise problem
    from dianet_ray.tracking.champion import ModelFiles

    with ExitStack() as stack:
        try:
            trainings, card = standing.study.of(champion.number), model_card(standing)
            fetched = stack.enter_context(ModelFiles(study_path, trainings, card)).folder()
        except InputError:
            raise problem from None
        collected = collect.collect(fetched, out)
    logger.warning("%s: the weights come from the study itself, %s", problem, study_path)
    return collected
