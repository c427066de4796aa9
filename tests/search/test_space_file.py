"""A space file is checked at the door: every error is one line with the file and its line."""

from pathlib import Path

import pytest

from dianet_ray.errors import InputError
from dianet_ray.search.space import Range
from dianet_ray.search.space_file import enqueue, fix, load_space
from dianet_ray.settings import Settings

DAMAGED = [
    ("search:\n  headz: [1]\n", 2, "unknown setting headz; did you mean heads"),
    ("search:\n  heads: [1]\n  learning_rate: {low: 0.1, high: 0.01}\n", 3, "low must lie below"),
    ("search:\n  heads: [3]\n", 1, "heads must divide embedding, got heads 3"),
    ("search:\n  learning_rate: {low: 0.0, high: 0.1, log: true}\n", 2, "greater than 0"),
    ("search:\n  weight_decay: {low: 0.0, high: 0.1, log: true}\n", 2, "starts above 0"),
    ("search:\n  heads: [1, 1]\n", 2, "different values"),
    ("search:\n  heads: 4\n", 2, "a list of values or low and high"),
    ("search:\n  fusion: [sum]\n", 2, "fusion: got 'sum'"),
    ("search:\n  steps: {low: 10.5, high: 20}\n", 2, "steps: got 10.5"),
    ("search:\n  dropout: {low: 0.0, high: 0.5, step: 0.9}\n", 2, "step is positive"),
    ("search:\n  dropout: {low: 0.0, high: 0.5, steps: 3}\n", 2, "unknown key steps"),
    ("search:\n  dropout: {low: x, high: 0.5}\n", 2, "low is a number, got 'x'"),
    ("fixed:\n  heads: 2\nsearch:\n  heads: [1]\n", 4, "fixed as well"),
    ("sampler: tpe\nconstraints:\n  - heads is nice\n", 3, "a constraint reads"),
    ("constraints:\n  - heads divides fusion\n", 2, "fusion is not a numeric"),
    ("search:\n  heads: [2, 4]\nsampler: best\n", 3, "sampler is one of tpe"),
    ("sampler: grid\nsearch:\n  dropout: {low: 0.0, high: 0.5}\n", 3, "a grid takes choices"),
    ("points:\n  - {}\n  - {heads: 3}\n", 3, "heads must divide embedding"),
    ("points: {heads: 1}\n", 1, "points is a list"),
    ("searches:\n  heads: [1]\n", 1, "unknown key searches"),
    ("search: [\n", 2, "not YAML"),
    ("- heads\n", 1, "a space is a mapping"),
    ("search:\n  phases: [both, whole_clip]\n", 1, "fusion joins two phases"),
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
    with pytest.raises(InputError, match="no point satisfies"):
        load_space(str(path))


def test_set_fixes_a_dimension_and_the_points():
    space = fix(load_space("dianet"), {"learning_rate": "0.002", "flip": "false"})
    assert "learning_rate" not in space.dimensions
    assert space.fixed["flip"] is False
    assert all(point.learning_rate == 0.002 for point in space.points)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"lr": "1"}, "--set lr=1: unknown setting lr"),
        ({"heads": "7"}, "heads must divide embedding"),
        ({"dropout": "2"}, "--set dropout=2: dropout: got 2"),
    ],
)
def test_set_is_checked(given, words):
    with pytest.raises(InputError, match=words):
        fix(load_space("phases"), given)


def test_enqueued_points_run_before_the_files_own(tmp_path):
    path = tmp_path / "points.yaml"
    path.write_text("- {heads: 8}\n- {heads: 1}\n")
    space = enqueue(load_space("dianet"), path)
    assert [point.heads for point in space.points] == [8, 1, 4]


def test_the_identity_of_a_space_changes_with_its_content():
    space = load_space("quick")
    assert space.identity() == load_space("quick").identity()
    assert space.identity() != fix(space, {"heads": "2"}).identity()
    assert isinstance(space.dimensions["learning_rate"], Range)


def test_a_missing_points_file_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"cannot be read"):
        enqueue(load_space("quick"), Path(tmp_path / "none.yaml"))
