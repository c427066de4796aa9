"""Our own table: folders and videos, relative paths, recordings that hold several clips."""

import csv
from pathlib import Path

import cv2
import numpy as np
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dianet_ray.datasets.annotations import ChosenPaths, Rules
from dianet_ray.datasets.rules import read_manifest
from dianet_ray.imaging.clip_images import Recipe, clip_images
from dianet_ray.imaging.frames import read_frames

TITLES = ("clip", "subject", "label", "onset", "apex", "offset")
N_FRAMES = 14
SHAPE = (64, 80)
CODECS = {".mp4": "mp4v", ".avi": "MJPG", ".AVI": "MJPG"}


def pictures(seed=0):
    """A blob that wanders over a still face of noise, slowly enough for a codec."""
    rng = np.random.default_rng(seed)
    still = cv2.GaussianBlur(rng.integers(0, 256, (*SHAPE, 3)).astype(np.float32), (0, 0), 4)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    blobs = [np.exp(-((x - 20 - 3 * k) ** 2 + (y - 30) ** 2) / 150) for k in range(N_FRAMES)]
    return [np.clip(still + 60 * blob[..., None], 0, 255).astype(np.uint8) for blob in blobs]


def write_folder(folder, frames, form="{}.png"):
    folder.mkdir(parents=True)
    for k, frame in enumerate(frames, 1):
        cv2.imwrite(str(folder / form.format(k)), frame)


def write_video(path, frames):
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(
        str(path), cv2.VideoWriter_fourcc(*CODECS[path.suffix]), 25, SHAPE[::-1]
    )
    for frame in frames:
        writer.write(frame)
    writer.release()


def write_table(root, rows, name="clips.csv"):
    root.mkdir(exist_ok=True)
    with (root / name).open("w", newline="") as file:
        csv.writer(file).writerows([TITLES, *rows])
    return root


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Write the same frames as a folder and as videos."""
    root = tmp_path_factory.mktemp("both")
    write_folder(root / "frames/a", pictures())
    names = ["frames/a", *(f"videos/a{suffix}" for suffix in CODECS)]
    for name in names[1:]:
        write_video(root / name, pictures())
    return write_table(root, [(name, f"p{k}", "joy", 2, 7, 13) for k, name in enumerate(names)])


def test_folders_and_videos_are_all_used(both):
    manifest = read_manifest("table", both)
    assert [(row.state, row.n_frames) for row in manifest.rows] == [("used", 12)] * 4
    assert {row.frames_path for row in manifest.rows} == {
        *("frames/a", "videos/a.mp4", "videos/a.avi", "videos/a.AVI")
    }


@pytest.mark.parametrize("suffix", CODECS)
def test_a_video_gives_the_dynamic_images_of_its_frames(both, suffix):
    plain = clip_images(both / "frames/a", (2, 7, 13), Recipe(32))
    video = clip_images(both / f"videos/a{suffix}", (2, 7, 13), Recipe(32))
    shifted = clip_images(both / "frames/a", (3, 8, 14), Recipe(32))

    def distance(made):
        return np.abs(made.images.astype(float) - plain.images).mean((1, 2, 3))

    level = np.abs(plain.images.astype(float)).mean((1, 2, 3))
    assert (distance(video) < 0.3 * level).all(), distance(video) / level
    assert (distance(video) < 0.8 * distance(shifted)).all(), distance(shifted)
    np.testing.assert_array_equal(video.scales, plain.scales)


@pytest.mark.parametrize("suffix", CODECS)
def test_a_videos_first_frame_is_number_1(both, suffix):
    """A frame is nearest to its own picture: not to the one before or after."""
    found = list(read_frames(both / f"videos/a{suffix}", range(1, N_FRAMES + 1)))
    expected = [cv2.cvtColor(frame, cv2.COLOR_BGR2RGB).astype(float) for frame in pictures()]
    nearest = [np.argmin([np.abs(e - frame).mean() for e in expected]) for frame in found]
    assert nearest == list(range(N_FRAMES))


def test_numbers_of_a_video_may_be_skipped(both):
    path = both / "videos/a.avi"
    all_of_them = list(read_frames(path, range(1, N_FRAMES + 1)))
    for number, frame in zip((3, 4, 9), read_frames(path, (3, 4, 9)), strict=True):
        np.testing.assert_array_equal(frame, all_of_them[number - 1])


def test_clips_of_one_recording_are_named_by_their_onsets(tmp_path):
    write_folder(tmp_path / "rec", pictures())
    rows = [("rec", "p1", "joy", 1, 3, 5), ("rec", "p1", "fear", 6, 8, 11)]
    manifest = read_manifest("table", write_table(tmp_path, rows))
    assert [(r.clip_id, r.label, r.state) for r in manifest.rows] == [
        ("table/p1/rec@1", "joy", "used"),
        ("table/p1/rec@6", "fear", "used"),
    ]


def test_all_clips_have_onsets_in_their_names_when_one_recording_repeats(tmp_path):
    for name in ("rec", "other"):
        write_folder(tmp_path / name, pictures())
    rows = [("rec", "p1", "joy", 1, 3, 5), ("rec", "p1", "fear", 6, 8, 11)]
    rows += [("other", "p2", "joy", 1, 3, 5)]
    names = {r.clip_id for r in read_manifest("table", write_table(tmp_path, rows)).rows}
    assert names == {"table/p1/rec@1", "table/p1/rec@6", "table/p2/other@1"}


def test_the_same_onset_twice_is_left_out_twice(tmp_path):
    write_folder(tmp_path / "rec", pictures())
    rows = [("rec", "p1", "joy", 1, 3, 5), ("rec", "p1", "fear", 1, 4, 11)]
    found = read_manifest("table", write_table(tmp_path, rows)).rows
    assert [r.reason for r in found] == ["duplicate rows: 2 rows of the sheet"] * 2


def test_slashes_cannot_make_two_clips_one(tmp_path):
    """Subject `a/b` with clip `c`, and subject `a` with clip `b/c`, would share a name."""
    write_folder(tmp_path / "c", pictures())
    write_folder(tmp_path / "b/c", pictures(1))
    rows = [("c", "a/b", "joy", 1, 3, 5), ("b/c", "a", "fear", 1, 3, 5)]
    found = read_manifest("table", write_table(tmp_path, rows)).rows
    assert [r.state for r in found] == ["left_out"] * 2
    assert {r.reason for r in found} == {"duplicate rows: 2 rows of the sheet"}


@pytest.mark.parametrize("where", ["inside", "outside"])
def test_clips_may_lie_below_another_folder(tmp_path, where):
    root = write_table(tmp_path / "data", [("a", "p1", "joy", 1, 3, 5)])
    frames = root / "disk" if where == "inside" else tmp_path / "disk"
    write_folder(frames / "a", pictures())
    (row,) = read_manifest("table", root).rows
    assert row.reason == "no frame folder: none for p1/a"
    given = Path("disk") if where == "inside" else frames
    manifest = read_manifest("table", root, chosen=ChosenPaths(frames=(given,)))
    (row,) = manifest.rows
    assert row.state == "used"
    assert manifest.frames(row) == frames / "a"


def test_the_hash_does_not_depend_on_where_the_frames_lie(tmp_path):
    root = write_table(tmp_path / "data", [("a", "p1", "joy", 1, 3, 5)])
    for place in ("one", "two"):
        write_folder(tmp_path / place / "disk" / "a", pictures())
    hashes = {
        read_manifest("table", root, chosen=ChosenPaths(frames=(folder / "disk",))).hash()
        for folder in (tmp_path / "one", tmp_path / "two")
    }
    assert len(hashes) == 1


def test_folders_without_a_row_do_not_count(tmp_path):
    """Only the table says which folders are clips."""
    for name in ("a", "b"):
        write_folder(tmp_path / name, pictures())
    root = write_table(tmp_path, [("a", "p1", "joy", 1, 3, 5)])
    assert len(read_manifest("table", root).rows) == 1


def test_an_empty_apex_is_left_out_or_found_by_a_rule(tmp_path):
    write_folder(tmp_path / "a", pictures())
    root = write_table(tmp_path, [("a", "p1", "joy", 1, "", 9)])
    assert read_manifest("table", root).rows[0].reason == "missing apex: empty"
    (row,) = read_manifest("table", root, rules=Rules("midpoint")).rows
    assert (row.state, row.apex, row.apex_from) == ("corrected", 5, "midpoint")
    (row,) = read_manifest("table", root, rules=Rules("spot")).rows
    assert (row.state, row.apex, row.apex_from) == ("corrected", None, "spot")
    made = clip_images(tmp_path / "a", (1, None, 9), Recipe(16))
    assert 1 < made.apex < 9


def test_a_clip_may_last_long_where_no_frame_rate_is_known(tmp_path):
    frames = [np.full((16, 16, 3), k % 250, np.uint8) for k in range(400)]
    write_folder(tmp_path / "a", frames, "{:04d}.bmp")
    root = write_table(tmp_path, [("a", "p1", "joy", 1, 99, 400)])
    assert read_manifest("table", root).rows[0].state == "used"


@pytest.mark.parametrize("name", ["mine.csv", "MINE.CSV", "mine.parquet", "mine.xlsx"])
def test_a_table_of_any_name_and_kind_may_be_given(tmp_path, name):
    write_folder(tmp_path / "a", pictures())
    row = ("a", "p1", "joy", 1, 3, 5)
    path = tmp_path / name
    if name.endswith("parquet"):
        pq.write_table(pa.table(dict(zip(TITLES, ([v] for v in row), strict=True))), path)
    elif name.endswith("xlsx"):
        book = openpyxl.Workbook()
        book.active.append(TITLES)
        book.active.append(row)
        book.save(path)
    else:
        write_table(tmp_path, [row], name)
    write_table(tmp_path, [("lost", "p1", "joy", 1, 3, 5)], "another.csv")
    (found,) = read_manifest("table", tmp_path, chosen=ChosenPaths((path,))).rows
    assert (found.state, found.frames_path) == ("used", "a")


def test_subjects_and_labels_keep_their_spelling(tmp_path):
    rows = []
    for k, (subject, label) in enumerate([("Ann Ø", "Joy!"), ("007", "others"), ("8", "Others")]):
        write_folder(tmp_path / f"clip {k}", pictures(k))
        rows.append((f"clip {k}", subject, label, 1, 3, 5))
    manifest = read_manifest("table", write_table(tmp_path, rows))
    assert {(r.subject, r.label) for r in manifest.usable()} == {
        ("table/Ann Ø", "Joy!"),
        ("table/007", "others"),
        ("table/8", "Others"),
    }
