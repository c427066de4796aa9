"""Which settings mattered: found where they did, and not where they did not."""

from dataclasses import replace

import numpy as np
import pytest

from dianet_ray.report import verdicts
from dianet_ray.report.importance import importance
from dianet_ray.report.records import MIN_CONFIGS, Importance
from dianet_ray.settings import Choice, Range, Settings
from tests.support.reports import report_of
from tests.support.studies import make_study

SEARCHED = {
    "learning_rate": Range(1e-4, 1e-2, log=True),
    "dropout": Range(0.0, 0.6),
    "heads": Choice((1, 2, 4, 8)),
    "fusion": Choice(("cross_attention", "concat")),
    "steps": Range(100, 300),
}


def drawn(rng, n):
    return [
        Settings(
            learning_rate=float(10 ** rng.uniform(-4, -2)),
            dropout=float(rng.uniform(0, 0.6)),
            heads=int(rng.choice([1, 2, 4, 8])),
            fusion=str(rng.choice(["cross_attention", "concat"])),
            steps=int(rng.integers(100, 301)),
        )
        for _ in range(n)
    ]


def test_the_setting_that_decides_is_found_alone():
    rng = np.random.default_rng(0)
    settings = drawn(rng, 64)
    points = [
        (one, -abs(np.log10(one.learning_rate / 1e-3)) + rng.normal(0, 0.1)) for one in settings
    ]
    found = importance(points, SEARCHED, seed=0)
    assert set(found) == set(SEARCHED)
    first = next(iter(found))
    assert first == "learning_rate"
    assert found[first].p <= 0.02
    assert all(one.p > 0.05 for name, one in found.items() if name != first)
    assert sum(one.share for one in found.values()) == pytest.approx(1)
    for one in found.values():
        assert 0 <= one.ci95[0] <= one.ci95[1] <= 1


def test_where_nothing_matters_something_seems_to_in_one_of_twenty_searches():
    n_wrong = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        points = [(one, float(rng.normal())) for one in drawn(rng, MIN_CONFIGS)]
        n_wrong += any(one.p <= 0.05 for one in importance(points, SEARCHED, seed, n=19).values())
    assert n_wrong <= 2


def test_equal_scores_say_nothing():
    points = [(one, 0.5) for one in drawn(np.random.default_rng(0), 24)]
    assert all(one.p == 1.0 for one in importance(points, SEARCHED, seed=0).values())


def test_settings_that_never_varied_are_left_out_and_few_configurations_say_nothing():
    rng = np.random.default_rng(0)
    settings = [one.model_copy(update={"heads": 2}) for one in drawn(rng, MIN_CONFIGS)]
    points = [(one, float(rng.normal())) for one in settings]
    assert "heads" not in importance(points, SEARCHED, seed=0)
    assert importance(points[:-1], SEARCHED, 0, n=20) == {}


def test_a_point_outside_the_range_and_a_value_that_is_not_listed_are_allowed():
    """A space file lists what it likes to begin with."""
    rng = np.random.default_rng(0)
    points = [(one, float(rng.normal())) for one in drawn(rng, MIN_CONFIGS)]
    points[0] = (Settings(learning_rate=0.05, heads=16, steps=900), 1.0)
    assert set(importance(points, SEARCHED, seed=0)) == set(SEARCHED)


def test_the_sentence_names_what_mattered_and_says_where_nothing_can_be_told():
    report = report_of(make_study())
    assert (
        verdicts.importance(report)
        == "Which settings mattered cannot be told from 4 configurations."
    )
    found = {
        "learning_rate": Importance(0.8, (0.5, 0.9), 0.01),
        "heads": Importance(0.2, (0.1, 0.5), 0.4),
    }
    said = verdicts.importance(replace(report, importance=found))
    assert "learning_rate (share 0.80 [0.50, 0.90], p = 0.01)" in said
    assert "Of 1 other setting nothing can be told." in said
    assert verdicts.importance(report_of(make_study(n_configs=1))) == ""
