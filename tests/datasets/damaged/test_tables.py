"""The project's own table: encodings and formats that are read, and files that are not."""

import shutil

import pyarrow as pa
import pytest

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
    ],
    ids=[
        *("plain", "mark", "semicolons", "semicolons and mark", "CRLF", "quoted", "blanks"),
        *("blank rows", "quoted comma", "floats", "titles"),
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
    "Latin-1": (write_table(GOOD_TABLE.replace("anger", "Ärger"), "latin-1"), ["not a readable"]),
    "UTF-16": (write_table(GOOD_TABLE, "utf-16"), ["clips.csv"]),
    "nothing": (write_table(""), ["lacks columns clip, subject", "clips.csv"]),
    "titles only": (write_table(TITLES), ["no row", "clips.csv"]),
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
