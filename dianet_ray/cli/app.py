"""The commands in the order of the pipeline: each reads its options, calls one stage and prints.

Exit status: 0 for done, 2 for bad input (reported in one line), 1 for anything else. Each command
imports the heavy libraries that it needs, so that `--help` needs none.
"""

from __future__ import annotations

import logging
import sys
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path

import typer
from typer.exceptions import TyperException

from dianet_ray.artefacts import to_plain
from dianet_ray.cli import flags
from dianet_ray.cli.console import (
    err,
    open_streams,
    out,
    print_check,
    print_error,
    print_json,
    print_outcome,
    print_prediction,
    speaking,
    table_console,
)
from dianet_ray.cli.words import check_text, unusable
from dianet_ray.cluster.connection import check_python
from dianet_ray.errors import InputError, Stopped, StudyFailed
from dianet_ray.options import PrepareOptions, SearchOptions, TrackingOptions
from dianet_ray.progress import Progress, count
from dianet_ray.storage.outputs import output_path

app = typer.Typer(
    help="Find hyper-parameters of DIANet that generalise to unseen subjects.",
    add_completion=False,
    no_args_is_help=True,
    # A traceback must stay a plain one: it ends up in logs and bug reports.
    pretty_exceptions_enable=False,
    # Help texts hold brackets, as in GROUPS[*STEPS], which are no markup.
    rich_markup_mode=None,
    context_settings={"max_content_width": 100},
)

VALIDATE_OPTIONS = (
    *("apex", "corrections", "crop", "fill_gaps", "label_conflicts", "merge_subjects"),
    "skip_broken",
)
"""The options of `prepare` that `validate` takes too."""

INTERRUPTED = 130
"""What typer returns after a KeyboardInterrupt."""


def main() -> None:
    """Run the command line and exit with its status."""
    open_streams()
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    with speaking():
        _run()


def _run() -> None:
    try:
        check_python(sys.version_info)
        check_text(sys.argv[1:])
        # Standalone, typer would print its own box and choose its own exit status.
        status = app(prog_name="dianet-ray", standalone_mode=False)
    except (InputError, TyperException) as error:
        status = print_error(error, 2)
    except OSError as error:
        status = print_error(unusable(error), 2)
    except (StudyFailed, Stopped) as error:
        status = print_error(error, 1)
    if status == INTERRUPTED:
        status = print_error(Stopped("interrupted"), 1)
    sys.exit(status or 0)


@app.command()
def demo(folder: flags.DemoOut = Path("runs/demo")) -> None:
    """Run all commands on a small synthetic data set.

    Each command is printed before it runs. Results of an earlier demo are used again.
    """
    from dianet_ray.cli.demo import run_demo

    run_demo(output_path(folder), err)


@app.command()
def doctor(
    paths: flags.Paths = None,
    address: flags.Address = None,
    tracking_uri: flags.TrackingUri = None,
    as_json: flags.Json = False,
) -> None:
    """Check that a search can run here and on a cluster.

    Checks the installation, the cluster, the folders and the MLflow store, and says what to do
    about each problem. Exits with status 1 if something is bad.
    """
    from dianet_ray.doctor.checks import examine

    checks = []
    for check in examine(paths or [], address=address, tracking_uri=tracking_uri):
        checks.append(check)
        if not as_json:
            print_check(check)
    # Every check has run by now: one bad line must not hide the next.
    is_fit = all(check.state != "bad" for check in checks)
    if as_json:
        print_json({"checks": [asdict(check) for check in checks], "is_fit": is_fit})
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
    counted = f"{count(result.n_clips, 'clip')} of {count(subjects, 'subject')}"
    out.print(f"{layout}: {counted}: {root}")


@app.command()
@flags.takes(PrepareOptions, "options", only=VALIDATE_OPTIONS)
def validate(
    dataset: flags.Dataset,
    root: flags.Root,
    annotations: flags.Annotations = None,
    sheet: flags.SheetName = None,
    frames_dir: flags.FramesDir = None,
    manifest: flags.ManifestCsv = None,
    contact_sheet: flags.ContactSheet = None,
    as_json: flags.Json = False,
    *,
    options: PrepareOptions,
) -> None:
    """Show what a data set holds and what is wrong with it.

    Exits with status 2 if no clip can be used or a frame that it reads cannot be read, as
    prepare does, which reads all frames.
    For DATASET table, ROOT holds a CSV, parquet or xlsx file with the columns clip, subject,
    label, onset, apex and offset. clip is the path below ROOT of a folder of frames or a video.
    Usual titles are read too, such as Filename, Emotion and Onset Frame. With --apex midpoint or
    spot no apex column is needed.
    """
    from dianet_ray.cli import preparing, validating
    from dianet_ray.datasets.summary import summarise
    from dianet_ray.datasets.terminal import render

    outputs = validating.Outputs(manifest, contact_sheet)
    outputs.check_suffixes()
    chosen = preparing.chosen_paths(annotations, frames_dir, sheet)
    found = preparing.read(dataset, root, chosen, options)
    outputs = outputs.beside(found, options.corrections)
    inspected = validating.look(found, options.recipe)
    summary = summarise(inspected, found.hash())
    # First, so that a picture for which there is no clip does not hide why.
    if as_json:
        print_json(to_plain(summary))
    else:
        render(summary, table_console())
    for path in validating.write(inspected.manifest, outputs, options.recipe):
        if not as_json:
            out.print(f"written: {path}")
    validating.refuse_as_prepare(inspected.manifest, skip_broken=options.skip_broken)


@app.command()
@flags.takes(PrepareOptions, "options")
def prepare(
    dataset: flags.Dataset,
    root: flags.Root,
    images: flags.NewImages,
    annotations: flags.Annotations = None,
    sheet: flags.SheetName = None,
    frames_dir: flags.FramesDir = None,
    address: flags.Address = None,
    *,
    options: PrepareOptions,
) -> None:
    """Make the dynamic images of every clip.

    A repeated command continues where an interrupted one stopped. For DATASET table, ROOT holds
    a CSV, parquet or xlsx file with the columns clip, subject, label, onset, apex and offset.
    clip is the path below ROOT of a folder of frames or a video. Usual titles are read too, such
    as Filename, Emotion and Onset Frame. With --apex midpoint or spot no apex column is needed.
    """
    from dianet_ray.cli import preparing

    # Before anything is read: a wrong OUT must not cost a pass over the data set.
    path = output_path(images)
    chosen = preparing.chosen_paths(annotations, frames_dir, sheet)
    manifest = preparing.read(dataset, root, chosen, options)
    if said := preparing.warning(manifest, len(manifest.rows) - len(manifest.usable())):
        err.print(said)  # before the work, which may take hours
    result = preparing.make(manifest, path, options, address)
    for line in preparing.lines(manifest, result, path):
        out.print(line)
    if not options.skip_broken:
        preparing.refuse_unreadable(result, path)


@app.command()
@flags.takes(TrackingOptions, "tracking")
@flags.takes(SearchOptions, "options")
def search(
    images: flags.ImagesPath,
    study: flags.NewStudy,
    space: flags.SpaceName,
    fixed: flags.Fixed = None,
    enqueue: flags.Enqueue = None,
    network: flags.Network = None,
    address: flags.Address = None,
    dry_run: flags.DryRun = False,
    *,
    options: SearchOptions,
    tracking: TrackingOptions,
) -> None:
    """Search for the configuration that generalises best.

    Trains configurations of the space fold by fold. The same command again resumes the study.
    """
    # Before the imports below: they are part of the time that the user waits.
    started_at = time.time()
    path = output_path(study)
    from dianet_ray.cli.searching import Search
    from dianet_ray.prepare.images import load_images
    from dianet_ray.search.plan import make_plan
    from dianet_ray.search.space_file import read_space

    searched = read_space(space, fixed or [], enqueue, network)
    loaded = load_images(images.absolute())
    asked = Search(
        partial(make_plan, loaded, path, space=searched, options=options),
        loaded,
        tracking,
        address=address,
        started_at=started_at,
        # In a dry run the plan is the result, so it goes to stdout.
        say=out.print if dry_run else err.print,
    )
    if dry_run:
        asked.dry_run()
    else:
        print_outcome(asked.run(), path, tracking)


@app.command()
def status(study: flags.StudyPath, as_json: flags.Json = False) -> None:
    """Show how far a study has come, also while its search runs."""
    from dianet_ray.protocol.standing import standing_of
    from dianet_ray.search.status import status_of
    from dianet_ray.search.study_file import load_study

    found = status_of(standing_of(load_study(study)), study)
    if as_json:
        print_json(found.document())
    else:
        out.print(*found.lines(), sep="\n")


@app.command()
@flags.takes(TrackingOptions, "tracking")
def track(study: flags.StudyPath, *, tracking: TrackingOptions) -> None:
    """Write a study to MLflow again, from its ledger."""
    from dianet_ray.cli.publishing import track as write
    from dianet_ray.tracking.store import shown

    uri = write(study.absolute(), tracking)
    out.print(f"{study.absolute()} is in {shown(uri)}")


@app.command()
def report(
    studies: flags.StudyPaths,
    as_json: flags.Json = False,
    html: flags.Html = None,
    predictions: flags.PredictionsCsv = None,
    latex: flags.Latex = None,
    no_faces: flags.NoFaces = False,
    trust_code: flags.TrustCode = False,
    compare: flags.Compare = None,
) -> None:
    """Report the scores of a study, or compare some over the same clips.

    Beside the champion's score stands `corrected`: the score to expect on new subjects, without
    the optimism of choosing the best of many configurations.
    """
    if compare is not None or len(studies) > 1:
        _compare(studies, compare, files=[html, predictions, latex], as_json=as_json)
        return
    (study,) = studies
    from dianet_ray.cli.publishing import examples_of, outside
    from dianet_ray.protocol.standing import standing_of
    from dianet_ray.report.document import summarise
    from dianet_ray.report.held_out import write_predictions
    from dianet_ray.report.latex import write_latex
    from dianet_ray.report.page import write as write_page
    from dianet_ray.report.terminal import render
    from dianet_ray.search.study_file import load_study

    html, predictions, latex = outside(study, html, predictions, latex)
    found = standing_of(load_study(study))
    # Computed once; terminal, page and JSON are views of it and cannot disagree.
    document = summarise(found)
    if html is not None:
        shown = None if no_faces else examples_of(found, study, trusts_code=trust_code)
        write_page(document, shown, html)
    if predictions is not None:
        write_predictions(found, predictions)
    if latex is not None:
        write_latex(document, latex)
    if as_json:
        print_json(to_plain(document))
        return
    render(document, table_console())
    for path in (html, predictions, latex):
        if path is not None:
            out.print(f"written: {path.absolute()}")


def _compare(
    studies: list[Path], wanted: str | None, *, files: list[Path | None], as_json: bool
) -> None:
    from dianet_ray.cli.comparing import compare
    from dianet_ray.report.terminal import render_contrasts

    if any(files):
        raise InputError("--html, --predictions and --latex are of one study without --compare")
    found = compare(studies, wanted)
    if as_json:
        print_json(to_plain(found))
    else:
        render_contrasts(found, table_console())


@app.command()
def collect(
    folder: flags.NewModel,
    study: flags.OfStudy = None,
    model: flags.OfModel = None,
    seeds: flags.AllSeeds = False,
    tracking_uri: flags.TrackingUri = None,
) -> None:
    """Collect the champion's fold models from MLflow.

    Every file is verified by its checksum.
    """
    from dianet_ray.cli.collecting import collect_models

    path = output_path(folder)
    card = collect_models(
        path,
        study_path=None if study is None else study.absolute(),
        model=model,
        tracking_uri=tracking_uri,
        seeds=seeds,
    )
    counted = count(len(card.folds), "fold model")
    out.print(f"{counted} of configuration {card.config_id}: {path}")


@app.command()
def predict(
    model: flags.ModelPath,
    clips: flags.Clips,
    onset: flags.OnsetFrame = None,
    apex: flags.ApexFrame = None,
    offset: flags.OffsetFrame = None,
    subject: flags.Subject = None,
    trust_code: flags.TrustCode = False,
    as_json: flags.Json = False,
) -> None:
    """Predict the classes of clips with collected fold models."""
    from dianet_ray.ensemble.predict import Moments, predict_each

    moments = Moments(onset=onset, apex=apex, offset=offset)
    # A clip that cannot be predicted must not cost those before it.
    done = []
    try:
        for one in predict_each(
            model, clips, moments=moments, subject=subject, trusts_code=trust_code
        ):
            done.append(to_plain(one))
            if not as_json:
                print_prediction(one)
    finally:
        if as_json and done:
            print_json(done)
