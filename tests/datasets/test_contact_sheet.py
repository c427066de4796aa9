"""A picture of a data set: whom it shows, and that it opens."""

import shutil
from collections import Counter

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dianet_ray.datasets.annotations import Rules
from dianet_ray.datasets.contact_sheet import COLUMNS, N_CLIPS, sample, write_contact_sheet
from dianet_ray.datasets.label_sets import plain_label
from dianet_ray.datasets.manifest import Row
from dianet_ray.datasets.rules import read_manifest
from dianet_ray.errors import InputError
from tests.support.casme2_files import FRAMES, Clip, clips, write_data_set


def row(subject, label, k):
    name = f"d/s{subject}/c{k}"
    return Row(name, f"d/s{subject}", label, 1, 2, 3, 3, "annotated", "", "used", "", name)


drawn = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from(["joy", "Joy", "fear", "anger", "Other"])),
    max_size=30,
).map(lambda found: [row(*one, k) for k, one in enumerate(found)])


@given(drawn, st.integers(0, 15))
def test_no_clip_is_shown_twice_and_none_is_missing_without_need(rows, n_clips):
    chosen = sample(rows, n_clips)
    assert len(chosen) == min(n_clips, len(rows))
    assert len({one.clip_id for one in chosen}) == len(chosen)
    assert {one.clip_id for one in chosen} <= {one.clip_id for one in rows}


@given(drawn, st.integers(1, 15))
def test_all_labels_are_shown_before_any_is_repeated(rows, n_clips):
    available = Counter(plain_label(one.label) for one in rows)
    shown = Counter(plain_label(one.label) for one in sample(rows, n_clips))
    for label in available:
        if shown[label] < available[label]:
            assert all(shown[label] >= shown[other] - 1 for other in shown)


@given(drawn)
def test_new_subjects_come_first(rows):
    chosen = sample(rows, 4)
    for k, one in enumerate(chosen):
        seen = {before.subject for before in chosen[:k]}
        same = [other for other in rows if plain_label(other.label) == plain_label(one.label)]
        if one.subject in seen:
            assert all(other.subject in seen for other in same if other not in chosen[:k])


def test_the_same_rows_are_the_same_sample():
    rows = [row(k % 3, "ab"[k % 2], k) for k in range(9)]
    assert sample(rows, 5) == sample(list(rows), 5)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Write three clips of two labels, once."""
    rows = clips(2)
    rows.append(Clip(subject=3, name="EP77_01", onset=8, label="surprise"))
    return write_data_set(tmp_path_factory.mktemp("good") / "data", rows)


@pytest.fixture
def root(good, tmp_path):
    return shutil.copytree(good, tmp_path / "data")


def picture(root, path, **options):
    options = {"crop": "none"} | options
    n_drawn = write_contact_sheet(read_manifest("casme2", root), path, **options)
    image = cv2.imread(str(path))
    assert image is not None
    return n_drawn, image


def n_rows(image):
    """Count what no text reaches: rows of pictures in the first column."""
    column = image[:, image.shape[1] // 10 + np.arange(-20, 21)]
    spread = (column != 255).any(-1).mean(1) > 0.95
    runs = np.flatnonzero(np.diff(np.r_[0, spread.astype(int), 0]))
    lengths = runs[1::2] - runs[::2]
    return int((lengths > 60).sum())


def test_every_clip_is_a_row_of_five_pictures(root, tmp_path):
    n_drawn, image = picture(root, tmp_path / "sheet.png")
    assert n_drawn == n_rows(image) == 3
    line = image[image.shape[0] // 6]
    edges = np.flatnonzero(np.diff(np.r_[0, (line != 255).any(-1).astype(int), 0]))
    assert (edges[1::2] - edges[::2] > 60).sum() == len(COLUMNS)


def test_a_broken_clip_is_passed_over(root, tmp_path):
    next((root / FRAMES / "sub01").glob("*/img11.jpg")).write_bytes(b"")
    n_drawn, image = picture(root, tmp_path / "sheet.png")
    assert n_drawn == n_rows(image) == 2


def test_a_clip_without_an_apex_shows_the_spotted_one(tmp_path):
    root = write_data_set(tmp_path / "data", [Clip(apex="/")])
    manifest = read_manifest("casme2", root, rules=Rules("spot"))
    assert write_contact_sheet(manifest, tmp_path / "sheet.png", crop="none") == 1


@pytest.mark.parametrize("crop", ["none", "face-or-centre"])
def test_a_folder_for_the_picture_is_made(root, tmp_path, crop):
    n_drawn, _ = picture(root, tmp_path / "a/b/sheet.png", crop=crop)
    assert n_drawn == 3
    assert [path.name for path in (tmp_path / "a/b").iterdir()] == ["sheet.png"]


def test_the_same_data_set_is_the_same_picture(root, tmp_path):
    for name in ("1.png", "2.png"):
        picture(root, tmp_path / name)
    assert (tmp_path / "1.png").read_bytes() == (tmp_path / "2.png").read_bytes()


def test_no_more_clips_than_fit_are_drawn(tmp_path):
    rows = [Clip(name=f"EP{k:02d}_01", onset=10, apex=11, offset=12) for k in range(N_CLIPS + 3)]
    n_drawn, image = picture(write_data_set(tmp_path / "d", rows), tmp_path / "sheet.png")
    assert n_drawn == n_rows(image) == N_CLIPS


@pytest.mark.parametrize("label", ["$x$ joy", "a$b", "[red]", "喜び", "$\\frac$"])
def test_labels_are_drawn_as_they_are_written(tmp_path, label):
    root = write_data_set(tmp_path / "data", [Clip(label=label)])
    assert picture(root, tmp_path / "sheet.png")[0] == 1


@pytest.mark.parametrize("why", ["no apex", "all broken", "no face"])
def test_no_usable_clip_is_one_line_and_no_picture(root, tmp_path, why):
    if why == "no apex":
        root = write_data_set(tmp_path / "other", [Clip(apex="/")])
    if why == "all broken":
        for file in root.rglob("img11.jpg"):
            file.write_bytes(b"")
    with pytest.raises(InputError) as refused:
        picture(root, tmp_path / "sheet.png", crop="face" if why == "no face" else "none")
    assert f"{root} has none" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "sheet.png").exists()


def test_a_place_that_cannot_be_written_is_one_line(root, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="sheet"):
        picture(root, tmp_path / "file" / "sheet.png")
