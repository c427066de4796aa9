"""Damaged data sets: one clear line, or the clip left out with a reason; never a silent use.

Every case damages one thing of a good data set. What a case says holds through the same steps as
`validate` and `prepare`: reading the manifest, looking at three frames, decoding all of them.
"""

import datetime
import io
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from openpyxl.chart import BarChart
from rich.console import Console

from dianet_ray.cli import app
from dianet_ray.datasets.label_sets import plain_label
from dianet_ray.datasets.releases.casme2 import RELEASE
from dianet_ray.datasets.rules import read_manifest
from dianet_ray.datasets.validation import inspect, summarise
from dianet_ray.errors import InputError
from dianet_ray.imaging.clip_images import Recipe, clip_images
from dianet_ray.imaging.frames import FrameError, read_frame
from dianet_ray.progress import Progress
from tests.support.casme2_files import (
    FRAMES,
    HEADER,
    WORKBOOK,
    Clip,
    clips,
    write_data_set,
    write_frame,
    write_workbook,
)

VICTIM = Clip(subject=1, name="EP00_01", onset=8)  # the first of clips()
AT = f"{FRAMES}/sub01/EP00_01"
NAME = "casme2/sub01/EP00_01"
ROWS = clips(3)
OTHERS = {"casme2/sub02/EP01_01", "casme2/sub03/EP02_01"}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Write three good clips, once."""
    return write_data_set(tmp_path_factory.mktemp("good") / "data", ROWS)


@pytest.fixture
def root(good, tmp_path):
    return shutil.copytree(good, tmp_path / "data")


def judge(root, dataset="casme2", *, crop="none", **options):
    """Read, inspect and decode as prepare does; return state and reason of every clip."""
    manifest = read_manifest(dataset, root, **options)
    quiet = Progress("", 0, unit="", console=Console(file=io.StringIO()))
    found = inspect(manifest, crop=crop, progress=quiet)
    summary = summarise(found, manifest.hash())
    assert sum(summary["states"].values()) == summary["n_clips"] == len(manifest.rows)
    judged = [(row.clip_id, row.state, row.reason) for row in found.manifest.rows]
    for k, row in enumerate(found.manifest.rows):
        assert (row.state == "used") == (row.reason == "")
        if row.state == "left_out":
            continue
        try:
            span = (row.onset, row.apex, row.offset)
            clip_images(manifest.frames(row), span, Recipe(16, crop=crop))
        except FrameError as error:
            judged[k] = (row.clip_id, "left_out", f"decoding: {error}")
    return judged


def refusal(root, dataset="casme2", **options):
    with pytest.raises(InputError) as refused:
        judge(root, dataset, **options)
    said = str(refused.value)
    assert "\n" not in said
    assert len(said) < 700
    return said


def rewrite(root, rows, **options):
    write_workbook(root / WORKBOOK, rows, **options)


def change(root, **changes):
    rewrite(root, [replace(VICTIM, **changes), *ROWS[1:]])


def edit(root, do):
    """Let a function change the workbook."""
    book = openpyxl.load_workbook(root / WORKBOOK)
    do(book)
    book.save(root / WORKBOOK)


# One line: the whole data set is refused.


def lose_columns(root):
    rewrite(root, ROWS, header=["Subject", "Clip", *HEADER[2:4], "Apex", *HEADER[5:]])


def two_fitting_sheets(book):
    copied = book.copy_worksheet(book.active)
    copied.title = "Copy"


def charts_only(book):
    sheet = book.active
    book.create_chartsheet("Chart").add_chart(BarChart())
    book.remove(sheet)


def cut_workbook(root, share):
    path = root / WORKBOOK
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


def csv_named_xlsx(root):
    (root / WORKBOOK).write_text("Subject,Filename\n1,EP00_01\n")


def xls_named_xlsx(root):
    (root / WORKBOOK).write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))


def xls_alone(root):
    (root / WORKBOOK).rename((root / WORKBOOK).with_suffix(".xls"))


def zip_of_something_else(root):
    (root / WORKBOOK).write_bytes(b"PK\x05\x06" + bytes(18))


def folder_named_like_the_workbook(root):
    (root / WORKBOOK).unlink()
    (root / WORKBOOK).mkdir()


def dangling_workbook(root):
    (root / WORKBOOK).unlink()
    (root / WORKBOOK).symlink_to(root / "gone.xlsx")


def no_workbook(root):
    (root / WORKBOOK).unlink()


def no_frames(root):
    shutil.rmtree(root / FRAMES)


def cropped_beside_raw(root):
    shutil.copytree(root / FRAMES, root / "Cropped")


REFUSED = {
    "a sheet without columns": (
        lose_columns,
        ["lacks columns", "Filename", "ApexFrame", "Sheet1"],
    ),
    "a sheet with nothing": (lambda r: edit(r, lambda b: b.active.delete_rows(1, 99)), ["lacks"]),
    "a sheet with titles only": (lambda r: rewrite(r, []), ["no row below its titles", "Sheet1"]),
    "two sheets that fit": (lambda r: edit(r, two_fitting_sheets), ["Sheet1, Copy"]),
    "a workbook of charts": (lambda r: edit(r, charts_only), ["no sheet of cells", WORKBOOK]),
    "a workbook cut to 95 %": (lambda r: cut_workbook(r, 0.95), ["not a readable workbook"]),
    "a workbook cut to 30 %": (lambda r: cut_workbook(r, 0.3), ["not a readable workbook"]),
    "an empty workbook": (lambda r: cut_workbook(r, 0), ["not a readable workbook", WORKBOOK]),
    "a CSV renamed .xlsx": (csv_named_xlsx, ["not a readable workbook (.xlsx)"]),
    "an .xls renamed .xlsx": (xls_named_xlsx, ["not a readable workbook (.xlsx)"]),
    "an .xls alone": (xls_alone, ["none found", "--annotations"]),
    "an archive of nothing": (zip_of_something_else, ["not a readable workbook (.xlsx)"]),
    "a folder named like it": (folder_named_like_the_workbook, ["does not open", WORKBOOK]),
    "a workbook that is a lost link": (dangling_workbook, ["sheet", WORKBOOK]),
    "no workbook": (no_workbook, ["none found", "--annotations"]),
    "no frames": (no_frames, ["none found", "--frames-dir", "sub01"]),
    "raw and cropped frames": (cropped_beside_raw, ["two places", "--frames-dir", "Cropped"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_read_is_refused_in_one_line(root, case):
    damage, says = REFUSED[case]
    damage(root)
    said = refusal(root)
    assert [words for words in says if words not in said] == [], said


def test_several_frame_folders_are_read_when_one_is_chosen(root):
    cropped_beside_raw(root)
    judged = judge(root, frames_dirs=[root / "Cropped"])
    assert {state for _, state, _ in judged} == {"used"}


@pytest.mark.parametrize("dataset", ["samm", "mmew", "smic", "casme3", "fourdme"])
def test_another_data_sets_folder_is_named_for_what_it_is(root, dataset):
    said = refusal(root, dataset)
    assert f"looks like casme2, not {dataset}" in said
    assert WORKBOOK in said


def test_an_unknown_data_set_is_answered_with_the_known_ones(root):
    said = refusal(root, "casme")
    assert "unknown data set: casme" in said
    assert "casme2, samm" in said


@pytest.mark.parametrize("there", ["file", "nothing", "lost link", "workbook"])
def test_a_root_that_is_no_folder_is_named(root, tmp_path, there):
    path = root / WORKBOOK if there == "workbook" else tmp_path / "elsewhere"
    if there == "file":
        path.touch()
    if there == "lost link":
        path.symlink_to(tmp_path / "gone")
    assert str(path) in refusal(path)


def test_an_annotation_file_that_is_not_there_is_named(root, tmp_path):
    said = refusal(root, annotations=[tmp_path / "gone.xlsx"])
    assert "--annotations" in said
    assert "gone.xlsx" in said


def test_a_folder_given_as_annotations_is_named(root):
    assert "does not open" in refusal(root, annotations=[root / FRAMES])


# One clip: left out with a reason, the others used.


def formula(column):
    def write(root):
        edit(root, lambda book: book.active.cell(2, HEADER.index(column) + 1, "=1+1"))

    return write


def merge_subjects(root):
    rows = [ROWS[1], VICTIM, ROWS[2]]
    rewrite(root, rows)
    edit(root, lambda book: book.active.merge_cells("A2:A3"))


def error_cell(root):
    change(root, onset="#REF!", offset="#N/A")


def date_cell(root):
    change(root, onset=datetime.date(2014, 5, 8))


def frame_path(root, number=11, suffix=".jpg"):
    return root / AT / f"img{number}{suffix}"


def cut(share, number=11, suffix=".jpg"):
    """Cut one frame short, after writing it in another format where one is asked for."""

    def write(root):
        path = frame_path(root, number, suffix)
        image = cv2.imread(str(frame_path(root, number)))
        frame_path(root, number).unlink()
        cv2.imwrite(str(path), image)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])

    return write


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
    "onset is text": (lambda r: change(r, onset="abc"), "no onset or offset"),
    "offset has a letter": (lambda r: change(r, offset="46a"), "no onset or offset"),
    "onset is half a frame": (lambda r: change(r, onset=46.5), "no onset or offset"),
    "offset is scientific text": (lambda r: change(r, offset="1e2"), "no onset or offset"),
    "onset is another script": (lambda r: change(r, onset="٨"), "no onset or offset"),
    "onset is true": (lambda r: change(r, onset=True), "no onset or offset"),
    "onset is a date": (date_cell, "no onset or offset"),
    "cells hold Excel's errors": (error_cell, "no onset or offset"),
    "apex is a question mark": (lambda r: change(r, apex="?"), "missing apex: ?"),
    "apex is half a frame": (lambda r: change(r, apex=12.5), "missing apex: 12.5"),
    "apex is negative": (lambda r: change(r, apex=-12), "impossible apex: -12"),
    "onset is a formula": (formula("OnsetFrame"), "no onset or offset"),
    "apex is a formula": (formula("ApexFrame"), "missing apex: empty"),
    "label is a formula": (formula("Estimated Emotion"), "no label"),
    "label is empty": (lambda r: change(r, label=None), "no label"),
    "label is Excel's nothing": (lambda r: change(r, label="#N/A"), "no label"),
    "label is blank": (lambda r: change(r, label="  "), "no label"),
    "offset before onset": (lambda r: change(r, offset=7), "onset after offset: 8 > 7"),
    "onset is offset": (lambda r: change(r, onset=16, apex=16), "impossible apex: 16"),
    "onset is negative": (lambda r: change(r, onset=-3), "frames missing: -3-7"),
    "offset is in another world": (lambda r: change(r, offset=46_000), "too long: 45993"),
    "offset is beyond numbers": (lambda r: change(r, offset=float(10**300)), "no onset or"),
    "offset is beyond floats": (lambda r: change(r, offset="9" * 400), "no onset or offset"),
    "offset is beyond integers": (lambda r: change(r, offset="9" * 5000), "no onset or offset"),
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
    judged = {name: (state, said) for name, state, said in judge(root)}
    assert set(judged) == {NAME} | OTHERS
    assert {judged[name] for name in OTHERS} == {("used", "")}
    state, said = judged[NAME]
    assert state == "left_out"
    assert said.startswith(reason)
    assert "\n" not in said


def test_rows_merged_with_the_row_above_are_left_out(root):
    merge_subjects(root)
    judged = judge(root)
    assert ("casme2/sub02/EP01_01", "used", "") in judged
    assert ("casme2/sub03/EP02_01", "used", "") in judged
    (said,) = [reason for _, state, reason in judged if state == "left_out" and "merged" in reason]
    assert said.startswith("merged cells: subject of this row")


@pytest.mark.parametrize("changes", [{}, {"onset": 9}, {"label": "disgust"}])
def test_every_row_of_a_clip_that_is_written_twice_is_left_out(root, changes):
    rewrite(root, [*ROWS, replace(VICTIM, **changes)])
    judged = judge(root)
    assert [j for j in judged if j[0] == NAME] == [
        (NAME, "left_out", "duplicate rows: 2 rows of the sheet")
    ] * 2
    assert {name for name, state, _ in judged if state == "used"} == OTHERS


@pytest.mark.parametrize("wrong", [{"subject": None}, {"name": None}, {"subject": "?"}])
def test_a_row_that_names_no_clip_leaves_a_row_and_a_folder_out(root, wrong):
    change(root, **wrong)
    judged = judge(root)
    assert {name for name, state, _ in judged if state == "used"} == OTHERS
    reasons = sorted(reason.partition(":")[0] for _, state, reason in judged if state != "used")
    assert reasons in (["no name", "no row"], ["no frame folder", "no row"])


def test_a_formula_that_names_the_person_names_nobody(root):
    formula("Subject")(root)
    reasons = {name: reason for name, _, reason in judge(root)}
    assert reasons["casme2//EP00_01"].startswith("no name")
    assert reasons[NAME].startswith("no row")


def test_folders_without_rows_are_counted(root):
    shutil.copytree(root / AT, root / FRAMES / "sub09" / "EP02_02f")
    (root / FRAMES / "sub24" / "EP02_07").mkdir(parents=True)
    judged = judge(root)
    assert [name for name, _, reason in judged if reason.startswith("no row")] == [
        "casme2/sub09/EP02_02f",
        "casme2/sub24/EP02_07",
    ]
    assert sum(state == "used" for _, state, _ in judged) == 3


# What looks odd and is good: all clips are used.


def hidden_sheet_first(book):
    sheet = book.create_sheet("Notes", 0)
    sheet.append(["coded by two persons"])
    sheet.sheet_state = "hidden"


def chart_first(book):
    book.create_chartsheet("Chart", 0).add_chart(BarChart())
    book.active = 1


def blank_rows(book):
    book.active.insert_rows(3, 4)
    book.active.insert_rows(1, 5)


def shifted_columns(book):
    book.active.insert_cols(1, 3)


def excels_lock(root):
    (root / f"~${WORKBOOK}").write_bytes(b"\x05owner")


def mac_files(root):
    for name in ("._img10.jpg", ".DS_Store", "._Thumbs.db", "Thumbs.db", "desktop.ini"):
        (root / AT / name).write_bytes(b"\0\5\x16\7")
    (root / f"._{WORKBOOK}").write_bytes(b"\0\5\x16\7")
    shutil.copytree(root / FRAMES, root / "__MACOSX" / FRAMES)
    for frame in (root / "__MACOSX").rglob("*.jpg"):
        frame.rename(frame.with_name(f"._{frame.name}"))


def upper_case(root):
    for file in (root / AT).iterdir():
        file.rename(file.with_name(file.name.upper()))


def whole_floats(root):
    change(root, onset=8.0, apex="13.0", offset=" 016 ")


def subject_as_text(root):
    rewrite(root, [replace(VICTIM, subject="01"), replace(ROWS[1], subject="sub02"), ROWS[2]])


def loop(root):
    (root / FRAMES / "sub01" / "all").symlink_to(root)
    (root / "again").symlink_to(root / "again")


def links_for_clips(root):
    shutil.move(root / AT, root.parent / "disk2")
    (root / AT).symlink_to(root.parent / "disk2")


def grey(suffix):
    def write(root):
        for file in (root / AT).glob("*.jpg"):
            image = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
            file.unlink()
            cv2.imwrite(str(file.with_suffix(suffix)), image)

    return write


def with_alpha(root):
    for file in (root / AT).glob("*.jpg"):
        image = cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2BGRA)
        file.unlink()
        cv2.imwrite(str(file.with_suffix(".png")), image)


def wide_release(root):
    for number in (1, 7, 17, 99):
        write_frame(frame_path(root, number), number, shape=(7, 9))  # outside the clip


WORKS = {
    "a chart before the sheet": lambda r: edit(r, chart_first),
    "a hidden sheet before it": lambda r: edit(r, hidden_sheet_first),
    "blank rows above and between": lambda r: edit(r, blank_rows),
    "columns moved": lambda r: edit(r, shifted_columns),
    "titles in other letters": lambda r: rewrite(
        r, ROWS, header=[h and h.upper() for h in HEADER]
    ),
    "another sheet name": lambda r: rewrite(r, ROWS, sheet="Tabelle 1"),
    "Excel's lock file": excels_lock,
    "files of a Mac and of Windows": mac_files,
    "file names in capitals": upper_case,
    "whole numbers as floats and text": whole_floats,
    "subjects as text": subject_as_text,
    "links in a circle": loop,
    "a link for a clip": links_for_clips,
    "grey JPEGs": grey(".jpg"),
    "grey PNGs": grey(".png"),
    "grey BMPs": grey(".bmp"),
    "PNGs with alpha": with_alpha,
    "bad frames outside the clip": wide_release,
}


@pytest.mark.parametrize("case", WORKS)
def test_what_is_odd_but_clear_is_read(root, case):
    WORKS[case](root)
    assert judge(root) == [(name, "used", "") for name in sorted({NAME} | OTHERS)]


@pytest.mark.parametrize(
    "folder", ["mit Leerzeichen", "数据集/ψ", "a'b\"c", "100%[x]", "sub07", "dots..and.v2"]
)
def test_the_data_set_may_lie_in_a_folder_of_any_name(good, tmp_path, folder):
    root = shutil.copytree(good, tmp_path / folder / "d")
    assert {state for _, state, _ in judge(root)} == {"used"}


def test_clips_of_any_name_are_read(tmp_path):
    rows = [replace(c, name=f"EP {k}, «é» ß") for k, c in enumerate(ROWS)]
    judged = judge(write_data_set(tmp_path / "data", rows))
    assert [state for _, state, _ in judged] == ["used"] * 3


def test_a_data_set_may_be_a_link(good, tmp_path):
    (tmp_path / "link").symlink_to(good, target_is_directory=True)
    assert {state for _, state, _ in judge(tmp_path / "link")} == {"used"}


def test_a_relative_root_is_read(root, monkeypatch):
    monkeypatch.chdir(root.parent)
    assert {state for _, state, _ in judge(root.relative_to(root.parent))} == {"used"}


def test_a_grey_frame_is_its_levels_in_all_channels(tmp_path):
    levels = cv2.GaussianBlur(
        np.random.default_rng(0).integers(0, 256, (20, 24), dtype=np.uint8), (0, 0), 2
    )
    for name in ("1.png", "1.bmp", "1.jpg"):
        cv2.imwrite(str(tmp_path / name), levels)
        frame = read_frame(tmp_path / name)
        stored = cv2.imread(str(tmp_path / name), cv2.IMREAD_GRAYSCALE)
        np.testing.assert_array_equal(frame, np.repeat(stored[..., None], 3, 2))


def test_alpha_is_dropped_and_changes_no_level(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (20, 24, 4), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "1.png"), image)
    np.testing.assert_array_equal(read_frame(tmp_path / "1.png"), image[..., 2::-1])


# Labels and people as releases write them.


@pytest.mark.parametrize(
    ("labels", "rows"),
    [
        (["Others", "Other", " others "], 1),
        (["Surprise", "surprise", "SURPRISE  "], 1),
        (["happiness", "Others", "other"], 2),
    ],
)
def test_spellings_of_a_label_are_one_line_of_the_summary(root, labels, rows):
    rewrite(root, [replace(c, label=label) for c, label in zip(ROWS, labels, strict=True)])
    manifest = read_manifest("casme2", root)
    quiet = Progress("", 0, unit="", console=Console(file=io.StringIO()))
    summary = summarise(inspect(manifest, crop="none", progress=quiet), manifest.hash())
    assert len({plain_label(label) for label in summary["classes"]}) == rows
    assert sum(summary["classes"].values()) == 3


@pytest.mark.parametrize("cell", [6, 6.0, "6", "006", " 006 "])
def test_a_subject_of_samm_is_three_digits_however_it_is_stored(tmp_path, cell):
    book = openpyxl.Workbook()
    for k in range(13):
        book.active.append([f"banner {k}"])
    book.active.append(
        ["Subject", "Filename", "Onset Frame", "Apex Frame", "Offset Frame", "Estimated Emotion"]
    )
    book.active.append([cell, "006_1_2", 10, 13, 16, "Anger"])
    book.save(tmp_path / "SAMM_Micro_FACS_Codes_v2.xlsx")
    for number in range(10, 17):
        write_frame(tmp_path / f"006/006_1_2/006_{number:05d}.jpg", number)
    assert judge(tmp_path, "samm") == [("samm/006/006_1_2", "used", "")]


# Faces.


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


# Our own table: CSV, parquet and videos.

TABLE = "clip,subject,label,onset,apex,offset\n"
GOOD_TABLE = TABLE + "c/a,p1,anger,1,4,7\nc/b,p2,fear,1,4,7\n"


@pytest.fixture(scope="module")
def good_table(tmp_path_factory):
    """Write two good clips of our own table, once."""
    root = tmp_path_factory.mktemp("table") / "data"
    for k, clip in enumerate("ab"):
        for number in range(1, 8):
            write_frame(root / f"c/{clip}/{number}.jpg", 100 * k + number)
    (root / "clips.csv").write_text(GOOD_TABLE)
    return root


@pytest.fixture
def mine(good_table, tmp_path):
    return shutil.copytree(good_table, tmp_path / "data")


@pytest.mark.parametrize(
    "encoded",
    [
        GOOD_TABLE.encode(),
        GOOD_TABLE.encode("utf-8-sig"),
        GOOD_TABLE.replace(",", ";").encode(),
        GOOD_TABLE.replace(",", ";").encode("utf-8-sig"),
        GOOD_TABLE.replace("\n", "\r\n").encode(),
        "".join(
            '"' + line.replace(",", '","') + '"\n' for line in GOOD_TABLE.splitlines()
        ).encode(),
        GOOD_TABLE.replace("anger", "  anger ").encode(),
        (GOOD_TABLE + "\n,,,,,\n").encode(),
        GOOD_TABLE.replace("anger", '"an,ger"').encode(),
        GOOD_TABLE.replace("1,4,7", "1.0,4.0,7.0").encode(),
        GOOD_TABLE.replace("label,onset", "Label, ONSET ").encode(),
    ],
    ids=[
        *("plain", "mark", "semicolons", "semicolons and mark", "CRLF", "quoted", "blanks"),
        *("blank rows", "quoted comma", "floats", "titles"),
    ],
)
def test_a_csv_is_read_as_programs_write_it(mine, encoded):
    (mine / "clips.csv").write_bytes(encoded)
    assert judge(mine, "table") == [("table/p1/c/a", "used", ""), ("table/p2/c/b", "used", "")]


def parquet(columns):
    def write(root):
        (root / "clips.csv").unlink()
        pq.write_table(pa.table(columns), root / "clips.parquet")

    return write


COLUMNS = {
    "clip": ["c/a", "c/b"],
    "subject": ["p1", "p2"],
    "label": ["anger", "fear"],
    "onset": [1, 1],
    "apex": [4, 4],
    "offset": [7, 7],
}


@pytest.mark.parametrize(
    "changes", [{}, {"onset": [1.0, 1.0]}, {"onset": ["1", "01"]}, {"more": [[1], [2, 3]]}]
)
def test_a_parquet_table_is_read(mine, changes):
    parquet(COLUMNS | changes)(mine)
    assert {state for _, state, _ in judge(mine, "table")} == {"used"}


def broken_parquet(share):
    def write(root):
        parquet(COLUMNS)(root)
        path = root / "clips.parquet"
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])

    return write


def scrambled_parquet(root):
    parquet(COLUMNS)(root)
    encoded = bytearray((root / "clips.parquet").read_bytes())
    encoded[4:200] = bytes(196)
    (root / "clips.parquet").write_bytes(encoded)


def write_table(text, encoding="utf-8"):
    return lambda root: (root / "clips.csv").write_text(text, encoding=encoding)


TABLES_REFUSED = {
    "Latin-1": (write_table(GOOD_TABLE.replace("anger", "Ärger"), "latin-1"), ["not a readable"]),
    "UTF-16": (write_table(GOOD_TABLE, "utf-16"), ["clips.csv"]),
    "nothing": (write_table(""), ["lacks columns clip, subject", "clips.csv"]),
    "titles only": (write_table(TABLE), ["no row", "clips.csv"]),
    "no titles": (write_table("c/a,p1,anger,1,4,7\n"), ["lacks columns clip"]),
    "tabs": (write_table(GOOD_TABLE.replace(",", "\t")), ["lacks columns", "clips.csv"]),
    "bytes": (lambda r: (r / "clips.csv").write_bytes(bytes(99)), ["clips.csv"]),
    "a cell without end": (write_table(GOOD_TABLE + '"' + "x" * 200_000), ["clips.csv"]),
    "parquet of 50 %": (broken_parquet(0.5), ["not a readable table (.parquet)"]),
    "parquet of nothing": (broken_parquet(0), ["not a readable table (.parquet)"]),
    "scrambled parquet": (scrambled_parquet, ["not a readable table (.parquet)"]),
    "parquet without columns": (parquet({"a": [1]}), ["lacks columns clip"]),
    "parquet without rows": (parquet({c: pa.array([], pa.string()) for c in COLUMNS}), ["no row"]),
    "two tables": (lambda r: shutil.copy(r / "clips.csv", r / "b.csv"), ["--annotations"]),
    "no table": (lambda r: (r / "clips.csv").unlink(), ["*.csv or *.parquet", "--annotations"]),
}


@pytest.mark.parametrize("case", TABLES_REFUSED)
def test_a_table_that_cannot_be_read_is_refused_in_one_line(mine, case):
    damage, says = TABLES_REFUSED[case]
    damage(mine)
    said = refusal(mine, "table")
    assert [words for words in says if words not in said] == [], said


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


# Through the command.


@pytest.fixture
def command(monkeypatch, capsys):
    """Run `validate` in this process; return status, stdout and stderr."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["dianet-ray", "validate", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            app.main()
        return end.value.code, *capsys.readouterr()

    return run


@pytest.mark.parametrize(
    "case", ["a sheet without columns", "raw and cropped frames", "no frames"]
)
def test_the_command_refuses_in_one_line_with_status_2(root, command, case):
    damage, says = REFUSED[case]
    damage(root)
    status, stdout, stderr = command("casme2", root)
    assert (status, stdout) == (2, "")
    assert stderr.count("\n") == 1
    assert says[0] in stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["samm"], "looks like casme2"),
        (["casme"], "'casme' is not one of 'casme2'"),
        (["casme2", "--crop", "nose"], "--crop"),
        (["casme2", "--apex", "guess"], "--apex"),
        (["casme2", "--corrections", "gone.csv"], "--corrections"),
        (["casme2", "--frames-dir", "gone"], "--frames-dir"),
        (["casme2", "--annotations", "gone.xlsx"], "--annotations"),
        (["casme2", "--annotations", "a", "--annotations", "b"], "once"),
    ],
)
def test_the_command_refuses_wrong_words_in_one_line_with_status_2(root, command, words, says):
    status, stdout, stderr = command(words[0], root, *words[1:])
    assert (status, stdout) == (2, ""), stderr
    assert stderr.count("\n") == 1, stderr
    assert says in stderr


def test_the_command_names_a_damaged_clip_and_goes_on(root, command):
    cut(0.6, 8)(root)
    status, stdout, _ = command("casme2", root)
    assert status == 0
    assert "3: 2 used, 0 corrected, 1 left out" in stdout
    assert f"left out: unreadable (1): {NAME}: not a whole image: {AT}/img8.jpg" in stdout


def test_no_more_clips_than_rows_and_folders(root):
    """A release that names nothing of the sheet's is all rows and all folders, none used."""
    rewrite(root, [replace(c, name=f"other{k}") for k, c in enumerate(ROWS)])
    judged = judge(root)
    assert len(judged) == 6
    assert {state for _, state, _ in judged} == {"left_out"}


def test_a_folder_that_does_not_open_is_one_line(root, monkeypatch):
    """Root opens everything, so the system's answer is put in its place."""
    scandir = os.scandir
    closed = str(root / FRAMES / "sub02")

    def refuse(path="."):
        if os.fspath(path) == closed:
            raise PermissionError(13, "Permission denied", closed)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert f"a folder does not open: {closed} (Permission denied)" in refusal(root)


def test_the_example_that_people_are_shown_is_a_clip():
    assert RELEASE.place(Path(RELEASE.example)) == ("sub01", "EP02_01f")
