import dataclasses

import pytest

from dianet_ray.artefacts import to_plain
from dianet_ray.protocol.study import Span
from dianet_ray.report.costs import environment, seconds
from dianet_ray.report.records import Environment, Seconds
from tests.support.studies import DRIVER, make_study, with_environment, with_result


def times(study, *rows):
    """Keep one training per row (started_at, finished_at)."""
    kept = {}
    for (key, training), (start, end) in zip(study.trainings.items(), rows, strict=False):
        kept[key] = with_result(training, started_at=start, finished_at=end)
    return dataclasses.replace(study, trainings=kept)


def span(started_at, stopped_at, n_workers):
    return Span(started_at, stopped_at, n_workers, DRIVER)


def test_a_full_house_is_busy_all_the_time():
    found = seconds(make_study(n_subjects=6, n_configs=4))
    assert found == Seconds(wall=35.0, training=48.0, startup=10.0, busy_fraction=1.0)


def test_idle_workers_lower_the_busy_fraction():
    study = times(make_study(), (1010.0, 1020.0), (1010.0, 1014.0), (1015.0, 1020.0))
    assert seconds(study).busy_fraction == pytest.approx(19 / 20)


def test_the_pause_between_two_drivers_is_nobodys_time():
    study = times(make_study(), (110.0, 120.0), (115.0, 125.0), (1005.0, 1015.0))
    study = dataclasses.replace(study, spans=(span(100.0, 130.0, 2), span(1000.0, 1020.0, 1)))
    found = seconds(study)
    assert found.wall == 50
    assert found.startup == 10
    assert found.busy_fraction == pytest.approx(30 / (2 * 15 + 10))


def test_a_driver_that_trained_nothing_does_not_count_as_start_up():
    study = times(make_study(), (1005.0, 1015.0))
    study = dataclasses.replace(study, spans=(span(100.0, 102.0, 2), span(1000.0, 1020.0, 1)))
    assert seconds(study).startup == 5


def test_before_the_first_training_nothing_is_known():
    found = seconds(dataclasses.replace(make_study(), trainings={}))
    assert found == Seconds(wall=35.0, training=0, startup=None, busy_fraction=None)
    empty = environment(dataclasses.replace(make_study(), trainings={}, spans=()))
    assert empty == Environment(trainings={}, mixed=(), driver={})


def test_trainings_without_a_duration_have_no_busy_fraction():
    assert seconds(times(make_study(), (1010.0, 1010.0))).busy_fraction is None


def test_one_kind_of_machine_is_not_mixed():
    found = environment(make_study())
    assert found.mixed == ()
    assert found.trainings["torch"] == ("2.13.0",)
    options = DRIVER.options.model_dump(exclude_none=True)
    assert found.driver == {**to_plain(DRIVER), "options": options}
    assert None not in options.values()


@pytest.mark.parametrize(
    ("change", "mixed"),
    [
        ({"device": "NVIDIA H100"}, ("device",)),
        ({"torch": "2.14.0"}, ("torch",)),
        ({"threads": 4, "host": "b"}, ("threads",)),
        ({"block": 26}, ()),
        ({"host": "b"}, ()),
    ],
)
def test_a_key_that_decides_equality_is_said_to_be_mixed(change, mixed):
    study = make_study()
    trainings = dict(study.trainings)
    trainings[1, 0, 1] = with_environment(trainings[1, 0, 1], **change)
    assert environment(dataclasses.replace(study, trainings=trainings)).mixed == mixed
