"""The project's own table as text, as parquet, and with rows that do not belong there."""

from collections.abc import Callable, Mapping
from pathlib import Path

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


def parquet(columns: Mapping[str, object]) -> Callable[[Path], None]:
    """Replace the table by one in parquet."""

    def write(root: Path) -> None:
        (root / "clips.csv").unlink()
        pq.write_table(pa.table(dict(columns)), root / "clips.parquet")

    return write


def write_table(text: str, encoding: str = "utf-8") -> Callable[[Path], object]:
    """Replace the table by a text."""
    return lambda root: (root / "clips.csv").write_text(text, encoding=encoding)
