"""Corrections of a sheet: which cells they change, and what is said of it."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from dianet_ray.datasets.annotations import Annotation, ClipName, Rules
from dianet_ray.datasets.catalogue import DATASETS
from dianet_ray.datasets.corrections import (
    PUBLISHED,
    Corrected,
    Correction,
    correct,
    read_corrections,
)
from dianet_ray.datasets.releases.casme2 import RELEASE as CASME2
from dianet_ray.datasets.releases.casme3 import RELEASE as CASME3
from dianet_ray.datasets.releases.samm import RELEASE as SAMM
from dianet_ray.datasets.rules import read_manifest
from dianet_ray.datasets.summary import summarise
from dianet_ray.datasets.terminal import render
from dianet_ray.datasets.validation import Inspected
from dianet_ray.errors import InputError
from tests.support.casme2_files import Clip, clips, write_data_set

RELEASES = {release.dataset: release for release in (CASME2, SAMM, CASME3)}
TABLE = read_corrections(PUBLISHED, DATASETS)
HEADER = "dataset,subject,clip,column,old,new,source\n"
GOOD = Clip()


def annotation(subject="s", filename="c", onset=10, apex=13, offset=16, label="joy"):
    text = "" if apex is None else str(apex)
    number = apex if isinstance(apex, int) else None
    return Annotation(subject, filename, label, onset, number, offset, apex_text=text)


def correction(column, new, old="", key=("s", "c"), source=""):
    return Correction("casme2", ClipName(*key), column, old, new, source)


# The published table.


@pytest.mark.parametrize("one", TABLE, ids=str)
def test_a_published_correction_names_a_cell_that_a_loader_knows(one):
    assert one.dataset in DATASETS
    release = RELEASES[one.dataset]
    assert one.column in release.columns
    subject, clip = one.clip
    assert (release.subject(subject), release.filename(clip)) == one.clip
    assert int(one.new) >= 0
    assert one.old != one.new
    assert "Apache-2.0" in one.source


def test_a_published_correction_is_of_the_issues_list():
    """Counts and a few cells of the list in the data sets' published corrections."""
    count = {name: sum(one.dataset == name for one in TABLE) for name in RELEASES}
    assert count == {"casme2": 19, "samm": 4, "casme3": 7}
    cells = {(*one.clip, one.column, one.new) for one in TABLE}
    assert {
        ("sub04", "EP12_01f", "apex", "279"),
        ("sub25", "EP18_04f", "apex", "98"),
        ("013", "013_1_9", "offset", "5739"),
        ("032", "032_3_2", "apex", "5130"),
        ("spNO.40", "e", "offset", "1845"),
        ("spNO.40", "e", "offset", "2403"),
    } <= cells


def test_no_cell_is_corrected_twice_but_those_that_share_a_recording():
    cells = [(one.dataset, one.clip, one.column) for one in TABLE]
    repeated = {cell for cell in cells if cells.count(cell) > 1}
    assert repeated == {("casme3", ("spNO.40", "e"), "offset")}


# One cell.


@pytest.mark.parametrize(
    ("one", "field", "value", "note"),
    [
        (correction("onset", "9"), "onset", 9, "onset 10 -> 9"),
        (correction("apex", "14"), "apex", 14, "apex 13 -> 14"),
        (correction("offset", "17", old="16"), "offset", 17, "offset 16 -> 17"),
        (correction("label", "fear"), "label", "fear", "label joy -> fear"),
        (correction("apex", "14", source="me"), "apex_text", "14", "apex 13 -> 14 (me)"),
    ],
)
def test_a_correction_changes_its_cell_and_says_so(one, field, value, note):
    found = correct([annotation(), annotation(filename="d")], [one])
    assert getattr(found.annotations[0], field) == value
    assert found.annotations[1] == annotation(filename="d")
    assert found.notes == (note, "")
    assert found.unused == ()


@pytest.mark.parametrize(
    "one",
    [
        correction("apex", "14", old="12"),  # another release's sheet
        correction("apex", "14", key=("s", "x")),
        correction("apex", "14", key=("x", "c")),
        correction("apex", "13", old="12"),  # this release is corrected already
        correction("apex", "13"),
        correction("label", "joy"),
    ],
)
def test_a_correction_that_changes_nothing_is_unused(one):
    found = correct([annotation()], [one])
    assert found.annotations == (annotation(),)
    assert (found.notes, found.unused) == (("",), (one,))


def test_an_old_value_may_be_a_slash():
    found = correct([annotation(apex="/")], [correction("apex", "14", old="/")])
    assert found.annotations[0].apex == 14
    assert found.notes == ("apex / -> 14",)


def test_an_empty_cell_is_named_empty():
    found = correct([annotation(apex=None)], [correction("apex", "14")])
    assert found.notes == ("apex empty -> 14",)


def test_two_cells_of_a_row_are_both_corrected():
    both = [correction("onset", "1", old="0"), correction("apex", "1", old="0")]
    found = correct([annotation(onset=0, apex=0)], both)
    assert (found.annotations[0].onset, found.annotations[0].apex) == (1, 1)
    assert found.notes == ("onset 0 -> 1; apex 0 -> 1",)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_equal_keys_are_corrected_in_the_order_of_their_onsets(order):
    """As spNO.40/e: two clips of one recording whose offsets are both 0."""
    both = [correction("offset", new, old="0") for new in ("1845", "2403")]
    rows = [annotation(onset=1830, offset=0), annotation(onset=2390, offset=0)]
    found = correct([rows[k] for k in order], both)
    ends = {row.onset: row.offset for row in found.annotations}
    assert ends == {1830: 1845, 2390: 2403}
    assert found.unused == ()


def test_the_second_of_two_equal_keys_is_corrected_where_the_first_is_already():
    both = [correction("offset", new, old="0") for new in ("1845", "2403")]
    rows = [annotation(onset=1830, offset=1845), annotation(onset=2390, offset=0)]
    found = correct(rows, both)
    assert [row.offset for row in found.annotations] == [1845, 2403]
    assert found.unused == (both[0],)


def test_no_corrections_change_nothing():
    rows = [annotation(), annotation(filename="d")]
    assert correct(rows, []) == Corrected(tuple(rows), notes=("", ""), unused=())


# A user's file.


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("subject,clip\n1,EP01_01\n", "lacks columns dataset"),
        (HEADER, "no row below its titles"),
        (HEADER + "casme2,1,EP01_01,emotion,,fear,me\n", "offset or label: got 'emotion', row 2"),
        (HEADER + "CASME II,1,EP01_01,apex,,14,me\n", "got 'CASME II', row 2"),
        (HEADER + "casme2,1,EP01_01,apex,,/,me\n", "apex must be a frame number: got '/', row 2"),
        (HEADER + "casme2,1,EP01_01,apex,,,me\n", "new are required: row 2"),
        (HEADER + "casme2,,EP01_01,apex,,14,me\n", "subject, clip and new are required: row 2"),
        (HEADER + "casme2,1,EP01_01,apex,,14,me\ncasme2,1,,apex,,14,me\n", "row 3"),
        ("\0\0", "is empty"),
    ],
)
def test_a_wrong_file_is_one_line_that_names_the_row(tmp_path, text, says):
    path = tmp_path / "mine.csv"
    path.write_text(text)
    with pytest.raises(InputError) as refused:
        read_corrections(str(path), ["casme2"])
    assert says in str(refused.value)
    assert "mine.csv" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["gone.csv", "publisht", "", "."])
def test_what_is_neither_the_table_nor_a_file_is_one_line(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="takes published or a CSV file"):
        read_corrections(name, ["casme2"])


@pytest.mark.parametrize("subject", ["1", "01", "sub01", "Sub1"])
def test_a_subject_is_recognised_in_every_spelling(tmp_path, subject):
    path = tmp_path / "mine.csv"
    path.write_text(f"{HEADER}casme2,{subject},EP01_01,apex,,14,me\n")
    (one,) = read_corrections(str(path), ["casme2"])
    assert one.clip == ("sub01", "EP01_01")


# In a manifest.


def manifest(root, text, rows=(GOOD,), **options):
    path = root / "mine.csv"
    path.write_text(HEADER + text)
    data = write_data_set(root / "data", rows)
    return read_manifest(
        "casme2", data, corrections=read_corrections(str(path), ["casme2"]), **options
    )


def test_a_corrected_apex_is_marked_with_its_source(tmp_path):
    (row,) = manifest(tmp_path, "casme2,1,EP01_01,apex,/,14,me\n", [replace(GOOD, apex="/")]).rows
    assert (row.state, row.apex, row.apex_from) == ("corrected", 14, "correction")
    assert row.reason == "correction: apex / -> 14 (me)"


@pytest.mark.parametrize(
    ("text", "span", "label"),
    [
        ("casme2,1,EP01_01,onset,10,11,\n", (11, 13, 16), "happiness"),
        ("casme2,1,EP01_01,label,,fear,\n", (10, 13, 16), "fear"),
        ("casme2,1,EP01_01,onset,,11,so the apex fits\n", (11, 13, 16), "happiness"),
    ],
)
def test_another_corrected_cell_leaves_the_apex_annotated(tmp_path, text, span, label):
    (row,) = manifest(tmp_path, text).rows
    assert (row.onset, row.apex, row.offset, row.label) == (*span, label)
    assert (row.state, row.apex_from) == ("corrected", "annotated")


def test_a_correction_does_not_save_a_clip_that_a_rule_leaves_out(tmp_path):
    (row,) = manifest(tmp_path, "casme2,1,EP01_01,offset,,19,\n").rows
    assert (row.state, row.reason) == ("left_out", "frames missing: 17-19 of 10..19")


def test_a_clip_may_be_corrected_twice(tmp_path):
    rows = [replace(GOOD, apex=10)]
    (row,) = manifest(tmp_path, "casme2,1,EP01_01,onset,,9,\n", rows, rules=Rules("midpoint")).rows
    assert row.state == "left_out"  # frame 9 is not there
    (tmp_path / "two").mkdir()
    (row,) = manifest(
        tmp_path / "two", "casme2,1,EP01_01,onset,,11,\n", rows, rules=Rules("midpoint")
    ).rows
    assert (row.state, row.apex, row.apex_from) == ("corrected", 13, "midpoint")
    assert row.reason.startswith("impossible apex: 10")
    assert row.reason.endswith("; onset 10 -> 11")


def test_a_users_correction_of_another_data_set_is_said_to_change_nothing(tmp_path):
    found = manifest(tmp_path, "samm,6,006_1_2,apex,,14,me\n")
    assert [str(one) for one in found.unused] == ["samm/006/006_1_2 apex"]
    assert found.rows[0].state == "used"


def test_unused_corrections_are_in_the_summary(tmp_path):
    text = "".join(f"casme2,{k},EP99_01,apex,,14,me\n" for k in range(1, 6))
    found = manifest(tmp_path, text, clips(3))
    summary = summarise(Inspected(found, {}, ()), found.hash())
    assert summary.unused_corrections == tuple(
        f"casme2/sub{k:02d}/EP99_01 apex" for k in range(1, 6)
    )
    said = io.StringIO()
    render(summary, Console(file=said, width=100))
    assert "corrections that changed nothing (5)" in said.getvalue()
    assert "casme2/sub01/EP99_01 apex" in said.getvalue()


def test_the_published_table_finds_its_clips(tmp_path):
    rows = [replace(GOOD, subject=4, name="EP12_01f", onset=270, apex="/", offset=285), GOOD]
    mine = read_corrections(PUBLISHED, ["casme2"])
    found = read_manifest("casme2", write_data_set(tmp_path, rows), corrections=mine)
    corrected = found.rows[-1]
    assert (corrected.clip_id, corrected.apex) == ("casme2/sub04/EP12_01f", 279)
    assert len(found.unused) == 18


def test_a_correction_that_may_mean_several_rows_is_refused_and_may_name_the_onset():
    rows = [Annotation("spNO.1", "b", "sad", onset, onset + 2, onset + 9) for onset in (10, 100)]
    vague = Correction("casme3", ClipName("spNO.1", "b"), "apex", "", "104", "")
    with pytest.raises(InputError, match=r"fits 2 rows: give its old value.*b@10") as error:
        correct(rows, [vague])
    assert "\n" not in str(error.value)
    named = replace(vague, clip=ClipName("spNO.1", "b@100"))
    assert [row.apex for row in correct(rows, [named]).annotations] == [12, 104]


def test_corrections_change_the_hash_of_a_manifest(tmp_path):
    plain = manifest(tmp_path, "samm,6,006_1_2,apex,,14,\n")
    changed = manifest(tmp_path, "casme2,1,EP01_01,apex,,14,\n")
    assert plain.hash() != changed.hash()
