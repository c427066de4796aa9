import json
import re
from dataclasses import replace

import pytest

from dianet_ray.artefacts import CARD_JSON, METRICS
from dianet_ray.ensemble import card
from dianet_ray.errors import InputError
from dianet_ray.protocol.correction import champion
from dianet_ray.report.document import summarise
from tests.support.models import with_weights
from tests.support.studies import make_study


@pytest.fixture
def study(tmp_path):
    return with_weights(make_study(4, 3), tmp_path / "study")


@pytest.fixture
def model(study, tmp_path):
    """A model folder as it is collected."""
    return write_model(study, tmp_path)


def write_model(study, tmp_path, fingerprints=None):
    folder = tmp_path / "model"
    folder.mkdir()
    described = card.make(study, fingerprints or {})
    for training, fold in zip(study.of(champion(study).number), described["folds"], strict=True):
        source = tmp_path / "study" / training.weights.path
        (folder / fold["file"]).write_bytes(source.read_bytes())
    (folder / CARD_JSON).write_text(json.dumps(described))
    return folder


def edit(folder, **changes):
    path = folder / CARD_JSON
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_card_holds_what_the_report_says_of_the_champion(study):
    found, said = card.make(study, {}), summarise(study)
    for metric in METRICS:
        assert found["metrics"][metric] == {
            "value": said["champion"][metric],
            "ci95": said["champion"]["ci95"][metric],
            "corrected": said["champion"]["corrected"][metric],
            "chance": said["chance"][metric]["level"],
        }
    assert found["settings"] == champion(study).settings.model_dump()
    assert found["classes"] == list(study.classes)
    assert found["images_hash"] == study.identity["images"]


def test_nobody_is_named_in_a_card(study):
    fingerprints = {clip.clip_id: f"{i:064d}" for i, clip in enumerate(study.clips)}
    text = json.dumps(card.make(study, fingerprints))
    assert not re.search(r"sub\d\d", text)
    for clip in study.clips:
        assert clip.subject not in text
        assert clip.clip_id not in text


def test_a_card_says_whom_each_fold_never_saw_and_whose_each_clip_is(study):
    fingerprints = {clip.clip_id: f"{i:064d}" for i, clip in enumerate(study.clips)}
    found = card.make(study, fingerprints)
    for fold, described in zip(study.folds, found["folds"], strict=True):
        assert described["test_subjects"] == [card.subject_hash(s) for s in fold.test_subjects]
    for clip in study.clips:
        assert found["clips"][fingerprints[clip.clip_id]] == card.subject_hash(clip.subject)


def test_equal_studies_have_equal_cards_whatever_the_time_and_the_host(study):
    later = {
        key: replace(
            t,
            seconds=t.seconds * 2,
            started_at=t.started_at + 100,
            finished_at=t.finished_at + 200,
            environment={**t.environment, "host": "elsewhere"},
        )
        for key, t in study.trainings.items()
    }
    assert card.make(replace(study, trainings=later), {}) == card.make(study, {})


def test_a_study_without_a_complete_configuration_has_no_card(study):
    with pytest.raises(InputError, match="complete configuration"):
        card.make(replace(study, trainings={}), {})


def test_a_made_card_reads_back(study, model):
    found = card.read(model)
    assert found.settings == champion(study).settings
    assert found.classes == study.classes
    assert len(found.folds) == len(study.folds)


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
    "changes",
    [
        {"format": 2},
        {"classes": ["one"]},
        {"settings": {"heads": 5, "embedding": 16}},
        {"folds": []},
        {"preprocessing": {"image_size": 64, "coefficients": "magic"}},
        {"clips": None},
    ],
)
def test_a_wrong_card_is_refused_in_one_line(model, changes):
    edit(model, **changes)
    with pytest.raises(InputError, match=r"card\.json is no model card") as error:
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
    with pytest.raises(InputError, match="fold-002"):
        card.read(model)
    file.unlink()
    with pytest.raises(InputError, match="fold-002"):
        card.read(model)
    (model / CARD_JSON).unlink()
    with pytest.raises(InputError, match=r"card\.json: none"):
        card.read(model)
