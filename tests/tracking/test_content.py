from dataclasses import replace

import pytest

from dianet_ray.protocol.correction import champion
from dianet_ray.tracking import content
from tests.support.studies import make_study


def test_the_best_so_far_ends_at_the_champion_and_never_falls():
    study = make_study(5, 6)
    points = [p for p in content.best_so_far(study) if p.key == f"best/{study.objective}"]
    values = [p.value for p in points]
    assert values == sorted(values)
    winner = champion(study)
    assert values[-1] == content.pooled_scores(study, winner.number)[study.objective]
    assert [p.step for p in points] == list(range(6))


@pytest.mark.parametrize("n_trainings", [0, 7, 13, 22, 30])
def test_points_of_a_part_of_a_study_are_the_first_points_of_the_whole(n_trainings):
    study = make_study(5, 6)
    part = replace(study, trainings=dict(list(study.trainings.items())[:n_trainings]))
    some, every = list(content.best_so_far(part)), list(content.best_so_far(study))
    assert some == every[: len(some)]


def test_every_time_is_a_records_time():
    study = make_study(4, 2)
    times = {content.milliseconds(t.finished_at) for t in study.trainings.values()}
    run = content.configuration_run(study, study.configurations[1])
    assert {point.at for point in run.points} <= times
    assert {point.at for point in content.best_so_far(study)} <= times


def test_a_configuration_without_trainings_is_running_since_the_study_started():
    study = replace(make_study(4, 1), trainings={})
    run = content.configuration_run(study, study.configurations[0])
    assert (run.state, run.points) == ("running", ())
    assert run.started_at == content.started_at(study)


@pytest.mark.parametrize(
    ("classes", "name"),
    [
        ("casme2:5", "dianet-casme2-5"),
        ("my classes", "dianet-casme2-my-classes"),
        (["a"], "dianet-casme2-3"),
    ],
)
def test_the_registered_model_is_named_after_data_set_and_classes(classes, name):
    study = make_study(4, 1)
    study = replace(study, identity={**study.identity, "classes": classes})
    assert content.model_name(study) == name


def test_equal_identities_have_equal_ids_and_others_have_not():
    one, same, other = make_study(4, 1), make_study(5, 2), make_study(4, 1, seed=1)
    assert content.study_id(one) == content.study_id(same) != content.study_id(other)
