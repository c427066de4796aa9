import csv
import dataclasses
import io
import json

import numpy as np
import pytest
from rich.console import Console

from dianet_ray.artefacts import METRICS
from dianet_ray.errors import InputError
from dianet_ray.protocol.correction import champion
from dianet_ray.report.document import render, summarise, write_predictions
from tests.support.studies import laddered, make_study


@pytest.fixture(scope="module")
def study():
    return make_study(n_subjects=8, n_configs=12)


@pytest.fixture(scope="module")
def report(study):
    return summarise(study)


def unfinished(study, *, folds):
    kept = {key: t for key, t in study.trainings.items() if key[2] < folds}
    return dataclasses.replace(study, trainings=kept)


def failing(study, number):
    trainings = dict(study.trainings)
    trainings[number, 0, 2] = dataclasses.replace(
        trainings[number, 0, 2], outcome="failed", probabilities=None, error="loss is nan"
    )
    return dataclasses.replace(study, trainings=trainings)


def printed(report, *, width=80):
    text = io.StringIO()
    render(report, Console(file=text, width=width))
    return text.getvalue()


def test_the_document_has_the_keys_that_scripts_rely_on(report):
    assert set(report) >= {
        "study",
        "dataset",
        "strategy",
        "protocol",
        "objective",
        "n_configs",
        "n_trainings",
        "n_surplus",
        "n_trainings_exhaustive",
        "flow",
        "chance",
        "champion",
        "settings_effect",
        "configs",
        "seconds",
        "environment",
    }
    assert set(report["dataset"]) >= {"clips", "subjects", "classes", "left_out"}
    assert set(report["seconds"]) == {"wall", "training", "startup", "busy_fraction"}
    assert set(report["champion"]) >= {
        "config_id",
        "settings",
        "accuracy",
        "uf1",
        "uar",
        "ci95",
        "corrected",
        "confusion",
        "per_subject",
    }
    assert set(report["configs"][0]) == {"number", "config_id", "settings", "rungs", "state"}
    for metric in ("accuracy", "uf1", "uar"):
        assert set(report["chance"][metric]) == {"majority", "shuffled", "level"}
        assert set(report["champion"]["corrected"][metric]) == {"estimate", "ci95"}


def test_the_document_is_plain_json_and_repeats_itself(study, report):
    assert json.loads(json.dumps(report, allow_nan=False)) == summarise(study)


def test_the_numbers_agree_with_each_other(study, report):
    best = report["champion"]
    assert best["config_id"] == champion(study).config_id
    assert best["uf1"] == max(c["rungs"][-1]["scores"]["uf1"] for c in report["configs"])
    assert np.sum(best["confusion"]) == len(study.clips) == report["dataset"]["clips"]
    assert sum(report["dataset"]["classes"].values()) == len(study.clips)
    assert sum(found["clips"] for found in best["per_subject"].values()) == len(study.clips)
    correct = sum(found["correct"] for found in best["per_subject"].values())
    assert correct == np.trace(best["confusion"])
    assert best["accuracy"] == pytest.approx(correct / len(study.clips))
    assert np.mean(list(best["recall"].values())) == pytest.approx(best["uar"])
    assert report["n_trainings"] == report["n_trainings_exhaustive"] == 12 * 8
    assert report["n_surplus"] == 0
    assert report["dataset"]["left_out"] == 3


def test_above_chance_means_that_the_lower_end_is_above_the_level(report):
    for metric, is_above in report["champion"]["above_chance"].items():
        low = report["champion"]["ci95"][metric][0]
        assert is_above == (low > report["chance"][metric]["level"])
    assert all(report["champion"]["above_chance"].values())
    guessing = summarise(make_study(n_subjects=8, n_configs=1, seed=3, signal=0))
    assert not any(guessing["champion"]["above_chance"].values())


def test_the_corrected_estimate_of_guessing_is_below_the_best_score():
    for seed in range(5):
        guessing = summarise(make_study(n_subjects=12, n_configs=20, seed=seed, signal=0))
        best = guessing["champion"]
        assert best["corrected"]["uf1"]["estimate"] < best["uf1"]


def test_a_failed_configuration_has_no_score_and_what_followed_is_surplus(study):
    best = champion(study).number
    found = summarise(failing(study, best))
    assert found["configs"][best]["state"] == "failed"
    assert found["configs"][best]["rungs"] == [
        {"partition": "loso", "state": "failed", "n_trainings": 8, "scores": None}
    ]
    assert found["n_surplus"] == 5  # the first failure, in the third fold, decides
    assert found["champion"]["number"] != best


def test_one_complete_configuration_needs_no_correction():
    assert summarise(make_study(n_configs=1))["champion"]["corrected"] is None


def test_a_climb_is_corrected_though_one_configuration_finished_loso():
    study = laddered()
    found = summarise(study)
    finished = [c for c in found["configs"] if c["state"] == "complete"]
    assert len(finished) < len(found["configs"])
    best = found["champion"]
    alone = dataclasses.replace(study, configurations=study.configurations[:1])
    assert summarise(alone)["champion"]["corrected"] is None
    for metric in METRICS:
        low, high = best["corrected"][metric]["ci95"]
        assert low < best["corrected"][metric]["estimate"] < high
    assert "BBC-CV over people" in " ".join(printed(found).split())


def test_an_unfinished_study_says_what_is_done(study):
    found = summarise(unfinished(study, folds=3))
    assert found["champion"] is None
    assert found["settings_effect"] == {}
    assert found["n_trainings"] == 36
    assert found["n_surplus"] == 0  # they still run, and will be read
    assert found["chance"]["uf1"]["shuffled"] is None
    assert {config["state"] for config in found["configs"]} == {"running"}
    text = printed(found)
    assert "No configuration is complete yet" in text
    assert "12 running" in text
    assert "36 of 96 trainings" in text.replace("\n", " ")


def test_a_study_without_a_draw_can_be_reported(study):
    empty = dataclasses.replace(study, trainings={}, configurations=(), spans=())
    assert "none drawn" in printed(summarise(empty))


@pytest.mark.parametrize("width", [80, 200])
def test_the_terminal_shows_the_result(report, width):
    text = printed(report, width=width)
    joined = " ".join(text.split())
    best = report["champion"]
    assert "Best 10 of 12 complete configurations" in joined
    assert best["config_id"] in text
    assert f"{best['uf1']:.3f}" in text
    assert f"{best['corrected']['uf1']['estimate']:.3f}" in text
    assert f"{report['chance']['uf1']['level']:.3f}" in text
    assert "start-up 10.0 s, workers busy 1.000" in joined
    assert "BBC-CV over people" in joined
    assert "12 complete" in joined
    assert max(map(len, text.splitlines())) <= width


def test_the_terminal_says_when_a_study_mixes_devices(study):
    trainings = dict(study.trainings)
    trainings[0, 0, 0] = dataclasses.replace(trainings[0, 0, 0], environment={"device": "cuda"})
    text = printed(summarise(dataclasses.replace(study, trainings=trainings)))
    assert "mixed: the trainings differ in device" in text


def test_names_are_printed_as_they_are(study):
    strange = dataclasses.replace(study, name="[red]x[/red]", classes=("[a]", "b", "c"))
    assert "[red]x[/red]" in printed(summarise(strange))


def test_predictions_are_the_champions_held_out_answers(study, tmp_path):
    path = tmp_path / "made" / "predictions.csv"
    write_predictions(study, path)
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        "clip_id",
        "subject",
        "label",
        "predicted",
        *(f"probability_{name}" for name in study.classes),
    ]
    assert [row["clip_id"] for row in rows] == [clip.clip_id for clip in study.clips]
    written = [[float(row[f"probability_{name}"]) for name in study.classes] for row in rows]
    probabilities = study.pooled(champion(study).number)
    assert np.array_equal(np.array(written, dtype=np.float32), probabilities)
    right = np.mean([row["label"] == row["predicted"] for row in rows])
    assert right == pytest.approx(summarise(study)["champion"]["accuracy"])
    assert list(path.parent.iterdir()) == [path]


def test_predictions_of_nothing_are_refused_in_one_line(study, tmp_path):
    with pytest.raises(InputError, match="none is complete") as caught:
        write_predictions(unfinished(study, folds=2), tmp_path / "predictions.csv")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
