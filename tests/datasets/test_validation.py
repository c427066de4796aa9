"""What is found when a few frames of every clip are decoded."""

import io

import cv2
import pytest
from rich.console import Console

from dianet_ray.datasets.rules import read_manifest
from dianet_ray.datasets.validation import inspect
from dianet_ray.progress import Progress
from tests.support.casme2_files import FRAMES, Clip, clips, write_data_set, write_frame
from tests.support.problems import GOOD, frame, look, said_of


@pytest.mark.parametrize("number", [10, 11, 13, 14, 16])
def test_key_frames_that_do_not_open_are_found_without_reading_all(tmp_path, number):
    root = write_data_set(tmp_path, [GOOD, *clips(2)])
    frame(root, GOOD, number).write_bytes(b"no image")
    found, summary = look(root)
    (item,) = summary.reasons["left_out"]["unreadable"]
    assert item.clip == "casme2/sub01/EP01_01"
    assert f"img{number}.jpg" in item.detail
    assert str(tmp_path) not in item.detail
    assert len(found.manifest.usable()) == 2


def test_sizes_of_frames_are_counted_by_clips(tmp_path):
    rows = clips(3)
    root = write_data_set(tmp_path, rows)
    for number in range(rows[0].onset, rows[0].offset + 1):
        write_frame(frame(root, rows[0], number), number, shape=(30, 20))
    _, summary = look(root)
    assert summary.frame_sizes == {"48x40": 2, "20x30": 1}
    assert "48x40, 20x30" in said_of(summary)


def test_progress_counts_the_clips_that_are_looked_at(tmp_path):
    manifest = read_manifest("casme2", write_data_set(tmp_path, [*clips(4), Clip(apex="/")]))
    quiet = Progress("x", 4, unit="clips", console=Console(file=io.StringIO()))
    inspect(manifest, crop="none", progress=quiet)
    assert quiet.line().startswith("x: 4/4 clips")


def test_a_found_face_is_in_the_row_and_a_centre_is_marked(tmp_path):
    root = write_data_set(tmp_path, clips(2))
    found, summary = look(root, crop="face-or-centre")
    assert {row.box for row in found.manifest.rows} == {"4 0 40 40"}
    assert {row.state for row in found.manifest.rows} == {"corrected"}
    assert "crop" in summary.reasons["corrected"]
    found, summary = look(root, crop="face")
    assert {row.box for row in found.manifest.rows} == {""}
    assert list(summary.reasons["left_out"]) == ["no face"]


def test_a_corrected_clip_that_needs_the_centre_says_both(tmp_path):
    root = write_data_set(tmp_path, [Clip(apex="/")])
    (row,) = look(root, crop="face-or-centre", apex="midpoint")[0].manifest.rows
    assert row.reason.startswith("missing apex: /, took the midpoint 13; no face found")


def test_nothing_is_written_beside_the_data(tmp_path):
    root = write_data_set(tmp_path, clips(2))
    before = sorted(root.rglob("*"))
    look(root)
    assert sorted(root.rglob("*")) == before


def test_grey_frames_have_a_size_and_a_signature(tmp_path):
    root = write_data_set(tmp_path, [Clip(name="EP01_01"), Clip(subject=2, name="EP02_01")])
    for file in (root / FRAMES / "sub01").rglob("*.jpg"):
        grey = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
        cv2.imwrite(str(file), grey)
        cv2.imwrite(str(root / FRAMES / "sub02" / "EP02_01" / file.name), grey)
    found, summary = look(root)
    assert summary.frame_sizes == {"48x40": 2}
    assert [one.correlation for one in found.duplicates] == [pytest.approx(1, abs=1e-3)]
