import dataclasses
import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from dianet_ray.artefacts import from_json, to_json, to_plain
from dianet_ray.ensemble.card import read
from dianet_ray.ensemble.predict import Moments, Prediction, predict
from dianet_ray.errors import InputError
from dianet_ray.imaging.clip_images import Recipe, clip_images
from dianet_ray.model import fit, own_network
from dianet_ray.model.own_network import trust
from dianet_ray.model.weights import load_weights
from dianet_ray.prepare.images import fingerprint
from dianet_ray.settings import NetworkFile, complete
from dianet_ray.tracking.ensemble import EnsembleModel
from tests.support.command_line import run
from tests.support.models import IMAGE_SIZE, edit, with_weights, write_model
from tests.support.networks import NETWORK
from tests.support.studies import make_study


def write_clip(folder, *, seed=0, first=46, n_frames=11):
    """Frames of a bright square that moves over noise of its own."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(seed)
    still = generator.integers(0, 200, (24, 32, 3), dtype=np.uint8)
    for i in range(n_frames):
        frame = still.copy()
        frame[4 + i : 10 + i, 8:14] = 255
        cv2.imwrite(str(folder / f"img{first + i}.png"), frame)
    return folder


def images_of(folder, onset=46, apex=50, offset=56):
    return clip_images(folder, (onset, apex, offset), Recipe(IMAGE_SIZE)).images


@pytest.fixture
def known(tmp_path):
    """A model folder, a clip of a subject of its study, and a clip of somebody else."""
    study = with_weights(make_study(4, 2), tmp_path / "study")
    of_known = write_clip(tmp_path / "known", seed=1)
    subject = study.folds[2].test_subjects[0]
    clip_id = next(clip.clip_id for clip in study.clips if clip.subject == subject)
    prints = {clip_id: fingerprint(images_of(of_known))}
    model = write_model(study, tmp_path / "model", prints)
    return SimpleNamespace(
        study=study,
        model=model,
        subject=subject,
        fold=2,
        clip=of_known,
        stranger=write_clip(tmp_path / "stranger", seed=2),
    )


def expected(model, images, folds):
    card = read(model)
    weights = [load_weights(model / card.folds[i].file) for i in folds]
    found = fit.predict(card.settings, weights, images[None], n_classes=len(card.classes))
    return found.mean(axis=0)[0]


def test_a_strangers_clip_is_predicted_by_every_model(known):
    (found,) = predict(known.model, [known.stranger], moments=Moments(46, 49, 56))
    assert (found.n_models, found.models, found.apex_from) == (4, "all", "given")
    mean = expected(known.model, images_of(known.stranger, apex=49), range(4))
    assert found.probabilities == dict(zip(known.study.classes, map(float, mean), strict=True))
    assert found.label == known.study.classes[int(mean.argmax())]
    assert sum(found.probabilities.values()) == pytest.approx(1, abs=1e-5)


def test_without_numbers_the_whole_folder_is_taken_and_the_apex_is_spotted(known):
    (found,) = predict(known.model, [known.stranger])
    spotted = clip_images(known.stranger, (46, None, 56), Recipe(IMAGE_SIZE)).apex
    assert (found.onset, found.apex, found.offset) == (46, spotted, 56)
    assert found.apex_from == "spot"
    (again,) = predict(known.model, [known.stranger], moments=Moments(apex=spotted))
    assert again.probabilities == found.probabilities
    assert again.apex_from == "given"


def test_the_crop_of_the_card_is_taken_and_a_clip_without_a_face_is_one_line(known):
    whole = predict(known.model, [known.stranger])[0].probabilities
    card = json.loads((known.model / "card.json").read_text())
    for crop in ("face-or-centre", "face"):
        card["recipe"]["crop"] = crop
        (known.model / "card.json").write_text(json.dumps(card))
        if crop == "face-or-centre":
            assert predict(known.model, [known.stranger])[0].probabilities != whole
    with pytest.raises(InputError, match="no face: none found") as error:
        predict(known.model, [known.stranger])
    assert str(known.stranger) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("apex", [None, 48, 50])
def test_a_clip_of_the_study_is_predicted_only_by_models_that_never_saw_its_subject(known, apex):
    (found,) = predict(known.model, [known.clip], moments=Moments(apex=apex))
    assert (found.n_models, found.models) == (1, "held-out only")
    assert "never saw" in found.note
    images = images_of(known.clip, apex=apex)
    mean = expected(known.model, images, [known.fold])
    assert list(found.probabilities.values()) == [float(p) for p in mean]


def test_a_named_subject_of_the_study_is_predicted_only_by_models_that_never_saw_it(known):
    short = known.subject.removeprefix("casme2/")
    number = str(int(short.removeprefix("sub")))
    for name in (known.subject, short, number, f"sub{number}", f"CASME2/{short.upper()}"):
        (found,) = predict(known.model, [known.stranger], subject=name)
        assert (found.n_models, found.models) == (1, "held-out only")
        assert known.subject in found.note


def test_a_subject_who_is_not_in_the_study_is_said_to_be_unknown(known):
    (found,) = predict(known.model, [known.stranger], subject="sub99")
    assert (found.n_models, found.models) == (4, "all")
    assert "no subject of the study is named casme2/sub99" in found.note
    assert "casme2/sub01" in found.note  # how names look
    (found,) = predict(
        known.model, [known.stranger], subject=known.subject.replace("casme2", "samm")
    )
    assert found.models == "all"


def test_images_of_one_subject_under_the_name_of_another_are_refused(known):
    other = known.study.folds[0].test_subjects[0]
    with pytest.raises(InputError, match=f"got {other}, .* another subject"):
        predict(known.model, [known.clip], subject=other)
    (found,) = predict(known.model, [known.clip], subject="sub99")
    assert found.models == "held-out only"


def test_many_clips_are_predicted_in_order_and_take_no_frame_numbers(known):
    found = predict(known.model, [known.clip, known.stranger])
    assert [f.clip for f in found] == [str(known.clip), str(known.stranger)]
    assert [f.n_models for f in found] == [1, 4]
    with pytest.raises(InputError, match="describe one clip: got 2"):
        predict(known.model, [known.clip, known.stranger], moments=Moments(apex=50))


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ({"onset": 56, "apex": 50, "offset": 46}, "onset < apex < offset: .*56.*50.*46"),
        ({"onset": 50, "offset": 51}, "onset < apex < offset: .*50, no apex given, offset 51"),
        ({"apex": 46}, "onset < apex < offset: .*apex 46"),
        ({"apex": 99}, "onset < apex < offset: .*apex 99"),
        ({"offset": 60, "apex": 50}, "57"),
        ({"onset": 40}, "40"),
    ],
)
def test_numbers_that_make_no_clip_are_refused_in_one_line(known, numbers, words):
    with pytest.raises(InputError, match=words) as error:
        predict(known.model, [known.clip], moments=Moments(**numbers))
    assert "\n" not in str(error.value)


def test_folders_without_usable_frames_are_refused_in_one_line(known, tmp_path):
    (tmp_path / "empty").mkdir()
    broken = write_clip(tmp_path / "broken")
    (broken / "img50.png").write_bytes(b"no image")
    for folder in (tmp_path / "empty", tmp_path / "missing", broken):
        with pytest.raises(InputError, match=str(folder)) as error:
            predict(known.model, [folder])
        assert "\n" not in str(error.value)


def test_a_damaged_model_folder_is_refused_in_one_line(known, tmp_path):
    for damage in (
        lambda: edit(known.model, format=7),
        lambda: (known.model / "card.json").unlink(),
    ):
        damage()
        with pytest.raises(InputError, match=str(known.model)) as error:
            predict(known.model, [known.clip])
        assert "\n" not in str(error.value)


def test_a_prediction_comes_back_from_its_json_as_it_was(known):
    for found in predict(known.model, [known.clip, known.stranger]):
        assert from_json(Prediction, to_json(found), "a prediction") == found


def test_the_json_of_a_prediction_has_the_keys_that_scripts_rely_on(known):
    (found,) = predict(known.model, [known.stranger])
    assert list(to_plain(found)) == [
        *("clip", "onset", "apex", "offset", "apex_from", "probabilities", "label"),
        *("n_models", "models", "note"),
    ]
    assert list(found.probabilities) == list(known.study.classes)


def test_a_model_of_a_composite_needs_the_data_set_of_a_subject(known):
    edit(known.model, dataset="megc2019")
    rule = r"--subject must name the data set too .*megc2019, as in \w+/\w+: got 1$"
    with pytest.raises(InputError, match=rule):
        predict(known.model, [known.stranger], subject="1")
    name = known.subject  # of one of its data sets
    (found,) = predict(known.model, [known.stranger], subject=name)
    assert found.models == "held-out only"


@pytest.fixture
def with_own_network(tmp_path):
    """A model folder whose network a user wrote, and a clip."""
    file = NetworkFile("net.py", NETWORK)
    settings = complete({"network": file.id, "channels": 4}, trust(file).kind)
    study = make_study(4, 1)
    (only,) = study.configurations
    space = dataclasses.replace(study.identity.space, network=file)
    study = dataclasses.replace(
        study,
        identity=dataclasses.replace(study.identity, space=space),
        configurations=(dataclasses.replace(only, settings=settings),),
    )
    study = with_weights(study, tmp_path / "study")
    return write_model(study, tmp_path / "model"), write_clip(tmp_path / "clip")


def test_the_code_in_a_model_folder_is_run_only_when_it_is_trusted(with_own_network, monkeypatch):
    model, clip = with_own_network
    monkeypatch.setattr(own_network, "_known", {})  # as in another process
    with pytest.raises(InputError, match=r"runs the code of net.py.*--trust-code") as error:
        predict(model, [clip])
    assert "\n" not in str(error.value)
    (found,) = predict(model, [clip], trusts_code=True)
    mean = expected(model, images_of(clip, apex=found.apex), range(4))
    assert list(found.probabilities.values()) == pytest.approx(mean.tolist(), abs=1e-6)


def test_the_mlflow_model_runs_the_networks_code(with_own_network, monkeypatch):
    model, clip = with_own_network
    (found,) = predict(model, [clip], trusts_code=True)
    monkeypatch.setattr(own_network, "_known", {})
    served = EnsembleModel()
    served.load_context(SimpleNamespace(artifacts={"model": str(model)}))
    probabilities = served.predict(None, images_of(clip, apex=found.apex)[None])
    assert probabilities[0].tolist() == pytest.approx(list(found.probabilities.values()))


def test_a_clip_that_cannot_be_predicted_costs_none_before_it(
    known, monkeypatch, capsys, tmp_path
):
    empty = tmp_path / "empty"
    empty.mkdir()
    words = ("predict", known.model, known.clip, known.stranger, empty)
    status, printed, said = run(monkeypatch, capsys, *words, "--json")
    assert (status, said.count("\n")) == (2, 1)
    assert [one["clip"] for one in json.loads(printed)] == [str(known.clip), str(known.stranger)]
    status, printed, _ = run(monkeypatch, capsys, *words)
    assert status == 2
    assert str(known.stranger) in printed
    status, printed, _ = run(monkeypatch, capsys, "predict", known.model, empty, "--json")
    assert (status, printed) == (2, "")


def test_a_slip_in_a_number_does_not_fill_the_memory(known):
    with pytest.raises(InputError, match="a clip has at most 100000 frames"):
        predict(known.model, [known.stranger], moments=Moments(apex=47, offset=10**12))


@pytest.mark.parametrize(
    "settings",
    [{"width": 9}, {"normalisation": "standard"}, {"fusion": "sum"}],
)
def test_weights_of_another_network_than_the_card_s_are_one_line(known, settings):
    mine = json.loads((known.model / "card.json").read_text())["settings"]
    edit(known.model, settings={**mine, **settings})
    with pytest.raises(InputError, match="weights must fit the network of card") as error:
        predict(known.model, [known.stranger])
    assert "\n" not in str(error.value)
