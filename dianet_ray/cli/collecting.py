"""The `collect` command: fetch the champion's model folder from MLflow and verify it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from dianet_ray.ensemble import collect
from dianet_ray.ensemble.card import Card
from dianet_ray.errors import InputError
from dianet_ray.protocol.standing import standing_of
from dianet_ray.search.study_file import load_study
from dianet_ray.tracking import store


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
    client = store.connect(uri)
    from dianet_ray.tracking import download  # imports MLflow, which takes a second

    # Verified here first: OUT never holds a file that the card does not vouch for.
    with tempfile.TemporaryDirectory(prefix="dianet-collect-") as folder:
        if study_path is not None:
            fetched = download.download_study(
                client, standing_of(load_study(study_path)), Path(folder)
            )
        else:
            fetched = download.download_model(client, str(model), Path(folder))
        return collect.collect(fetched, out)
