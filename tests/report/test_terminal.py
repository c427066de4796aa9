import dataclasses
import io

import pytest
from rich.console import Console

from dianet_ray.protocol.standing import Failure
from dianet_ray.report.records import PointScore
from dianet_ray.report.terminal import render
from tests.support.reports import report_of
from tests.support.studies import laddered, make_study, repeated, shown_early, with_environment


@pytest.fixture(scope="module")
def study():
    return make_study(n_subjects=8, n_configs=12)


@pytest.fixture(scope="module")
def report(study):
    return report_of(study)


def printed(report, *, width=80):
    text = io.StringIO()
    render(report, Console(file=text, width=width))
    return text.getvalue()


def words(report):
    """The text with every run of blanks and line breaks as one blank."""
    return " ".join(printed(report, width=300).split())


@pytest.mark.parametrize("width", [80, 200])
def test_the_result_fits_the_terminal(report, width):
    text = printed(report, width=width)
    joined = " ".join(text.split())
    best = report.champion
    assert "Best 10 of 12 complete configurations" in joined
    assert best.config_id in text
    for value in (best.uf1, best.corrected["uf1"].estimate, report.chance["uf1"].level):
        assert f"{value:.3f}" in text
    assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize("width", [80, 200])
def test_the_mean_over_seeds_stands_before_the_score_that_chose(study, width):
    number = report_of(study).champion.number
    other = make_study(n_subjects=len(study.folds), n_configs=12, signal=2.5)
    found = report_of(repeated(study, number, [other] * 2))
    text = printed(found, width=width)
    assert max(map(len, text.splitlines())) <= width
    (row,) = (line for line in text.splitlines() if line.startswith("│ UF1"))
    mean, score = f"{found.seeds.uf1.mean:.3f}", f"{found.champion.uf1:.3f}"
    assert mean != score
    assert row.index(mean) < row.index(score)


def test_an_interval_that_ignores_the_choice_is_said_to(report):
    assert "a bootstrap over subjects, which knows nothing of the choice" in words(report)


def test_the_costs_are_said(report):
    text = words(report)
    assert "started after 10.0 s" in text
    assert "busy 100.0 %" in text


def test_a_champion_that_was_chosen_has_a_corrected_score_and_another_has_none(report):
    assert "a coupled bootstrap over subjects" in words(report)
    alone = words(report_of(make_study(n_configs=1)))
    assert "corrected" not in alone
    assert "Only one configuration was tried" in alone


def test_a_ladder_is_told_rung_by_rung():
    report = report_of(laddered())
    groups, loso = report.flow.rungs
    text = words(report)
    assert f"{report.n_configs} configurations (" in text
    assert f"{groups.reached - groups.promoted} not promoted" in text
    assert "screened" not in text
    assert f"Rung 1 (3 groups of subjects): {groups.reached} configurations" in text
    assert f"{groups.promoted} promoted" in text
    assert f"Rung 2 (leave one subject out): {loso.reached} configuration" in text
    assert "a coupled bootstrap over subjects" in text


def test_an_unfinished_study_has_no_champion(study):
    kept = {key: t for key, t in study.trainings.items() if key[2] < 3}
    text = words(report_of(dataclasses.replace(study, trainings=kept)))
    assert "No configuration is complete yet" in text
    assert "12 running" in text
    assert "36 of 96 trainings" in text


def test_a_study_without_a_draw_can_be_reported(study):
    empty = dataclasses.replace(study, trainings={}, configurations=(), spans=())
    assert "0 configurations drawn so far" in words(report_of(empty))


def test_a_mixture_of_devices_is_said(study):
    trainings = dict(study.trainings)
    trainings[0, 0, 0] = with_environment(trainings[0, 0, 0], device="cuda")
    text = words(report_of(dataclasses.replace(study, trainings=trainings)))
    assert "The trainings differ in device:" in text


def test_what_failed_is_said_with_its_reason_and_the_rest_is_counted(report):
    failed = [Failure(k, f"id{k}", is_crash=True, reason=f"reason {k}") for k in range(7)]
    text = words(dataclasses.replace(report, failures=tuple(failed)))
    assert "Failed: configuration 4 (id4): reason 4" in text
    assert "reason 5" not in text
    assert "2 more failed: --json lists all" in text
    assert "ailed" not in words(report)


def test_one_of_a_kind_is_singular(report):
    dataset = dataclasses.replace(report.dataset, clips=1, subjects=1, left_out=1)
    text = words(dataclasses.replace(report, dataset=dataset, n_surplus=1))
    assert "1 clip of 1 subject " in text
    assert "1 clip left out" in text
    assert "1 training is surplus" in text


def test_names_are_printed_as_they_are(study):
    strange = dataclasses.replace(
        study, name="[red]x[/red]:smile:", classes=("[a]", "[b]", ":heart:")
    )
    text = words(report_of(strange))
    assert "[red]x[/red]:smile:" in text
    assert "[a]" in text
    assert ":heart:" in text


def test_a_champion_that_was_higher_before_but_not_clearly_is_not_said_to_rise(study):
    report = report_of(study)
    curve = tuple(PointScore(steps, score, (0.2, 0.9)) for steps, score in [(10, 0.62), (20, 0.6)])
    champion = dataclasses.replace(report.champion, steps=20, curve=curve)
    text = words(dataclasses.replace(report, champion=champion))
    assert "No more is gained after 10 steps" in text
    assert "still rising" not in text


@pytest.mark.parametrize(
    ("good", "verdict"),
    [(2, "falls after 10 steps"), (9, "still rising at the last point")],
)
def test_the_curve_over_points_is_said(good, verdict):
    text = words(report_of(shown_early(make_study(), good=good)))
    assert verdict in text
    assert "--set steps=40" in text or good == 2
