"""A space file is checked at the door: every error is one line with the file and its line."""

import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, given
from hypothesis import settings as budget
from hypothesis import strategies as st

from dianet_ray.errors import InputError
from dianet_ray.protocol.ladder import KEEP, Rung
from dianet_ray.search.space_file import enqueue, fix, load_space, read_space, shipped
from dianet_ray.search.space_form import schema
from dianet_ray.settings import Choice, Range, Settings

DAMAGED = [
    ("search:\n  headz: [1]\n", 2, "unknown setting headz; did you mean heads"),
    (
        "search:\n  heads: [1]\n  learning_rate: {low: 0.1, high: 0.01}\n",
        3,
        "low must be less than high",
    ),
    ("search:\n  heads: [3]\n", 1, "heads must divide embedding, got heads 3"),
    ("search:\n  learning_rate: {low: 0.0, high: 0.1, log: true}\n", 2, "greater than 0"),
    ("search:\n  weight_decay: {low: 0.0, high: 0.1, log: true}\n", 2, "must start above 0"),
    ("search:\n  heads: [1, 1]\n", 2, "must be different"),
    ("search:\n  heads: 4\n", 2, "heads: got 4; Input should be a list of values or"),
    ("search:\n  fusion: [mean]\n", 2, "fusion: got 'mean'"),
    ("search:\n  steps: {low: 10.5, high: 20}\n", 2, "steps.low: got 10.5"),
    ("search:\n  dropout: {low: 0.0, high: 0.5, step: 0.9}\n", 2, "step must be positive"),
    (
        "search:\n  dropout: {low: 0.0, high: 0.5, steps: 3}\n",
        2,
        "unknown key steps; did you",
    ),
    ("search:\n  dropout:\n    low: 0.0\n    high: 1.5\n", 4, "dropout.high: got 1.5"),
    ("search:\n  dropout: {high: 0.5}\n", 2, "dropout.low: got {'high': 0.5}; this key is"),
    ("search:\n  dropout: {low: 0.1, high: 0.5, step: 0.1, log: true}\n", 2, "takes no step"),
    ("search:\n  heads:\n    - 1\n    - x\n", 4, "heads: got 'x'"),
    ("search:\n  heads: []\n", 2, "heads: got []; Input should have at least one value"),
    ("search:\n  heads:\n", 2, "heads: got None"),
    ("ladder:\n  - groups: 3\n    steps: 2\n", 2, "got 2"),
    ("ladder:\n  - groups: 3\n    keep: 3/2\n", 3, "keep: got '3/2'"),
    ("ladder:\n  - {keep: 1/16}\n", 2, "groups: got {'keep': '1/16'}; this key is required"),
    ("ladder:\n  - {groups: 3, drop: none}\n", 2, "unknown key drop"),
    ("ladder: [3]\n", 1, "ladder: got 3; Input should be a mapping"),
    ("search:\n  dropout: {low: x, high: 0.5}\n", 2, "dropout.low: got 'x'"),
    ("fixed:\n  heads: 2\nsearch:\n  heads: [1]\n", 4, "fixed as well"),
    (
        "sampler: tpe\nconstraints:\n  - heads is nice\n",
        3,
        "got 'heads is nice'; Input",
    ),
    (
        "constraints:\n  - heads divides fusion\n",
        2,
        "with A and B among width, frozen_stages, embedding",
    ),
    (
        "search:\n  heads: [2, 4]\nsampler: best\n",
        3,
        "got 'best'; Input should be 'tpe'",
    ),
    (
        "sampler: grid\nsearch:\n  dropout: {low: 0.0, high: 0.5}\n",
        3,
        "dropout: a grid takes",
    ),
    ("points:\n  - {}\n  - {heads: 3}\n", 3, "heads must divide embedding"),
    ("points: {heads: 1}\n", 1, "points: got {'heads': 1}; Input should be a list"),
    ("searches:\n  heads: [1]\n", 1, "unknown key searches"),
    ("search: [\n", 2, "not YAML"),
    ("- heads\n", 1, "Input should be a mapping"),
    ("search:\n  phases: [both, whole_clip]\n", 1, "needs fusion: none, got cross_attention"),
    ("search:\n  dropout: {low: 0, high: 0.5, step: x}\n", 2, "step: got 'x'"),
    ("search:\n  dropout: {low: 0, high: 0.5, step: .nan}\n", 2, "Input should be a finite"),
    ("search:\n  dropout: {low: 0, high: 0.5, step: true}\n", 2, "step: got True"),
    ("search:\n  steps: {low: 10, high: 20, step: 0.5}\n", 2, "step: got 0.5"),
    (
        "search:\n  dropout: {low: 0.1, high: 0.5, log: 'no'}\n",
        2,
        "dropout.log: got 'no'; Input should be a valid boolean",
    ),
    ("search:\n  dropout: {low: true, high: 0.5}\n", 2, "dropout.low: got True"),
    (
        "search:\n  flip: {low: 0, high: 1}\n",
        2,
        "flip: got {'low': 0, 'high': 1}; Input",
    ),
    ("search:\n  dropout: {low: 0, high: 0.5, 1: 2}\n", 2, "unknown key 1"),
    ("search:\n  heads: [1, true]\n", 2, "heads: got True"),
    ("search:\n  dropout: [0.1, false]\n", 2, "dropout: got False"),
    ("search:\n  learning_rate: [1e-3, 0.001]\n", 2, "must be different"),
    ("search:\n  heads: [2, '2']\n", 2, "must be different"),
    ("search:\n  fusion: [[concat]]\n", 2, "fusion: got ['concat']"),
    ("search:\n  1: [1]\n", 2, "unknown setting 1"),
    ('search:\n  "a\\nb": [1]\n', 2, "unknown setting 'a\\nb'"),
    ("sampler: tpe\nsearch: []\n", 2, "search: got []; Input should be a mapping"),
    ("sampler: tpe\nfixed: 3\n", 2, "fixed: got 3; Input should be a mapping"),
    ("fixed:\n  heads: true\n", 2, "heads: got True"),
    ("fixed:\n  null: 1\n", 1, "unknown setting None"),
    ("sampler: tpe\nconstraints: 5\n", 2, "constraints: got 5; Input should be a list"),
    (
        "constraints: heads divides embedding\n",
        1,
        "embedding'; Input should be a list",
    ),
    ("constraints: [[1]]\n", 1, "constraints: got [1]; Input should be a valid string"),
    (
        "constraints:\n  - head divides embedding\n",
        2,
        "got 'head divides embedding'; ",
    ),
    ("constraints:\n  - dropout divides heads\nfixed: {dropout: 0}\n", 1, "no settings satisfy"),
    ("sampler: tpe\npoints: 0\n", 2, "points: got 0; Input should be a list"),
    ("points:\n  - {heads: 1}\n  - 5\n", 3, "points: got 5; Input should be a mapping"),
    ("points: [{1: 2}]\n", 1, "unknown setting 1"),
    ("points:\n  - heads: 1\n    dropout: true\n", 3, "dropout: got True"),
    ("sampler: [tpe]\n", 1, "sampler: got ['tpe']; Input should be"),
    ("sampler:\n", 1, "sampler: got None; Input should be"),
    ("sampler: tpe\n1: 2\n", 2, "unknown key 1"),
    ("sampler: tpe\n? [1]\n: 2\n", 2, "not YAML: found unhashable key"),
    ("sampler: tpe\nfixed: \x00\n", 2, "not YAML"),
    ("fixed: 2024-13-45\n", 1, "not YAML: month must be"),
    ("", 1, "Input should be a mapping"),
    ("around: {heads: 2}\n", 1, "heads is not searched"),
    ("search:\n  heads: [2]\naround:\n  heads: 0\n", 4, "heads: got 0"),
    ("search:\n  heads: [2]\naround:\n  head: 2\n", 4, "did you mean heads?"),
    (
        "sampler: random\nsearch:\n  heads: [2]\naround: {heads: 2}\n",
        4,
        "draws around settings need sampler: tpe",
    ),
    (
        "prior: none\nsearch:\n  heads: [2]\naround: {heads: 2}\n",
        4,
        "draws around settings need prior: around",
    ),
    ("prior: defaults\n", 1, "prior: got 'defaults'; Input should be 'around' or 'none'"),
]


@pytest.mark.parametrize(("text", "line", "words"), DAMAGED)
def test_a_damaged_space_names_its_line_and_rule(tmp_path, text, line, words):
    path = tmp_path / "space.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        load_space(str(path))
    assert str(error.value).startswith(f"{path}:{line}:")
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_name_lists_the_shipped_ones():
    with pytest.raises(InputError, match=r"shipped name .*dianet.*: got dianets"):
        load_space("dianets")


def test_a_declared_constraint_admits_heads_that_do_not_always_divide(tmp_path):
    path = tmp_path / "space.yaml"
    path.write_text("search:\n  heads: [3, 4]\nconstraints: [heads divides embedding]\n")
    assert load_space(str(path)).settings({"heads": 3}) is None
    assert load_space(str(path)).settings({"heads": 4}) == Settings(heads=4)


def test_constraints_that_no_point_satisfies_are_refused(tmp_path):
    path = tmp_path / "space.yaml"
    path.write_text("search:\n  heads: [3, 5]\nconstraints: [heads divides embedding]\n")
    with pytest.raises(InputError, match="no settings satisfy"):
        load_space(str(path))


SEARCHED = "search:\n  heads: [1, 2, 4]\n  flip: [true, false]\n"


@pytest.mark.parametrize(
    ("text", "around", "centre"),
    [
        ("", {}, {"heads": 4, "flip": True}),
        ("fixed: {width: 8}\naround: {heads: 1}\n", {"heads": 1}, {"heads": 1, "flip": True}),
        ("prior: none\n", None, None),
        ("sampler: random\n", None, None),
    ],
)
def test_early_draws_lie_around_the_defaults_or_what_the_file_says(tmp_path, text, around, centre):
    path = tmp_path / "space.yaml"
    path.write_text(text + SEARCHED)
    space = load_space(str(path))
    assert space.around == around
    assert space.identity().around == centre
    without_heads = fix(space, {"heads": "2"}).identity().around
    assert without_heads == (None if centre is None else {"flip": True})


def test_set_fixes_a_dimension_and_changes_the_first_settings():
    space = fix(load_space("dianet"), {"learning_rate": "0.002", "flip": "false"})
    assert "learning_rate" not in space.dimensions
    assert space.fixed["flip"] is False
    assert all(one.learning_rate == 0.002 for one in space.first_settings)


@pytest.mark.parametrize(
    ("assigned", "words"),
    [
        ({"lr": "1"}, "--set lr=1: unknown setting lr"),
        ({"heads": "7"}, "heads must divide embedding"),
        ({"dropout": "2"}, "--set dropout=2: dropout: got 2"),
        ({"heads": "[1"}, "--set heads:1: not YAML: expected ',' or ']'"),
        ({"heads": ""}, "--set heads=: heads: got None"),
        ({"heads": "yes"}, "heads: got True"),
        ({"heads": "{1: 2}"}, "heads: got {1: 2}"),
    ],
)
def test_set_is_checked(assigned, words):
    with pytest.raises(InputError, match=re.escape(words)):
        fix(load_space("phases"), assigned)


def test_every_value_has_its_settings_type_however_yaml_reads_it(tmp_path):
    """YAML 1.1 reads 1e-3 as a text and 0 as an integer."""
    path = tmp_path / "space.yaml"
    path.write_text(
        "fixed: {label_smoothing: 0, erasing: 5e-1}\n"
        "search:\n"
        "  learning_rate: [1e-3, 3e-3, 0.123456789]\n"
        "  heads: ['2', 4.0]\n"
        "  flip: ['yes', 0]\n"
        "  dropout: {low: 0, high: 5e-1, step: 1e-1}\n"
        "  weight_decay: {low: 1e-5, high: 1, log: true}\n"
        "  steps: {low: '100', high: 200.0, step: 50.0}\n"
        "constraints: [heads divides embedding]\n"
        "points: [{learning_rate: 1e-3}]\n"
    )
    space = fix(load_space(str(path)), {"shift": "1e-1"})
    assert space.fixed == {"label_smoothing": 0.0, "erasing": 0.5, "shift": 0.1}
    assert [type(value) for value in space.fixed.values()] == [float] * 3
    assert space.dimensions == {
        "learning_rate": Choice((0.001, 0.003, 0.123457)),  # six digits, as what is drawn
        "heads": Choice((2, 4)),
        "flip": Choice((True, False)),
        "dropout": Range(0.0, 0.5, step=0.1),
        "weight_decay": Range(1e-5, 1.0, log=True),
        "steps": Range(100, 200, step=50),
    }
    for name, dimension in space.dimensions.items():
        values = dimension.values if isinstance(dimension, Choice) else (dimension.low,)
        assert {type(value) for value in values} == {type(getattr(Settings(), name))}
    assert not space.dimensions["dropout"].is_integer
    assert space.dimensions["steps"].is_integer
    assert space.first_settings[0].learning_rate == 0.001


def check_load(path):
    """Load, or be refused in one line that names the file and a line; nothing else is raised."""
    refusal = f"{path}:1: none"
    try:
        load_space(str(path))
    except InputError as error:
        refusal = str(error)
    assert re.match(rf"{path}:\d+: .", refusal)
    assert len(refusal.splitlines()) == 1


scalars = st.sampled_from(
    [None, True, 0, 1, 4, -1, 0.5, float("nan"), "", "x", "1e-3", "4", "tpe", "no"]
)
keys = st.sampled_from(
    ["low", "high", "log", "step", "heads", "dropout", "fusion", "flip", "x", 1, None, "a\nb"]
)
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)
sections = ("sampler", "fixed", "search", "constraints", "points", "ladder")


@budget(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(trees | st.dictionaries(st.sampled_from(sections), trees))
def test_any_yaml_is_a_space_or_one_line_with_its_file_and_line(tmp_path, content):
    path = tmp_path / "space.yaml"
    path.write_text(yaml.safe_dump(content))
    check_load(path)


@budget(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_a_shipped_file_with_a_typing_error_is_a_space_or_one_line(tmp_path, data):
    text = shipped()["dianet"].read_text()
    i = data.draw(st.integers(0, len(text) - 1))
    path = tmp_path / "space.yaml"
    path.write_text(
        text[:i] + data.draw(st.text("[]{}:,-#'\"&*!|>%@\t\n x0\x00", max_size=2)) + text[i + 1 :]
    )
    check_load(path)


def test_enqueued_settings_run_before_those_of_the_space(tmp_path):
    path = tmp_path / "points.yaml"
    path.write_text("- {heads: 8}\n- {heads: 1}\n")
    space = enqueue(load_space("dianet"), path)
    assert [one.heads for one in space.first_settings] == [8, 1, 4]


def test_the_identity_of_a_space_changes_with_its_content():
    space = load_space("quick")
    assert space.identity() == load_space("quick").identity()
    assert space.identity() != fix(space, {"heads": "2"}).identity()
    assert isinstance(space.dimensions["learning_rate"], Range)


def test_a_missing_points_file_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"cannot be read"):
        enqueue(load_space("quick"), Path(tmp_path / "none.yaml"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "got None"),
        ("5\n", "got 5; Input should"),
        ("- {heads: true}\n", "heads: got True"),
    ],
)
def test_damaged_points_name_their_line(tmp_path, text, words):
    path = tmp_path / "points.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=rf"points.yaml:1: .*{words}"):
        enqueue(load_space("quick"), path)


def test_the_schema_for_editors_is_the_one_of_the_form():
    path = Path(shipped()["quick"]).with_name("space.schema.json")
    assert path.read_text() == schema(), (
        "the form of a space file or a setting changed: accept it with python -c 'from "
        'dianet_ray.search.space_form import schema; print(schema(), end="")\' '
        "> search_spaces/space.schema.json"
    )


@pytest.mark.parametrize("name", sorted(shipped().keys() - {"ststnet"}))  # it has its own settings
def test_a_shipped_space_names_the_schema_and_fits_it(name):
    path = shipped()[name]
    named = re.match(r"# yaml-language-server: \$schema=(\S+)\n", path.read_text())[1]
    form = json.loads((path.parent / named).read_text())
    jsonschema.validate(yaml.safe_load(path.read_text()), form)


@pytest.mark.parametrize(
    "text",
    [
        "search: {headz: [1]}",
        "search: {heads: []}",
        "search: {heads: [1, 1]}",
        "search: {heads: null}",
        "search: {dropout: {low: 0.1}}",
        "search: {dropout: {low: 0.1, high: 1.5}}",
        "search: {flip: {low: 0, high: 1}}",
        "fixed: {fusion: mean}",
        "constraints: [heads divides fusion]",
        "sampler: best",
        "ladder: [{steps: 0.5}]",
    ],
)
def test_an_editor_refuses_what_the_search_refuses(tmp_path, text):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(text), json.loads(schema()))
    path = tmp_path / "space.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"space.yaml:1: "):
        load_space(str(path))


def test_a_ladder_is_read_from_the_file_and_ends_with_loso(tmp_path):
    path = tmp_path / "space.yaml"
    rungs = {
        "ladder:\n  - {groups: 3, steps: 0.5, keep: 1/8}\n  - {groups: 7}\n": (
            Rung(3, 0.5, 1 / 8),
            Rung(7, 1, KEEP),
            Rung(),
        ),
        "ladder: []\n": (Rung(),),
        "sampler: tpe\n": None,
    }
    for text, expected in rungs.items():
        path.write_text(text)
        assert load_space(str(path)).ladder == expected


def test_dimensions_keep_the_order_of_the_file(tmp_path):
    """A sampler draws them in this order, so another one would be another search."""
    path = tmp_path / "space.yaml"
    path.write_text("search:\n  steps: [1, 2]\n  heads: [1, 2]\n  dropout: [0, 0.1]\n")
    assert list(load_space(str(path)).dimensions) == ["steps", "heads", "dropout"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("search:\n  heads: [1, 2]\n  heads: [4]\n", r":3: heads is there twice"),
        ("search: {heads: [1, 2]}\nsearch: {width: [8, 16]}\n", r":2: search is there twice"),
        ("points:\n- {heads: 1, heads: 2}\n", r":2: heads is there twice"),
        ("search: {dropout: {low: 0.0, high: 0.5, step: 1.0e-320}}\n", "at most 1000000 steps"),
        (
            "sampler: grid\nsearch: {dropout: {low: 0.0, high: 0.5, step: 1.0e-5}, "
            "shift: {low: 0.0, high: 0.2, step: 1.0e-3}}\n",
            "a grid has at most 1000000 configurations",
        ),
    ],
)
def test_what_would_be_lost_or_never_end_is_refused(tmp_path, text, says):
    (tmp_path / "space.yaml").write_text(text)
    with pytest.raises(InputError, match=says) as error:
        load_space(str(tmp_path / "space.yaml"))
    assert "\n" not in str(error.value)


def test_a_key_that_is_there_twice_is_named_once(tmp_path):
    path = tmp_path / "space.yaml"
    path.write_text("search:\n  heads: [1, 2]\n  heads: [4]\n")
    with pytest.raises(InputError) as error:
        load_space(str(path))
    assert str(error.value) == f"{path}:3: heads is there twice"


@pytest.mark.parametrize(
    "text",
    [
        "n0: &n0 [1]\n" + "".join(f"n{k}: &n{k} [*n{k - 1}, *n{k - 1}]\n" for k in range(1, 60)),
        "search: &a\n  heads: [*a]\n",
    ],
    ids=["aliases of aliases", "within itself"],
)
def test_aliases_are_looked_at_once(tmp_path, text):
    (tmp_path / "space.yaml").write_text(text)
    with pytest.raises(InputError) as error:
        load_space(str(tmp_path / "space.yaml"))
    assert "\n" not in str(error.value)


def test_two_values_of_one_setting_are_refused():
    with pytest.raises(InputError, match="--set takes one value of a setting: heads has several"):
        read_space("quick", ["heads=1", "width=8", "heads=2"], None)
