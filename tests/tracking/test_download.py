from dataclasses import replace
from pathlib import Path

import pytest

from dianet_ray.ensemble.card import read
from dianet_ray.errors import InputError
from dianet_ray.protocol.standing import standing_of
from dianet_ray.tracking import store
from dianet_ray.tracking.download import download_model, download_study
from dianet_ray.tracking.projection import Projection
from tests.support.mlflow_tree import dump_tree
from tests.support.models import card_of

pytestmark = [pytest.mark.mlflow, pytest.mark.usefixtures("empty_working_directory")]


def test_a_model_comes_back_whole_by_study_and_by_name_and_alias(made, tmp_path):
    Projection(made.client, made.name, made.path).finish(made.standing, made.card)
    folders = []
    for name in ("by-study", "by-model"):
        (tmp_path / name).mkdir()
        folders.append(tmp_path / name)
    by_study = download_study(made.client, made.standing, folders[0])
    by_model = download_model(made.client, f"dianet-{made.name}-3@champion", folders[1])
    assert read(by_study) == read(by_model)
    assert [f.name for f in sorted(by_study.iterdir())] == [
        f.name for f in sorted(by_model.iterdir())
    ]
    assert read(by_study).config_id == made.card.config_id


def test_fetching_deletes_nothing_where_two_experiments_hold_the_study(made, tmp_path):
    for experiment in (made.name, f"{made.name}-too"):
        Projection(made.client, experiment, made.path).finish(made.standing, made.card)
    trees = [dump_tree(made.client, made.name), dump_tree(made.client, f"{made.name}-too")]
    assert read(download_study(made.client, made.standing, tmp_path)).folds
    assert dump_tree(made.client, made.name) == trees[0]
    assert dump_tree(made.client, f"{made.name}-too") == trees[1]


def test_a_former_champion_is_not_handed_out_until_track_writes_the_new_one(made, tmp_path):
    before = replace(
        made.study,
        configurations=made.study.configurations[:2],
        trainings={k: t for k, t in made.study.trainings.items() if k[0] < 2},
    )
    former, champion = standing_of(before).champion(), made.standing.champion()
    assert former.config_id != champion.config_id
    for experiment in (made.name, f"{made.name}-too"):
        Projection(made.client, experiment, made.path).finish(standing_of(before), card_of(before))
    Projection(made.client, made.name, made.path).update(made.standing)
    with pytest.raises(InputError, match="write it with track"):
        download_study(made.client, made.standing, tmp_path)
    Projection(made.client, f"{made.name}-too", made.path).finish(made.standing, made.card)
    found = read(download_study(made.client, made.standing, tmp_path))
    assert found.config_id == champion.config_id


def artifact(client, experiment, name):
    """Where a fold run's artifact lies."""
    found = client.get_experiment_by_name(experiment)
    (run,) = client.search_runs([found.experiment_id], "tags.`dianet.fold` = '1'")
    return Path(run.info.artifact_uri.removeprefix("file://")) / name


def test_a_missing_artifact_is_said_in_one_line(made, tmp_path):
    Projection(made.client, made.name, made.path).finish(made.standing, made.card)
    artifact(made.client, made.name, "fold-001.safetensors").unlink()
    with pytest.raises(InputError, match="fold-001") as error:
        download_study(made.client, made.standing, tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("files", [[], ["other.bin"], ["artifacts/model/other.bin"]])
def test_a_registered_model_that_is_not_ours_is_said_in_one_line(made, tmp_path, files):
    source = tmp_path / "source"
    source.mkdir()
    for name in files:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(b"")
    name = f"foreign-{made.name}"
    made.client.create_registered_model(name)
    run = made.client.create_run(store.experiment_id(made.client, made.name, source.as_uri()))
    made.client.create_model_version(name, source.as_uri(), run.info.run_id)
    made.client.set_registered_model_alias(name, "champion", "1")
    (tmp_path / "fetched").mkdir()
    with pytest.raises(InputError, match=f"--model .*{name}") as error:
        download_model(made.client, f"{name}@champion", tmp_path / "fetched")
    assert "\n" not in str(error.value)


def test_what_is_not_there_is_said_in_one_line(made, tmp_path):
    seeds = [replace(made.study.identity, seed=seed) for seed in (98, 99)]
    known, other = (standing_of(replace(made.study, identity=one)) for one in seeds)
    Projection(made.client, made.name, made.path).update(known)
    for call, words in [
        (lambda: download_study(made.client, known, tmp_path), "track"),
        (lambda: download_study(made.client, other, tmp_path), "track"),
        (lambda: download_model(made.client, "no-such-model@champion", tmp_path), "no-such-model"),
        (lambda: download_model(made.client, "no-alias", tmp_path), "NAME@ALIAS"),
    ]:
        with pytest.raises(InputError, match=words) as error:
            call()
        assert "\n" not in str(error.value)
