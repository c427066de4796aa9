"""A space that names a network file: its settings are searched like ours."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dianet_ray.artefacts import from_json, to_json
from dianet_ray.errors import InputError
from dianet_ray.options import SearchOptions
from dianet_ray.prepare.images import load_images
from dianet_ray.search.draw import draw
from dianet_ray.search.forecast import largest_training_bytes
from dianet_ray.search.plan import make_plan
from dianet_ray.search.space_file import enqueue, load_space, read_space, shipped
from dianet_ray.search.trial import network_problem
from dianet_ray.settings import NetworkFile, SpaceIdentity, config_id
from tests.support.images import write_images
from tests.support.networks import NETWORK
from tests.support.play import play

SPACE = """
network: net.py
search:
  channels: {low: 2, high: 9}
  dropout: [0.1, 0.3]
constraints: [channels <= embedding]
points: [{}, {channels: 4}]
around: {channels: 5}
"""


def write_space(folder, space=SPACE, network=NETWORK):
    folder.mkdir(exist_ok=True, parents=True)
    (folder / "net.py").write_text(network)
    (folder / "space.yaml").write_text(space)
    return str(folder / "space.yaml")


def test_settings_of_the_file_are_searched_fixed_listed_and_constrained(tmp_path):
    space = load_space(write_space(tmp_path))
    assert [dict(one.own)["channels"] for one in space.first_settings] == [3, 4]
    drawn = draw(space, 0, wave=0, n=8, history=[])
    assert len(drawn) == len(set(drawn)) == 8
    assert {one.values()["channels"] for one in drawn} <= set(range(2, 10))
    assert {one.network for one in drawn} == {space.network.id}
    fixed = read_space(str(tmp_path / "space.yaml"), ["channels=7"], None)
    assert {dict(one.own)["channels"] for one in fixed.first_settings} == {7}
    assert list(fixed.dimensions) == ["dropout"]


def test_the_file_is_found_beside_the_space_and_known_by_its_content(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one, other = (load_space(write_space(tmp_path / name)) for name in ("a", "b"))
    assert one.identity() == other.identity()
    assert one.network == NetworkFile("net.py", NETWORK)
    changed = load_space(write_space(tmp_path / "b", network=NETWORK + "\n# changed\n"))
    assert changed.identity() != one.identity()
    ids = {config_id(space.first_settings[0]) for space in (one, other, changed)}
    assert len(ids) == 2
    identity = one.identity()
    assert from_json(SpaceIdentity, to_json(identity), "here") == identity


def test_the_command_may_name_another_file(tmp_path):
    path = write_space(tmp_path, "search: {dropout: [0.1, 0.2]}\n")
    assert load_space(path).network is None
    named = read_space(path, ["channels=4"], None, tmp_path / "net.py")
    assert named.network.name == "net.py"
    assert named.settings({"dropout": 0.1}).values()["channels"] == 4


@pytest.mark.parametrize(
    ("space", "words"),
    [
        ("network: other.py\n", r"space.yaml:1: network takes a Python file: .*other.py"),
        (
            "network: net.py\nsearch: {channelz: [1, 2]}\n",
            r"setting channelz; did you mean channels",
        ),
        ("network: net.py\nfixed: {channels: x}\n", r"space.yaml:2: channels: got 'x'"),
        ("network: net.py\npoints: [{channels: 0.5}]\n", r"channels: got 0.5"),
        ("network: 3\n", r"network: got 3"),
        ("search: {channels: [1, 2]}\n", r"unknown setting channels"),
        ("fixed: {network: net.py}\n", r"unknown setting network"),
    ],
)
def test_errors_name_the_line_and_what_is_known(tmp_path, space, words):
    with pytest.raises(InputError, match=words) as error:
        load_space(write_space(tmp_path, space))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("rest", "words"),
    [
        ("sampler: best\n", "sampler"),
        ("fixedd: {}\n", "did you mean fixed"),
        ("prior: 3\n", "prior"),
    ],
)
def test_a_space_with_another_mistake_is_refused_before_the_network_runs(tmp_path, rest, words):
    network = NETWORK + f"\nopen({str(tmp_path / 'ran')!r}, 'w').close()\n"
    with pytest.raises(InputError, match=words):
        load_space(write_space(tmp_path, f"network: net.py\n{rest}", network=network))
    assert not (tmp_path / "ran").exists()
    load_space(write_space(tmp_path, "network: net.py\n", network=network))
    assert (tmp_path / "ran").exists()


def test_the_default_network_may_be_named(tmp_path):
    (tmp_path / "dianet").write_text("raise SystemExit")
    assert load_space(write_space(tmp_path, "network: dianet\n")).network is None


def test_enqueued_settings_may_be_those_of_the_file(tmp_path):
    space = load_space(write_space(tmp_path))
    (tmp_path / "points.yaml").write_text("- {channels: 8}\n")
    first = enqueue(space, tmp_path / "points.yaml").first_settings
    assert [dict(one.own)["channels"] for one in first] == [8, 3, 4]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return load_images(write_images(tmp_path_factory.mktemp("own") / "images"))


def plan_of(images, folder, path, *, folds_per_trial="auto", **changes):
    space = load_space(write_space(folder, **changes))
    options = SearchOptions(configs=3, repeats=0, folds_per_trial=folds_per_trial)
    return make_plan(images, path, space=space, options=options)


def test_a_study_goes_on_with_the_same_file_and_refuses_another(images, tmp_path):
    study = tmp_path / "study"
    planned = plan_of(images, tmp_path / "a", study)
    assert largest_training_bytes(planned) >= 9 * 6 * 9 * 4
    play(planned)
    again = plan_of(images, tmp_path / "b", study)
    assert again.study.identity.space.network.text == NETWORK
    assert not again.is_new
    with pytest.raises(
        InputError, match=r"another space: fixed: network: it has net.py@"
    ) as error:
        plan_of(images, tmp_path / "b", study, network=NETWORK + "\n# changed\n")
    assert "\n" not in str(error.value)


def test_a_network_that_cannot_train_is_refused_before_the_study_is_made(images, tmp_path):
    with pytest.raises(InputError, match=r"net.py: logits must be finite"):
        plan_of(
            images,
            tmp_path,
            tmp_path / "study",
            network=NETWORK.replace("return self", "return float('inf') * self"),
        )
    assert not (tmp_path / "study").exists()


def test_a_network_is_tried_also_where_the_centre_of_a_space_is_no_configuration(images, tmp_path):
    space = "network: net.py\nfixed: {fusion: none}\nsearch: {phases: [onset_apex, apex_offset]}\n"
    with pytest.raises(InputError, match=r"net.py:19: RuntimeError"):  # it wants two phases
        plan_of(images, tmp_path, tmp_path / "study", space=space)


def test_a_plan_sizes_only_what_the_space_allows(images, tmp_path):
    network = NETWORK.replace(
        "        super().__init__()",
        "        super().__init__()\n        assert settings.channels % settings.heads == 0",
    )
    space = (
        "network: net.py\nsearch: {channels: [4, 6, 8], heads: [1, 2, 4]}\n"
        "constraints: [heads divides channels]\n"
    )
    planned = plan_of(images, tmp_path, tmp_path / "study", space=space, network=network)
    assert largest_training_bytes(planned) > 0


def test_a_plan_sizes_the_largest_of_many_networks(images, tmp_path):
    """More can be made than are sized: the file's own number has 300 values."""
    numbers = list(range(3, 303))
    space = (
        f"network: net.py\nsearch: {{channels: {numbers}, fusion: [concat, sum, late], "
        "gate: [true, false], shared_streams: [true, false], phases: [both, three]}\n"
    )
    planned = plan_of(images, tmp_path, tmp_path / "study", space=space)
    assert largest_training_bytes(planned) >= 302 * 6 * 9 * 4


def test_a_byte_order_mark_changes_nothing(tmp_path):
    plain = load_space(write_space(tmp_path / "a"))
    path = write_space(tmp_path / "b")
    (tmp_path / "b" / "net.py").write_bytes(b"\xef\xbb\xbf" + NETWORK.encode())
    assert load_space(path).identity() == plain.identity()


def test_blocks_of_a_network_that_cannot_be_stacked_are_refused(images, tmp_path):
    branching = NETWORK.replace(
        "        return self.classify(",
        "        if images.sum() > 1e9:\n            return images\n        return self.classify(",
    )
    plan_of(images, tmp_path / "a", tmp_path / "one", network=branching)
    with pytest.raises(InputError, match=r"train as a stack: .*; without --folds-per-trial"):
        plan_of(images, tmp_path / "a", tmp_path / "two", network=branching, folds_per_trial=4)
    plan_of(images, tmp_path / "b", tmp_path / "two", folds_per_trial=4)


def test_a_worker_that_cannot_run_the_file_says_so():
    good = load_space(str(shipped()["ststnet"])).network
    assert network_problem(good) == ""
    bad = replace(good, text="import no_such_module\n")
    found = network_problem(bad)
    assert "cannot run the network: ststnet.py:1: ModuleNotFoundError" in found


@pytest.mark.parametrize("n", [70, 200])
def test_a_plan_sizes_networks_of_any_number_of_settings(images, tmp_path, n):
    own = "\n".join(f"    own_{k}: bool = False" for k in range(n))
    network = NETWORK.replace("    channels: int = 3", f"    channels: int = 3\n{own}")
    searched = ", ".join(f"own_{k}: [true, false]" for k in range(n))
    space = f"network: net.py\nsearch: {{channels: [3, 9], {searched}}}\n"
    planned = plan_of(images, tmp_path, tmp_path / "study", space=space, network=network)
    assert largest_training_bytes(planned) >= 9 * 6 * 9 * 4
