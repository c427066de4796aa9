"""The project's own table: encodings and formats that are read, and files that are not."""

import csv
import io
import json
import shutil

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dianet_ray.datasets.annotations import ChosenPaths
from tests.support.command_line import run
from tests.support.damage import judge, refusal
from tests.support.tables import COLUMNS, GOOD_TABLE, TITLES, parquet, write_table


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
        GOOD_TABLE.replace(",", "\t").encode(),
        GOOD_TABLE.replace(",", "\t").encode("utf-16"),
        GOOD_TABLE.encode("utf-16-le"),
        GOOD_TABLE.replace("\n", "\r").encode(),
        GOOD_TABLE.replace(",", ";").replace("\n", "\r").encode("utf-16-be"),
        ("sep=;\r\n" + GOOD_TABLE.replace(",", ";")).encode(),
        ("Codes, by hand, of 2 people\n" + GOOD_TABLE.replace(",", ";")).encode(),
        ("\n\n" + GOOD_TABLE.replace(",", "\t")).encode(),
        GOOD_TABLE.replace("anger", "\u00c4rger").replace(",", ";").encode("latin-1"),
        GOOD_TABLE.replace("anger", "\u00c4rger \u20ac").encode("cp1252"),
        GOOD_TABLE.replace("anger", "\u6124\u6012").encode("gbk"),
        GOOD_TABLE.replace("anger", '"an\rger"').encode(),
    ],
    ids=[
        *("plain", "mark", "semicolons", "semicolons and mark", "CRLF", "quoted", "blanks"),
        *("blank rows", "quoted comma", "floats", "titles", "tabs", "UTF-16 and tabs"),
        *("UTF-16 without mark", "CR", "UTF-16 and CR", "Excel's sep", "banner", "blank lines"),
        *("latin-1", "cp1252", "GBK", "quoted CR"),
    ],
)
def test_a_csv_is_read_as_programs_write_it(mine, encoded):
    (mine / "clips.csv").write_bytes(encoded)
    assert judge(mine, "table") == [("table/p1/c/a", "used", ""), ("table/p2/c/b", "used", "")]


@pytest.mark.parametrize(
    "changes", [{}, {"onset": [1.0, 1.0]}, {"onset": ["1", "01"]}, {"more": [[1], [2, 3]]}]
)
def test_a_parquet_table_is_read(mine, changes):
    parquet(COLUMNS | changes)(mine)
    assert {state for _, state, _ in judge(mine, "table")} == {"used"}


@pytest.mark.parametrize(
    ("codec", "said"), [("utf-8", "UTF-8"), ("utf-16", "UTF-16"), ("gbk", "GB18030")]
)
def test_the_encoding_is_said(mine, codec, said, monkeypatch, capsys):
    write_table(GOOD_TABLE.replace("anger", "\u6124\u6012"), codec)(mine)
    _, stdout, _ = run(monkeypatch, capsys, "validate", "table", mine)
    assert f"{mine / 'clips.csv'}, read as {said}\n" in stdout
    assert "\u6124\u6012" in stdout
    _, stdout, _ = run(monkeypatch, capsys, "validate", "table", mine, "--json")
    assert json.loads(stdout)["parts"][0]["encoding"] == said


def test_a_workbook_has_no_encoding(mine, monkeypatch, capsys):
    (mine / "clips.csv").unlink()
    (mine / "clips.xlsx").write_bytes(workbook())
    _, stdout, _ = run(monkeypatch, capsys, "validate", "table", mine)
    assert "2 used" in stdout
    assert "read as" not in stdout


@pytest.mark.parametrize("name", ["clips.tsv", "clips.txt", "CLIPS.TXT"])
def test_a_text_of_another_name_may_be_given(mine, name):
    (mine / "clips.csv").unlink()
    (mine / name).write_text(GOOD_TABLE.replace(",", "\t"), encoding="utf-16")
    judged = judge(mine, "table", chosen=ChosenPaths((mine / name,)))
    assert [state for _, state, _ in judged] == ["used", "used"]


OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)


def workbook():
    book, content = openpyxl.Workbook(), io.BytesIO()
    for line in csv.reader(GOOD_TABLE.splitlines()):
        book.active.append(line)
    book.save(content)
    return content.getvalue()


def parquet_bytes():
    content = io.BytesIO()
    pq.write_table(pa.table(COLUMNS), content)
    return content.getvalue()


def misnamed(content):
    """Put other content into the file that is called clips.csv."""
    return lambda root: (root / "clips.csv").write_bytes(content())


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


TABLES_REFUSED = {
    "nothing": (write_table(""), ["lacks columns clip, subject", "clips.csv"]),
    "titles only": (write_table(TITLES), ["no row", "clips.csv"]),
    "no titles": (write_table("c/a,p1,anger,1,4,7\n"), ["lacks columns clip"]),
    "bars": (write_table(GOOD_TABLE.replace(",", "|")), ["lacks columns", "clips.csv"]),
    "UTF-32": (write_table(GOOD_TABLE, "utf-32"), ["clips.csv is no table; open it and save it"]),
    "a workbook": (misnamed(workbook), ["is a workbook; rename it to clips.xlsx"]),
    "an older workbook": (misnamed(lambda: OLE), ["of the older .xls format; open it and save"]),
    "a parquet table": (misnamed(parquet_bytes), ["is a parquet table; rename it to clips.parq"]),
    "bytes": (lambda r: (r / "clips.csv").write_bytes(bytes(99)), ["clips.csv is empty; copy"]),
    "a cell without end": (
        write_table(GOOD_TABLE + '"' + "x" * 200_000),
        ["clips.csv is a text that is damaged or no plain table"],
    ),
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


def write_workbook_with(path, place, value):
    """Write the good table as a workbook, and one more cell far away."""
    book = openpyxl.Workbook()
    for line in csv.reader(GOOD_TABLE.splitlines()):
        book.active.append(line)
    cell = book.active[place]
    cell.value = value
    cell.number_format = "0.00"
    book.save(path)


@pytest.mark.parametrize("place", ["F1048576", "XFD2", "XFD1048576"])
def test_a_cell_far_from_the_table_is_named_and_a_format_is_none(mine, place):
    (mine / "clips.csv").unlink()
    write_workbook_with(mine / "clips.xlsx", place, "x")
    assert f"has one at {place}, far from the others" in refusal(mine, "table")
    write_workbook_with(mine / "clips.xlsx", place, None)
    assert [state for _, state, _ in judge(mine, "table")] == ["used", "used"]
