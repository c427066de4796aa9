"""Small real weights for made-up studies, so that models can be written, collected and used."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from dianet_ray.artefacts import CARD_JSON, Recipe, to_json, weights_path
from dianet_ray.ensemble import card
from dianet_ray.model.build import build
from dianet_ray.model.weights import weights_file
from dianet_ray.protocol.results import Weights
from dianet_ray.protocol.standing import standing_of
from dianet_ray.protocol.study import Study
from dianet_ray.settings import derive_seed
from dianet_ray.tracking.champion import ModelCard
from tests.support.reports import report_of
from tests.support.studies import with_result
from tests.support.toy import state_of

IMAGE_SIZE = 16
RECIPE = Recipe(IMAGE_SIZE)


def with_weights(study: Study, path: Path) -> Study:
    """Write a different random network for every ok training below `path`, and record them."""
    trainings = dict(study.trainings)
    for key, training in study.trainings.items():
        if training.outcome != "ok":
            continue
        settings = study.configurations[training.number].settings
        seed = derive_seed("weights", *key)
        built = build(settings, len(study.classes), IMAGE_SIZE, seed)
        (point,) = training.points
        name = weights_path(training.config_id, point.steps, training.fold)
        (path / name).parent.parent.mkdir(parents=True, exist_ok=True)
        file = weights_file(path / name, state_of(built), {})
        file.write()
        written = replace(point, weights=Weights(name, len(file.content), file.sha256))
        trainings[key] = with_result(training, points=(written,))
    return replace(study, trainings=trainings, origin=replace(study.origin, recipe=RECIPE))


def write_model(study: Study, folder: Path, fingerprints: Mapping[str, str] | None = None) -> Path:
    """Write a model folder as it is collected, into a new `folder`.

    Args:
        study: a study of `with_weights`, written to `folder`/../study.
        folder: the new folder.
        fingerprints: of the clips that the model shall recognise.
    """
    folder.mkdir()
    decided = standing_of(study)
    described = card.make(decided, report_of(study), fingerprints or {})
    champion = decided.champion()
    assert champion is not None
    for training, fold in zip(study.of(champion.number), described.folds, strict=True):
        weights = training.at(described.steps).weights
        assert weights is not None
        source = folder.parent / "study" / weights.path
        (folder / fold.file).write_bytes(source.read_bytes())
    (folder / CARD_JSON).write_text(to_json(described))
    return folder


def card_of(study: Study) -> ModelCard:
    """Make the card of a study's champion as it is written to MLflow."""
    described = card.make(standing_of(study), report_of(study), {})
    return ModelCard(
        to_json(described), described.config_id, described.steps, described.recipe.image_size
    )


def edit(folder: Path, **changes: Any) -> None:
    """Change or add keys of the card of a model folder."""
    path = folder / CARD_JSON
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
