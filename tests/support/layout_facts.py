"""Published facts of each data set's layout, and a data set on disk to compare with them."""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import openpyxl
import yaml

Facts = Mapping[str, Any]
"""One layout as its YAML file tells it."""

Cell = int | str | None

FACTS: dict[str, Facts] = {
    path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))
    for path in sorted((Path(__file__).parents[1] / "datasets" / "layouts").glob("*.yaml"))
}


@dataclass
class Written:
    """A data set as it lies on the disk; `rows` by role, `cells` by title."""

    facts: Facts
    root: Path
    sheet: str | None
    table: Sequence[Sequence[Cell]]

    @property
    def titles(self) -> list[Cell]:
        header = list(self.table[self.facts["annotations"]["header_row"]])
        return header + [None] * (len(self.facts["columns"]) - len(header))

    @property
    def body(self) -> Sequence[Sequence[Cell]]:
        return self.table[self.facts["annotations"]["header_row"] + 1 :]

    @property
    def cells(self) -> list[dict[Cell, Cell]]:
        return [dict(zip(self.titles, row, strict=False)) for row in self.body]

    @property
    def rows(self) -> list[dict[str, Cell]]:
        roles = [column["role"] for column in self.facts["columns"]]
        rows = [dict(zip(roles, row, strict=False)) for row in self.body]
        return [row for row in rows if row["subject"] is not None]

    @cached_property
    def files(self) -> list[str]:
        """Frames and videos, below the root."""
        paths = [path.relative_to(self.root) for path in self.root.rglob("*.*") if path.is_file()]
        files = [path.as_posix() for path in paths]
        return [file for file in files if "/" in file and "/depth/" not in file]

    def numbers(self, folder_ends_with: str) -> set[int]:
        return {
            int(re.findall(r"\d+", Path(file).stem)[-1])
            for file in self.files
            if f"/{Path(file).parent}".endswith(folder_ends_with)
        }


def look(facts: Facts, root: Path) -> Written:
    [path] = [root / name for name in facts["annotations"]["names"] if (root / name).is_file()]
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            table: Sequence[Sequence[Cell]] = [
                [int(c) if c.isdigit() else c or None for c in row] for row in csv.reader(file)
            ]
        return Written(facts, root, None, table)
    book = openpyxl.load_workbook(path)
    assert len(book.worksheets) == 1
    return Written(facts, root, book.worksheets[0].title, list(book.worksheets[0].values))


def regex(pattern: str) -> str:
    """Match the paths of a pattern: what is named twice is twice the same."""
    if pattern == "{clip}":
        return r".+\.(mp4|avi)"
    parts: list[str] = []
    seen: set[str] = set()
    for text, name, digits in re.findall(r"([^{]*)(?:\{(\w+)(?::0(\d)d)?\})?", pattern):
        parts.append(re.escape(text))
        if name == "number":
            parts.append(rf"\d{{{digits},}}" if digits else r"(?:0|[1-9]\d*)")
        elif name:
            wild = ".+" if pattern.startswith("{clip}") else "[^/]+"
            parts.append(f"(?P={name})" if name in seen else f"(?P<{name}>{wild})")
            seen.add(name)
    return "".join(parts)


def matches(facts: Facts, file: str) -> bool:
    if facts["dataset"] == "megc2019":
        part, _, file = file.partition("/")
        facts = FACTS[part]
    patterns = [facts["frames"]["pattern"], *facts["frames"]["variants"]]
    if "mixed_padding" in {oddity["name"] for oddity in facts["oddities"]}:
        patterns += [pattern.replace(":05d", ":04d") for pattern in patterns]
    return any(re.fullmatch(regex(pattern), file) for pattern in patterns)
