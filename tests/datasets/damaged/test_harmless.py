"""What looks odd but is clear is read: every clip is used."""

import io
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest
from openpyxl.chart import BarChart
from rich.console import Console

from dianet_ray.datasets.label_sets import plain_label
from dianet_ray.datasets.rules import read_manifest
from dianet_ray.datasets.summary import summarise
from dianet_ray.datasets.validation import inspect
from dianet_ray.imaging.frames import read_frame
from dianet_ray.progress import Progress
from tests.support.casme2_files import FRAMES, HEADER, WORKBOOK, write_data_set, write_frame
from tests.support.damage import (
    AT,
    NAME,
    OTHERS,
    ROWS,
    VICTIM,
    change,
    edit,
    frame_path,
    judge,
    rewrite,
)


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
    "cells",
    [
        ["Total", 255],
        [None, None, None, "total: "],
        ["合计"],
        [None, "Sum", None, 10, 20, 30, None, None, "3 clips"],
    ],
)
def test_a_row_of_totals_is_no_clip_and_is_said(root, cells):
    edit(root, lambda book: book.active.append(cells))
    assert judge(root) == [(name, "used", "") for name in sorted({NAME} | OTHERS)]
    (source,) = read_manifest("casme2", root).sources
    assert source.notes == ("rows of totals were not read: 5",)


def test_a_person_called_total_is_a_person(root):
    change(root, subject="total")
    assert "casme2/total/EP00_01" in [name for name, _, _ in judge(root)]
    assert read_manifest("casme2", root).sources[0].notes == ()


def test_rows_that_the_workbook_hides_are_read_and_said(root):
    def hide(book):
        book.active.row_dimensions[3].hidden = True
        book.active.row_dimensions[40].hidden = True  # holds nothing

    edit(root, hide)
    assert judge(root) == [(name, "used", "") for name in sorted({NAME} | OTHERS)]
    (source,) = read_manifest("casme2", root).sources
    assert source.notes == ("rows that the workbook hides were read: 3",)


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
    assert len({plain_label(label) for label in summary.classes}) == rows
    assert sum(summary.classes.values()) == 3
