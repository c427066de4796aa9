"""The report as JSON: what scripts rely on, and that nothing is lost on the way."""

import dataclasses
import json

import pytest

from dianet_ray.artefacts import METRICS, from_json, to_json, to_plain
from dianet_ray.errors import InputError
from dianet_ray.protocol.standing import standing_of
from dianet_ray.report.records import (
    Report,
)
from tests.support.reports import report_of
from tests.support.studies import laddered, make_study

STUDIES = {
    "exhaustive": lambda: make_study(n_subjects=8, n_configs=12),
    "laddered": laddered,
    "of one configuration": lambda: make_study(n_configs=1),
    "without a training": lambda: dataclasses.replace(make_study(), trainings={}),
    "without a draw": lambda: dataclasses.replace(
        make_study(), trainings={}, configurations=(), spans=()
    ),
}


@pytest.mark.parametrize("name", STUDIES)
def test_a_report_comes_back_from_its_json_as_it_was(name):
    report = report_of(STUDIES[name]())
    assert from_json(Report, to_json(report), name) == report


@pytest.mark.parametrize("name", STUDIES)
def test_a_report_is_plain_json_without_nan(name):
    plain = to_plain(report_of(STUDIES[name]()))
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain


def test_a_misspelt_key_of_a_report_is_refused():
    plain = to_plain(report_of(make_study()))
    plain["seconds"]["busy"] = 1
    with pytest.raises(InputError, match=r"a report is damaged: .*seconds\.busy"):
        from_json(Report, json.dumps(plain), "a report")


def test_the_json_has_the_keys_that_scripts_rely_on():
    report = to_plain(report_of(make_study(n_subjects=8, n_configs=12)))
    assert set(report) == {
        *("study", "dataset", "strategy", "protocol", "objective"),
        *("n_configs", "n_trainings", "n_after", "n_surplus", "n_trainings_exhaustive"),
        *("flow", "fidelity", "chance", "champion", "defaults"),
        *("seeds", "n_failed_repeats", "verdict", "nested"),
        *("as_others_count", "search_curve", "importance", "settings_effect"),
        *("configs", "failures", "seconds", "environment"),
    }
    dataset = {"name", "clips", "subjects", "classes", "left_out", "left_out_by"}
    assert set(report["dataset"]) == dataset
    assert set(report["dataset"]["left_out_by"]) == {"prepare", "classes"}
    assert set(report["seconds"]) == {"wall", "training", "startup", "busy_fraction"}
    assert set(report["environment"]) == {"trainings", "mixed", "driver"}
    assert set(report["champion"]) == {
        *("number", "config_id", "settings", "steps", "curve", *METRICS, "ci95", "corrected"),
        "coverage",
        *("at_bounds", "above_chance", "above_chance_uncorrected"),
        *("confusion", "recall", "per_class", "calibration", "per_subject", "parts"),
    }
    assert set(report["configs"][0]) == {
        *("number", "config_id", "settings", "rungs", "state", "rank")
    }
    rung = {"partition", "state", "n_trainings", "scores", "soft", "steps"}
    assert set(report["configs"][0]["rungs"][0]) == rung
    for metric in METRICS:
        assert set(report["chance"][metric]) == {"majority", "shuffled", "level", "p"}
        assert set(report["champion"]["corrected"][metric]) == {"estimate", "ci95"}
        assert len(report["champion"]["ci95"][metric]) == 2


def test_the_json_of_a_ladder_says_what_each_rung_did():
    flow = to_plain(report_of(laddered()))["flow"]
    assert set(flow) == {"rungs", "saved"}
    assert set(flow["saved"]) == {"trainings", "seconds"}
    assert set(flow["rungs"][0]) == {
        *("partition", "folds", "steps", "keep", "reached", "promoted", "states"),
        *("trainings", "seconds"),
    }
    assert [rung["partition"] for rung in flow["rungs"]] == ["groups-3", "loso"]


def test_the_json_of_effects_has_a_value_or_a_range():
    effects = to_plain(report_of(make_study(n_configs=12)))["settings_effect"]
    assert list(effects) == ["heads", "learning_rate"]
    assert {frozenset(one) for one in effects["heads"]} == {
        frozenset({"value", "n", "median", "best"})
    }
    assert {frozenset(one) for one in effects["learning_rate"]} == {
        frozenset({"range", "n", "median", "best"})
    }


def test_the_ranking_is_that_of_the_study_and_begins_with_the_champion():
    for study in (make_study(n_configs=6), laddered()):
        report = report_of(study)
        ranked = [one.number for one in standing_of(study).ranking]
        assert [config.number for config in report.ranking] == ranked
        assert report.ranking[0].number == report.champion.number
