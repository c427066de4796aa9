"""The `prepare` command: read a data set's manifest, make its images, report what was made."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from dianet_ray.artefacts import IMAGES_JSON, LEFT_OUT_CSV
from dianet_ray.cluster.connection import connected, local_cpus
from dianet_ray.datasets.annotations import ChosenPaths
from dianet_ray.datasets.catalogue import data_set
from dianet_ray.datasets.contradictions import ADVICE, resolve
from dianet_ray.datasets.corrections import read_corrections
from dianet_ray.datasets.manifest import Manifest
from dianet_ray.datasets.overlaps import other_overlaps
from dianet_ray.datasets.published import part_numbers, part_text
from dianet_ray.datasets.rules import read_manifest
from dianet_ray.errors import InputError
from dianet_ray.options import PrepareOptions
from dianet_ray.prepare import driver
from dianet_ray.prepare.driver import PrepareResult
from dianet_ray.progress import Progress, count

N_SHOWN = 3
"""How many unused corrections, and pairs of clips that move alike, are named."""


def read(
    dataset: str,
    root: Path,
    annotations: Sequence[Path],
    frames_dirs: Sequence[Path],
    options: PrepareOptions,
) -> Manifest:
    """Read a data set's annotations and find its frames, as the options say.

    Raises:
        InputError: the data set is not what the command says, or cannot be read.
    """
    chosen = options.corrections
    manifest = read_manifest(
        dataset,
        root,
        chosen=ChosenPaths(tuple(annotations), tuple(frames_dirs)),
        apex=options.apex,
        corrections=read_corrections(chosen, data_set(dataset).sources) if chosen else (),
    )
    return resolve(manifest, options.label_conflicts)


def make(
    manifest: Manifest, path: Path, options: PrepareOptions, address: str | None
) -> PrepareResult:
    """Make IMAGES at `path` on the named cluster, or on a local Ray."""
    n_cpus = local_cpus()
    with (
        # Ray starts idle workers for every CPU that it is given.
        connected(address, n_cpus=min(options.max_workers or n_cpus, n_cpus)),
        Progress("prepare", len(manifest.usable()), unit="clips") as progress,
    ):
        return driver.prepare(manifest, path, options, progress=progress)


def lines(manifest: Manifest, result: PrepareResult, path: Path) -> Iterator[str]:
    """Describe what was made, one line per fact."""
    counted = f"{count(result.n_clips, 'clip')}, {result.n_left_out} left out"
    yield f"{counted}: {path}{_reused(result)}"
    if result.n_left_out:
        yield f"the reason for each clip left out is in {path / LEFT_OUT_CSV}"
    yield from _published(manifest, result)
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
    if result.n_clips and not result.unreadable:
        yield f"next: dianet-ray search {shlex.quote(str(path))} STUDY --space dianet"


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
    n_more = len(items) - N_SHOWN
    more = f" and {n_more} more ({where})" if n_more > 0 else ""
    return ", ".join(items[:N_SHOWN]) + more


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
