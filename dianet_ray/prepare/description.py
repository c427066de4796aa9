"""Describe IMAGES: the hash of the request for them, and their record once they are made."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version

import cv2
import numpy as np
import pyarrow as pa

from dianet_ray import __version__
from dianet_ray.artefacts import IMAGES_FORMAT, LEFT_OUT, Duplicate, to_plain
from dianet_ray.datasets.manifest import UNREADABLE, Manifest, Row, Source
from dianet_ray.imaging.duplicates import find_duplicates
from dianet_ray.options import PrepareOptions
from dianet_ray.prepare.images import ImagesRecord, SheetRecord
from dianet_ray.prepare.orders import ClipMade, ClipOutcome, content_hash


def request_hash(manifest: Manifest, options: PrepareOptions) -> str:
    """Hash the request for IMAGES; images of the same request need not be made again."""
    # Without --skip-broken and --max-workers, which change no image.
    recipe = to_plain(options.recipe)
    return content_hash([IMAGES_FORMAT, manifest.hash(), recipe, apex_rule(manifest)])


def apex_rule(manifest: Manifest) -> str:
    """Name the apex rule that was applied; of a composite whose parts differ, each part's."""
    rules = {part.apex for part in manifest.sources}
    if len(rules) == 1:
        return rules.pop()
    return ", ".join(f"{part.dataset} {part.apex}" for part in manifest.sources)


def describe(
    manifest: Manifest,
    options: PrepareOptions,
    *,
    rows: Sequence[Row],
    outcomes: Mapping[str, ClipOutcome],
    parts: tuple[str, ...],
) -> ImagesRecord:
    """Compose the record of images that were made.

    Args:
        manifest: as it was read.
        options: of the run.
        rows: of the manifest, with what the workers found.
        outcomes: by clip_id.
        parts: names of the files that hold the images.
    """
    request = request_hash(manifest, options)
    made = {name: found for name, found in outcomes.items() if isinstance(found, ClipMade)}
    n_left_out = sum(row.state == LEFT_OUT for row in rows)
    return ImagesRecord(
        format=IMAGES_FORMAT,
        dataset=manifest.dataset,
        request=request,
        hash=_hash(request, made),
        manifest_hash=manifest.hash(),
        recipe=options.recipe,
        apex=apex_rule(manifest),
        corrections=options.corrections,
        sheets=tuple(_sheet(part) for part in manifest.sources),
        n_clips=len(rows) - n_left_out,
        n_left_out=n_left_out,
        unreadable=_unreadable(rows),
        duplicates=tuple(_duplicates(rows, made)),
        versions=_versions(),
        parts=parts,
        label_conflicts=options.label_conflicts,
    )


def _hash(request: str, made: Mapping[str, ClipMade]) -> str:
    # Frames may be exchanged between an interrupted run and its continuation, so the hash is of
    # the images themselves, sorted, because outcomes arrive in the order in which workers finish.
    # docs/decisions.md: The hash of IMAGES
    return content_hash([request, sorted((name, one.digest) for name, one in made.items())])


def _sheet(part: Source) -> SheetRecord:
    sheet = part.sheet
    return SheetRecord(part.dataset, sheet.path.name, sheet.name, sheet.sha256, part.numbering)


def _unreadable(rows: Sequence[Row]) -> dict[str, str]:
    return {
        row.clip_id: row.reason.removeprefix(UNREADABLE)
        for row in rows
        if row.reason.startswith(UNREADABLE)
    }


def _duplicates(rows: Sequence[Row], made: Mapping[str, ClipMade]) -> list[Duplicate]:
    used = [row for row in rows if row.clip_id in made]
    packed = [bytes.fromhex(made[row.clip_id].signature) for row in used]
    return find_duplicates(
        [row.clip_id for row in used],
        [row.subject for row in used],
        [np.frombuffer(signature, np.float16) for signature in packed],
    )


def _versions() -> dict[str, str]:
    return {
        "dianet_ray": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "pyarrow": pa.__version__,
        "ray": version("ray"),
    }
