"""Damaged rows of the project's own table, and its videos."""

import shutil

import cv2
import numpy as np
import pytest

from tests.support.damage import judge
from tests.support.tables import COLUMNS, GOOD_TABLE, parquet, write_table


def video(root, name, n_frames=8, fourcc="MJPG"):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*fourcc), 25, (64, 48))
    noise = np.random.default_rng(0).integers(0, 256, (n_frames, 48, 64, 3), dtype=np.uint8)
    for frame in noise:
        writer.write(cv2.GaussianBlur(frame, (0, 0), 3))
    writer.release()
    return path


def row(clip, **cells):
    values = {"subject": "p3", "label": "joy", "onset": "1", "apex": "4", "offset": "7", **cells}
    return write_table(GOOD_TABLE + ",".join([clip, *values.values()]) + "\n")


def video_row(name, change, **cells):
    def write(root):
        change(video(root, name, fourcc="mp4v" if name.endswith("mp4") else "MJPG"))
        row(name, **cells)(root)

    return write


def cut_file(share):
    return lambda path: path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


def text_file(path):
    path.write_text("gone")


def parquet_row(**cells):
    """Add a row with a cell that a CSV cannot hold."""
    values = {"clip": "c/a2", "subject": "p3", "label": "joy", "onset": 1, "apex": 4, "offset": 7}

    def write(root):
        shutil.copytree(root / "c/a", root / "c/a2")
        parquet({name: [*COLUMNS[name], (values | cells)[name]] for name in COLUMNS})(root)

    return write


def numeric_subjects(root):
    shutil.copytree(root / "c/a", root / "c/a2")
    columns = {name: [*cells, cells[0]] for name, cells in COLUMNS.items()}
    columns |= {"clip": ["c/a", "c/b", "c/a2"], "subject": [1.0, 2.0, float("nan")]}
    parquet(columns)(root)


TABLE_LEFT_OUT = {
    "a path above": (row("../data/c/a"), "clip outside: '../data/c/a' must be a relative path"),
    "a path through above": (row("c/../c/a"), "clip outside"),
    "an absolute path": (row("/etc"), "clip outside: '/etc'"),
    "a path of Windows": (row("C:\\clips\\a"), "clip outside"),
    "a share of Windows": (row("\\\\server\\clips"), "clip outside"),
    "a path above of Windows": (row("..\\a"), "clip outside"),
    "no path": (row(""), "no name"),
    "no subject": (row("c/a", subject=""), "no name"),
    "no label": (row("c/a", label=""), "no label"),
    "no such folder": (row("c/lost"), "no frame folder"),
    "a name of 300 letters": (row("x" * 300), "no frame folder"),
    "a name with a zero byte": (row("c/\0a"), "no frame folder"),
    "the table itself": (row("clips.csv"), "unreadable: the folder does not open"),
    "the data set itself": (row("."), "no frames: no numbered jpg"),
    "a folder without frames": (row("c"), "no frames: no numbered jpg"),
    "a video of 60 %, avi": (
        video_row("v.avi", cut_file(0.6)),
        "unreadable: the video ends early",
    ),
    "a video of 60 %, mp4": (video_row("v.mp4", cut_file(0.6)), "unreadable: the video does not"),
    "a video of no bytes": (
        video_row("v.mp4", cut_file(0)),
        "unreadable: the video does not open",
    ),
    "text named .mp4": (video_row("v.mp4", text_file), "unreadable: the video does not open"),
    "text named .avi": (video_row("v.avi", text_file), "unreadable: the video does not open"),
    "a video that is too short": (
        video_row("v.avi", str, offset="9"),
        "frames missing: 9 of 1..9",
    ),
    "a video from zero": (video_row("v.mp4", str, onset="0"), "frames missing: 0 of 0..7"),
    "an offset beyond numbers": (row("c/a", offset="9" * 5000), "no onset or offset"),
    "a subject that is no number": (numeric_subjects, "no name"),
    "a nothing for the onset": (parquet_row(onset=None), "no onset or offset"),
    "a nothing for the label": (parquet_row(label=None), "no label"),
}


@pytest.mark.parametrize("case", TABLE_LEFT_OUT)
def test_a_damaged_row_of_a_table_is_left_out_with_its_reason(mine, case):
    damage, reason = TABLE_LEFT_OUT[case]
    damage(mine)
    judged = judge(mine, "table")
    left = [said for _, state, said in judged if state == "left_out"]
    assert len(left) == 1, judged
    assert left[0].startswith(reason)
    assert "\n" not in left[0]
    assert sum(state == "used" for _, state, _ in judged) == 2


@pytest.mark.parametrize("name", ["v.mp4", "v.avi", "deep/er/v.AVI", "with blank.mp4"])
def test_a_video_is_a_clip(mine, name):
    video_row(name, str)(mine)
    assert (f"table/p3/{name}", "used", "") in judge(mine, "table")
