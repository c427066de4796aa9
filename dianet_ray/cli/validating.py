"""The `validate` command: inspect a data set, write the requested files, summarise."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dianet_ray.artefacts import Crop
from dianet_ray.datasets.contact_sheet import write_contact_sheet
from dianet_ray.datasets.manifest import Manifest, write_csv
from dianet_ray.datasets.summary import Summary, summarise
from dianet_ray.datasets.validation import inspect
from dianet_ray.errors import InputError
from dianet_ray.progress import Progress
from dianet_ray.storage.outputs import output_path


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

    def check_overwrites_nothing(self, found: Manifest) -> None:
        """Refuse to overwrite an annotation sheet of the data set.

        Raises:
            InputError: names the sheet.
        """
        # A sheet in CSV form is easily taken for the file to write, and may be the only copy.
        sheets = [source.sheet.path for source in found.sources]
        if self.manifest is not None and output_path(self.manifest) in sheets:
            raise InputError(
                f"--manifest would overwrite a sheet of the data set: {self.manifest}"
            )


def validate(manifest: Manifest, outputs: Outputs, *, crop: Crop) -> Summary:
    """Inspect the frames of a manifest's clips, write the outputs and return the summary."""
    with Progress("validate", len(manifest.usable()), unit="clips") as progress:
        found = inspect(manifest, crop=crop, progress=progress)
    if outputs.manifest is not None:
        write_csv(found.manifest.rows, output_path(outputs.manifest))
    if outputs.contact_sheet is not None:
        write_contact_sheet(found.manifest, output_path(outputs.contact_sheet), crop=crop)
    return summarise(found, manifest.hash())
