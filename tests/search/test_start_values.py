"""The weights that a space names are read at the door, and fit whatever may be drawn."""

from __future__ import annotations

import hashlib
import re

import pytest
import torch
import yaml

from dianet_ray.errors import InputError
from dianet_ray.model.build import build
from dianet_ray.model.pretrained import put
from dianet_ray.search.space_file import enqueue, fix, load_space, read_space
from dianet_ray.search.start_values import start_values
from dianet_ray.settings import Settings, config_id

STREAM = build(Settings(width=8), 2, 32).streams[0].state_dict()


def write_space(folder, text, weights=STREAM, name="w.pt"):
    folder.mkdir(exist_ok=True, parents=True)
    torch.save(weights, folder / name)
    (folder / "space.yaml").write_text(text)
    return str(folder / "space.yaml")


def named(path):
    return f"{path.name}@{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"


def test_a_file_is_named_by_its_content_wherever_it_lies(tmp_path):
    text = "fixed: {width: 8, pretrained: w.pt}\n"
    one, other = (load_space(write_space(tmp_path / name, text)) for name in ("a", "b"))
    assert one.identity() == other.identity()
    name = named(tmp_path / "a" / "w.pt")
    assert one.fixed["pretrained"] == name
    assert one.weights == {name: tmp_path / "a" / "w.pt"}
    changed = load_space(write_space(tmp_path / "b", text, STREAM | {"0.bias": torch.ones(8)}))
    assert changed.identity() != one.identity()


@pytest.mark.parametrize(
    "text",
    [
        "fixed: {width: 8, pretrained: w.pt}\n",
        "fixed: {width: 8}\nsearch: {pretrained: [none, w.pt]}\n",
        "fixed: {width: 8}\npoints: [{}, {pretrained: w.pt}]\n",
        "fixed: {width: 8}\nsearch: {pretrained: [none, w.pt], dropout: [0.1, 0.2]}\n"
        "around: {pretrained: w.pt}\n",
    ],
    ids=["fixed", "search", "points", "around"],
)
def test_weights_may_be_named_wherever_settings_are(tmp_path, text):
    values = start_values(load_space(write_space(tmp_path, text)))
    (name,) = values
    assert name == named(tmp_path / "w.pt")
    assert all(torch.equal(values[name][key], value) for key, value in STREAM.items())


def test_set_and_enqueue_name_files_too(tmp_path, monkeypatch):
    write_space(tmp_path, "fixed: {width: 8}\n")
    (tmp_path / "points.yaml").write_text("- {width: 8, pretrained: w.pt}\n")
    space = load_space(str(tmp_path / "space.yaml"))
    assert list(start_values(enqueue(space, tmp_path / "points.yaml"))) == [
        named(tmp_path / "w.pt")
    ]
    monkeypatch.chdir(tmp_path)
    assert list(start_values(fix(space, {"pretrained": "w.pt"}))) == [named(tmp_path / "w.pt")]


def test_a_file_that_is_not_there_is_one_line_with_its_path(tmp_path):
    path = write_space(tmp_path, "fixed:\n  pretrained: other.pt\n")
    with pytest.raises(InputError, match=r"space.yaml:2: pretrained: got 'other.pt'") as error:
        load_space(path)
    assert str(tmp_path / "other.pt") in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "search",
    ["width: [8, 16]", "width: {low: 8, high: 12}", "backbone: [cnn, shallow]"],
)
def test_weights_that_do_not_fit_all_that_may_be_drawn_are_refused(tmp_path, search):
    text = f"fixed: {{pretrained: w.pt}}\nsearch: {{{search}}}\n"
    space = load_space(write_space(tmp_path, text))
    with pytest.raises(InputError, match=r"w.pt@\w+ does not fit the streams"):
        start_values(space)


@pytest.mark.parametrize(
    ("assignments", "words"),
    [
        (["pretrained=imagenet"], "needs backbone: efficientnet_lite0 and width: 32, got cnn and"),
        (
            ["pretrained=imagenet", "backbone=resnet18", "width=64"],
            "needs backbone: efficientnet_lite0 and width: 32, got resnet18 and 64",
        ),
        (["frozen_stages=2"], "frozen_stages: 2 needs pretrained weights"),
        (["pretrained=no-such-file"], "Input should be none, imagenet, or a file of weights"),
    ],
)
def test_settings_that_cannot_be_are_refused_at_the_door(assignments, words):
    with pytest.raises(InputError, match=re.escape(words)):
        read_space("phases", assignments, None)


def test_weights_are_checked_also_where_the_centre_of_a_space_is_no_configuration(tmp_path):
    text = (
        "fixed: {pretrained: w.pt, width: 9, fusion: none}\n"
        "search: {phases: [onset_apex, apex_offset]}\n"
    )
    with pytest.raises(InputError, match="does not fit the streams"):
        start_values(load_space(write_space(tmp_path, text)))


ONE_PHASE = {"phases": "onset_apex", "fusion": "none"}


@pytest.mark.parametrize(
    ("made_with", "search", "is_fit"),
    [
        ({}, {}, True),
        ({"shared_streams": True}, {"shared_streams": True}, True),
        (ONE_PHASE, ONE_PHASE, True),
        ({"phases": "three"}, {"phases": "three"}, True),
        ({}, {"phases": "three"}, False),
        ({"phases": "three"}, {}, False),
        ({}, {"shared_streams": True}, False),
        ({"shared_streams": True}, {}, False),
    ],
)
def test_weights_of_a_whole_network_have_to_fit_as_many_streams(
    tmp_path, made_with, search, is_fit
):
    """As many as a training builds: what passes the door must fit on the worker too."""
    weights = build(Settings(width=8, **made_with), 3, 32).state_dict()
    fixed = {"width": 8, "pretrained": "w.pt"} | search
    space = load_space(write_space(tmp_path, yaml.safe_dump({"fixed": fixed}), weights))
    if is_fit:
        (found,) = start_values(space).values()
        put(build(space.example(), 3, 32).streams, found, "w.pt")
    else:
        with pytest.raises(InputError, match="does not fit the streams"):
            start_values(space)


def test_where_points_are_all_that_is_searched_they_are_all_that_weights_have_to_fit(tmp_path):
    weights = build(Settings(width=8, phases="three"), 3, 32).state_dict()
    text = "fixed: {width: 8, pretrained: w.pt}\npoints: [{phases: three}]\n"
    assert len(start_values(load_space(write_space(tmp_path, text, weights)))) == 1


def test_weights_have_to_fit_every_number_of_streams_that_may_be_drawn(tmp_path):
    text = "fixed: {width: 8, pretrained: w.pt}\nsearch: {phases: [both, three]}\n"
    whole = build(Settings(width=8), 3, 32).state_dict()
    with pytest.raises(InputError, match="does not fit the streams"):
        start_values(load_space(write_space(tmp_path, text, whole)))


def test_listed_weights_have_to_fit_the_streams_that_they_are_listed_with(tmp_path):
    text = "search: {learning_rate: [0.001, 0.002]}\npoints: [{}, {width: 8, pretrained: w.pt}]\n"
    assert len(start_values(load_space(write_space(tmp_path, text)))) == 1


def test_imagenet_weights_are_read_from_their_package():
    space = read_space(
        "phases", ["backbone=efficientnet_lite0", "width=32", "pretrained=imagenet"], None
    )
    values = start_values(space)
    assert values["imagenet"]["_conv_head.weight"].shape == (1280, 320, 1, 1)


def test_a_space_without_weights_reads_nothing():
    assert start_values(load_space("dianet")) == {}


def test_the_id_of_a_configuration_tells_weights_apart():
    names = ("none", "w.pt@0123456789abcdef", "w.pt@0123456789abcdee")
    assert len({config_id(Settings(pretrained=name)) for name in names}) == 3
