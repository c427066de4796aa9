"""Small real weights for made-up studies, so that models can be written, collected and used."""

from dataclasses import replace
from pathlib import Path

import torch

from dianet_ray.model import network
from dianet_ray.model.weights import save_weights
from dianet_ray.protocol.study import Study, Weights
from dianet_ray.schemas import weights_path
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
        n_bytes, sha256 = save_weights(path / name, network.member_state(built, 0), {})
        trainings[key] = replace(training, weights=Weights(name, n_bytes, sha256))
    about = {**study.about, "images": {**study.about["images"], "options": OPTIONS}}
    return replace(study, trainings=trainings, about=about)
