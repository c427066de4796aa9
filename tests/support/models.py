"""Small real weights for made-up studies, so that models can be written, collected and used."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from dianet_ray.artefacts import CARD_JSON, to_json, to_plain, weights_path
from dianet_ray.ensemble import card
from dianet_ray.model import fit, network
from dianet_ray.protocol.standing import standing
from dianet_ray.protocol.study import Study, Weights
from dianet_ray.settings import derive_seed

IMAGE_SIZE = 16
OPTIONS = {"image_size": IMAGE_SIZE, "coefficients": "harmonic", "apex": "annotated"}


def with_weights(study: Study, path: Path) -> Study:
    """Write a different random network for every ok training below `path`, and record them."""
    trainings = dict(study.trainings)
    for key, training in study.trainings.items():
        if training.outcome != "ok":
            continue
        settings = study.configurations[training.number].settings
        built = network.build(settings, len(study.classes), IMAGE_SIZE)
        seed = derive_seed("weights", *key)
        built.reset([torch.Generator().manual_seed(seed)])
        name = weights_path(training.config_id, training.fold)
        (path / name).parent.parent.mkdir(parents=True, exist_ok=True)
        n_bytes, sha256 = fit.save_weights(path / name, network.member_state(built, 0), {})
        trainings[key] = replace(training, weights=Weights(name, n_bytes, sha256))
    about = {**study.about, "images": {**study.about["images"], "options": OPTIONS}}
    return replace(study, trainings=trainings, about=about)


def write_model(study: Study, folder: Path, fingerprints: Mapping[str, str] | None = None) -> Path:
    """Write a model folder as it is collected, into a new `folder`.

    Args:
        study: a study of `with_weights`, written to `folder`/../study.
        folder: the new folder.
        fingerprints: of the clips that the model shall recognise.
    """
    folder.mkdir()
    decided = standing(study)
    described = card.make(decided, fingerprints or {})
    champion = decided.champion()
    assert champion is not None
    for training, fold in zip(study.of(champion.number), described.folds, strict=True):
        assert training.weights is not None
        weights = folder.parent / "study" / training.weights.path
        (folder / fold.file).write_bytes(weights.read_bytes())
    (folder / CARD_JSON).write_text(to_json(described))
    return folder


def card_of(study: Study) -> dict[str, Any]:
    """Make the card of a study's champion as it is written to MLflow."""
    plain: dict[str, Any] = to_plain(card.make(standing(study), {}))
    return plain


def edit(folder: Path, **changes: Any) -> None:
    """Change or add keys of the card of a model folder."""
    path = folder / CARD_JSON
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
