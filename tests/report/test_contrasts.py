"""Comparing configurations of one study, and champions of several."""

from __future__ import annotations

import dataclasses
import io

import pytest
from rich.console import Console

from dianet_ray.artefacts import METRICS
from dianet_ray.errors import InputError
from dianet_ray.protocol.paired import holm
from dianet_ray.protocol.predictions import interval
from dianet_ray.protocol.standing import standing_of
from dianet_ray.report.contrasts import contrasts, of_champions, of_study
from dianet_ray.report.terminal import render_contrasts
from dianet_ray.report.wording import show
from dianet_ray.settings import Settings
from tests.support.reports import report_of
from tests.support.studies import ending, make_clips, make_study


@pytest.fixture(scope="module")
def study():
    return make_study(n_subjects=8, n_configs=9)


@pytest.fixture(scope="module")
def standing(study):
    return standing_of(study)


def test_configurations_are_compared_by_number_and_by_id(study, standing):
    by_number = contrasts(of_study(standing, "3,0"))
    by_id = contrasts(of_study(standing, f"{study.configurations[3].config_id}, 0"))
    assert by_id == by_number
    scores = {config.number: config.scores for config in report_of(study).configs}
    (found,) = by_number.comparison
    assert (found.a, found.b) == ("configuration 3", "configuration 0")
    assert (found.scores_a, found.scores_b) == (scores[3], scores[0])
    seed = study.identity.seed
    assert found.ci95_a == interval(standing.confusions(3), seed)
    assert found.ci95_b == interval(standing.confusions(0), seed)
    for metric in METRICS:
        one = found.difference[metric]
        assert one.value == pytest.approx(scores[3].of(metric) - scores[0].of(metric))
        assert one.p_holm == one.p


def test_of_each_value_of_a_setting_the_best_configuration_is_compared(study, standing):
    found = contrasts(of_study(standing, "heads=4,1,2"))
    best = {}
    for config in report_of(study).ranking:
        best.setdefault(config.settings.heads, config.scores)
    assert [one.b for one in found.comparison] == ["heads=1", "heads=2"]
    assert {one.a for one in found.comparison} == {"heads=4"}
    assert found.comparison[0].scores_a == best[4]
    assert [one.scores_b for one in found.comparison] == [best[1], best[2]]
    for metric in METRICS:
        adjusted = holm([one.difference[metric].p for one in found.comparison])
        assert [one.difference[metric].p_holm for one in found.comparison] == adjusted


def test_holm_multiplies_the_least_p_most_and_keeps_their_order():
    assert holm([0.2, 0.01, 0.03]) == [0.2, 0.03, 0.06]
    assert holm([0.04, 0.03]) == [0.06, 0.06]
    assert holm([0.9, 0.8, 0.7]) == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ("1", "takes A,B or setting=value,value"),
        ("1,", "takes A,B or setting=value,value"),
        ("1,1", "takes different names"),
        ("1,77", r"got '77', there are 0, 1, 2"),
        ("breadth=1,2", "'breadth' is none of "),
        ("heads=1,3", r"no complete configuration of demo-study has heads=3; .* are 1, 2, 4"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(standing, wanted, says):
    with pytest.raises(InputError, match=says) as error:
        of_study(standing, wanted)
    assert "\n" not in str(error.value)


def test_a_configuration_that_did_not_finish_cannot_be_compared(study):
    trainings = dict(study.trainings)
    trainings[2, 0, 1] = ending(trainings[2, 0, 1], "failed", "loss is nan")
    failed = standing_of(dataclasses.replace(study, trainings=trainings))
    with pytest.raises(InputError, match="got '2', there are 0, 1, 3"):
        of_study(failed, "0,2")


def test_champions_of_studies_are_compared(study, standing):
    other = dataclasses.replace(make_study(8, 4, signal=0.1), name="other")
    found = contrasts(of_champions([standing, standing_of(other)]))
    (one,) = found.comparison
    assert one.a.startswith("demo-study (")
    assert one.b.startswith("other (")
    assert one.scores_a.uf1 == report_of(study).champion.uf1
    assert one.scores_b.uf1 == report_of(other).champion.uf1
    assert found.subjects == 8
    twice = [one.name for one in of_champions([standing, standing])]
    number = report_of(study).champion.number
    assert twice == [f"1: demo-study ({number})", f"2: demo-study ({number})"]


def test_studies_of_other_clips_are_refused_with_how_many_differ(standing):
    clips = make_clips(8, seed=0)
    moved = dataclasses.replace(clips[0], label=(clips[0].label + 1) % 3)
    other = dataclasses.replace(standing.study, clips=(moved, *standing.study.clips[1:]))
    with pytest.raises(InputError, match=r"1 clip of demo-study .* differ"):
        of_champions([standing, dataclasses.replace(standing, study=other)])


def test_studies_of_other_classes_and_without_a_champion_are_refused(standing):
    other = dataclasses.replace(standing.study, classes=("a", "b", "c"))
    with pytest.raises(InputError, match="the same classes"):
        of_champions([standing, dataclasses.replace(standing, study=other)])
    unfinished = standing_of(dataclasses.replace(standing.study, trainings={}))
    with pytest.raises(InputError, match="demo-study has no champion to compare"):
        of_champions([standing, unfinished])


def test_a_table_holds_every_comparison_and_metric(standing):
    text = io.StringIO()
    found = contrasts(of_study(standing, "heads=4,1,2"))
    render_contrasts(found, Console(file=text, width=120))
    first = found.comparison[0]
    shown = [(first.a, first.scores_a, first.ci95_a)]
    shown += [(one.b, one.scores_b, one.ci95_b) for one in found.comparison]
    rows = [line for line in text.getvalue().splitlines() if "to" in line]
    for (name, scores, ends), row in zip(shown, rows[:: len(METRICS)], strict=True):
        low, high = ends["uf1"]
        assert name in row
        assert f" {scores.uf1:.3f} │ {low:.2f} to {high:.2f} " in row
    metrics = ("uf1", *(metric for metric in METRICS if metric != "uf1"))  # the objective first
    of_others = iter(rows[len(METRICS) :])
    for one in found.comparison:
        for metric in metrics:
            difference = one.difference[metric]
            value, (low, high) = difference.value, difference.ci95
            assert f" {value:+.3f} │ {low:+.2f} to {high:+.2f} " in next(of_others)


def same_ones(standing):
    number = standing.complete()[0].number
    values = standing.study.configurations[number].settings.values()
    return [
        f"{number},{standing.study.configurations[number].config_id}",
        f"flip={show(values['flip'])},{values['flip']}",
    ]


@pytest.mark.parametrize("place", range(2))
def test_a_configuration_is_not_compared_with_itself(standing, place):
    wanted = same_ones(standing)[place]
    one, other = wanted.rpartition("=")[2].split(",")
    assert one != other
    with pytest.raises(InputError, match="--compare takes different configurations"):
        of_study(standing, wanted)


def rates(standing, *values):
    """The same study, its configurations with these learning rates alone."""
    configurations = tuple(
        dataclasses.replace(one, settings=Settings(learning_rate=values[min(one.number, 1)]))
        for one in standing.study.configurations
    )
    study = dataclasses.replace(standing.study, configurations=configurations)
    return dataclasses.replace(standing, study=study)


def test_configurations_that_differ_in_many_settings_are_told_apart_by_number(standing):
    study = standing.study
    changes = [{}, {"dropout": 0.4, "heads": 8, "embedding": 32, "width": 8, "steps": 10}]
    configurations = tuple(
        dataclasses.replace(one, settings=Settings(**changes[min(one.number, 1)]))
        for one in study.configurations
    )
    changed = dataclasses.replace(
        standing, study=dataclasses.replace(study, configurations=configurations)
    )
    (one,) = contrasts(of_study(changed, "0,1")).comparison
    assert (one.settings_a, one.settings_b) == ("", "")
    (one,) = contrasts(of_study(rates(standing, 0.00123449, 0.001234), "0,1")).comparison
    assert one.settings_a == "learning_rate 0.00123449"
    (one,) = contrasts(of_study(changed, "2,1")).comparison
    assert (one.settings_a, one.settings_b) == ("", "")  # they do not differ at all
