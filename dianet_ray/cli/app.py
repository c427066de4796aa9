"""The commands in pipeline order: parse, call, print.

Results go to stdout, progress and logs to stderr. Exit status: 0 done, 2 the user's input is wrong
(one line), 1 anything else. Heavy libraries are imported by the command that needs them.
"""

from __future__ import annotations

import json
import logging
import shlex
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from typer.exceptions import TyperException

from dianet_ray.artefacts import to_plain
from dianet_ray.cli import flags
from dianet_ray.cluster.connection import check_python
from dianet_ray.errors import InputError, Stopped, StudyFailed
from dianet_ray.options import (
    PrepareOptions,
    SearchOptions,
    TrackingOptions,
    parse_options,
)
from dianet_ray.storage.files import is_remote
from dianet_ray.storage.outputs import output_path

if TYPE_CHECKING:
    from dianet_ray.datasets.manifest import Manifest
    from dianet_ray.prepare.driver import PrepareResult
    from dianet_ray.protocol.study import Study

app = typer.Typer(
    help="Search DIANet's hyper-parameters over every leave-one-subject-out fold.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
# Paths and labels are the user's: nothing in them is markup.
err = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)
out = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
tables = Console(highlight=False)


INTERRUPTED = 130
"""What typer returns after a KeyboardInterrupt."""


def main() -> None:
    """Run the command line and exit with its status."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    try:
        check_python(sys.version_info)
        status = app(prog_name="dianet-ray", standalone_mode=False)
    except InputError as error:
        status = _say_error(str(error), 2)
    except TyperException as error:
        status = _say_error(getattr(error, "format_message", error.__str__)(), 2)
    except (StudyFailed, Stopped) as error:
        status = _say_error(str(error), 1)
    if status == INTERRUPTED:
        status = _say_error("interrupted", 1)
    sys.exit(status or 0)


def _say_error(message: str, status: int) -> int:
    plain = " ".join(message.split()).replace("Value error, ", "")  # what pydantic adds
    print(f"dianet-ray: {plain}", file=sys.stderr)
    return status


def _print_json(document: Any) -> None:
    print(json.dumps(document, indent=1, ensure_ascii=False))


@app.command()
def demo(
    folder: flags.DemoOut = Path("runs/demo"),
) -> None:
    """Run the whole pipeline on a small data set that it makes, printing each command."""
    from dianet_ray.cli.demo import run_demo

    run_demo(output_path(folder), err)


@app.command()
def doctor(
    paths: flags.Paths = None,
    address: flags.Address = None,
    tracking_uri: flags.TrackingUri = None,
    as_json: flags.Json = False,
) -> None:
    """Check this machine, a cluster, folders and the tracking store, and say what to do."""
    from dianet_ray.doctor.checks import examine

    checks = []
    for check in examine(paths or [], address=address, tracking_uri=tracking_uri):
        checks.append(check)
        if as_json:
            continue
        print(f"{check.state:4}  {check.name:8}  {check.found}", flush=True)
        if check.advice:
            print(f"{'':16}to do: {check.advice}", flush=True)
    is_fit = all(check.state != "bad" for check in checks)
    if as_json:
        _print_json({"checks": [asdict(check) for check in checks], "is_fit": is_fit})
    if not is_fit:
        raise typer.Exit(1)


@app.command()
def synth(
    folder: flags.NewFolder,
    layout: flags.Layout = "casme2",
    subjects: flags.NSubjects = 26,
    clips: flags.NClips = 250,
    image_size: flags.FrameSize = 128,
    frames: flags.NFrames = 32,
    seed: flags.Seed = 0,
    null: flags.Null = False,
) -> None:
    """Make a data set of synthetic faces in the layout of a real one."""
    from dianet_ray.progress import Progress
    from dianet_ray.synth.data_set import write_data_set
    from dianet_ray.synth.planning import SynthOptions

    root = output_path(folder)
    options = SynthOptions(
        layout=layout,
        n_subjects=subjects,
        n_clips=clips,
        image_size=image_size,
        n_frames=frames,
        seed=seed,
        null=null,
    )
    with Progress("synth", clips, unit="clips") as progress:
        result = write_data_set(root, options, progress=progress)
    out.print(f"{layout}: {result.n_clips} clips of {subjects} subjects: {root}")


@app.command()
def validate(
    dataset: flags.Dataset,
    root: flags.Root,
    annotations: flags.Annotations = None,
    frames_dir: flags.FramesDir = None,
    apex: flags.Apex = None,
    corrections: flags.Corrections = None,
    crop: flags.Crop = "none",
    manifest: flags.ManifestCsv = None,
    contact_sheet: flags.ContactSheet = None,
    as_json: flags.Json = False,
) -> None:
    """Say what a data set folder holds and what is wrong with it."""
    from dianet_ray.artefacts import to_plain
    from dianet_ray.datasets.contact_sheet import write_contact_sheet
    from dianet_ray.datasets.manifest import write_csv
    from dianet_ray.datasets.summary import summarise
    from dianet_ray.datasets.terminal import render
    from dianet_ray.datasets.validation import inspect
    from dianet_ray.progress import Progress

    options = parse_options(
        PrepareOptions, {"apex": apex, "corrections": corrections, "recipe": {"crop": crop}}
    )
    for flag, path, suffix in (
        ("--manifest", manifest, ".csv"),
        ("--contact-sheet", contact_sheet, ".png"),
    ):
        if path is not None and path.suffix.lower() != suffix:
            raise InputError(f"{flag} writes a {suffix} file: got {path}")
    read = _manifest(dataset, root, annotations, frames_dir, options)
    if manifest is not None and output_path(manifest) in [s.sheet.path for s in read.sources]:
        raise InputError(f"--manifest would overwrite the data set's sheet: {manifest}")
    with Progress("validate", len(read.usable()), unit="clips") as progress:
        found = inspect(read, crop=options.recipe.crop, progress=progress)
    if manifest is not None:
        write_csv(found.manifest.rows, output_path(manifest))
    if contact_sheet is not None:
        write_contact_sheet(found.manifest, output_path(contact_sheet), crop=options.recipe.crop)
    summary = summarise(found, read.hash())
    if as_json:
        _print_json(to_plain(summary))
    else:
        render(summary, tables)


def _manifest(
    dataset: str,
    root: Path,
    annotations: list[Path] | None,
    frames_dirs: list[Path] | None,
    options: PrepareOptions,
) -> Manifest:
    from dianet_ray.datasets.annotations import ChosenPaths
    from dianet_ray.datasets.catalogue import data_set
    from dianet_ray.datasets.corrections import read_corrections
    from dianet_ray.datasets.rules import read_manifest

    chosen = options.corrections
    return read_manifest(
        dataset,
        root,
        chosen=ChosenPaths(tuple(annotations or ()), tuple(frames_dirs or ())),
        apex=options.apex,
        corrections=read_corrections(chosen, data_set(dataset).sources) if chosen else (),
    )


@app.command()
def prepare(
    dataset: flags.Dataset,
    root: flags.Root,
    images: flags.NewImages,
    annotations: flags.Annotations = None,
    frames_dir: flags.FramesDir = None,
    image_size: flags.ImageSize = 64,
    coefficients: flags.Coefficients = "harmonic",
    apex: flags.Apex = None,
    corrections: flags.Corrections = None,
    crop: flags.Crop = "none",
    skip_broken: flags.SkipBroken = False,
    address: flags.Address = None,
    max_workers: flags.MaxWorkers = None,
) -> None:
    """Make dynamic images of every clip with Ray Data."""
    from dianet_ray.artefacts import IMAGES_JSON, LEFT_OUT_CSV
    from dianet_ray.cluster.connection import connected, local_cpus
    from dianet_ray.prepare import driver
    from dianet_ray.progress import Progress

    options = parse_options(
        PrepareOptions,
        {
            "recipe": {"image_size": image_size, "coefficients": coefficients, "crop": crop},
            "apex": apex,
            "corrections": corrections,
            "skip_broken": skip_broken,
            "max_workers": max_workers,
        },
    )
    path = output_path(images)
    found = _manifest(dataset, root, annotations, frames_dir, options)
    n_cpus = local_cpus()
    with (
        connected(address, n_cpus=min(max_workers or n_cpus, n_cpus)),
        Progress("prepare", len(found.usable()), unit="clips") as progress,
    ):
        result = driver.prepare(found, path, options, progress=progress)
    out.print(f"{result.n_clips} clips, {result.n_left_out} left out: {path}{_reused(result)}")
    for one in result.duplicates:
        out.print(f"the same frames under two names: {one.first} and {one.second}")
    if found.unused:
        n_more = len(found.unused) - 3
        more = f" and {n_more} more (validate --json lists all)" if n_more > 0 else ""
        named = ", ".join(map(str, found.unused[:3]))
        out.print(f"corrections that changed nothing: {named}{more}")
    if result.unreadable and not skip_broken:
        raise InputError(
            f"{len(result.unreadable)} clips cannot be read, for example {result.unreadable[0]}; "
            f"all are in {path / LEFT_OUT_CSV}: repair them, delete {path / IMAGES_JSON} and "
            "prepare again (only they will be made), or accept with --skip-broken"
        )


def _reused(result: PrepareResult) -> str:
    if result.is_old:
        return " (done already)"
    return f" ({result.n_reused} made by an earlier run)" if result.n_reused else ""


@app.command()
def search(
    images: flags.ImagesPath,
    study: flags.NewStudy,
    space: flags.SpaceName,
    fixed: flags.Fixed = None,
    classes: flags.Classes = None,
    configs: flags.Configs = None,
    wave_size: flags.WaveSize = None,
    objective: flags.Objective = None,
    strategy: flags.Strategy = "ladder",
    ladder: flags.LadderText = None,
    keep: flags.Keep = None,
    drop: flags.Drop = None,
    max_trainings: flags.MaxTrainings = None,
    max_hours: flags.MaxHours = None,
    seed: flags.StudySeed = None,
    enqueue: flags.Enqueue = None,
    threads_per_training: flags.Threads = None,
    gpus_per_trial: flags.GpusPerTrial = "auto",
    cpus_per_trial: flags.CpusPerTrial = None,
    max_workers: flags.MaxWorkers = None,
    keep_weights: flags.KeepWeights = "3",
    address: flags.Address = None,
    tracking_uri: flags.TrackingUri = None,
    experiment: flags.Experiment = None,
    log_faces: flags.LogFaces = False,
    dry_run: flags.DryRun = False,
) -> None:
    """Train the configurations that the space gives, fold by fold; the same command resumes."""
    started_at = time.time()
    options = parse_options(
        SearchOptions,
        {
            "classes": classes,
            "configs": configs,
            "wave_size": wave_size,
            "objective": objective,
            "strategy": strategy,
            "ladder": ladder,
            "keep": keep,
            "drop": drop,
            "max_trainings": max_trainings,
            "max_hours": max_hours,
            "seed": seed,
            "threads_per_training": threads_per_training,
            "gpus_per_trial": gpus_per_trial,
            "cpus_per_trial": cpus_per_trial,
            "max_workers": max_workers,
            "keep_weights": keep_weights,
        },
    )
    path = output_path(study)
    from dianet_ray.cli.commands import Search
    from dianet_ray.prepare.images import load_images
    from dianet_ray.search.plan import make_plan
    from dianet_ray.search.space_file import read_space

    searched = read_space(space, fixed or [], enqueue)
    loaded = load_images(images.absolute())
    asked = Search(
        lambda: make_plan(loaded, path, space=searched, options=options),
        loaded,
        _tracking(tracking_uri, experiment, log_faces),
        address=address,
        started_at=started_at,
        say=out.print if dry_run else err.print,
    )
    if dry_run:
        asked.dry_run()
        return
    _closing_lines(asked.run(), path, tracking_uri)


def _tracking(uri: str | None, experiment: str | None, log_faces: bool) -> TrackingOptions:
    return TrackingOptions(uri=uri, experiment=experiment, log_faces=log_faces)


def _closing_lines(study: Study, path: Path, tracking_uri: str | None) -> None:
    """Print the champion, or how far the search came, and the commands that come next."""
    from dianet_ray.protocol.standing import standing_of
    from dianet_ray.search.status import status_of
    from dianet_ray.tracking.store import choose_uri, shown, ui_hint

    uri = choose_uri(tracking_uri, path)
    for line in status_of(standing_of(study), path).lines():
        out.print(line)
    where = [] if tracking_uri is None else ["--tracking-uri", shown(uri)]
    here = Path() if is_remote(path) else path.parent  # pages and models are local
    for words in (
        ["report", path, "--html", here / "report.html"],
        ["collect", here / "models", "--study", path, *where],
    ):
        out.print(shlex.join(["dianet-ray", *map(str, words)]))
    out.print(ui_hint(uri))


@app.command()
def status(study: flags.StudyPath, as_json: flags.Json = False) -> None:
    """Say how far a study is, from any shell that sees it."""
    from dianet_ray.protocol.standing import standing_of
    from dianet_ray.search.status import status_of
    from dianet_ray.search.study_file import load_study

    found = status_of(standing_of(load_study(study)), study)
    if as_json:
        _print_json(found.document())
    else:
        out.print(*found.lines(), sep="\n")


@app.command()
def track(
    study: flags.StudyPath,
    tracking_uri: flags.TrackingUri = None,
    experiment: flags.Experiment = None,
    log_faces: flags.LogFaces = False,
) -> None:
    """Write a study to MLflow again, from its ledger."""
    from dianet_ray.cli import commands

    uri = commands.track(study.absolute(), _tracking(tracking_uri, experiment, log_faces))
    from dianet_ray.tracking.store import shown

    out.print(f"{study.absolute()} is in {shown(uri)}")


@app.command()
def report(
    study: flags.StudyPath,
    as_json: flags.Json = False,
    html: flags.Html = None,
    predictions: flags.PredictionsCsv = None,
    no_faces: flags.NoFaces = False,
) -> None:
    """Report a study: scores, intervals, chance, and what the search adds to them."""
    from dianet_ray.cli import commands
    from dianet_ray.protocol.standing import standing_of
    from dianet_ray.report.document import summarise
    from dianet_ray.report.held_out import write_predictions
    from dianet_ray.report.terminal import render
    from dianet_ray.search.study_file import load_study

    found = standing_of(load_study(study))
    document = summarise(found)
    if html is not None:
        commands.write_page(found.study, document, output_path(html), with_faces=not no_faces)
    if predictions is not None:
        write_predictions(found, output_path(predictions))
    if as_json:
        _print_json(to_plain(document))
        return
    render(document, tables)
    for path in (html, predictions):
        if path is not None:
            out.print(f"written: {path.absolute()}")


@app.command()
def collect(
    folder: flags.NewModel,
    study: flags.OfStudy = None,
    model: flags.OfModel = None,
    tracking_uri: flags.TrackingUri = None,
) -> None:
    """Collect the champion's fold models out of MLflow, checksums verified."""
    from dianet_ray.cli import commands

    path = output_path(folder)
    card = commands.collect_models(
        path,
        study_path=None if study is None else study.absolute(),
        model=model,
        tracking_uri=tracking_uri,
    )
    out.print(f"{len(card.folds)} fold models of configuration {card.config_id}: {path}")


@app.command()
def predict(
    model: flags.ModelPath,
    clips: flags.Clips,
    onset: flags.OnsetFrame = None,
    apex: flags.ApexFrame = None,
    offset: flags.OffsetFrame = None,
    subject: flags.Subject = None,
    as_json: flags.Json = False,
) -> None:
    """Predict clips with the collected fold models."""
    from dianet_ray.ensemble.predict import Moments
    from dianet_ray.ensemble.predict import predict as predict_clips

    moments = Moments(onset=onset, apex=apex, offset=offset)
    found = predict_clips(model, clips, moments=moments, subject=subject)
    if as_json:
        _print_json([to_plain(one) for one in found])
        return
    for one in found:
        shares = "  ".join(f"{name} {p:.2f}" for name, p in one.probabilities.items())
        apex_from = "spotted" if one.apex_from == "spot" else "given"
        models = f"{one.n_models} model{'' if one.n_models == 1 else 's'}"
        out.print(f"{one.clip}: {one.label}  ({shares})")
        out.print(
            f"  onset {one.onset}, apex {one.apex} ({apex_from}), offset {one.offset}; "
            f"{models} ({one.models}): {one.note}"
        )
