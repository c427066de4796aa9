"""Where the champion looks in the page's clips: by the model that never saw the subject."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from dianet_ray.ensemble.seen import with_regions
from dianet_ray.model import fit, own_network
from dianet_ray.model.weights import load_weights
from dianet_ray.protocol.standing import standing_of
from dianet_ray.report.page import examples, write
from dianet_ray.settings import NetworkFile
from tests.support.models import IMAGE_SIZE, with_weights
from tests.support.networks import NETWORK, trusted
from tests.support.pages import Page
from tests.support.reports import report_of
from tests.support.studies import make_study


@pytest.fixture
def standing(tmp_path):
    return standing_of(with_weights(make_study(5, 2), tmp_path / "study"))


def examples_of(standing):
    study = standing.study
    shape = (len(study.clips), 3, IMAGE_SIZE, IMAGE_SIZE, 3)
    images = np.random.default_rng(0).normal(0, 20, shape).astype(np.float16)
    return examples(study, [clip.clip_id for clip in study.clips], images)


def weights_file(standing, path, example):
    study, champion = standing.study, standing.champion()
    place = [clip.clip_id for clip in study.clips].index(example.clip_id)
    (fold,) = [fold.index for fold in study.folds if place in fold.test_clips]
    point = study.of(champion.number)[fold].at(standing.steps_read(champion.number))
    return path / point.weights.path


def test_a_clip_is_explained_by_the_model_that_never_saw_its_subject(standing, tmp_path):
    settings, path = standing.champion().settings, tmp_path / "study"
    for example in with_regions(standing, path, examples_of(standing)):
        weights = load_weights(weights_file(standing, path, example))
        n_classes = len(standing.study.classes)
        found = fit.predict(settings, [weights], example.images[None], n_classes=n_classes)
        assert example.predicted == standing.study.classes[int(found.argmax())]
        crosses = settings.fusion == "cross_attention"
        assert len(example.marked()) == 2 * (2 if crosses else 1)


def test_what_is_missing_or_damaged_is_not_explained(standing, tmp_path):
    path, shown = tmp_path / "study", examples_of(standing)
    weights_file(standing, path, shown[0]).unlink()
    damaged = weights_file(standing, path, shown[1])
    if damaged.exists():
        damaged.write_bytes(damaged.read_bytes() + b"0")
    found = with_regions(standing, path, shown)
    assert [found[0].marks, found[1].marks] == [(), ()]
    assert found[0].marked() == []


@pytest.mark.parametrize("trusts_code", [False, True])
def test_the_code_of_a_user_is_run_for_a_page_only_when_it_is_trusted(
    tmp_path, monkeypatch, trusts_code
):
    study, settings = make_study(5, 2), trusted(NETWORK)
    configurations = tuple(
        dataclasses.replace(one, settings=settings) for one in study.configurations
    )
    space = dataclasses.replace(study.identity.space, network=NetworkFile("net.py", NETWORK))
    identity = dataclasses.replace(study.identity, space=space)
    study = dataclasses.replace(study, configurations=configurations, identity=identity)
    standing = standing_of(with_weights(study, tmp_path / "study"))
    monkeypatch.setattr(own_network, "_known", {})  # as in a command that did not search
    found = with_regions(
        standing, tmp_path / "study", examples_of(standing), trusts_code=trusts_code
    )
    assert bool(own_network._known) == trusts_code
    # Its images stand for feature maps that we do not know.
    assert [len(example.marked()) for example in found] == [2 * trusts_code] * len(found)


def test_the_page_shows_where_the_champion_looks(standing, tmp_path):
    shown = with_regions(standing, tmp_path / "study", examples_of(standing))
    write(report_of(standing.study), shown, tmp_path / "report.html")
    page = Page(tmp_path / "report.html")
    assert sum("what speaks for its prediction" in alt for alt in page.alts) == 2 * len(shown)
    assert f"never saw this subject: {shown[0].predicted}" in page.text
    assert "Grad-CAM" in page.text
