"""Damaged cells: the clip is left out with its reason, the other clips are used."""

import datetime
import shutil
from dataclasses import replace

import openpyxl
import pytest

from tests.support.casme2_files import FRAMES, HEADER, write_frame
from tests.support.damage import (
    AT,
    NAME,
    OTHERS,
    ROWS,
    VICTIM,
    assert_victim_left_out,
    change,
    edit,
    judge,
    rewrite,
)


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
}


@pytest.mark.parametrize("case", LEFT_OUT)
def test_a_damaged_row_is_left_out_with_its_reason_and_the_others_are_used(root, case):
    damage, reason = LEFT_OUT[case]
    damage(root)
    assert_victim_left_out(root, reason)


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


def test_a_formula_in_place_of_the_subject_names_no_subject(root):
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


@pytest.mark.parametrize("title", ["Estimated Emotion", "Emotion"])
@pytest.mark.parametrize("cell", [6, 6.0, "6", "006", " 006 "])
def test_a_subject_of_samm_is_three_digits_however_it_is_stored(tmp_path, cell, title):
    book = openpyxl.Workbook()
    for k in range(13):
        book.active.append([f"banner {k}"])
    book.active.append(["Subject", "Filename", "Onset Frame", "Apex Frame", "Offset Frame", title])
    book.active.append([cell, "006_1_2", 10, 13, 16, "Anger"])
    book.save(tmp_path / "SAMM_Micro_FACS_Codes_v2.xlsx")
    for number in range(10, 17):
        write_frame(tmp_path / f"006/006_1_2/006_{number:05d}.jpg", number)
    assert judge(tmp_path, "samm") == [("samm/006/006_1_2", "used", "")]


def test_no_more_clips_than_rows_and_folders(root):
    """A release that names nothing of the sheet's is all rows and all folders, none used."""
    rewrite(root, [replace(c, name=f"other{k}") for k, c in enumerate(ROWS)])
    judged = judge(root)
    assert len(judged) == 6
    assert {state for _, state, _ in judged} == {"left_out"}
