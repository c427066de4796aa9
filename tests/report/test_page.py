import dataclasses

import numpy as np
import pytest

from dianet_ray.protocol.correction import Corrected
from dianet_ray.report import verdicts
from dianet_ray.report.page import examples, write
from tests.support.pages import Page
from tests.support.reports import report_of
from tests.support.studies import (
    begun,
    ending,
    laddered,
    make_study,
    repeated,
    shown_early,
    with_environment,
)


@pytest.fixture(scope="module")
def study():
    return make_study(n_subjects=8, n_configs=6)


def images_of(study):
    generator = np.random.default_rng(0)
    images = generator.normal(0, 20, size=(len(study.clips), 3, 8, 8, 3)).astype(np.float16)
    return [clip.clip_id for clip in study.clips], images


def page_of(study, tmp_path, images=None):
    write(report_of(study), images, tmp_path / "report.html")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    return Page(tmp_path / "report.html")


def test_the_page_needs_nothing_but_itself(study, tmp_path):
    page = page_of(study, tmp_path, examples(study, *images_of(study)))
    assert page.addresses
    assert all(address.startswith("data:image/") for address in page.addresses)
    assert not {"script", "link", "iframe"} & set(page.tags)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "http" not in text.replace("data:", "")
    assert "url(" not in text
    assert "@import" not in text


def test_the_search_and_the_calibration_are_drawn(study, tmp_path):
    page = page_of(study, tmp_path)
    for alt in (
        "Score of the best of the first configurations, by their number",
        "Share of right predictions by their probability",
    ):
        assert alt in page.alts
    assert "which knows nothing of the choice" in page.text


def test_the_page_says_the_mean_over_seeds_first(study, tmp_path):
    plain = page_of(study, tmp_path).text
    assert "that chose it" not in plain
    number = report_of(study).champion.number
    again = repeated(study, number, [make_study(n_subjects=8, n_configs=6, signal=2.5)] * 2)
    report, text = report_of(again), page_of(again, tmp_path).text
    mean = f"UF1 {report.seeds.uf1.mean:.2f} in the mean of 2 other seeds"
    assert text.index(mean) < text.index(
        f"The score that chose it is {report.champion.uf1:.2f} (95 % interval"
    )
    assert text.index("mean of 2 seeds") < text.index("score that chose it", text.index("metric"))


def test_the_page_says_in_sentences_what_was_found(study, tmp_path):
    report = report_of(study)
    text = page_of(study, tmp_path).text
    best = report.champion
    assert f"6 configurations (6 complete) on {len(study.clips)} clips of 8 subjects" in text
    assert f"The champion is configuration {best.number}" in text
    assert f"UF1 {best.uf1:.2f} (95 % interval" in text
    assert f"UF1 {best.corrected['uf1'].estimate:.2f} (95 % interval" in text
    assert f"above the {report.chance['uf1'].level:.2f} that guessing scores" in text
    assert "By UF1 the champion is above chance" in text
    assert "workers were busy 100.0 % of the time" in text
    assert "started 10.0 s after" in text
    assert text.index("What the settings did") < text.index("learning rate", text.index("hint"))
    assert all(name in text for name in study.classes)


def test_guessing_is_called_guessing(tmp_path):
    page = page_of(make_study(n_subjects=8, n_configs=1, seed=3, signal=0), tmp_path)
    assert len(page.alts) == 3  # nothing to rank
    assert "configuration 0, the only complete one" in page.text
    assert "By UF1 the champion is not above chance" in page.text
    assert "Only one configuration was tried" in page.text


def test_a_champion_above_chance_by_its_uncorrected_score_only_is_called_so(study, tmp_path):
    assert "uncorrected score only" not in page_of(study, tmp_path).text
    guessing = (make_study(n_subjects=8, n_configs=30, seed=s, signal=0) for s in range(6))
    said = [verdicts.above(one, "uf1") for one in map(report_of, guessing)]
    lucky = make_study(n_subjects=8, n_configs=30, seed=said.index("score only"), signal=0)
    text = page_of(lucky, tmp_path).text
    assert "By UF1 the champion is not above chance" in text
    assert "above chance by its uncorrected score only" in text


def test_what_the_effects_of_settings_are_measured_by_is_said(study, tmp_path):
    assert "UF1 of each complete configuration, by the value" in page_of(study, tmp_path).text
    text = page_of(laddered(), tmp_path).text
    assert "UF1 in rung 1 (3 groups of subjects) of each configuration that finished it" in text


def test_a_ladder_is_told_rung_by_rung(tmp_path):
    report = report_of(laddered())
    text = page_of(laddered(), tmp_path).text
    assert "a ladder of 2 rungs" in text
    assert f"{report.flow.rungs[0].promoted} promoted" in text
    assert "Rung 2 (leave one subject out)" in text
    assert "ranked by soft UF1" in text
    assert "averaged over all rungs" in text


def test_the_score_that_ranks_is_shown_of_every_complete_configuration(tmp_path):
    study = laddered()
    text = page_of(study, tmp_path).text
    for row in report_of(study).ranking:
        assert row.soft == pytest.approx(np.mean([rung.soft for rung in row.rungs]))
        assert f"{row.config_id} {row.soft:.3f} {row.scores.accuracy:.3f}" in text


def test_where_the_correction_takes_nothing_off_the_page_says_so(study):
    champion = report_of(study).champion
    alike = Corrected(champion.uf1, (0.1, 0.9))
    less = Corrected(champion.uf1 - 0.001, (0.1, 0.9))
    for found, says in ((alike, True), (less, False)):
        one = dataclasses.replace(champion, corrected={**champion.corrected, "uf1": found})
        assert ("nothing to take off" in verdicts.corrected(one, "uf1")) is says


def test_one_dynamic_image_per_phase_of_one_clip_per_class(study, tmp_path):
    chosen = examples(study, *images_of(study))
    assert [example.label for example in chosen] == list(study.classes)
    label_of = {clip.clip_id: study.classes[clip.label] for clip in study.clips}
    assert all(label_of[example.clip_id] == example.label for example in chosen)
    subject_of = {clip.clip_id: clip.subject for clip in study.clips}
    assert len({subject_of[example.clip_id] for example in chosen}) == len(chosen)
    page = page_of(study, tmp_path, chosen)
    assert sum(address.startswith("data:image/png") for address in page.addresses) == 9
    assert f"onset to apex of {chosen[0].clip_id}" in page.alts


def test_without_faces_no_image_is_on_the_page_and_it_says_so(study, tmp_path):
    page = page_of(study, tmp_path)
    assert "This page shows no image of a person." in page.text
    assert not any(address.startswith("data:image/png") for address in page.addresses)


def test_an_unfinished_study_has_a_page(study, tmp_path):
    empty = dataclasses.replace(study, trainings={})
    text = page_of(empty, tmp_path).text
    assert "No configuration is complete yet" in text
    assert "0 of 48 trainings" in text
    assert "No training is done yet" in text


def test_mixed_devices_are_a_note(study, tmp_path):
    trainings = dict(study.trainings)
    trainings[0, 0, 0] = with_environment(trainings[0, 0, 0], device="cuda")
    text = page_of(dataclasses.replace(study, trainings=trainings), tmp_path).text
    assert "The trainings differ in device:" in text


def test_surplus_trainings_are_counted(study, tmp_path):
    failed = ending(study.trainings[0, 0, 0], "failed", "loss is nan")
    trainings = {**study.trainings, (0, 0, 0): failed}
    text = page_of(dataclasses.replace(study, trainings=trainings), tmp_path).text
    assert "7 trainings are surplus" in text


def test_names_are_escaped(study, tmp_path):
    classes = ("<script>alert(1)</script>", "a & b", '"c"')
    strange = dataclasses.replace(study, name="<b>x</b>", classes=classes)
    page = page_of(strange, tmp_path, examples(strange, *images_of(strange)))
    assert "script" not in page.tags
    assert "<b>x</b>" in page.text
    assert "<script>alert(1)</script>" in page.text


def test_the_curve_over_points_is_on_the_page_where_there_is_one(study, tmp_path):
    assert "after 10 steps" not in page_of(study, tmp_path).text
    assert "falls after 10 steps" in page_of(shown_early(study, good=1), tmp_path).text
    alone = shown_early(make_study(n_subjects=8, n_configs=1), good=0)
    assert "falls after 10 steps" in page_of(alone, tmp_path).text


def test_the_page_says_as_the_terminal_does_when_others_come_before_the_first_settings(
    study, tmp_path
):
    assert "with which the search began" not in page_of(study, tmp_path).text
    text = page_of(begun(study, 0), tmp_path).text
    assert f"comes before all that are not clearly ahead of it, {verdicts.CLEARLY}." in text


def test_a_page_is_written_while_only_the_first_rung_is_done(tmp_path):
    study = laddered()
    first = {key: one for key, one in study.trainings.items() if key[1] == 0}
    page = page_of(dataclasses.replace(study, trainings=first), tmp_path)
    assert "No configuration is complete yet" in page.text
    assert "What the settings did" in page.text


def test_first_settings_that_stay_champion_are_not_called_the_best(tmp_path):
    study = begun(make_study(8, 6, seed=8, signal=0.5), 0)
    report = report_of(study)
    others = [one.scores.uf1 for one in report.ranking[1:]]
    assert report.champion.number == 0
    assert max(others) > report.champion.uf1
    text = page_of(study, tmp_path).text
    assert "configuration 0, with which the search began: of 6 complete ones none is ahead" in text
    assert "the best of 6" not in text


def test_trainings_without_a_result_are_counted(study, tmp_path):
    trainings = {}
    for key, training in study.trainings.items():
        lost = ending(training, "lost", "its worker was lost")
        trainings[key] = dataclasses.replace(
            lost, result=dataclasses.replace(lost.result, environment=None)
        )
    text = page_of(dataclasses.replace(study, trainings=trainings), tmp_path).text
    assert "48 of 48 trainings" in text
    assert "No training is done yet" not in text
