"""What cannot be read at all is refused in one line: sheets, folders, wrong names."""

import os
import zipfile

import pytest
from openpyxl.chart import BarChart

from dianet_ray.datasets.annotations import ChosenPaths
from dianet_ray.datasets.releases import DATASETS
from dianet_ray.datasets.rules import read_manifest
from tests.support.casme2_files import FRAMES, WORKBOOK
from tests.support.damage import (
    ROWS,
    cropped_beside_raw,
    edit,
    judge,
    lose_columns,
    no_frames,
    refusal,
    rewrite,
)


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


def encrypted(root):
    streams = "EncryptionInfo".encode("utf-16-le") + "EncryptedPackage".encode("utf-16-le")
    (root / WORKBOOK).write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600) + streams)


def content(encoded):
    return lambda root: (root / WORKBOOK).write_bytes(encoded)


def archive(name):
    def write(root):
        with zipfile.ZipFile(root / WORKBOOK, "w") as file:
            file.writestr(name, "x")

    return write


def another(suffix, folder="."):
    """Leave only a table of another name, which may be the sheet."""

    def move(root):
        (root / WORKBOOK).rename(root / folder / f"codes{suffix}")

    return move


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


REFUSED = {
    "a sheet without columns": (
        lose_columns,
        ["lacks columns", "Filename", "ApexFrame", "Sheet1"],
    ),
    "a sheet with nothing": (lambda r: edit(r, lambda b: b.active.delete_rows(1, 99)), ["lacks"]),
    "a sheet with titles only": (lambda r: rewrite(r, []), ["no row below its titles", "Sheet1"]),
    "two sheets that fit": (lambda r: edit(r, two_fitting_sheets), ["Sheet1, Copy"]),
    "a workbook of charts": (lambda r: edit(r, charts_only), ["no sheet of cells", WORKBOOK]),
    "a workbook cut to 95 %": (lambda r: cut_workbook(r, 0.95), ["is damaged or cut short; copy"]),
    "a workbook cut to 30 %": (lambda r: cut_workbook(r, 0.3), ["is damaged or cut short; copy"]),
    "an empty workbook": (lambda r: cut_workbook(r, 0), [f"{WORKBOOK} is empty; copy it again"]),
    "a workbook without its sheets": (archive("xl/workbook.xml"), ["is a workbook that is damag"]),
    "a CSV renamed .xlsx": (csv_named_xlsx, ["is a text; rename it to CASME2-", ".csv"]),
    "an .xls renamed .xlsx": (xls_named_xlsx, ["of the older .xls format; open it and save it"]),
    "a workbook with a password": (encrypted, ["with a password; open it and save it without"]),
    "a web page renamed .xlsx": (
        content(b"\n<html>x"),
        ["is a web page or XML; open it and"],
    ),
    "an OpenDocument table": (archive("content.xml"), ["another format (.xlsb or .ods); open it"]),
    "a binary workbook": (archive("xl/workbook.bin"), ["another format (.xlsb or .ods); open it"]),
    "another archive": (
        archive("sub01/img1.jpg"),
        ["is an archive without a workbook; unpack"],
    ),
    "a picture renamed .xlsx": (content(b"\x89PNG\r\n" + bytes(99)), ["is no table; open it"]),
    "an .xls alone": (xls_alone, ["none found", ".xls as .xlsx", "--annotations"]),
    "an .xls of another name": (another(".xls"), ["none found", "codes.xls as .xlsx"]),
    "a CSV beside the frames": (another(".csv"), ["none found", "--annotations FILE: ", "s.csv"]),
    "a CSV deeper": (another(".csv", FRAMES), ["--annotations FILE: ", f"{FRAMES}/codes.csv"]),
    "a workbook of another name": (another(".xlsx"), ["--annotations FILE: ", "codes.xlsx"]),
    "an archive of nothing": (zip_of_something_else, ["is an archive without a workbook"]),
    "a folder named like it": (folder_named_like_the_workbook, ["cannot be opened", WORKBOOK]),
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
    judged = judge(root, chosen=ChosenPaths(frames=(root / "Cropped",)))
    assert {state for _, state, _ in judged} == {"used"}


@pytest.mark.parametrize("dataset", ["samm", "mmew", "smic", "casme3", "fourdme"])
def test_another_data_sets_folder_is_named_for_what_it_is(root, dataset):
    said = refusal(root, dataset)
    assert f"looks like casme2, not {dataset}" in said
    assert WORKBOOK in said


def test_an_unknown_data_set_is_answered_with_the_known_ones(root):
    said = refusal(root, "casme")
    assert "unknown data set: casme" in said
    assert all(name in said for name in DATASETS)


@pytest.mark.parametrize("there", ["file", "nothing", "lost link", "workbook"])
def test_a_root_that_is_no_folder_is_named(root, tmp_path, there):
    path = root / WORKBOOK if there == "workbook" else tmp_path / "elsewhere"
    if there == "file":
        path.touch()
    if there == "lost link":
        path.symlink_to(tmp_path / "gone")
    assert str(path) in refusal(path)


def test_an_annotation_file_that_is_not_there_is_named(root, tmp_path):
    said = refusal(root, chosen=ChosenPaths((tmp_path / "gone.xlsx",)))
    assert "--annotations" in said
    assert "gone.xlsx" in said


def test_of_sheets_that_fit_alike_the_chosen_one_is_read(root):
    edit(root, two_fitting_sheets)
    assert "choose one with --sheet NAME" in refusal(root)
    assert len(judge(root, chosen=ChosenPaths(sheet_name="copy"))) == len(ROWS)
    (source,) = read_manifest("casme2", root, chosen=ChosenPaths(sheet_name="copy")).sources
    assert source.sheet.name == "Copy"
    said = refusal(root, chosen=ChosenPaths(sheet_name="Sheet2"))
    assert said == f"--sheet: no sheet Sheet2 in {root / WORKBOOK}, which has Sheet1, Copy"


def test_a_sheet_is_chosen_of_one_data_set_only(tmp_path):
    said = refusal(tmp_path, "megc2019", chosen=ChosenPaths(sheet_name="Sheet1"))
    assert said.startswith("--sheet may be given for one data set only, not for megc2019: ")


def test_a_folder_given_as_annotations_is_named(root):
    assert "cannot be opened" in refusal(root, chosen=ChosenPaths((root / FRAMES,)))


def test_a_folder_that_does_not_open_is_one_line(root, monkeypatch):
    """Root opens everything, so the system's answer is put in its place."""
    scandir = os.scandir
    closed = str(root / FRAMES / "sub02")

    def refuse(path="."):
        if os.fspath(path) == closed:
            raise PermissionError(13, "Permission denied", closed)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert f"a folder cannot be listed: {closed} (Permission denied)" in refusal(root)
