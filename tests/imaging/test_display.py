"""Dynamic images as pictures."""

import cv2
import numpy as np

from dianet_ray.imaging.display import png


def pixels(image):
    return cv2.imdecode(np.frombuffer(png(image), np.uint8), cv2.IMREAD_COLOR_RGB).astype(int)


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
