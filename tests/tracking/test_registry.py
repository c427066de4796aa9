from pathlib import Path

import numpy as np
import pytest
from mlflow import pyfunc

from dianet_ray.model import fit
from dianet_ray.model.weights import load_weights
from dianet_ray.tracking.projection import Projection
from tests.support.models import IMAGE_SIZE

pytestmark = [pytest.mark.mlflow, pytest.mark.usefixtures("empty_working_directory")]


def test_the_registered_model_loads_back_and_predicts_as_its_fold_models_do(made, monkeypatch):
    Projection(made.client, made.name, made.path).finish(made.standing, made.card)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", made.client.tracking_uri)
    model = pyfunc.load_model(f"models:/dianet-{made.name}-3@champion")
    generator = np.random.default_rng(0)
    images = generator.uniform(-255, 255, (5, 3, IMAGE_SIZE, IMAGE_SIZE, 3)).astype(np.float16)
    champion = made.standing.champion()
    weights = [
        load_weights(made.path / training.points[-1].weights.path)
        for training in made.study.of(champion.number)
    ]
    members = fit.predict(champion.settings, weights, images, n_classes=3)
    found = model.predict(images.astype(np.float32))
    assert found.shape == (5, 3)
    assert np.array_equal(found, members.mean(axis=0))


def test_the_logged_model_says_nothing_of_where_it_was_made(made):
    Projection(made.client, made.name, made.path).finish(made.standing, made.card)
    version = made.client.get_model_version_by_alias(f"dianet-{made.name}-3", "champion")
    folder = made.client.get_model_version_download_uri(version.name, version.version)
    files = list(Path(folder.removeprefix("file://")).rglob("*"))
    assert files
    assert not [f for f in files if f.suffix == ".pkl"]
    for file in files:
        if file.is_file() and file.suffix != ".safetensors":
            text = file.read_text()
            assert "/tmp/dianet-" not in text
            assert str(made.path) not in text


def test_models_without_files_are_deleted_even_behind_a_whole_one(made):
    Projection(made.client, made.name, made.path).finish(made.standing, made.card)
    experiment = made.client.get_experiment_by_name(made.name).experiment_id
    (whole,) = made.client.search_logged_models([experiment])
    _, newest = (
        made.client.create_logged_model(
            experiment, name=whole.name, source_run_id=whole.source_run_id, tags=whole.tags
        )
        for _ in range(2)
    )
    # Neither has files, though one of them says that it is ready.
    made.client.finalize_logged_model(newest.model_id, "READY")
    Projection(made.client, made.name, made.path).finish(made.standing, made.card)
    left = {model.model_id for model in made.client.search_logged_models([experiment])}
    assert left == {whole.model_id}
