"""The project's own table as text, as parquet, and with rows that do not belong there."""

import pyarrow as pa
import pyarrow.parquet as pq

TITLES = "clip,subject,label,onset,apex,offset\n"
GOOD_TABLE = TITLES + "c/a,p1,anger,1,4,7\nc/b,p2,fear,1,4,7\n"
COLUMNS = {
    "clip": ["c/a", "c/b"],
    "subject": ["p1", "p2"],
    "label": ["anger", "fear"],
    "onset": [1, 1],
    "apex": [4, 4],
    "offset": [7, 7],
}


def parquet(columns):
    def write(root):
        (root / "clips.csv").unlink()
        pq.write_table(pa.table(columns), root / "clips.parquet")

    return write


def write_table(text, encoding="utf-8"):
    return lambda root: (root / "clips.csv").write_text(text, encoding=encoding)
