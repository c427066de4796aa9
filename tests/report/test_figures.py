import base64

import numpy as np
import pytest

from dianet_ray.report.figures import confusion, per_subject, picture, ranking, slices
from tests.support.reports import report_of
from tests.support.studies import make_study


def content(uri, kind):
    head, _, data = uri.partition(",")
    assert head == f"data:{kind};base64"
    return base64.b64decode(data)


def test_a_picture_is_a_png():
    uri = picture(np.zeros((4, 6, 3), dtype=np.float16))
    assert content(uri, "image/png").startswith(b"\x89PNG")


@pytest.mark.parametrize("n_configs", [1, 3])
def test_figures_are_svg_and_repeat_to_the_byte(n_configs):
    report = report_of(make_study(n_configs=n_configs))
    champion = report.champion

    def draw():
        return (
            confusion(champion.confusion, list(report.dataset.classes)),
            per_subject(champion.per_subject, champion.accuracy),
            ranking([0.5] * n_configs, champion, metric="uf1", chance=report.chance),
        )

    for uri in draw():
        assert b"<svg" in content(uri, "image/svg+xml")
    assert draw() == draw()


@pytest.mark.parametrize(
    "values",
    [
        ["concat", "cross_attention", "a$_b$", "concat"],
        [True, False, False, True],
        [1, 2, 4, 8],
        [3e-4, 1e-3, 2e-3, 1e-2],
    ],
)
def test_slices_take_every_kind_of_setting(values):
    settings = [{"rate": value, "other": place} for place, value in enumerate(values)]
    uri = slices(settings * 2, [0.1, 0.2, 0.3, 0.4] * 2, ["rate", "other"], best=3)
    assert b"<svg" in content(uri, "image/svg+xml")


def test_names_with_dollars_are_no_formulas():
    uri = confusion([[1, 0], [0, 1]], [r"$\frac", "a$_b$"])
    assert b"<svg" in content(uri, "image/svg+xml")
