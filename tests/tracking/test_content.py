import json
from dataclasses import replace

import pytest

from dianet_ray.artefacts import to_plain
from dianet_ray.protocol.standing import standing_of
from dianet_ray.tracking import content
from tests.support.studies import HISTORY, SECONDS, laddered, make_study


def test_the_curve_of_the_best_ends_at_the_champion_and_never_falls():
    study = make_study(5, 6)
    standing, key = standing_of(study), f"best/{study.objective}"
    curve = [found for found in content.best_curve(standing) if found.key == key]
    values = [found.value for found in curve]
    assert values == sorted(values)
    champion = standing.champion()
    assert values[-1] == content.pooled_scores(standing, champion.number)[study.objective]
    assert [found.step for found in curve] == list(range(6))


@pytest.mark.parametrize("n_trainings", [0, 7, 13, 22, 30])
def test_the_curve_of_a_part_of_a_study_is_the_start_of_the_curve_of_the_whole(n_trainings):
    study = make_study(5, 6)
    part = replace(study, trainings=dict(list(study.trainings.items())[:n_trainings]))
    some, every = (list(content.best_curve(standing_of(each))) for each in (part, study))
    assert some == every[: len(some)]


def test_every_time_is_a_records_time():
    study = make_study(4, 2)
    standing = standing_of(study)
    times = {content.milliseconds(t.result.finished_at) for t in study.trainings.values()}
    run = content.configuration_run(standing, study.configurations[1])
    for values in (run.values, tuple(content.best_curve(standing))):
        assert values
        assert {found.at for found in values} <= times


def test_a_configuration_without_trainings_is_running_since_the_study_started():
    study = replace(make_study(4, 1), trainings={})
    run = content.configuration_run(standing_of(study), study.configurations[0])
    assert (run.state, run.values) == ("running", ())
    assert run.started_at == content.started_at(study)


@pytest.mark.parametrize(
    ("classes", "name"),
    [
        ("casme2:5", "dianet-casme2-5"),
        ("my classes", "dianet-casme2-my-classes"),
    ],
)
def test_the_registered_model_is_named_after_data_set_and_classes(classes, name):
    study = make_study(4, 1)
    study = replace(study, identity=replace(study.identity, classes=classes))
    assert content.model_name(study) == name


def test_equal_identities_have_equal_ids_and_others_have_not():
    one, same, other = make_study(4, 1), make_study(5, 2), make_study(4, 1, seed=1)
    assert content.study_id(one) == content.study_id(same) != content.study_id(other)


def test_params_of_a_study_are_its_identity_as_text():
    study = laddered()
    params = content.study_run(study, "complete").params
    assert params["images"] == study.identity.images
    assert (params["objective"], params["seed"], params["wave_size"]) == ("uf1", "0", "8")
    assert json.loads(params["ladder"]) == to_plain(study.identity)["ladder"]
    assert (params["dataset"], params["n_clips"]) == ("casme2", str(len(study.clips)))
    assert params["n_folds"] == "3, 9"
    assert not {"space", "labels"} & set(params)


def test_a_fold_run_has_a_curve_point_for_every_logged_step_of_every_metric():
    study = make_study(4, 1)
    run = content.fold_run(study, study.trainings[0, 0, 2], 20, {content.CARD: "abc"})
    curve = {(found.key, found.step): found.value for found in run.values}
    for step in HISTORY:
        assert curve["train/loss", step.step] == step.loss
        assert curve["train/accuracy", step.step] == step.accuracy
        assert curve["train/learning_rate", step.step] == step.learning_rate
    assert curve["seconds/fold", 0] == SECONDS
    assert {"held_out/accuracy", "held_out/log_loss"} < {key for key, _ in curve}
    assert len(curve) == 3 + 3 * len(HISTORY)
    assert (run.tags[content.FOLD], run.tags[content.CARD]) == ("2", "abc")
