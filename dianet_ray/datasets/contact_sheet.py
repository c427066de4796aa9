"""A picture that shows at a glance whether a data set is right: moments and dynamic images."""

from __future__ import annotations

import io
import warnings
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dianet_ray.datasets.label_sets import plain_label
from dianet_ray.datasets.manifest import Manifest, Row
from dianet_ray.errors import InputError
from dianet_ray.imaging.clip_images import ClipImages, Crop, Recipe, clip_images
from dianet_ray.imaging.display import pixels
from dianet_ray.imaging.faces import Box
from dianet_ray.imaging.frames import FrameError, read_frames
from dianet_ray.storage.outputs import write_file

N_CLIPS = 12
COLUMNS = ("onset", "apex", "offset", "onset to apex", "apex to offset")
_SIDE = 128  # pixels of a dynamic image
_INCHES = 1.5  # of one picture


def write_contact_sheet(manifest: Manifest, path: Path, *, crop: Crop) -> int:
    """Draw some clips, one per class and person first, as a PNG; return how many.

    Args:
        manifest: Whose clips.
        path: Of the picture.
        crop: Which part of the frames is seen.

    Raises:
        InputError: no clip can be drawn, or the file cannot be written.
    """
    drawn = []
    for row in sample(manifest.usable(), N_CLIPS):
        try:
            drawn.append((row, *_pictures(manifest, row, crop)))
        except FrameError:  # said by the summary
            continue
    if not drawn:
        raise InputError(f"a contact sheet shows usable clips: {manifest.root} has none")
    figure = Figure(figsize=(_INCHES * len(COLUMNS), (_INCHES + 0.25) * len(drawn)))
    axes = figure.subplots(len(drawn), len(COLUMNS), squeeze=False)
    for k, (row, made, moments) in enumerate(drawn):
        line = axes[k]
        dynamic = [pixels(image) for image in made.images[:2]]
        for axis, picture, title in zip(line, [*moments, *dynamic], COLUMNS, strict=True):
            axis.imshow(picture)
            axis.set_axis_off()
            if k == 0:
                axis.set_title(title, fontsize=8)
        said = (
            f"{row.label}  {row.clip_id}  {row.onset}, {made.apex} ({row.apex_from}), {row.offset}"
        )
        line[0].text(
            *(0, -0.06, said),
            fontsize=7,
            va="top",
            transform=line[0].transAxes,
            parse_math=False,
        )
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.02, top=0.97, wspace=0.02, hspace=0.2)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a label may be in any script: a box is drawn
        figure.savefig(buffer, format="png", dpi=100)
    write_file(path, buffer.getvalue())
    return len(drawn)


def sample(rows: Sequence[Row], n_clips: int) -> list[Row]:
    """Take clips of all labels in turn, of other people as long as there are any."""
    by_label: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_label[plain_label(row.label)].append(row)
    chosen: list[Row] = []
    while by_label and len(chosen) < n_clips:
        for label in sorted(by_label):
            seen = {row.subject for row in chosen}
            waiting = by_label[label]
            fresh = next((row for row in waiting if row.subject not in seen), waiting[0])
            chosen.append(fresh)
            waiting.remove(fresh)
            if not waiting:
                del by_label[label]
    return chosen[:n_clips]


def _pictures(
    manifest: Manifest, row: Row, crop: Crop
) -> tuple[ClipImages, list[NDArray[np.uint8]]]:
    path, onset, offset = manifest.frames(row), row.onset or 0, row.offset or 0
    made = clip_images(path, (onset, row.apex, offset), Recipe(_SIDE, crop=crop))
    frames = list(read_frames(path, (onset, made.apex, offset)))
    if made.box:
        box = Box.parse(made.box)
        frames = [np.asarray(box.cut(frame), np.uint8) for frame in frames]
    return made, [cv2.resize(f, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA) for f in frames]
