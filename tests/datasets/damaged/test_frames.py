"""Damaged frames and clip folders: the clip is left out with its reason, the others are used."""

import shutil

import cv2
import numpy as np
import pytest

from tests.support.casme2_files import write_frame
from tests.support.damage import AT, assert_victim_left_out, cut, frame_path, judge


def text_frame(number):
    return lambda root: frame_path(root, number).write_text("<html>404 not found</html>")


def lose(*numbers):
    def remove(root):
        for number in numbers:
            frame_path(root, number).unlink()

    return remove


def resized(number):
    return lambda root: write_frame(frame_path(root, number), 5, shape=(30, 48))


def deep_png(number, channels=3):
    def write(root):
        frame_path(root, number).unlink()
        shape = (40, 48) if channels == 1 else (40, 48, channels)
        cv2.imwrite(str(frame_path(root, number, ".png")), np.full(shape, 900, np.uint16))

    return write


def dangling_frame(root):
    frame_path(root).unlink()
    frame_path(root).symlink_to(root / "gone.jpg")


def folder_for_a_frame(root):
    frame_path(root).unlink()
    frame_path(root).mkdir()


def two_files(root):
    shutil.copy(frame_path(root), root / AT / "img011.jpg")


def file_for_folder(root):
    shutil.rmtree(root / AT)
    (root / AT).write_text("moved to disk 2")


def dangling_folder(root):
    shutil.rmtree(root / AT)
    (root / AT).symlink_to(root / "disk2")


def link_to_itself(root):
    shutil.rmtree(root / AT)
    (root / AT).symlink_to(root / AT)


def empty_folder(root):
    shutil.rmtree(root / AT)
    (root / AT).mkdir()


def nested_frames(root):
    """Unpacked twice: the frames lie one folder deeper."""
    shutil.move(root / AT, root / "away")
    shutil.move(root / "away", root / AT / "EP00_01")


LEFT_OUT = {
    "frames have a gap": (lose(10, 11, 14), "frames missing: 10-11, 14 of 8..16"),
    "the first frame is missing": (lose(8), "frames missing: 8 of 8..16"),
    "the last frame is missing": (lose(16), "frames missing: 16 of 8..16"),
    "a JPEG of 30 %": (cut(0.3), "decoding: not a whole image"),
    "a JPEG of 60 %": (cut(0.6), "decoding: not a whole image"),
    "a JPEG of 95 %": (cut(0.95), "decoding: not a whole image"),
    "the first JPEG of 95 %": (cut(0.95, 8), f"unreadable: not a whole image: {AT}/img8.jpg"),
    "a PNG of 60 %": (cut(0.6, suffix=".png"), "decoding: not a whole image"),
    "the first PNG of 95 %": (cut(0.95, 8, ".png"), "unreadable: not a whole image"),
    "a BMP of 60 %": (cut(0.6, suffix=".bmp"), "decoding: not a whole image"),
    "the last BMP of 95 %": (cut(0.95, 16, ".bmp"), "unreadable: not a whole image"),
    "a frame of no bytes": (cut(0), "decoding: not a whole image"),
    "the first frame of no bytes": (cut(0, 8), f"unreadable: not a whole image: {AT}/img8.jpg"),
    "text named .jpg": (text_frame(11), "decoding: not a whole image"),
    "text named .jpg first": (text_frame(8), "unreadable: not a whole image"),
    "a frame of another size": (resized(11), "decoding: frames of changing size: 48x40, but"),
    "an offset of another size": (resized(16), "unreadable: frames of changing size"),
    "a PNG of 16 bits": (deep_png(11), "decoding: a frame has 8 bits a channel"),
    "a first PNG of 16 bits": (deep_png(8), "unreadable: a frame has 8 bits a channel"),
    "a grey PNG of 16 bits": (deep_png(16, 1), "unreadable: a frame has 8 bits a channel"),
    "a PNG of 16 bits with alpha": (deep_png(8, 4), "unreadable: a frame has 8 bits"),
    "a frame that is a lost link": (dangling_frame, "decoding: the file does not open"),
    "a folder for a frame": (folder_for_a_frame, "decoding: the file does not open"),
    "two files for a frame": (two_files, "unclear frames: two files for frame 11: img011.jpg and"),
    "a file for the folder": (file_for_folder, "unreadable: the folder does not open"),
    "a lost link for the folder": (dangling_folder, "unreadable: the folder does not open"),
    "a link to itself": (link_to_itself, "unreadable: the folder does not open"),
    "an empty folder": (empty_folder, "no frames: no numbered jpg"),
    "frames one folder deeper": (nested_frames, "no frames: no numbered jpg"),
    "no folder": (lambda r: shutil.rmtree(r / AT), "no frame folder: none for sub01/EP00_01"),
}


@pytest.mark.parametrize("case", LEFT_OUT)
def test_a_damaged_clip_is_left_out_with_its_reason_and_the_others_are_used(root, case):
    damage, reason = LEFT_OUT[case]
    damage(root)
    assert_victim_left_out(root, reason)


def test_clips_without_a_face_are_left_out_when_faces_are_cropped(root):
    judged = judge(root, crop="face")
    assert {(state, reason) for _, state, reason in judged} == {
        ("left_out", "no face: none found on the onset frame")
    }


def test_clips_without_a_face_are_marked_when_the_centre_may_be_taken(root):
    judged = judge(root, crop="face-or-centre")
    assert {(state, reason) for _, state, reason in judged} == {
        ("corrected", "crop: no face found on the onset frame, took the centre")
    }
