import dataclasses

from dianet_ray.report.document import summarise
from dianet_ray.report.terminal import ranked, show, states
from tests.support.studies import make_study


def test_ranking_is_by_objective_with_ties_to_the_lower_number():
    study = make_study(n_configs=4)
    trainings = {
        (number, rung, fold): dataclasses.replace(
            training, probabilities=study.trainings[number % 2, rung, fold].probabilities
        )
        for (number, rung, fold), training in study.trainings.items()
    }
    del trainings[2, 0, 0]
    report = summarise(dataclasses.replace(study, trainings=trainings))
    order = [row["number"] for row in ranked(report)]
    assert order in ([0, 1, 3], [1, 3, 0])
    assert order[0] == report["champion"]["number"]
    assert states(report) == "3 complete, 1 running"


def test_values_are_written_for_people():
    assert [show(value) for value in (True, False, 4, 0.00012345, "concat")] == [
        "yes",
        "no",
        "4",
        "0.000123",
        "concat",
    ]
