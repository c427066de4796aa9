"""The `validate` command: inspect a data set, write files about it, end as `prepare` would."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, dataclass
from pathlib import Path

from dianet_ray.artefacts import Recipe
from dianet_ray.datasets.contact_sheet import write_contact_sheet
from dianet_ray.datasets.manifest import UNREADABLE, Manifest, check_usable, write_csv
from dianet_ray.datasets.validation import Inspected, inspect
from dianet_ray.errors import InputError
from dianet_ray.progress import Progress, count
from dianet_ray.storage.outputs import output_files


@dataclass(frozen=True, slots=True)
class Outputs:
    """The files to write, as given on the command line: a CSV table and a PNG picture."""

    manifest: Path | None
    contact_sheet: Path | None

    def check_suffixes(self) -> None:
        """Refuse a file name that belongs to another kind of file.

        Raises:
            InputError: names the flag, the suffix and the file.
        """
        for flag, path, suffix in (
            ("--manifest", self.manifest, ".csv"),
            ("--contact-sheet", self.contact_sheet, ".png"),
        ):
            if path is not None and path.suffix.lower() != suffix:
                raise InputError(f"{flag} must name a {suffix} file: got {path}")

    def beside(self, found: Manifest, corrections: str | None) -> Outputs:
        """Make the paths absolute; none may be a file that the command reads.

        Raises:
            InputError: a sheet, the corrections, a frame; or as `output_files`.
        """
        # A sheet in CSV form is easily taken for the file to write, and may be the only copy.
        read = [source.sheet.path for source in found.sources]
        if corrections is not None:
            read.append(Path(corrections))
        frames = {found.root / row.frames_path for row in found.rows if row.frames_path}
        return Outputs(*output_files(astuple(self), inputs=read, folders=frames))


def look(manifest: Manifest, recipe: Recipe) -> Inspected:
    """Inspect the frames of a manifest's clips."""
    with Progress("validate", len(manifest.usable()), unit="clips") as progress:
        return inspect(manifest, crop=recipe.crop, progress=progress, fill_gaps=recipe.fill_gaps)


def write(manifest: Manifest, outputs: Outputs, recipe: Recipe) -> Iterator[Path]:
    """Write the outputs, each when its path is asked for.

    Raises:
        InputError: no clip can be drawn, or a file cannot be written.
    """
    if outputs.manifest is not None:
        write_csv(manifest.rows, outputs.manifest)
        yield outputs.manifest
    if outputs.contact_sheet is not None:
        path = outputs.contact_sheet
        write_contact_sheet(manifest, path, crop=recipe.crop, fill_gaps=recipe.fill_gaps)
        yield path


def refuse_as_prepare(manifest: Manifest, *, skip_broken: bool) -> None:
    """End with status 2 where `prepare` would: no clip is usable, or some cannot be read.

    Raises:
        InputError: says which, with an example.
    """
    check_usable(manifest.rows)
    unreadable = [row for row in manifest.rows if row.reason.startswith(UNREADABLE)]
    if unreadable and not skip_broken:
        raise InputError(
            f"{count(len(unreadable), 'clip')} cannot be read, for example "
            f"{unreadable[0].clip_id}: {unreadable[0].reason.removeprefix(UNREADABLE)}; repair "
            "them, or accept the loss with --skip-broken"
        )
