import base64
import io

import numpy as np
import pytest
from matplotlib.image import imread

from dianet_ray.summary.figures import confusion, per_subject, picture, ranking
from dianet_ray.summary.report import summarise
from tests.studies import make_study


def content(uri, kind):
    head, _, data = uri.partition(",")
    assert head == f"data:{kind};base64"
    return base64.b64decode(data)


def pixels(image):
    png = imread(io.BytesIO(content(picture(image), "image/png")), format="png")
    return np.round(png[..., :3] * 255).astype(int)


def test_no_motion_is_mid_grey_and_the_scale_is_symmetrical():
    image = np.zeros((2, 3, 3), dtype=np.float16)
    assert (pixels(image) == 128).all()
    image[0, 0], image[1, 2] = 50, -25
    found = pixels(image)
    assert (found[0, 0] == 255).all()
    assert (found[1, 2] == 64).all()
    assert (found[0, 1] == 128).all()
    assert (pixels(-image)[0, 0] == 0).all()


def test_a_picture_keeps_its_size_and_channels():
    image = np.zeros((4, 6, 3))
    image[..., 0] = 255
    assert pixels(image).shape == (4, 6, 3)
    assert (pixels(image) == [255, 128, 128]).all()


@pytest.mark.parametrize("n_configs", [1, 3])
def test_figures_are_svg_and_repeat_to_the_byte(n_configs):
    report = summarise(make_study(n_configs=n_configs))
    champion = report["champion"]

    def draw():
        return (
            confusion(champion["confusion"], list(report["dataset"]["classes"])),
            per_subject(champion["per_subject"], champion["accuracy"]),
            ranking([0.5] * n_configs, report, "UF1"),
        )

    for uri in draw():
        assert b"<svg" in content(uri, "image/svg+xml")
    assert draw() == draw()


def test_names_with_dollars_are_no_formulas():
    uri = confusion([[1, 0], [0, 1]], [r"$\frac", "a$_b$"])
    assert b"<svg" in content(uri, "image/svg+xml")
