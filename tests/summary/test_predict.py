import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from dianet_ray.data.clips import Recipe, clip_images
from dianet_ray.data.images import fingerprint
from dianet_ray.errors import InputError
from dianet_ray.model import fit
from dianet_ray.model.weights import load_weights
from dianet_ray.summary.card import read
from dianet_ray.summary.predict import predict
from tests.models import IMAGE_SIZE, with_weights
from tests.studies import make_study
from tests.summary.test_card import edit, write_model


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
    """A model folder, a clip of a person it knows, and a clip of nobody it knows."""
    study = with_weights(make_study(4, 2), tmp_path / "study")
    of_known = write_clip(tmp_path / "known", seed=1)
    person = study.folds[2].test_subjects[0]
    clip_id = next(clip.clip_id for clip in study.clips if clip.subject == person)
    model = write_model(study, tmp_path, {clip_id: fingerprint(images_of(of_known))})
    return SimpleNamespace(
        study=study,
        model=model,
        person=person,
        fold=2,
        clip=of_known,
        stranger=write_clip(tmp_path / "stranger", seed=2),
    )


def expected(model, images, folds):
    card = read(model)
    weights = [load_weights(model / card.folds[i].file) for i in folds]
    votes = fit.predict(card.settings, weights, images[None], n_classes=len(card.classes))
    return votes.mean(axis=0)[0]


def test_a_strangers_clip_is_judged_by_every_model(known):
    (found,) = predict(known.model, [known.stranger], onset=46, apex=49, offset=56)
    assert (found["n_models"], found["models"], found["apex_from"]) == (4, "all", "given")
    mean = expected(known.model, images_of(known.stranger, apex=49), range(4))
    assert found["probabilities"] == dict(zip(known.study.classes, map(float, mean), strict=True))
    assert found["label"] == known.study.classes[int(mean.argmax())]
    assert sum(found["probabilities"].values()) == pytest.approx(1, abs=1e-5)


def test_without_numbers_the_whole_folder_is_taken_and_the_apex_is_spotted(known):
    (found,) = predict(known.model, [known.stranger])
    spotted = clip_images(known.stranger, (46, None, 56), Recipe(IMAGE_SIZE)).apex
    assert {k: found[k] for k in ("onset", "apex", "offset", "apex_from")} == {
        "onset": 46,
        "apex": spotted,
        "offset": 56,
        "apex_from": "spot",
    }
    (again,) = predict(known.model, [known.stranger], apex=spotted)
    assert again["probabilities"] == found["probabilities"]
    assert again["apex_from"] == "given"


def test_the_crop_of_the_card_is_taken_and_a_clip_without_a_face_is_one_line(known):
    whole = predict(known.model, [known.stranger])[0]["probabilities"]
    card = json.loads((known.model / "card.json").read_text())
    for crop in ("face-or-centre", "face"):
        card["preprocessing"]["crop"] = crop
        (known.model / "card.json").write_text(json.dumps(card))
        if crop == "face-or-centre":
            assert predict(known.model, [known.stranger])[0]["probabilities"] != whole
    with pytest.raises(InputError, match="no face: none found") as error:
        predict(known.model, [known.stranger])
    assert str(known.stranger) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("apex", [None, 48, 50])
def test_a_clip_that_was_trained_on_is_judged_by_who_never_saw_the_person(known, apex):
    (found,) = predict(known.model, [known.clip], apex=apex)
    assert (found["n_models"], found["models"]) == (1, "held-out only")
    assert "never saw" in found["note"]
    images = images_of(known.clip, apex=apex)
    mean = expected(known.model, images, [known.fold])
    assert list(found["probabilities"].values()) == [float(p) for p in mean]


def test_a_named_person_of_the_study_is_judged_by_who_never_saw_the_person(known):
    short = known.person.removeprefix("casme2/")
    number = str(int(short.removeprefix("sub")))
    for name in (known.person, short, number, f"sub{number}", f"CASME2/{short.upper()}"):
        (found,) = predict(known.model, [known.stranger], subject=name)
        assert (found["n_models"], found["models"]) == (1, "held-out only")
        assert known.person in found["note"]


def test_a_person_who_is_not_in_the_study_is_said_to_be_unknown(known):
    (found,) = predict(known.model, [known.stranger], subject="sub99")
    assert (found["n_models"], found["models"]) == (4, "all")
    assert "no person of the study is named casme2/sub99" in found["note"]
    assert "casme2/sub01" in found["note"]  # how names look
    (found,) = predict(
        known.model, [known.stranger], subject=known.person.replace("casme2", "samm")
    )
    assert found["models"] == "all"


def test_images_of_one_person_under_the_name_of_another_are_refused(known):
    other = known.study.folds[0].test_subjects[0]
    with pytest.raises(InputError, match="another person"):
        predict(known.model, [known.clip], subject=other)
    (found,) = predict(known.model, [known.clip], subject="sub99")
    assert found["models"] == "held-out only"


def test_many_clips_are_answered_in_order_and_take_no_frame_numbers(known):
    found = predict(known.model, [known.clip, known.stranger])
    assert [f["clip"] for f in found] == [str(known.clip), str(known.stranger)]
    assert [f["n_models"] for f in found] == [1, 4]
    with pytest.raises(InputError, match="describe one clip: got 2"):
        predict(known.model, [known.clip, known.stranger], apex=50)


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ({"onset": 56, "apex": 50, "offset": 46}, "onset < apex < offset"),
        ({"apex": 46}, "onset < apex < offset"),
        ({"apex": 99}, "onset < apex < offset"),
        ({"offset": 60, "apex": 50}, "57"),
        ({"onset": 40}, "40"),
    ],
)
def test_numbers_that_make_no_clip_are_refused_in_one_line(known, numbers, words):
    with pytest.raises(InputError, match=words) as error:
        predict(known.model, [known.clip], **numbers)
    assert "\n" not in str(error.value)


def test_folders_without_usable_frames_are_refused_in_one_line(known, tmp_path):
    (tmp_path / "empty").mkdir()
    broken = write_clip(tmp_path / "broken")
    (broken / "img50.png").write_bytes(b"no image")
    for folder in (tmp_path / "empty", tmp_path / "missing", broken):
        with pytest.raises(InputError) as error:
            predict(known.model, [folder])
        assert "\n" not in str(error.value)


def test_a_damaged_model_folder_is_refused_in_one_line(known, tmp_path):
    for damage in (
        lambda: edit(known.model, format=7),
        lambda: (known.model / "card.json").unlink(),
    ):
        damage()
        with pytest.raises(InputError) as error:
            predict(known.model, [known.clip])
        assert "\n" not in str(error.value)
