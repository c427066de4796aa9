"""The commands in pipeline order: parse, call, print.

Results go to stdout, progress and logs to stderr. Exit status: 0 done, 2 the user's input is wrong
(one line), 1 anything else. Heavy libraries are imported by the command that needs them.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from typer.exceptions import TyperException

from dianet_ray.errors import InputError
from dianet_ray.options import (
    PrepareOptions,
    SearchOptions,
    TrackingOptions,
    output_path,
    parse_options,
)

if TYPE_CHECKING:
    from dianet_ray.protocol.study import Study

app = typer.Typer(
    help="Search DIANet's hyper-parameters over every leave-one-subject-out fold.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
err = Console(stderr=True, highlight=False, soft_wrap=True)
out = Console(highlight=False, soft_wrap=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Decides everything drawn.")]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        help="Ray cluster (host:6379 or auto); default: RAY_ADDRESS, else a local Ray.",
    ),
]
MaxWorkers = Annotated[int | None, typer.Option("--max-workers", min=1, help="At most so many.")]
Annotations = Annotated[
    Path | None, typer.Option("--annotations", help="The workbook, when ROOT holds several.")
]
FramesDir = Annotated[
    Path | None, typer.Option("--frames-dir", help="The frames, when ROOT holds several folders.")
]
TrackingUri = Annotated[
    str | None,
    typer.Option(
        "--tracking-uri",
        help="MLflow store; default: MLFLOW_TRACKING_URI, else an SQLite file beside the study.",
    ),
]
Experiment = Annotated[
    str | None,
    typer.Option("--experiment", help="Default: MLFLOW_EXPERIMENT_NAME, else dianet-ray."),
]
LogFaces = Annotated[
    bool, typer.Option("--log-faces", help="Also log example images, which show persons.")
]


def main() -> None:
    """Run the command line and exit with its status."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    try:
        status = app(prog_name="dianet-ray", standalone_mode=False)
    except InputError as error:
        status = _say_error(str(error), 2)
    except TyperException as error:
        status = _say_error(getattr(error, "format_message", error.__str__)(), 2)
    except KeyboardInterrupt:
        status = _say_error("interrupted", 1)
    sys.exit(status or 0)


def _say_error(message: str, status: int) -> int:
    print(f"dianet-ray: {' '.join(message.split())}", file=sys.stderr)
    return status


def _print_json(document: Any) -> None:
    print(json.dumps(document, indent=1, ensure_ascii=False))


@app.command()
def demo(
    folder: Annotated[Path, typer.Option("--out", help="Where everything goes.")] = Path(
        "runs/demo"
    ),
) -> None:
    """Run the whole pipeline on a small data set that it makes, printing each command."""
    from dianet_ray.demo import run_demo

    run_demo(output_path(folder), err)


@app.command()
def synth(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")],
    subjects: Annotated[int, typer.Option("--subjects", help="Number of people.")] = 26,
    clips: Annotated[int, typer.Option("--clips", help="Number of clips in all.")] = 250,
    image_size: Annotated[int, typer.Option("--image-size", help="Side of a frame, px.")] = 128,
    frames: Annotated[int, typer.Option("--frames", help="Frames per clip, on average.")] = 32,
    seed: Seed = 0,
    null: Annotated[
        bool, typer.Option("--null", help="Draw labels independently of the images.")
    ] = False,
) -> None:
    """Make a data set of synthetic faces in CASME II's layout."""
    from dianet_ray.data.synth import write_casme2
    from dianet_ray.progress import Progress

    root = output_path(folder)
    with Progress("synth", clips, unit="clips") as progress:
        result = write_casme2(
            root,
            n_subjects=subjects,
            n_clips=clips,
            image_size=image_size,
            n_frames=frames,
            seed=seed,
            null=null,
            progress=progress,
        )
    out.print(f"{result.n_clips} clips of {subjects} people: {root}")


@app.command()
def validate(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="casme2")],
    root: Annotated[Path, typer.Argument(metavar="ROOT", help="The data set's folder.")],
    annotations: Annotations = None,
    frames_dir: FramesDir = None,
    manifest: Annotated[
        Path | None, typer.Option("--manifest", help="Write a CSV, one row per clip.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what a data set folder holds and what is wrong with it."""
    from dianet_ray.data.manifest import read_manifest, render, summarise, write_csv

    found = read_manifest(dataset, root, annotations=annotations, frames_dir=frames_dir)
    if manifest is not None:
        write_csv(found.rows, output_path(manifest))
    summary = summarise(found)
    if as_json:
        _print_json(summary)
    else:
        render(summary, out)


@app.command()
def prepare(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="casme2")],
    root: Annotated[Path, typer.Argument(metavar="ROOT", help="The data set's folder.")],
    images: Annotated[Path, typer.Argument(metavar="OUT", help="IMAGES, a new folder.")],
    annotations: Annotations = None,
    frames_dir: FramesDir = None,
    image_size: Annotated[int, typer.Option("--image-size", help="Side of an image, px.")] = 64,
    coefficients: Annotated[
        str, typer.Option("--coefficients", help="harmonic or linear.")
    ] = "harmonic",
    apex: Annotated[
        str,
        typer.Option("--apex", help="Without an apex: annotated leaves out, midpoint takes it."),
    ] = "annotated",
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="Exit 0 although clips cannot be read.")
    ] = False,
    address: Address = None,
    max_workers: MaxWorkers = None,
) -> int:
    """Make dynamic images of every clip with Ray Data."""
    from dianet_ray.cluster import connected
    from dianet_ray.data import dynamic_images
    from dianet_ray.data.manifest import read_manifest
    from dianet_ray.progress import Progress
    from dianet_ray.schemas import LEFT_OUT, LEFT_OUT_CSV

    options = parse_options(
        PrepareOptions,
        {
            "image_size": image_size,
            "coefficients": coefficients,
            "apex": apex,
            "skip_broken": skip_broken,
            "max_workers": max_workers,
        },
    )
    path = output_path(images)
    found = read_manifest(
        dataset, root, annotations=annotations, frames_dir=frames_dir, apex=options.apex
    )
    n_usable = sum(row.state != LEFT_OUT for row in found.rows)
    with (
        connected(address, n_cpus=max_workers),
        Progress("prepare", n_usable, unit="clips") as progress,
    ):
        result = dynamic_images.prepare(found, path, options, progress=progress)
    done = " (done already)" if result.reused else ""
    out.print(f"{result.n_clips} clips, {result.n_left_out} left out: {path}{done}")
    if result.unreadable and not skip_broken:
        raise InputError(
            f"{len(result.unreadable)} clips cannot be read, for example {result.unreadable[0]}; "
            f"all are in {path / LEFT_OUT_CSV}: repair them, delete {path} and prepare again, or "
            "accept with --skip-broken"
        )
    return 0


@app.command()
def search(
    images: Annotated[Path, typer.Argument(metavar="IMAGES", help="What prepare made.")],
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="A new folder, or to resume.")],
    space: Annotated[str, typer.Option("--space", help="A shipped space or a YAML file.")],
    fixed: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Fix a dimension.")
    ] = None,
    classes: Annotated[
        str | None, typer.Option("--classes", help="A label set, or a YAML file mapping labels.")
    ] = None,
    configs: Annotated[
        int | None, typer.Option("--configs", help="Configurations, 32; may grow on resume.")
    ] = None,
    wave_size: Annotated[
        int | None, typer.Option("--wave-size", help="Drawn together; min(8, configurations).")
    ] = None,
    objective: Annotated[
        str | None, typer.Option("--objective", help="uf1 (default), uar or accuracy.")
    ] = None,
    strategy: Annotated[str, typer.Option("--strategy", help="exhaustive.")] = "exhaustive",
    seed: Annotated[int | None, typer.Option("--seed", help="0.")] = None,
    enqueue: Annotated[
        Path | None, typer.Option("--enqueue", help="A YAML list of settings that run first.")
    ] = None,
    threads_per_training: Annotated[
        int | None, typer.Option("--threads-per-training", help="CPU threads, 1.")
    ] = None,
    gpus_per_trial: Annotated[
        str, typer.Option("--gpus-per-trial", help="auto: 0.25 where the cluster has GPUs.")
    ] = "auto",
    cpus_per_trial: Annotated[
        float | None, typer.Option("--cpus-per-trial", help="Default: the threads.")
    ] = None,
    max_workers: MaxWorkers = None,
    keep_weights: Annotated[
        str, typer.Option("--keep-weights", help="Of so many best configurations, or all.")
    ] = "3",
    address: Address = None,
    tracking_uri: TrackingUri = None,
    experiment: Experiment = None,
    log_faces: LogFaces = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
) -> None:
    """Train every fold of every configuration that the space gives; the same command resumes."""
    started_at = time.time()
    if strategy != "exhaustive":
        raise InputError(f"--strategy is exhaustive: got {strategy}")
    options = parse_options(
        SearchOptions,
        {
            "classes": classes,
            "configs": configs,
            "wave_size": wave_size,
            "objective": objective,
            "seed": seed,
            "threads_per_training": threads_per_training,
            "gpus_per_trial": gpus_per_trial,
            "cpus_per_trial": cpus_per_trial,
            "max_workers": max_workers,
            "keep_weights": keep_weights,
        },
    )
    path = output_path(study)
    from dianet_ray.commands import Search
    from dianet_ray.data.images import load_images
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
    from dianet_ray.search.status import status_of
    from dianet_ray.tracking.store import choose_uri

    uri = choose_uri(tracking_uri, path)
    for line in status_of(study, path)["lines"]:
        out.print(line)
    store = "" if tracking_uri is None else f" --tracking-uri {uri}"
    out.print(f"dianet-ray report {path} --html {path.parent / 'report.html'}")
    out.print(f"dianet-ray collect {path.parent / 'models'} --study {path}{store}")
    out.print(f"mlflow ui --backend-store-uri {uri}")


@app.command()
def status(study: Annotated[Path, typer.Argument(metavar="STUDY")], as_json: Json = False) -> None:
    """Say how far a study is, from any shell that sees it."""
    from dianet_ray.search.status import status_of
    from dianet_ray.search.study_view import load_study

    found = status_of(load_study(study), study)
    lines = found.pop("lines")
    if as_json:
        _print_json(found)
    else:
        out.print(*lines, sep="\n")


@app.command()
def track(
    study: Annotated[Path, typer.Argument(metavar="STUDY")],
    tracking_uri: TrackingUri = None,
    experiment: Experiment = None,
    log_faces: LogFaces = False,
) -> None:
    """Write a study to MLflow again, from its ledger."""
    from dianet_ray import commands

    uri = commands.track(study.absolute(), _tracking(tracking_uri, experiment, log_faces))
    out.print(f"{study.absolute()} is in {uri}")


@app.command()
def report(
    study: Annotated[Path, typer.Argument(metavar="STUDY")],
    as_json: Json = False,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page.")] = None,
    predictions: Annotated[
        Path | None, typer.Option("--predictions", help="Write the champion's as a CSV.")
    ] = None,
    no_faces: Annotated[
        bool, typer.Option("--no-faces", help="No image of a person on the page.")
    ] = False,
) -> None:
    """Report a study: scores, intervals, chance, and what the search adds to them."""
    from dianet_ray import commands
    from dianet_ray.search.study_view import load_study
    from dianet_ray.summary import report as reports

    found = load_study(study)
    document = reports.summarise(found)
    if html is not None:
        commands.write_page(found, document, output_path(html), with_faces=not no_faces)
    if predictions is not None:
        reports.write_predictions(found, output_path(predictions))
    if as_json:
        _print_json(document)
        return
    reports.render(document, out)
    for path in (html, predictions):
        if path is not None:
            out.print(f"written: {path.absolute()}")


@app.command()
def collect(
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="A new or empty folder.")],
    study: Annotated[Path | None, typer.Option("--study", help="The champion of STUDY.")] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="A registered model: NAME@champion.")
    ] = None,
    tracking_uri: TrackingUri = None,
) -> None:
    """Collect the champion's fold models out of MLflow, checksums verified."""
    from dianet_ray import commands

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
    model: Annotated[Path, typer.Argument(metavar="MODEL_DIR", help="What collect made.")],
    clips: Annotated[list[Path], typer.Argument(metavar="CLIP...", help="Folders of frames.")],
    onset: Annotated[int | None, typer.Option("--onset", help="Default: first frame.")] = None,
    apex: Annotated[int | None, typer.Option("--apex", help="Default: the midpoint.")] = None,
    offset: Annotated[int | None, typer.Option("--offset", help="Default: last frame.")] = None,
    subject: Annotated[
        str | None, typer.Option("--subject", help="Let no model vote that saw this person.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Predict clips with the collected fold models."""
    from dianet_ray.summary import predict as predictions

    found = predictions.predict(
        model, clips, onset=onset, apex=apex, offset=offset, subject=subject
    )
    if as_json:
        _print_json(found)
        return
    for answer in found:
        shares = "  ".join(f"{name} {p:.2f}" for name, p in answer["probabilities"].items())
        out.print(f"{answer['clip']}: {answer['label']}  ({shares})")
        out.print(
            f"  frames {answer['onset']}, {answer['apex']} ({answer['apex_from']}), "
            f"{answer['offset']}; {answer['n_models']} models, {answer['models']}: "
            f"{answer['note']}"
        )
