"""Clips that share frames: in one folder, and in folders with the same files."""

import csv
import os
import shutil

import cv2
import numpy as np
import pytest

from dianet_ray.datasets.overlaps import find_overlaps, other_overlaps
from dianet_ray.datasets.rules import read_manifest
from dianet_ray.errors import InputError
from tests.support.casme2_files import Clip, clips, write_data_set
from tests.support.problems import look, said_of

COLUMNS = ("clip", "subject", "label", "onset", "apex", "offset")


def write_recording(root, name, n_frames=60, *, seed=0, suffix=".png"):
    (root / name).mkdir(parents=True)
    for number in range(1, n_frames + 1):
        noise = np.random.default_rng([seed, number]).integers(0, 256, (16, 16, 3), np.uint8)
        cv2.imwrite(str(root / name / f"{number:03d}{suffix}"), noise)


def write_table(root, *rows):
    """Write rows of clip, subject, onset and offset."""
    with (root / "clips.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for clip, subject, onset, offset in rows:
            writer.writerow((clip, subject, "joy", onset, onset + 1, offset))
    return root


@pytest.fixture
def root(tmp_path):
    write_recording(tmp_path, "rec")
    write_recording(tmp_path, "other", seed=1)
    return tmp_path


def found(root, dataset="table"):
    return find_overlaps(read_manifest(dataset, root))


# One folder, two subjects


@pytest.mark.parametrize(
    "second", [(10, 30), (11, 30), (10, 29), (12, 34), (30, 40), (1, 10), (15, 20), (1, 60)]
)
def test_overlapping_spans_of_two_subjects_are_refused(root, second):
    write_table(root, ("rec", "p1", 10, 30), ("rec", "p2", *second), ("other", "p3", 1, 9))
    with pytest.raises(InputError, match="frames may belong to one subject only") as refused:
        read_manifest("table", root)
    said = str(refused.value)
    assert "rec has " in said
    assert "10..30 of table/p1" in said
    assert f"{second[0]}..{second[1]} of table/p2" in said
    assert "\n" not in said


@pytest.mark.parametrize("second", [(31, 40), (1, 9)])
def test_two_subjects_may_share_a_recording_at_different_times(root, second):
    write_table(root, ("rec", "p1", 10, 30), ("rec", "p2", *second))
    assert len(read_manifest("table", root).usable()) == 2
    assert found(root) == ()


def test_further_pairs_are_counted(root):
    write_table(root, *(("rec", f"p{k}", 10 + k, 30) for k in range(3)))
    with pytest.raises(InputError, match=r"\(and 2 more pairs\)"):
        read_manifest("table", root)


@pytest.mark.parametrize("way", ["./rec", "rec/", "rec//", "link", "above/rec"])
def test_one_folder_is_known_by_any_path(root, way):
    (root / "link").symlink_to("rec")
    (root / "above").symlink_to(root)
    write_table(root, ("rec", "p1", 10, 30), (way, "p2", 12, 33))
    with pytest.raises(InputError, match="one subject only"):
        read_manifest("table", root)


def test_clips_that_no_study_sees_are_not_refused(root):
    write_table(root, ("rec", "p1", 10, 30), ("rec", "p2", 12, 33), ("rec", "", 12, 33))
    text = (root / "clips.csv").read_text().replace("rec,p2,joy", "rec,p2,")
    (root / "clips.csv").write_text(text)
    assert len(read_manifest("table", root).usable()) == 1


def test_a_video_of_two_subjects_is_refused_too(root):
    video = cv2.VideoWriter(str(root / "rec.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 30, (32, 32))
    for k in range(40):
        video.write(np.full((32, 32, 3), 6 * k, np.uint8))
    video.release()
    write_table(root, ("rec.avi", "p1", 1, 20), ("rec.avi", "p2", 3, 22))
    with pytest.raises(InputError, match="one subject only"):
        read_manifest("table", root)
    shutil.copy(root / "rec.avi", root / "copy.avi")
    write_table(root, ("rec.avi", "p1", 1, 20), ("copy.avi", "p2", 3, 22))
    ((clips, across, copied),) = [(o.clips, o.across_subjects, o.copied) for o in found(root)]
    assert (across, copied) == (True, True)
    assert {name.rpartition("/")[2] for name in clips} == {"rec.avi", "copy.avi"}


# One folder, one subject


@pytest.mark.parametrize(
    ("second", "n_shared"),
    [((12, 30), 19), ((11, 33), 20), ((20, 40), 11), ((21, 41), 0), ((31, 50), 0)],
)
def test_nearly_equal_spans_of_one_subject_are_named(root, second, n_shared):
    write_table(root, ("rec", "p1", 10, 30), ("rec", "p1", *second))
    shared = [(one.n_shared, one.across_subjects, one.copied) for one in found(root)]
    assert shared == ([(n_shared, False, False)] if n_shared else [])


# Two folders with the same files


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp"])
@pytest.mark.parametrize("second", [(10, 30), (11, 30), (13, 34), (24, 44)])
def test_copied_frames_under_two_subjects_are_named_whatever_the_spans(tmp_path, second, suffix):
    write_recording(tmp_path, "rec", suffix=suffix)
    shutil.copytree(tmp_path / "rec", tmp_path / "copy")
    write_table(tmp_path, ("rec", "p1", 10, 30), ("copy", "p2", *second))
    (one,) = found(tmp_path)
    assert (one.across_subjects, one.copied) == (True, True)
    assert one.n_shared == min(30, second[1]) - max(10, second[0]) + 1
    assert set(one.clips) == {"table/p1/rec", "table/p2/copy"}


def test_folders_of_the_same_numbers_are_no_copies(root):
    write_table(root, ("rec", "p1", 10, 30), ("other", "p2", 10, 30))
    assert found(root) == ()


def test_frames_that_are_black_in_both_make_no_copy(root):
    for name in ("rec", "other"):
        shutil.copy(root / "rec" / "001.png", root / name / "016.png")
    write_table(root, ("rec", "p1", 10, 40), ("other", "p2", 10, 40))
    assert found(root) == ()


@pytest.mark.parametrize("second", [(9, 11), (10, 12), (11, 14), (9, 30)])
def test_a_copy_of_a_short_clip_is_found(root, second):
    shutil.copytree(root / "rec", root / "copy")
    write_table(root, ("rec", "p1", 9, 13), ("copy", "p2", *second))
    (one,) = found(root)
    assert one.n_shared == min(13, second[1]) - second[0] + 1


def test_other_times_of_a_copied_recording_share_nothing(root):
    shutil.copytree(root / "rec", root / "copy")
    write_table(root, ("rec", "p1", 10, 20), ("copy", "p2", 30, 40))
    assert found(root) == ()


def test_each_clip_is_named_once_with_the_worst_other(root):
    for name in ("copy1", "copy2"):
        shutil.copytree(root / "rec", root / name)
    write_table(root, ("copy1", "a", 10, 30), ("copy2", "b", 12, 30), ("rec", "b", 12, 31))
    overlaps = {one.clips: one.across_subjects for one in found(root)}
    assert overlaps == {
        ("table/a/copy1", "table/b/copy2"): True,
        ("table/a/copy1", "table/b/rec"): True,
    }


def test_a_release_with_a_clip_under_two_subjects_is_named(tmp_path):
    twice = Clip(subject=2, name="EP09_01", onset=9, apex=13, offset=18)
    root = write_data_set(tmp_path, [*clips(3), twice])
    folder = root / "CASME2_RAW_selected"
    shutil.copytree(folder / "sub02/EP09_01", folder / "sub03/EP09_01")
    again = Clip(subject=3, name="EP09_01", onset=10, apex=13, offset=18, frames=())
    write_data_set(root, [*clips(3), twice, again])
    (one,) = find_overlaps(read_manifest("casme2", root))
    assert one.across_subjects
    said = said_of(look(root)[1])
    assert "share frames (1): casme2/sub02/EP09_01 and casme2/sub03/EP09_01 (9 of" in said
    assert "in copied files, two subjects" in said


def test_what_moves_alike_is_named_once(root):
    shutil.copytree(root / "rec", root / "copy")
    write_table(root, ("rec", "p1", 10, 30), ("copy", "p2", 10, 30))
    inspected, summary = look(root, dataset="table")
    assert len(inspected.duplicates) == 1
    assert summary.overlaps == ()
    assert len(other_overlaps(inspected.manifest, ())) == 1


def test_a_folder_that_is_gone_or_closed_ends_nothing(root):
    write_table(root, ("rec", "p1", 10, 30), ("other", "p2", 10, 30))
    manifest = read_manifest("table", root)
    shutil.rmtree(root / "rec")
    os.truncate(root / "other" / "016.png", 0)
    assert find_overlaps(manifest) == ()
