"""Other ways of counting: what they equal, and that the leaking ones flatter."""

from __future__ import annotations

import dataclasses
import io
import subprocess
import sys

import numpy as np
import pytest
from rich.console import Console

from dianet_ray.artefacts import METRICS
from dianet_ray.protocol.metrics import scores
from dianet_ray.report import verdicts
from dianet_ray.report.as_others_count import BOTH, MEAN, POOLED, as_others_count
from dianet_ray.report.champion import Counted
from dianet_ray.report.page import write
from dianet_ray.report.terminal import render
from tests.support.pages import Page
from tests.support.reports import report_of
from tests.support.studies import make_study, shown_early


def counted(seed=0, n_points=4, n_subjects=12, n_classes=3):
    """Predictions that know nothing, at several points."""
    counts = np.random.default_rng(seed).poisson(
        0.6, size=(n_points, n_subjects, n_classes, n_classes)
    )
    labels = counts[0].sum(axis=-1)  # a subject's clips are the same at every point
    generator = np.random.default_rng(seed + 1)
    for place, subject, label in np.ndindex(n_points, n_subjects, n_classes):
        counts[place, subject, label] = generator.multinomial(
            labels[subject, label] + 1, np.full(n_classes, 1 / n_classes)
        )
    best = scores(counts.sum(axis=1))["uf1"].argmax()
    return Counted(tuple(range(1, n_points + 1)), counts, counts, int(best))


@pytest.mark.parametrize("seed", range(5))
def test_what_lets_subjects_choose_their_point_flatters(seed):
    one = counted(seed)
    found = as_others_count(one)
    right = np.trace(one.counts, axis1=2, axis2=3)
    n_clips = one.counts[0].sum()
    assert found[POOLED].accuracy == pytest.approx(right.max(axis=0).sum() / n_clips)
    assert found[POOLED].accuracy > right.sum(axis=1).max() / n_clips
    for metric in METRICS:
        assert found[BOTH].of(metric) > found[MEAN].of(metric)


def test_one_subject_is_scored_over_the_classes_that_it_has():
    counts = np.array([[[[3, 1], [0, 0]], [[0, 0], [0, 2]]]])
    found = as_others_count(Counted((10,), counts, counts, 0))[MEAN]
    assert found.accuracy == pytest.approx((0.75 + 1) / 2)
    assert found.uar == pytest.approx((0.75 + 1) / 2)
    assert found.uf1 == pytest.approx((2 * 3 / 7 + 1) / 2)


def test_with_one_point_nothing_can_be_chosen():
    one = counted(n_points=1)
    found = as_others_count(one)
    assert found[MEAN] == found[BOTH]
    ours = scores(one.as_read.sum(axis=0))
    assert found[POOLED].uf1 == pytest.approx(float(ours["uf1"]))


def test_every_way_of_counting_stands_apart_with_its_difference_and_whether_it_leaks(tmp_path):
    report = report_of(shown_early(make_study(n_subjects=8), good=0))
    ours, of_others = report.champion.uf1, report.as_others_count
    assert set(of_others) == {MEAN, POOLED, BOTH}
    wanted = [
        (f"{of.uf1:.3f}", f"{100 * (of.uf1 - ours):+.1f}", "no" if how == MEAN else "yes")
        for how, of in of_others.items()
    ]
    text = io.StringIO()
    render(report, Console(file=text, width=120))
    _, _, table = text.getvalue().partition("As others count, for comparison")
    rows = [line.strip("│ ").split("│") for line in table.splitlines() if line.startswith("│")]
    assert [tuple(cell.strip() for cell in row[1:]) for row in rows] == wanted
    write(report, None, tmp_path / "report.html")
    _, _, section = Page(tmp_path / "report.html").text.partition("As others count")
    assert "not to be quoted" in section
    for cells in wanted:
        assert " ".join(cells) in section


def test_with_one_point_nothing_is_called_a_leak():
    report = report_of(shown_early(make_study(n_subjects=8), good=0))
    several = verdicts.as_others_count(report)
    assert [of.leaks for of in several] == ["no", "yes", "yes"]
    champion = dataclasses.replace(report.champion, curve=report.champion.curve[-1:])
    one = verdicts.as_others_count(dataclasses.replace(report, champion=champion))
    assert [of.leaks for of in one] == ["no"] * 3


def test_nothing_that_decides_can_read_them():
    """What searches, and all that it imports, runs without the report."""
    script = (
        "import importlib, pkgutil, sys, dianet_ray.protocol, dianet_ray.search\n"
        "for package in (dianet_ray.protocol, dianet_ray.search):\n"
        "    for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "        importlib.import_module(module.name)\n"
        "print([name for name in sys.modules if name.startswith('dianet_ray.report')])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
