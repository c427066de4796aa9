"""The `prepare` command: read a data set's manifest, make its images, report what was made."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from dianet_ray.artefacts import IMAGES_JSON, LEFT_OUT_CSV
from dianet_ray.cli.words import check_text
from dianet_ray.cluster.connection import connected
from dianet_ray.datasets.annotations import ChosenPaths, Rules
from dianet_ray.datasets.catalogue import data_set
from dianet_ray.datasets.contradictions import ADVICE, resolve
from dianet_ray.datasets.corrections import read_corrections
from dianet_ray.datasets.encodings import UTF_8
from dianet_ray.datasets.manifest import NO_ROW, Manifest, mostly_left_out, remedies_text
from dianet_ray.datasets.overlaps import other_overlaps
from dianet_ray.datasets.published import part_numbers, part_text
from dianet_ray.datasets.rules import read_manifest
from dianet_ray.errors import InputError
from dianet_ray.options import PrepareOptions
from dianet_ray.prepare import driver
from dianet_ray.prepare.driver import PrepareResult
from dianet_ray.processors import processors
from dianet_ray.progress import Progress, count, some

N_SHOWN = 3
"""How many unused corrections, and pairs of clips that move alike, are named."""


def chosen_paths(
    annotations: Sequence[Path] | None, frames_dirs: Sequence[Path] | None, sheet: str | None
) -> ChosenPaths:
    """Gather what the command line chose of a data set that holds several."""
    return ChosenPaths(tuple(annotations or ()), tuple(frames_dirs or ()), sheet)


def read(
    dataset: str,
    root: Path,
    chosen: ChosenPaths,
    options: PrepareOptions,
) -> Manifest:
    """Read a data set's annotations and find its frames, as the options say.

    Raises:
        InputError: the data set is not what the command says, or cannot be read.
    """
    corrections = options.corrections
    manifest = read_manifest(
        dataset,
        root,
        chosen=chosen,
        rules=Rules(
            apex=options.apex,
            fill_gaps=options.recipe.fill_gaps,
            merge_subjects=options.merge_subjects,
        ),
        corrections=(
            read_corrections(corrections, data_set(dataset).sources) if corrections else ()
        ),
    )
    check_text([name for row in manifest.rows for name in (row.clip_id, row.frames_path)])
    return resolve(manifest, options.label_conflicts)


def make(
    manifest: Manifest, path: Path, options: PrepareOptions, address: str | None
) -> PrepareResult:
    """Make IMAGES at `path` on the named cluster, or on a local Ray."""
    n_cpus = processors().n
    with (
        # Ray starts idle workers for every CPU that it is given.
        connected(address, n_cpus=min(options.max_workers or n_cpus, n_cpus)),
        Progress("prepare", len(manifest.usable()), unit="clips") as progress,
    ):
        return driver.prepare(manifest, path, options, progress=progress)


def warning(manifest: Manifest, n_left_out: int) -> str:
    """Say that most clips are left out; empty where they are not.

    Args:
        manifest: as it was read.
        n_left_out: its rows that are left out by now.
    """
    # A folder that the sheet does not name is no clip of the data set.
    n_without_row = sum(row.reason.startswith(NO_ROW) for row in manifest.rows)
    return mostly_left_out(n_left_out - n_without_row, len(manifest.rows) - n_without_row)


def lines(manifest: Manifest, result: PrepareResult, path: Path) -> Iterator[str]:
    """Describe what was made, one line per fact."""
    for sheet in (source.sheet for source in manifest.sources):
        # A wrong guess shows in the names of subjects and clips, so it is said.
        if sheet.encoding not in ("", UTF_8):
            yield f"{sheet.path} was read as {sheet.encoding}"
    counted = f"{count(result.n_clips, 'clip')}, {result.n_left_out} left out"
    yield f"{counted}: {path}{_reused(result)}"
    if said := warning(manifest, result.n_left_out):
        yield said
    if result.n_left_out:
        yield f"the reason for each clip left out is in {path / LEFT_OUT_CSV}"
    if said := remedies_text(manifest.clips_by_remedy()):
        yield said
    yield from _published(manifest, result)
    yield from _doubts(manifest, result)
    if result.n_clips and not result.unreadable:
        yield f"next: dianet-ray search {shlex.quote(str(path))} STUDY --space dianet"


def _doubts(manifest: Manifest, result: PrepareResult) -> Iterator[str]:
    """Name what the user should look at: contradictions, possible copies, unused corrections."""
    if manifest.contradictions:
        named = [f"{one.clip}: {one}" for one in manifest.contradictions]
        found = _some(named, "validate --json lists all")
        yield f"labels that the clips' own names contradict: {found}; {ADVICE}"
    if pairs := [f"{one.first} and {one.second}" for one in result.duplicates]:
        found = _some(pairs, f"{IMAGES_JSON} lists all")
        yield f"clips that move almost alike, check whether they are copies: {found}"
    if shared := list(map(str, other_overlaps(manifest, result.duplicates))):
        yield f"clips that share frames: {_some(shared, 'validate --json lists all')}"
    if manifest.unused:
        found = _some(list(map(str, manifest.unused)), "validate --json lists all")
        yield f"corrections that changed nothing: {found}"


def _published(manifest: Manifest, result: PrepareResult) -> Iterator[str]:
    """Compare the parts of a composite with its published list."""
    parts = part_numbers(manifest)
    for part in parts:
        yield f"published list of {manifest.dataset}: {part_text(part)}"
    n_lost = result.n_left_out - (len(manifest.rows) - len(manifest.usable()))
    if parts and n_lost > 0:
        yield f"of these, {count(n_lost, 'clip')} went when frames were read"
    if any(part.missing for part in parts):
        yield f"validate {manifest.dataset} names what is missing and the flags that bring it back"


def _some(items: Sequence[str], where: str) -> str:
    """Name the first few, and say where the rest is."""
    return some(items, N_SHOWN) + (f" ({where})" if len(items) > N_SHOWN else "")


def _reused(result: PrepareResult) -> str:
    if result.is_old:
        return " (was complete already)"
    return f" ({result.n_reused} made by an earlier run)" if result.n_reused else ""


def refuse_unreadable(result: PrepareResult, path: Path) -> None:
    """End with status 2 if there are clips whose files cannot be read.

    Raises:
        InputError: with their number, an example and what to do.
    """
    if result.unreadable:
        raise InputError(
            f"{count(len(result.unreadable), 'clip')} cannot be read, for example "
            f"{result.unreadable[0]}; all are listed in {path / LEFT_OUT_CSV}: repair them, "
            f"delete {path / IMAGES_JSON} and run prepare again (only they are made), or accept "
            "the loss with --skip-broken"
        )
