"""The `collect` command: fetch the champion's model folder from MLflow and verify it.

Reads the store and never writes to it: who collects may have the right to read alone.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from dianet_ray.cli.publishing import model_card
from dianet_ray.ensemble import card, collect
from dianet_ray.ensemble.card import Card
from dianet_ray.errors import InputError
from dianet_ray.protocol.results import Training
from dianet_ray.protocol.standing import Standing, standing_of
from dianet_ray.search.study_file import load_study
from dianet_ray.tracking import store

logger = logging.getLogger(__name__)


def collect_models(
    out: Path,
    *,
    study_path: Path | None,
    model: str | None,
    tracking_uri: str | None,
    seeds: bool = False,
) -> Card:
    """Fetch a model folder from MLflow, verify it and put it at `out`; return its card.

    With `seeds` it is made from the study's own weights, the repeats' included.

    Raises:
        InputError: not exactly one source, nothing there, or a damaged file.
    """
    if (study_path is None) == (model is None):
        raise InputError("collect needs either --study STUDY or --model NAME@champion")
    if seeds:
        return _all_seeds(study_path, out)
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


def _all_seeds(study_path: Path | None, out: Path) -> Card:
    """Collect the champion's fold models of all seeds from the weights in the study."""
    if study_path is None:
        raise InputError("--seeds needs --study: MLflow holds the models of one seed")
    standing = standing_of(load_study(study_path))
    trainings = card.trainings_of(standing, seeds=True)
    if len(trainings) == len(standing.study.folds):
        raise InputError(
            f"--seeds needs repeats of the champion: {study_path} has none that is whole; run the "
            "same search again with --repeats"
        )
    with _own_folder(standing, study_path, trainings) as fetched:
        return collect.collect(fetched, out)


@contextmanager
def _own_folder(
    standing: Standing, study_path: Path, trainings: Sequence[Training]
) -> Iterator[Path]:
    """Make a model folder of weights in the study, which the ledger vouches for.

    Raises:
        InputError: they are missing or damaged.
    """
    from dianet_ray.tracking.champion import ModelFiles

    seeds = len(trainings) > len(standing.study.folds)
    with ModelFiles(study_path, trainings, model_card(standing, seeds=seeds)) as made:
        yield made.folder()


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
    trainings = standing.study.of(champion.number)
    with ExitStack() as stack:
        try:
            fetched = stack.enter_context(_own_folder(standing, study_path, trainings))
        except InputError:
            raise problem from None
        collected = collect.collect(fetched, out)
    logger.warning("%s: the weights come from the study itself, %s", problem, study_path)
    return collected
