import json
import re
from dataclasses import replace

import pytest

from dianet_ray.artefacts import CARD_JSON, METRICS, Recipe, from_json, to_json
from dianet_ray.ensemble import card
from dianet_ray.ensemble.card import Card
from dianet_ray.errors import InputError
from dianet_ray.protocol.standing import standing_of
from tests.support.models import IMAGE_SIZE, edit, with_weights, write_model
from tests.support.reports import report_of
from tests.support.studies import make_study, repeated, with_environment, with_result


@pytest.fixture
def study(tmp_path):
    return with_weights(make_study(4, 3), tmp_path / "study")


@pytest.fixture
def model(study, tmp_path):
    """A model folder as it is collected."""
    return write_model(study, tmp_path / "model")


def made_card(study, fingerprints):
    return card.make(standing_of(study), report_of(study), fingerprints)


def fingerprints_of(study):
    return {clip.clip_id: f"{i:064d}" for i, clip in enumerate(study.clips)}


@pytest.mark.parametrize("n_configs", [1, 3])
def test_a_card_comes_back_from_its_json_as_it_was(tmp_path, n_configs):
    study = with_weights(make_study(4, n_configs), tmp_path / "study")
    made = made_card(study, fingerprints_of(study))
    assert from_json(Card, to_json(made), "a card") == made


def test_a_card_holds_what_the_report_says_of_the_champion(study):
    found, said = made_card(study, {}), report_of(study)
    for metric in METRICS:
        score = found.metrics[metric]
        assert score.value == said.champion.of(metric)
        assert score.ci95 == said.champion.ci95[metric]
        assert score.corrected == said.champion.corrected[metric]
        assert score.chance == said.chance[metric].level
    assert found.settings == standing_of(study).champion().settings
    assert found.classes == study.classes


def test_a_card_says_how_the_images_were_made_and_what_trained_the_models(study):
    found = made_card(study, {})
    assert (found.recipe, found.apex) == (Recipe(image_size=IMAGE_SIZE), "annotated")
    assert found.images_hash == "f" * 64
    assert found.versions == {
        "torch": ("2.13.0",),
        "device": ("cpu",),
        "threads": ("1",),
        "block": ("1",),
    }


def test_nobody_is_named_in_a_card(study):
    text = to_json(made_card(study, fingerprints_of(study)))
    assert not re.search(r"sub\d\d", text)
    for clip in study.clips:
        assert clip.subject not in text
        assert clip.clip_id not in text


def test_a_card_says_which_subjects_each_fold_never_saw_and_whose_each_clip_is(study):
    fingerprints = fingerprints_of(study)
    found = made_card(study, fingerprints)
    for fold, described in zip(study.folds, found.folds, strict=True):
        assert described.test_subjects == tuple(map(card.subject_hash, fold.test_subjects))
    for clip in study.clips:
        assert found.clips[fingerprints[clip.clip_id]] == card.subject_hash(clip.subject)


def test_equal_studies_have_equal_cards_whatever_the_time_and_the_host(study):
    later = {
        key: with_result(
            with_environment(t, host="elsewhere"),
            started_at=t.result.started_at + 100,
            finished_at=t.result.finished_at + 200,
        )
        for key, t in study.trainings.items()
    }
    again = replace(study, trainings=later)
    assert made_card(again, {}) == made_card(study, {})


def test_a_study_without_a_complete_configuration_has_no_card(study):
    with pytest.raises(InputError, match=r"complete configuration: none of the 3 .* 0 trainings"):
        made_card(replace(study, trainings={}), {})


def test_a_champion_without_recorded_weights_has_no_card(study):
    bare = {
        key: with_result(t, points=tuple(replace(point, weights=None) for point in t.points))
        for key, t in study.trainings.items()
    }
    with pytest.raises(InputError, match="weights must be recorded: fold 0 of demo-study"):
        made_card(replace(study, trainings=bare), {})


def test_the_ensemble_of_all_seeds_holds_whole_repeats_alone():
    plain = make_study(n_subjects=4)
    champion = standing_of(plain).champion().number
    others = [make_study(n_subjects=4, signal=signal) for signal in (1.5, 2.0)]
    study = repeated(plain, champion, others)
    key = next(key for key in study.repeats if key[1] == 2)
    study = replace(study, repeats={k: one for k, one in study.repeats.items() if k != key})
    assert card.trainings_of(standing_of(study), seeds=False) == study.of(champion)
    found = card.make(standing_of(study), report_of(study), {}, seeds=True)
    assert [fold.file for fold in found.folds] == [
        *(f"fold-{fold:03d}.safetensors" for fold in range(4)),
        *(f"fold-{fold:03d}-seed-1.safetensors" for fold in range(4)),
    ]
    held_out = [fold.test_subjects for fold in found.folds]
    assert held_out[:4] == held_out[4:]


def test_a_made_card_reads_back(study, model):
    assert card.read(model) == made_card(study, {})


@pytest.mark.parametrize(
    "name",
    ["../secret.safetensors", "/etc/fold.safetensors", "..\\up.safetensors", "C:fold.safetensors",
     "a/b.safetensors", "..", "", "card.json", "fold\0.safetensors"],
)  # fmt: skip
def test_a_card_cannot_name_a_file_outside_its_folder(model, name):
    (model.parent / "secret.safetensors").write_bytes(b"secret")
    folds = json.loads((model / CARD_JSON).read_text())["folds"]
    edit(model, folds=[{**folds[0], "file": name}, *folds[1:]])
    with pytest.raises(InputError, match="own folder"):
        card.read(model)


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"format": "two"}, "format"),
        ({"classes": ["one"]}, "classes"),
        ({"settings": {"heads": 5, "embedding": 16}}, "heads must divide"),
        ({"folds": []}, "folds"),
        ({"recipe": {"image_size": 64, "coefficients": "magic"}}, "coefficients.*magic"),
        ({"clips": None}, "clips"),
        ({"clip": {}}, "unknown key clip"),
    ],
)
def test_a_wrong_card_is_refused_in_one_line(model, changes, where):
    edit(model, **changes)
    with pytest.raises(InputError, match=rf"{CARD_JSON} is damaged: .*{where}") as error:
        card.read(model)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("format", [1, 7])
def test_a_model_folder_of_another_format_is_refused_saying_what_to_do(model, format):
    edit(model, format=format, surplus_key=1)
    rule = rf"format 4: .*{CARD_JSON} has format {format}; collect the model again"
    with pytest.raises(InputError, match=rule) as error:
        card.read(model)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "[]", "{", "nonsense", "3"])
def test_a_card_that_is_no_card_is_refused_in_one_line(model, text):
    (model / CARD_JSON).write_text(text)
    with pytest.raises(InputError, match=r"card\.json") as error:
        card.read(model)
    assert "\n" not in str(error.value)


def test_missing_and_changed_files_are_named(model):
    file = model / "fold-002.safetensors"
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(InputError, match=r"as its card says: .*fold-002.* sha256"):
        card.read(model)
    file.unlink()
    with pytest.raises(InputError, match=r"must be readable: .*fold-002"):
        card.read(model)
    (model / CARD_JSON).unlink()
    with pytest.raises(InputError, match=rf"{CARD_JSON}: none in {model}"):
        card.read(model)
