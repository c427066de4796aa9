"""Repeats with other seeds, in the report."""

import dataclasses

import numpy as np
import pytest

from dianet_ray.artefacts import METRICS
from dianet_ray.protocol.folds import repeat_rung
from dianet_ray.protocol.standing import standing_of
from dianet_ray.report import verdicts
from dianet_ray.report.seeds import seeds
from tests.support.reports import report_of
from tests.support.studies import begun, ending, make_study, repeated


@pytest.fixture(scope="module")
def study():
    return make_study(n_subjects=8)


def others(n):
    """As many studies of the same clips, with a little more signal each."""
    return [make_study(n_subjects=8, signal=1.5 + 0.5 * place) for place in range(n)]


def test_mean_and_deviation_are_those_of_the_repeats_scores(study):
    champion = report_of(study).champion.number
    found = seeds(standing_of(repeated(study, champion, others(3))), champion)
    scored = [standing_of(one).score(champion).value for one in others(3)]
    assert found.n == 3
    assert found.uf1.mean == pytest.approx(np.mean(scored))
    assert found.uf1.deviation == pytest.approx(np.std(scored, ddof=1))
    assert 0 < found.uf1.standard_error < 0.5


def test_equal_repeats_differ_between_subjects_alone(study):
    champion = report_of(study).champion.number
    found = seeds(standing_of(repeated(study, champion, others(1) * 2)), champion)
    alone = seeds(standing_of(repeated(study, champion, others(1))), champion)
    for metric in METRICS:
        assert found.of(metric).deviation == 0.0
        assert alone.of(metric).deviation is None
        errors = (one.of(metric).standard_error for one in (found, alone))
        assert next(errors) == pytest.approx(next(errors))


def test_a_repeat_that_lacks_a_fold_is_left_out(study):
    champion = report_of(study).champion.number
    whole = repeated(study, champion, others(2))
    key = champion, repeat_rung(study.rungs, 1), 3
    without = {k: one for k, one in whole.repeats.items() if k != key}
    failed = {**whole.repeats, key: ending(whole.repeats[key], "failed", "ValueError: bad")}
    alone = seeds(standing_of(repeated(study, champion, others(1))), champion)
    for repeats, n_failed in ((without, 0), (failed, 1)):
        found = seeds(standing_of(dataclasses.replace(whole, repeats=repeats)), champion)
        assert found == dataclasses.replace(alone, n_failed=n_failed)


def test_no_decision_and_no_other_figure_reads_a_repeat(study):
    champion = report_of(study).champion.number
    before, after = report_of(study), report_of(repeated(study, champion, others(2)))
    assert after.seeds.n == 2
    same = {
        "seeds": None,
        "n_after": 0,
        "seconds": before.seconds,
        "environment": before.environment,
    }
    assert dataclasses.replace(after, **same) == before


def test_the_report_says_the_mean_first_and_compares_with_the_first_settings(study):
    plain = report_of(study)
    assert plain.seeds is None
    assert verdicts.seeds(plain) == ""
    champion = plain.champion.number
    assert champion != 0
    both = repeated(repeated(begun(study, 0), champion, others(2)), 0, others(2))
    report = report_of(both)
    said = verdicts.seeds(report)
    assert said.startswith(
        f"Trained again with 2 other seeds, the champion has UF1 {report.seeds.uf1.mean:.3f}"
    )
    assert (
        f"Configuration 0, with which the search began, has {report.defaults.seeds.uf1.mean:.3f}"
        in said
    )
    assert f"chose it, it has {report.champion.uf1:.3f}." in said


def test_the_verdict_says_what_the_flag_says(study):
    for one in (report_of(study), report_of(make_study(n_subjects=8, signal=0))):
        found = one.verdict
        assert found.above_chance == one.champion.above_chance["uf1"]
        assert ("not above chance" in found.text) != found.above_chance
    assert report_of(dataclasses.replace(study, trainings={})).verdict is None


def test_repeats_of_which_none_succeeded_are_said():
    study = make_study(6, 4)
    number = report_of(study).champion.number
    again = repeated(study, number, [make_study(6, 4, seed=9)])
    key = next(iter(again.repeats))
    lost = {**again.repeats, key: ending(again.repeats[key], "failed", "loss is nan")}
    report = report_of(dataclasses.replace(again, repeats=lost))
    assert (report.seeds, report.n_failed_repeats) == (None, 1)
    assert verdicts.seeds(report) == "With 1 other seed a training of the champion failed."
