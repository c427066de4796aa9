from dataclasses import replace

import pytest

from dianet_ray.errors import InputError
from dianet_ray.summary.card import read
from dianet_ray.tracking.download import download_model, download_study
from dianet_ray.tracking.projection import Projection
from tests.tracking.tree import dump_tree

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("empty_working_directory")]


def test_a_model_comes_back_whole_by_study_and_by_name_and_alias(made, tmp_path):
    Projection(made.client, made.name, made.path).finish(made.study, made.card)
    folders = []
    for name in ("by-study", "by-model"):
        (tmp_path / name).mkdir()
        folders.append(tmp_path / name)
    by_study = download_study(made.client, made.study, folders[0])
    by_model = download_model(made.client, f"dianet-{made.name}-3@champion", folders[1])
    assert read(by_study) == read(by_model)
    assert [f.name for f in sorted(by_study.iterdir())] == [
        f.name for f in sorted(by_model.iterdir())
    ]
    assert read(by_study).config_id == made.card["config_id"]


def test_fetching_deletes_nothing_where_two_experiments_hold_the_study(made, tmp_path):
    for experiment in (made.name, f"{made.name}-too"):
        Projection(made.client, experiment, made.path).finish(made.study, made.card)
    trees = [dump_tree(made.client, made.name), dump_tree(made.client, f"{made.name}-too")]
    assert read(download_study(made.client, made.study, tmp_path)).folds
    assert dump_tree(made.client, made.name) == trees[0]
    assert dump_tree(made.client, f"{made.name}-too") == trees[1]


def test_what_is_not_there_is_said_in_one_line(made, tmp_path):
    study = replace(made.study, identity={**made.study.identity, "seed": 98})
    other = replace(made.study, identity={**made.study.identity, "seed": 99})
    Projection(made.client, made.name, made.path).update(study)
    for call, words in [
        (lambda: download_study(made.client, study, tmp_path), "track"),
        (lambda: download_study(made.client, other, tmp_path), "track"),
        (lambda: download_model(made.client, "no-such-model@champion", tmp_path), "no-such-model"),
        (lambda: download_model(made.client, "no-alias", tmp_path), "NAME@ALIAS"),
    ]:
        with pytest.raises(InputError, match=words) as error:
            call()
        assert "\n" not in str(error.value)
