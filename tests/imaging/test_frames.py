"""Finding and decoding the frames of one clip."""

import cv2
import numpy as np
import pytest

from dianet_ray.imaging.frames import FrameError, index_frames, read_frame
from tests.support.casme2_files import write_frame


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("img46.jpg", 46),
        ("reg_img46.jpg", 46),
        ("006_05562.jpg", 5562),
        ("Frame_000000007.png", 7),
        ("12.BMP", 12),
    ],
)
def test_the_last_integer_of_a_name_is_the_frame_number(tmp_path, name, number):
    (tmp_path / name).touch()
    assert index_frames(tmp_path) == {number: tmp_path / name}


def test_frames_come_in_the_order_of_their_numbers_and_other_files_are_ignored(tmp_path):
    for name in ("img10.jpg", "img9.jpg", "Thumbs.db", "notes1.txt", "cover.jpg"):
        (tmp_path / name).touch()
    assert list(index_frames(tmp_path)) == [9, 10]


def test_two_files_for_one_frame_are_named(tmp_path):
    (tmp_path / "img7.jpg").touch()
    (tmp_path / "img007.jpg").touch()
    with pytest.raises(FrameError, match=r"two files for frame 7: img007.jpg and img7.jpg"):
        index_frames(tmp_path)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FrameError, match=r"does not open.*EP01"):
        index_frames(tmp_path / "EP01")


def test_a_frame_is_rgb_and_grey_is_repeated(tmp_path):
    blue = np.zeros((6, 8, 3), np.uint8)
    blue[..., 0] = 200  # OpenCV writes BGR
    cv2.imwrite(str(tmp_path / "1.png"), blue)
    cv2.imwrite(str(tmp_path / "2.png"), np.full((6, 8), 50, np.uint8))
    assert read_frame(tmp_path / "1.png")[0, 0].tolist() == [0, 0, 200]
    assert read_frame(tmp_path / "2.png")[0, 0].tolist() == [50, 50, 50]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp"])
@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_a_file_cut_short_is_an_error_that_names_it(tmp_path, suffix, share):
    path = tmp_path / f"img1{suffix}"
    write_frame(path, seed=0)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(FrameError, match=f"not a whole image.*img1{suffix}"):
        read_frame(path)


def test_a_missing_file_is_an_error_that_names_it(tmp_path):
    with pytest.raises(FrameError, match=r"does not open.*img1\.jpg"):
        read_frame(tmp_path / "img1.jpg")
