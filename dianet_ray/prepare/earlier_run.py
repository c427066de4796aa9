"""What an earlier `prepare` left in OUT: nothing, parts to continue from, or finished IMAGES."""

from __future__ import annotations

from pathlib import Path

from dianet_ray.artefacts import IMAGES_FOLDER, IMAGES_JSON, LEFT_OUT_CSV, MANIFEST_CSV, Recipe
from dianet_ray.datasets.manifest import Manifest, Row
from dianet_ray.errors import InputError
from dianet_ray.imaging.clip_images import clip_images
from dianet_ray.imaging.frames import FrameError, UnfitError
from dianet_ray.options import PrepareOptions
from dianet_ray.prepare.description import apex_rule, request_hash
from dianet_ray.prepare.images import ImagesRecord, read_record
from dianet_ray.prepare.orders import order_clip
from dianet_ray.prepare.part_files import is_part
from dianet_ray.storage import files
from dianet_ray.storage.files import writing

_OURS = {IMAGES_FOLDER, MANIFEST_CSV, LEFT_OUT_CSV}
"""What an interrupted run leaves in OUT, beside hidden files."""


def find_finished(manifest: Manifest, out: Path, options: PrepareOptions) -> ImagesRecord | None:
    """Read the record of IMAGES that an earlier run finished; None where there is work left.

    Raises:
        InputError: OUT holds something else, images of another request, or lacks clips whose
            files were repaired.
    """
    with writing(out):
        try:
            names = files.names(out)
        except NotADirectoryError:
            if not out.is_file():
                raise  # a folder above it is a file
            raise InputError(f"OUT must be a folder: {out} is a file") from None
        if _is_unfinished(out, names):
            return None
    record = read_record(out)
    _check_request(record, manifest, options, out)
    _check_repaired(record, manifest, out, options.recipe)
    return record


def _is_unfinished(out: Path, found: list[str]) -> bool:
    """Whether a folder is empty, or holds nothing but what an interrupted run leaves.

    A user's data set may have folders of these names, so their content is checked too.
    """
    # Hidden files do not count: probes and locks leave some, and so do file managers.
    names = {name for name in found if not name.startswith(".")}
    if not names <= _OURS or (names and IMAGES_FOLDER not in names):
        return False
    return not names or all(is_part(name) for name in files.names(out / IMAGES_FOLDER))


def _check_request(
    record: ImagesRecord, manifest: Manifest, options: PrepareOptions, out: Path
) -> None:
    if record.request != request_hash(manifest, options):
        raise InputError(
            "OUT must be a new folder or hold images of the same data and options: "
            f"{out} was made with {_differences(record, manifest, options)}; choose another OUT"
        )


def _differences(record: ImagesRecord, manifest: Manifest, options: PrepareOptions) -> str:
    """Say in what the request of finished IMAGES differs from this one."""
    then, now = record.recipe, options.recipe
    compared = {
        "data set": (record.dataset, manifest.dataset),
        "--image-size": (then.image_size, now.image_size),
        "--coefficients": (then.coefficients, now.coefficients),
        "--crop": (then.crop, now.crop),
        "--fill-gaps": (then.fill_gaps, now.fill_gaps),
        "--apex": (record.apex, apex_rule(manifest)),
        "--corrections": (record.corrections, options.corrections),
        "--label-conflicts": (record.label_conflicts, options.label_conflicts),
    }
    found = [
        f"{name} {old or 'none'}, not {new or 'none'}"
        for name, (old, new) in compared.items()
        if old != new
    ]
    return ", ".join(found) or "another sheet or other frames"


def _check_repaired(record: ImagesRecord, manifest: Manifest, out: Path, recipe: Recipe) -> None:
    """Refuse finished IMAGES without the clips that can be read by now.

    They are not added here: OUT may be a study's already, so only the user reopens it.
    """
    failed_then = [row for row in manifest.usable() if row.clip_id in record.unreadable]
    # Only clips that failed are read again, so this is free for a data set without failures.
    repaired = [row.clip_id for row in failed_then if _reads(manifest, row, recipe)]
    if repaired:
        raise InputError(
            f"files were repaired since {out} was made: {', '.join(repaired[:3])} can be read now "
            f"(clips: {len(repaired)}); delete {out / IMAGES_JSON} and prepare again (only these "
            "clips are made), and search in a new folder where a study of the old images exists"
        )


def _reads(manifest: Manifest, row: Row, recipe: Recipe) -> bool:
    order = order_clip(manifest, row)
    try:
        clip_images(Path(order.frames), order.span, recipe)
    except FrameError as error:
        # A clip that breaks a rule reads well, and making it again would leave it out again.
        return isinstance(error, UnfitError)
    return True
