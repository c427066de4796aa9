"""Where CASME II's workbook and frames are found, and what is never picked silently."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from dianet_ray.datasets.annotations import ChosenPaths
from dianet_ray.datasets.releases.casme2 import RELEASE
from dianet_ray.errors import InputError
from tests.support.casme2_files import (
    FRAMES,
    HEADER,
    WORKBOOK,
    Clip,
    clips,
    write_data_set,
    write_workbook,
)


def read(root, sheet, frames):
    chosen = ChosenPaths(*(() if path is None else (path,) for path in (sheet, frames)))
    return RELEASE.read(root, chosen)[0]


def frames_of(source):
    """Where the frames of each clip are, found for a row or not."""
    of_rows = {clip.name: clip.frames for clip in source.annotations if clip.frames is not None}
    return {**of_rows, **source.unlisted}


def one_line(error):
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    "place",
    [
        "CASME2-coding-20140508.xlsx",
        "CASME2-coding-20190701.xlsx",
        "CASME2-coding-updated.xlsx",
        "annotation/CASME2-coding-20140508.xlsx",
        "CASME2/annotation/CASME2-coding-20140508.xlsx",
    ],
)
def test_any_workbook_name_is_found_up_to_two_levels_down(tmp_path, place):
    write_data_set(tmp_path, clips())
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / WORKBOOK).rename(tmp_path / place)
    source = read(tmp_path, None, None)
    assert source.sheet.path == tmp_path / place
    assert len(source.annotations) == 6


@pytest.mark.parametrize(
    ("folder", "pattern"),
    [
        ("CASME2_RAW_selected", "img{}.jpg"),
        ("Cropped", "reg_img{}.jpg"),
        ("Cropped_original", "reg_img{}.jpg"),
        ("Cropped-updated/Cropped", "reg_img{}.jpg"),
        ("CASME2-RAW", "img{}.jpg"),
        ("CASME2/Cropped", "reg_img{}.jpg"),
    ],
)
def test_each_released_frame_folder_is_found(tmp_path, folder, pattern):
    write_data_set(tmp_path, clips(), frames_dir=folder, pattern=pattern)
    found = frames_of(read(tmp_path, None, None))
    assert len(found) == 6
    assert found["sub01", "EP00_01"] == tmp_path / folder / "sub01" / "EP00_01"


def test_several_workbooks_are_listed_with_the_flag_that_chooses(tmp_path):
    write_data_set(tmp_path, clips())
    other = write_workbook(tmp_path / "sheets" / "CASME2-coding-updated.xlsx", clips(2))
    with pytest.raises(InputError) as error:
        read(tmp_path, None, None)
    for words in ("--annotations FILE", str(tmp_path / WORKBOOK), str(other)):
        assert words in one_line(error)
    assert len(read(tmp_path, other, None).annotations) == 2
    below = other.relative_to(tmp_path)
    assert len(read(tmp_path, below, None).annotations) == 2


def test_several_frame_folders_are_listed_with_the_flag_that_chooses(tmp_path):
    write_data_set(tmp_path, clips())
    write_data_set(tmp_path, clips(2), frames_dir="Cropped", pattern="reg_img{}.jpg")
    write_workbook(tmp_path / WORKBOOK, clips())
    with pytest.raises(InputError) as error:
        read(tmp_path, None, None)
    for words in ("--frames-dir DIR", str(tmp_path / FRAMES), str(tmp_path / "Cropped")):
        assert words in one_line(error)
    assert len(frames_of(read(tmp_path, None, tmp_path / "Cropped"))) == 2
    assert len(frames_of(read(tmp_path, None, tmp_path / FRAMES))) == 6


def test_no_workbook_and_no_frames_name_the_flag(tmp_path):
    with pytest.raises(InputError, match=r"none found under .*--annotations FILE"):
        read(tmp_path, None, None)
    write_workbook(tmp_path / WORKBOOK, clips())
    with pytest.raises(InputError, match=r"none found under .*--frames-dir DIR"):
        read(tmp_path, None, None)


def test_a_chosen_path_that_is_missing_or_no_frame_folder_is_named(tmp_path):
    write_data_set(tmp_path, clips())
    with pytest.raises(InputError, match=r"--annotations: no such file.*other\.xlsx"):
        read(tmp_path, tmp_path / "other.xlsx", None)
    with pytest.raises(InputError, match=r"--frames-dir: no such file.*nowhere"):
        read(tmp_path, None, tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"in folders like .*sub01/EP02_01f: none .*--frames-dir"):
        read(tmp_path, None, tmp_path / FRAMES / "sub01" / "EP00_01")


def test_a_relative_path_is_taken_from_here_unless_the_data_set_has_another(tmp_path, monkeypatch):
    root, here = write_data_set(tmp_path / "data", clips()), tmp_path / "here"
    (here / FRAMES / "sub01").mkdir(parents=True)
    monkeypatch.chdir(root)
    assert len(frames_of(read(root, None, Path(FRAMES)))) == 6  # the same place twice
    monkeypatch.chdir(tmp_path)
    assert len(frames_of(read(root, None, Path(FRAMES)))) == 6
    write_workbook(tmp_path / "other.xlsx", clips(2))
    assert len(read(root, Path("other.xlsx"), None).annotations) == 2
    monkeypatch.chdir(here)
    with pytest.raises(InputError, match="--frames-dir: CASME2_RAW_selected may be") as error:
        read(root, None, Path(FRAMES))
    for place in (here, root):
        assert str(place / FRAMES) in one_line(error)


@pytest.mark.parametrize("other", ["s1", "sub1", "Sub001"])
def test_two_folders_of_one_subject_are_named_and_none_wins(tmp_path, other):
    write_data_set(tmp_path, clips())
    (tmp_path / FRAMES / other / "EP00_01").mkdir(parents=True)
    with pytest.raises(InputError, match="frames of sub01/EP00_01 are at two places") as error:
        read(tmp_path, None, None)
    for name in ("sub01", other):
        assert str(tmp_path / FRAMES / name / "EP00_01") in one_line(error)


def test_a_subject_folder_that_does_not_open_is_one_line(tmp_path, monkeypatch):
    write_data_set(tmp_path, clips())
    scandir = os.scandir

    def locked(path):
        if Path(path).name == "sub02":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", locked)  # root may open everything
    with pytest.raises(InputError, match=r"listed: .*sub02 \(Permission denied\)") as error:
        read(tmp_path, None, None)
    one_line(error)


def test_a_wrong_workbook_names_file_sheet_and_missing_columns(tmp_path):
    write_data_set(tmp_path, clips())
    titles = ["Person" if t == "Subject" else "Peak" if t == "ApexFrame" else t for t in HEADER]
    write_workbook(tmp_path / WORKBOOK, clips(), header=titles, sheet="Codes")
    with pytest.raises(InputError, match="lacks columns Subject, ApexFrame: sheet Codes") as error:
        read(tmp_path, None, None)
    assert str(tmp_path / WORKBOOK) in one_line(error)


@pytest.mark.parametrize("content", [b"", b"Subject,Filename\n1,EP01\n", b"PK\x03\x04 cut short"])
def test_a_file_that_is_no_workbook_is_named(tmp_path, content):
    write_data_set(tmp_path, clips())
    (tmp_path / WORKBOOK).write_bytes(content)
    with pytest.raises(InputError, match="not a readable workbook") as error:
        read(tmp_path, None, None)
    assert str(tmp_path / WORKBOOK) in one_line(error)


def test_titles_may_differ_in_case_and_spaces_and_the_nameless_may_have_names(tmp_path):
    write_data_set(tmp_path, clips())
    titles = (
        "subject",
        "File Name",
        "Unnamed: 2",
        "Onset Frame",
        "Apex frame",
        "Offset_Frame",
        "Unnamed: 6",
        "AUs",
        "Estimated  emotion ",
    )
    write_workbook(tmp_path / WORKBOOK, clips(), header=titles)
    first = read(tmp_path, None, None).annotations[0]
    assert (first.subject, first.filename, first.onset, first.label) == (
        "sub01",
        "EP00_01",
        8,
        "happiness",
    )


@pytest.mark.parametrize("subject", [3, 3.0, "3", "03", "sub03", " sub3 "])
def test_a_subject_finds_its_folder_however_it_is_written(tmp_path, subject):
    write_data_set(tmp_path, [Clip(subject=3)])
    write_workbook(tmp_path / WORKBOOK, [replace(Clip(), subject=subject, name=" EP01_01 ")])
    source = read(tmp_path, None, None)
    (row,) = source.annotations
    assert row.frames == tmp_path / FRAMES / "sub03" / "EP01_01"


def test_blank_rows_are_no_clips_and_frame_numbers_may_be_text(tmp_path):
    write_data_set(tmp_path, [Clip()])
    blank = Clip(subject=None, name=None, onset=None, apex=None, offset=None, label=None)
    write_workbook(tmp_path / WORKBOOK, [replace(Clip(), onset="10", apex=13.0), blank])
    (row,) = read(tmp_path, None, None).annotations
    assert (row.onset, row.apex) == (10, 13)
