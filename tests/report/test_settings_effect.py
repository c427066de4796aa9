from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dianet_ray.report import verdicts
from dianet_ray.report.records import AtBound, RangeEffect, ValueEffect
from dianet_ray.report.settings_effect import at_bounds, effects
from dianet_ray.settings import Choice, Range, Settings
from tests.support.reports import report_of
from tests.support.studies import make_study


def points(**columns):
    """Settings with the given values; the score is the place in the list."""
    rows = zip(*columns.values(), strict=True)
    settings = [Settings(**dict(zip(columns, row, strict=True))) for row in rows]
    return [(one, float(place)) for place, one in enumerate(settings)]


def test_settings_that_never_vary_are_not_shown():
    assert effects(points(heads=[4, 4]), {}) == {}
    assert effects([], {}) == {}


def test_heads_and_learning_rate_come_first():
    found = effects(
        points(
            width=[8, 16],
            phases=["both", "both"],
            learning_rate=[1e-3, 1e-2],
            dropout=[0.0, 0.1],
            heads=[1, 2],
        ),
        {},
    )
    assert list(found) == ["heads", "learning_rate", "width", "dropout"]


def test_few_values_are_shown_one_by_one_in_order():
    found = effects(points(heads=[4, 1, 4, 1], flip=[True, False, True, True]), {})
    assert found["heads"] == (
        ValueEffect(1, n=2, median=2.0, best=3.0),
        ValueEffect(4, n=2, median=1.0, best=2.0),
    )
    assert [(group.value, group.n) for group in found["flip"]] == [(False, 1), (True, 3)]


def test_many_numbers_are_shown_in_thirds_of_the_declared_range():
    space = {"dropout": Range(0.0, 0.9, log=False)}
    found = effects(points(dropout=[0.0, 0.1, 0.2, 0.29, 0.3, 0.5]), space)
    assert found["dropout"] == (
        RangeEffect((0.0, 0.3), n=4, median=1.5, best=3.0),
        RangeEffect((0.3, 0.6), n=2, median=4.5, best=5.0),
        RangeEffect((0.6, 0.9), n=0, median=None, best=None),
    )


def test_a_logarithmic_range_is_cut_on_its_scale():
    space = {"learning_rate": Range(1e-5, 1e-2, log=True)}
    found = effects(points(learning_rate=[1e-5, 2e-5, 2e-4, 3e-3, 1e-2]), space)
    assert [group.range for group in found["learning_rate"]] == [
        (1e-5, 1e-4),
        (1e-4, 1e-3),
        (1e-3, 1e-2),
    ]
    assert [group.n for group in found["learning_rate"]] == [2, 1, 2]


def test_listed_values_stay_values_however_many():
    found = effects(points(width=[4, 8, 16, 32, 64]), {"width": Choice((4, 8, 16, 32, 64))})
    assert [group.value for group in found["width"]] == [4, 8, 16, 32, 64]


def test_listed_points_outside_the_range_are_counted():
    space = {"steps": Range(100, 200, log=False)}
    found = effects(points(steps=[10, 100, 120, 200, 310]), space)
    assert found["steps"][0].range == (10, 110)
    assert found["steps"][2].range == (210, 310)
    assert [group.n for group in found["steps"]] == [2, 2, 1]


@given(
    st.lists(st.floats(1e-6, 1, allow_nan=False), min_size=2, max_size=30),
    st.sampled_from([None, Range(1e-5, 1e-1, log=True), Range(0.0, 0.5, log=False)]),
)
def test_every_configuration_is_counted_once_per_setting(rates, dimension):
    space = {} if dimension is None else {"learning_rate": dimension}
    found = effects(points(learning_rate=rates), space)
    for groups in found.values():
        assert sum(group.n for group in groups) == len(rates)
        assert max(group.best for group in groups if group.n) == len(rates) - 1
    assert bool(found) == (len(set(rates)) > 1)


def test_the_median_is_of_the_scores():
    settings = [Settings(heads=heads) for heads in (1, 1, 1, 2)]
    found = effects(list(zip(settings, [0.1, 0.5, 0.2, 0.9], strict=True)), {})
    assert found["heads"][0].median == pytest.approx(0.2)


def test_the_thirds_are_those_of_the_range_that_the_study_searches():
    study = make_study(n_configs=12)
    space = study.identity.space.search["learning_rate"]
    found = report_of(study).settings_effect
    assert [effect.value for effect in found["heads"]] == [1, 2, 4]
    shown = found["learning_rate"]
    assert (shown[0].range[0], shown[2].range[1]) == (space.low, space.high)


@pytest.mark.parametrize(
    ("name", "value", "dimension", "is_found"),
    [
        ("learning_rate", 0.0098, Range(1e-4, 1e-2, log=True), True),
        ("learning_rate", 1.02e-4, Range(1e-4, 1e-2, log=True), True),
        ("learning_rate", 0.005, Range(1e-4, 1e-2, log=True), False),
        ("dropout", 0.0, Range(0.0, 0.6), False),  # it cannot be less
        ("dropout", 0.01, Range(0.0, 0.6), False),  # nor much less
        ("dropout", 0.595, Range(0.0, 0.6), True),
        ("dropout", 0.8, Range(0.0, 0.6), False),  # listed, beyond what is searched
        ("weight_decay", 0.0, Range(1e-5, 1e-1, log=True), False),
        ("width", 24, Choice((8, 16, 24)), True),
        ("width", 16, Choice((8, 16, 24)), False),
        ("width", 16, Choice((8, 16)), False),  # either would be an end
        ("heads", 1, Choice((1, 2, 4)), False),
        ("heads", 4, Choice((4, 2, 1)), True),
        ("flip", True, Choice((True, False)), False),
        ("fusion", "concat", Choice(("concat", "sum", "late")), False),
    ],
)
def test_an_end_of_what_was_searched_is_found(name, value, dimension, is_found):
    found = at_bounds(Settings(**{name: value}), {name: dimension})
    assert list(found) == ([name] if is_found else [])


def test_a_champion_at_an_end_is_said_with_what_was_searched():
    report = report_of(make_study(n_subjects=8, n_configs=3))
    best = report.champion.settings
    dimension = Range(best.learning_rate, 1e-2, log=True)
    found = at_bounds(best, {"learning_rate": dimension})
    assert found == {"learning_rate": AtBound(best.learning_rate, best.learning_rate, 1e-2)}
    at_end = replace(report, champion=replace(report.champion, at_bounds=found))
    assert verdicts.at_bounds(at_end).startswith(
        "At an end of what was searched: learning_rate 0."
    )
    inside = replace(report, champion=replace(report.champion, at_bounds={}))
    assert verdicts.at_bounds(inside) == ""
