"""A work folder that was moved or copied: its store names files where they no longer are."""

import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from dianet_ray.cli import collecting
from dianet_ray.ensemble.card import read
from dianet_ray.errors import InputError
from dianet_ray.tracking import store
from dianet_ray.tracking.download import download_model, download_study
from dianet_ray.tracking.projection import Projection
from tests.support.mlflow_tree import dump_tree

pytestmark = [pytest.mark.mlflow, pytest.mark.usefixtures("empty_working_directory")]


@pytest.fixture
def moved(made):
    """The study is in MLflow, and every artifact is gone from where MLflow says that it is."""
    Projection(made.client, made.name, made.path).finish(made.standing, made.card)
    made.tree = dump_tree(made.client, made.name)
    found = made.client.get_experiment_by_name(made.name)
    places = [run.info.artifact_uri for run in made.client.search_runs([found.experiment_id])]
    places += [
        model.artifact_location
        for model in made.client.search_logged_models([found.experiment_id])
    ]
    assert len(places) > 3
    for place in places:
        shutil.rmtree(unquote(urlsplit(place).path), ignore_errors=True)
    return made


def collected(moved, monkeypatch, out):
    monkeypatch.setattr(collecting, "load_study", lambda path: moved.study)
    uri = moved.client.tracking_uri
    return collecting.collect_models(out, study_path=moved.path, model=None, tracking_uri=uri)


def test_collect_takes_the_weights_of_the_study_itself(moved, tmp_path, monkeypatch, caplog):
    card = collected(moved, monkeypatch, tmp_path / "models")
    assert card == read(tmp_path / "models")
    assert card.config_id == moved.card.config_id
    assert len(card.folds) == len(moved.study.folds)
    assert "from the study itself" in caplog.text


def test_collect_trusts_no_weights_that_the_ledger_does_not_vouch_for(
    moved, tmp_path, monkeypatch
):
    for file in (moved.path / "weights").rglob("*.safetensors"):
        file.write_bytes(file.read_bytes()[:-1] + b"?")
    with pytest.raises(InputError, match="cannot be fetched from"):
        collected(moved, monkeypatch, tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_track_writes_the_artifacts_anew(moved, tmp_path):
    Projection(moved.client, moved.name, moved.path).finish(moved.standing, moved.card)
    folders = [tmp_path / name for name in ("by-study", "by-model")]
    for folder in folders:
        folder.mkdir()
    by_study = download_study(moved.client, moved.standing, folders[0])
    by_model = download_model(moved.client, f"dianet-{moved.name}-3@champion", folders[1])
    assert read(by_study) == read(by_model)
    # And once they are there, nothing is written again.
    tree = dump_tree(moved.client, moved.name)
    Projection(moved.client, moved.name, moved.path).finish(moved.standing, moved.card)
    assert dump_tree(moved.client, moved.name) == tree


def test_who_reads_a_store_writes_nothing_to_it(made, tmp_path):
    Projection(made.client, made.name, made.path).finish(made.standing, made.card)
    database = Path(made.client.tracking_uri.removeprefix(store.SQLITE))
    copy = tmp_path / "store" / database.name
    copy.parent.mkdir()
    shutil.copy(database, copy)
    before = copy.read_bytes()
    client = store.connect(f"{store.SQLITE}{copy}", reads_only=True)
    (tmp_path / "fetched").mkdir()
    assert read(download_study(client, made.standing, tmp_path / "fetched")).folds
    assert [file.name for file in copy.parent.iterdir()] == [database.name]
    assert copy.read_bytes() == before


def test_a_store_that_is_only_read_must_exist(tmp_path):
    with pytest.raises(InputError, match=r"must be readable: .*new\.db"):
        store.connect(f"{store.SQLITE}{tmp_path}/new.db", reads_only=True)
    assert not list(tmp_path.glob("*new.db*"))
