import hashlib
import re
from collections import Counter
from dataclasses import replace

import cv2
import numpy as np
import openpyxl
import pytest

from dianet_ray.errors import InputError
from dianet_ray.synth import casting, filming
from dianet_ray.synth.data_set import LostClip, write_data_set
from dianet_ray.synth.layout import read_layouts
from dianet_ray.synth.layouts import LAYOUTS
from dianet_ray.synth.planning import SynthOptions

(CASME2,) = read_layouts("casme2")
WORKBOOK = CASME2.annotations
SMALL = SynthOptions(n_subjects=3, n_clips=12, image_size=32, n_frames=10)


def rows_of(root):
    book = openpyxl.load_workbook(root / WORKBOOK)
    return list(book.worksheets[0].values)


def digest(root):
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("synth") / "new" / "data"
    return root, write_data_set(root, SMALL, n_workers=1)


def test_the_sheet_has_the_nine_columns_of_the_release(made):
    header, *rows = rows_of(made[0])
    assert header == (
        *("Subject", "Filename", None, "OnsetFrame", "ApexFrame", "OffsetFrame"),
        *(None, "Action Units", "Estimated Emotion"),
    )
    assert len(rows) == 12
    assert all(row[2] is None and row[6] is None for row in rows)
    assert rows == sorted(rows, key=lambda row: row[0])


def test_one_apex_is_missing_and_written_as_a_slash(made):
    root, result = made
    missing = [row for row in rows_of(root)[1:] if row[4] == "/"]
    assert len(missing) == 1
    folders = [f"CASME2_RAW_selected/sub{row[0]:02d}/{row[1]}" for row in missing]
    assert result.lost == tuple(LostClip("apex_missing", folder) for folder in folders)


def test_every_clip_folder_holds_exactly_onset_to_offset(made):
    root, result = made
    frames = root / "CASME2_RAW_selected"
    folders = {str(path.relative_to(frames)) for path in frames.glob("sub*/*")}
    rows = rows_of(root)[1:]
    assert folders == {f"sub{row[0]:02d}/{row[1]}" for row in rows}
    assert all(re.fullmatch(r"sub\d\d/EP\d\d_\d\df?", folder) for folder in folders)
    n_files = 0
    for subject, name, _, onset, apex, offset, *_ in rows:
        files = {path.name for path in (frames / f"sub{subject:02d}" / name).iterdir()}
        assert files == {f"img{number}.jpg" for number in range(onset, offset + 1)}
        assert onset > 1
        assert apex == "/" or onset < apex < offset
        n_files += len(files)
    assert n_files == result.n_frames


def test_frames_are_colour_jpegs_of_the_asked_size_that_change_over_time(made):
    folder = next((made[0] / "CASME2_RAW_selected").glob("sub*/*"))
    frames = [cv2.imread(str(path)) for path in folder.iterdir()]
    assert {frame.shape for frame in frames} == {(32, 32, 3)}
    assert np.std(np.array(frames, dtype=float), axis=0).mean() > 0.5


def test_the_result_counts_the_sheet(made):
    root, result = made
    labels = [row[8] for row in rows_of(root)[1:]]
    assert result.classes == {label: labels.count(label) for label in labels}
    assert (result.n_subjects, result.n_clips) == (3, 12)
    assert result.annotations == (root / WORKBOOK,)


def write(root, layout, *, n_workers=1, **how):
    """Write a layout as small as it gets."""
    releases = read_layouts(layout)
    n_clips = sum(release.fewest_clips() for release in releases)
    size = {"layout": layout, "n_subjects": 3 * len(releases), "n_clips": n_clips}
    return write_data_set(root, replace(SMALL, **{**size, **how}), n_workers=n_workers)


@pytest.mark.parametrize("layout", ["casme2", "casme3", "table"])
def test_the_seed_decides_every_byte_whatever_the_number_of_workers(layout, tmp_path):
    write(tmp_path / "one", layout)
    write(tmp_path / "two", layout, n_workers=2)
    assert digest(tmp_path / "two") == digest(tmp_path / "one")


def test_another_seed_is_other_subjects(made, tmp_path):
    write_data_set(tmp_path / "other", replace(SMALL, seed=1), n_workers=1)
    assert not set(digest(made[0]).values()) & set(digest(tmp_path / "other").values())


def test_null_changes_the_sheet_but_no_image(made, tmp_path):
    write_data_set(tmp_path / "null", replace(SMALL, null=True), n_workers=1)
    images, null = digest(made[0]), digest(tmp_path / "null")
    assert images.pop(WORKBOOK) != null.pop(WORKBOOK)
    assert images == null
    shown, drawn = rows_of(made[0]), rows_of(tmp_path / "null")
    assert [row[:4] + row[5:6] for row in shown] == [row[:4] + row[5:6] for row in drawn]
    labels, drawn_labels = [row[8] for row in shown], [row[8] for row in drawn]
    assert labels != drawn_labels
    assert sorted(labels) == sorted(drawn_labels)
    assert set(labels[1:]) == set(CASME2.proportions)


@pytest.mark.parametrize("layout", ["mmew", "smic"])
def test_null_names_the_same_images_by_other_labels(layout, tmp_path):
    plain = write(tmp_path / "plain", layout)
    null = write(tmp_path / "null", layout, null=True)
    assert plain.classes == null.classes
    images, drawn = digest(tmp_path / "plain"), digest(tmp_path / "null")
    assert images.pop(plain.annotations[0].name) != drawn.pop(null.annotations[0].name)
    assert images.keys() != drawn.keys()
    assert sorted(images.values()) == sorted(drawn.values())


def test_a_seed_is_other_subjects_in_every_layout(tmp_path):
    write(tmp_path / "alone", "smic", seed=1)
    write(tmp_path / "composite", "megc2019", seed=1)
    alone, together = digest(tmp_path / "alone"), digest(tmp_path / "composite")
    assert not set(alone.values()) & set(together.values())
    frames = [value for name, value in together.items() if not name.endswith(".xlsx")]
    assert len(frames) == len(set(frames))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_oddities_leave_every_label_two_subjects_however_small_the_data(layout):
    for release in read_layouts(layout):
        n_clips, n_lost = release.fewest_clips(), sum(odd.loses for odd in release.oddities)
        assert n_clips - 2 * len(release.proportions) >= n_lost
        hands = casting.cast(np.random.default_rng(0), 3, n_clips, release.proportions)
        dealt = Counter(label for hand in hands for label in hand)
        spelt = [odd for odd in release.oddities if odd.name in ("other_spelling", "label_case")]
        assert all(dealt[odd.label] > 2 for odd in spelt)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_needs_its_own_number_of_clips_and_subjects(layout, tmp_path):
    releases = read_layouts(layout)
    n_clips, n_subjects = sum(r.fewest_clips() for r in releases), 3 * len(releases)
    with pytest.raises(InputError, match=f"clips must be at least {n_clips}, got {n_clips - 1}"):
        write(tmp_path / "data", layout, n_clips=n_clips - 1)
    with pytest.raises(InputError, match=f"subjects must be at least {n_subjects}, got"):
        write(tmp_path / "data", layout, n_subjects=n_subjects - 1)


def test_an_unknown_layout_is_answered_with_the_known_ones(tmp_path):
    known = ", ".join(LAYOUTS)
    with pytest.raises(InputError, match=f"layout must be one of {known}, got nowhere"):
        write_data_set(tmp_path / "data", SynthOptions(layout="nowhere"))


@pytest.mark.parametrize("folder", ["videos", "clips"])
def test_a_clip_of_the_table_is_there_from_number_1(folder, tmp_path):
    write(tmp_path / "data", "table")
    rows = (tmp_path / "data" / "clips.csv").read_text().splitlines()[1:]
    clips = [row.split(",") for row in rows if row.startswith(folder)]
    assert clips
    for clip, _, _, onset, _, offset in clips:
        frames = read_all(tmp_path / "data" / clip)
        assert int(onset) >= 1
        assert int(offset) <= len(frames)
        assert {frame.shape for frame in frames} == {(32, 32, 3)}
        assert np.std(np.array(frames, dtype=float), axis=0).mean() > 0.5


def read_all(path):
    if path.is_dir():
        return [
            cv2.imread(str(path / f"img{k + 1:03d}.png")) for k in range(len(list(path.iterdir())))
        ]
    video, frames = cv2.VideoCapture(str(path)), []
    while (read := video.read())[0]:
        frames.append(read[1])
    return frames


def test_a_video_that_cannot_be_made_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(filming.VIDEOS, ".mp4", (cv2.CAP_OPENCV_MJPEG, "mp4v"))
    with pytest.raises(InputError, match="the video cannot be written"):
        write(tmp_path / "data", "table")
    assert list(tmp_path.iterdir()) == []


def test_what_fails_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(filming.cv2, "imencode", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_data_set(tmp_path / "data", SMALL, n_workers=1)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_is_removed(made, tmp_path):
    left = tmp_path / ".data.part" / "CASME2_RAW_selected" / "sub01" / "EP99_01" / "img1.jpg"
    left.parent.mkdir(parents=True)
    left.touch()
    (tmp_path / "data").mkdir()  # an empty folder may be there
    write_data_set(tmp_path / "data", SMALL, n_workers=1)
    assert digest(tmp_path / "data") == digest(made[0])
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot be written: .*file/data \(") as caught:
        write_data_set(tmp_path / "file" / "data", SMALL, n_workers=1)
    assert "\n" not in str(caught.value)


def test_progress_counts_clips(tmp_path):
    class Counter:
        n = 0

        def advance(self):
            self.n += 1

    counter = Counter()
    write_data_set(tmp_path / "data", SMALL, n_workers=1, progress=counter)
    assert counter.n == 12


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_subjects": 2}, "subjects must be at least 3, got 2"),
        ({"n_clips": 11}, "clips must be at least 12, got 11"),
        ({"n_subjects": 7, "n_clips": 13}, "every subject needs 2 clips, got 13 clips for 7"),
        ({"image_size": 31}, "image size must be at least 32, got 31"),
        ({"n_frames": 9}, "frames must be at least 10, got 9"),
    ],
)
def test_too_little_of_anything_is_refused_in_one_line(tmp_path, change, message):
    with pytest.raises(InputError, match=message) as caught:
        write_data_set(tmp_path / "data", replace(SMALL, **change))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "data").exists()


def test_a_folder_with_something_in_it_is_refused(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match="new or empty folder"):
        write_data_set(tmp_path, SMALL)
    with pytest.raises(InputError, match="got a file"):
        write_data_set(tmp_path / "mine.txt", SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
