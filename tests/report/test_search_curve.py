"""The search as a curve over the number of configurations."""

from dataclasses import replace

import pytest

from dianet_ray.report import verdicts
from dianet_ray.report.records import SearchPoint
from tests.support.reports import report_of
from tests.support.studies import laddered, make_study


@pytest.mark.parametrize("study", [make_study(n_configs=12), laddered(12)], ids=["all", "ladder"])
def test_the_curve_ends_with_the_champion_and_never_falls_in_what_chooses(study):
    report = report_of(study)
    points = report.search_curve
    assert [one.configurations for one in points] == [1, 2, 4, 8, 12][-len(points) :]
    assert points[-1].best == report.champion.number
    assert points[-1].score == report.champion.of("uf1")
    assert points[-1].corrected == report.champion.corrected["uf1"].estimate
    for one in points:
        assert one.best < one.configurations
    if len(report.flow.rungs) == 1:  # under a ladder the sum over the rungs chooses
        scores = [one.score for one in points]
        assert scores == sorted(scores)


def test_a_curve_is_what_shorter_searches_say():
    study = make_study(n_configs=8)
    whole = report_of(study)
    short = report_of(
        replace(
            study,
            configurations=study.configurations[:4],
            trainings={key: one for key, one in study.trainings.items() if key[0] < 4},
        )
    )
    assert whole.search_curve[: len(short.search_curve)] == short.search_curve


def test_the_best_of_one_needs_no_correction():
    (one,) = report_of(make_study(n_configs=1)).search_curve
    assert one.corrected == one.score
    assert verdicts.search_curve(report_of(make_study(n_configs=1))) == ""


def test_there_is_no_curve_without_a_complete_configuration():
    study = make_study()
    assert report_of(replace(study, trainings={})).search_curve == ()


def curve(*corrected):
    return tuple(
        SearchPoint(configurations=2**place, best=0, score=value + 0.1, corrected=value)
        for place, value in enumerate(corrected)
    )


@pytest.mark.parametrize(
    ("corrected", "verdict"),
    [
        ((0.40, 0.50, 0.498, 0.503), "after the first 2 configurations gained nothing"),
        ((0.50, 0.40, 0.41, 0.42), "after the first configuration gained nothing"),
        ((0.40, 0.50, 0.60), "The last 2 gained 10.0 points: more may find better ones"),
    ],
)
def test_the_sentence_says_where_drawing_more_gained_nothing(corrected, verdict):
    report = replace(report_of(make_study()), search_curve=curve(*corrected))
    assert verdict in verdicts.search_curve(report)
