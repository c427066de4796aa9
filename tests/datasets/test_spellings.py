"""One person under two spellings is refused, or taken as one subject."""

import itertools
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dianet_ray.datasets.annotations import Rules
from dianet_ray.datasets.corrections import ClipName, Correction
from dianet_ray.datasets.rules import read_manifest
from dianet_ray.datasets.spellings import fold
from dianet_ray.errors import InputError
from tests.support.casme2_files import write_frame
from tests.support.command_line import run

ONE_PERSON = [
    ["001", "1", "01", "1.0", "1.00", "001.0", " 1 ", "\uff11", "0 1"],
    ["p01", "p 01", "P1", "P_01", "p-1", "\uff50\uff10\uff11", "p\u00a001", "p\u200b1", "p001"],
    ["Zoë", unicodedata.normalize("NFD", "Zoë"), "ZOË", " zoë"],
    ["Strauß", "STRAUSS"],
    ["sub-007_02", "sub7_2"],
    ["张 三", "张三"],
]
PEOPLE = ["1", "10", "100", "1.1", "1.01", "11", "1-1", "p1", "p10", "1p", "s1", "Anna", "Ann"]
PAIRS = [pair for names in ONE_PERSON for pair in itertools.combinations(names, 2)]


@pytest.mark.parametrize("pair", PAIRS, ids=ascii)
def test_spellings_of_one_person_are_equal(pair):
    assert fold(pair[0]) == fold(pair[1])


def test_names_of_different_people_stay_different():
    assert len({fold(name) for name in PEOPLE}) == len(PEOPLE)


@given(st.text("pP01. _-\u00e9\u0301\u200d\uff11\u00df"))
def test_folding_twice_changes_nothing_more(name):
    assert fold(fold(name)) == fold(name)


def write(root, subjects, label="joy"):
    """Write a table with a clip of its own for every subject named."""
    lines = ["clip,subject,label,onset,apex,offset"]
    for k, subject in enumerate(subjects):
        lines.append(f'c/{k},"{subject}",{label},1,3,5')
        for number in range(1, 6):
            write_frame(root / f"c/{k}/{number}.jpg", 10 * k + number, shape=(16, 16))
    (root / "clips.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def test_both_spellings_and_their_rows_are_named_with_the_way_out(tmp_path):
    write(tmp_path, ["001", "p2", "1", "001", "001", "001"])
    with pytest.raises(InputError) as refused:
        read_manifest("table", tmp_path)
    said = str(refused.value)
    assert "'001' (rows 2, 5, 6 and 1 more) and '1' (row 4)" in said
    assert str(tmp_path / "clips.csv") in said
    assert "--merge-subjects" in said
    assert "\n" not in said


def test_spellings_that_look_the_same_are_told_apart(tmp_path):
    write(tmp_path, ["Zoë", unicodedata.normalize("NFD", "Zoë")])
    with pytest.raises(InputError, match=r"'Zo\\xeb' \(row 2\) and 'Zoe\\u0308' \(row 3\)"):
        read_manifest("table", tmp_path)


def test_the_number_of_subjects_is_said_when_there_are_several(tmp_path):
    write(tmp_path, ["1", "01", "2", "02", "3"])
    with pytest.raises(InputError, match="2 subjects have several spellings"):
        read_manifest("table", tmp_path)


@pytest.mark.parametrize("order", list(itertools.permutations(["001", "1", "1", "p2"])), ids=str)
def test_merged_spellings_are_one_subject_whatever_the_order_of_the_rows(tmp_path, order):
    rows = read_manifest("table", write(tmp_path, order), rules=Rules(merge_subjects=True)).rows
    assert {row.subject for row in rows} == {"table/1", "table/p2"}
    changed = [row for row in rows if row.state == "corrected"]
    assert [row.reason for row in changed] == ["subject: written '001', taken as '1'"]
    assert sum(row.state == "used" for row in rows) == 3


def test_of_equally_common_spellings_one_is_taken_whatever_the_order(tmp_path):
    for k, order in enumerate(itertools.permutations(["p 1", "P1", "p01"])):
        root = write(tmp_path / str(k), order)
        rows = read_manifest("table", root, rules=Rules(merge_subjects=True)).rows
        assert {row.subject for row in rows} == {"table/P1"}


def test_an_apex_that_is_missing_too_is_said_beside_the_spelling(tmp_path):
    root = write(tmp_path, ["1", "1", "01"])
    table = root / "clips.csv"
    table.write_text(table.read_text().replace('"01",joy,1,3,5', '"01",joy,1,,5'))
    rules = Rules(apex="midpoint", merge_subjects=True)
    (row,) = (r for r in read_manifest("table", root, rules=rules).rows if r.state == "corrected")
    assert row.reason == (
        "subject: written '01', taken as '1'; missing apex: empty, took the midpoint 3"
    )


def test_clips_of_one_recording_under_two_spellings_are_named_by_their_onsets(tmp_path):
    root = write(tmp_path, ["1"])
    table = root / "clips.csv"
    table.write_text(table.read_text() + "c/0,01,joy,2,3,5\n")
    rows = read_manifest("table", root, rules=Rules(merge_subjects=True)).rows
    assert [row.clip_id for row in rows] == ["table/01/c/0@1", "table/01/c/0@2"]


def test_a_correction_may_name_either_spelling(tmp_path):
    root = write(tmp_path, ["1", "1", "01"])
    fixes = [
        Correction("table", ClipName(subject, f"c/{k}"), "label", "", "fear", "")
        for k, subject in enumerate(["1", "001", "1"])
    ]
    manifest = read_manifest("table", root, rules=Rules(merge_subjects=True), corrections=fixes)
    assert [row.label for row in manifest.rows] == ["fear"] * 3
    assert manifest.unused == ()


def test_different_people_are_left_alone(tmp_path):
    root = write(tmp_path, PEOPLE)
    plain = read_manifest("table", root)
    assert {row.state for row in plain.rows} == {"used"}
    assert {row.subject for row in plain.rows} == {f"table/{name}" for name in PEOPLE}
    assert read_manifest("table", root, rules=Rules(merge_subjects=True)).rows == plain.rows


def test_rows_without_a_subject_are_no_person(tmp_path):
    rows = read_manifest("table", write(tmp_path, ["", "", "p1"])).rows
    assert sorted(row.reason.partition(":")[0] for row in rows) == ["", "no name", "no name"]


def test_the_command_takes_the_flag(monkeypatch, capsys, tmp_path):
    root = write(tmp_path, ["1", "01", "p2"])
    status, stdout, stderr = run(monkeypatch, capsys, "validate", "table", root)
    assert (status, stdout) == (2, "")
    assert "--merge-subjects" in stderr
    words = ["validate", "table", root, "--merge-subjects"]
    status, stdout, _ = run(monkeypatch, capsys, *words)
    assert status == 0
    assert "2 subjects" in stdout
    assert "corrected: subject (1)" in stdout
