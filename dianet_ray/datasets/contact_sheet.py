"""The contact sheet: a picture that shows at a glance whether a data set was read correctly.

A row per clip, with its onset, apex and offset frames and the dynamic images of both phases.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dianet_ray.artefacts import Crop, Recipe
from dianet_ray.datasets.label_sets import plain_label
from dianet_ray.datasets.manifest import Manifest, Row
from dianet_ray.errors import InputError
from dianet_ray.imaging.clip_images import FrameSpan, clip_images
from dianet_ray.imaging.display import pixels
from dianet_ray.imaging.faces import Box
from dianet_ray.imaging.frames import FrameError, clip_numbers, read_frames
from dianet_ray.storage import files
from dianet_ray.storage.files import writing

N_CLIPS = 12
COLUMNS = ("onset", "apex", "offset", "onset to apex", "apex to offset")
_SIDE = 128  # pixels of a picture
_INCHES = 1.5  # of a picture


@dataclass(frozen=True, slots=True)
class _Line:
    """One clip's row of the sheet: its five pictures, in the order of COLUMNS, and its caption."""

    pictures: tuple[NDArray[np.uint8], ...]
    caption: str


def write_contact_sheet(manifest: Manifest, path: Path, *, crop: Crop, fill_gaps: int = 0) -> int:
    """Draw some clips as a PNG; return how many were drawn.

    Args:
        manifest: whose clips.
        path: of the picture.
        crop: which part of the frames is drawn.
        fill_gaps: as of a `Recipe`.

    Raises:
        InputError: no clip can be drawn, or the file cannot be written.
    """
    recipe = Recipe(_SIDE, crop=crop, fill_gaps=fill_gaps)
    lines = []
    for row in sample(manifest.usable(), N_CLIPS):
        with contextlib.suppress(FrameError):  # the summary names clips that cannot be read
            lines.append(_line(manifest, row, recipe))
    if not lines:
        raise InputError(f"a contact sheet needs a usable clip: {manifest.root} has none")
    content = io.BytesIO()
    with warnings.catch_warnings():
        # A label may be in a script that the font lacks; a box is drawn instead.
        warnings.filterwarnings("ignore", "Glyph")
        _draw(lines).savefig(content, format="png", dpi=100)
    with writing(path):
        files.make_folder(path.parent)
        files.put(path, content.getvalue())
    return len(lines)


def _draw(lines: Sequence[_Line]) -> Figure:
    figure = Figure(figsize=(_INCHES * len(COLUMNS), (_INCHES + 0.25) * len(lines)))
    axes = figure.subplots(len(lines), len(COLUMNS), squeeze=False)
    for row, line in zip(axes, lines, strict=True):
        for axis, picture in zip(row, line.pictures, strict=True):
            axis.imshow(picture)
            axis.set_axis_off()
        style = {"fontsize": 7, "va": "top", "transform": row[0].transAxes}
        row[0].text(0, -0.06, line.caption, parse_math=False, **style)
    for axis, title in zip(axes[0], COLUMNS, strict=True):
        axis.set_title(title, fontsize=8)
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.02, top=0.97, wspace=0.02, hspace=0.2)
    return figure


def sample(rows: Sequence[Row], n_clips: int) -> list[Row]:
    """Choose clips of all labels in turn, of new subjects for as long as there are any."""
    by_label: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_label[plain_label(row.label)].append(row)
    chosen: list[Row] = []
    while by_label and len(chosen) < n_clips:
        for label in sorted(by_label):
            # New subjects first: what is read wrongly is often wrong for one subject only.
            seen = {row.subject for row in chosen}
            waiting = by_label[label]
            new = next((row for row in waiting if row.subject not in seen), waiting[0])
            chosen.append(new)
            waiting.remove(new)
            if not waiting:
                del by_label[label]
    return chosen[:n_clips]


def _line(manifest: Manifest, row: Row, recipe: Recipe) -> _Line:
    path, onset, offset = manifest.frames(row), row.onset or 0, row.offset or 0
    made = clip_images(path, FrameSpan(onset, row.apex, offset), recipe)
    taken = clip_numbers(path, onset, offset, recipe.fill_gaps)
    wanted = [taken[number - onset] for number in (onset, made.apex, offset)]
    frames = list(read_frames(path, wanted))
    if made.box:
        box = Box.parse(made.box)
        frames = [np.asarray(box.cut(frame), np.uint8) for frame in frames]
    moments = (cv2.resize(f, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA) for f in frames)
    phases = (pixels(image) for image in made.images[:2])
    numbers = f"{row.onset}, {made.apex} ({row.apex_from}), {row.offset}"
    return _Line((*moments, *phases), f"{row.label}  {row.clip_id}  {numbers}")
