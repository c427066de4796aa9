"""Flaws that releases are known for, written into one clip's row or files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from dianet_ray.synth.annotation_table import TableRow
from dianet_ray.synth.layout import Oddity


def apply_oddity(oddity: Oddity, row: TableRow, root: Path) -> None:
    """Write a flaw into a clip.

    Args:
        oddity: the flaw.
        row: the clip's row, which is changed.
        root: the data set's folder, below which the clip's files are changed.
    """
    row.label = oddity.relabel.get(row.label, row.label)
    for title, cell in oddity.cells.items():
        row.cells[title] = row.value(cell)
    match oddity.files:
        case "truncate_apex_frame":
            _truncate(_frame(row, root, row.apex))
        case "remove_frame_before_onset":
            _frame(row, root, row.onset - 2).unlink()
        case "add_depth_folder":
            _add_depth(root / row.files.folder, row.onset)


def join_rows(oddity: Oddity, rows: Sequence[TableRow], k: int) -> None:
    """Write a clip into the row of another one of the subject, with the same label and earlier.

    Args:
        oddity: whose `joins` are written.
        rows: of the release.
        k: the place of a clip for which another one is looked for first.
    """
    pairs = [
        (first, second)
        for first in (*rows[k:], *rows[:k])
        for second in rows
        if (first.subject, first.label) == (second.subject, second.label)
        and first.offset < second.onset
    ]
    for first, second in pairs[:1]:  # small data may have no such pair
        first.cells |= {title: second.value(cell) for title, cell in oddity.joins.items()}
        second.is_joined = True


def _frame(row: TableRow, root: Path, number: int) -> Path:
    return root / row.files.folder / row.files.frame.format(number)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])  # a header without its image


def _add_depth(folder: Path, onset: int) -> None:
    path = folder.with_name("depth") / f"{onset}.png"
    path.parent.mkdir()
    # 16 bits, as depth images have: a reader that takes it for a frame must refuse it.
    _, data = cv2.imencode(".png", np.full((8, 8), 900, np.uint16))
    path.write_bytes(data.tobytes())
