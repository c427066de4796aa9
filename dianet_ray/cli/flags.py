"""The arguments and options of the command line, each declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from dianet_ray.storage.files import located

NewFolder = Annotated[Path, Argument(metavar="DIR", help="A new or empty folder.")]
Dataset = Annotated[
    str,
    Argument(
        metavar="DATASET",
        help="casme2, samm, mmew, smic, casme3, fourdme, megc2019 or table.",
    ),
]
Root = Annotated[Path, Argument(metavar="ROOT", help="The data set's folder.")]
NewImages = Annotated[
    Path, Argument(metavar="OUT", parser=located, help="IMAGES, a new folder, s3:// or gs://.")
]
ImagesPath = Annotated[Path, Argument(metavar="IMAGES", parser=located, help="What prepare made.")]
NewStudy = Annotated[
    Path,
    Argument(
        metavar="STUDY", parser=located, help="A new folder, or one to resume; s3://, gs://."
    ),
]
StudyPath = Annotated[Path, Argument(metavar="STUDY", parser=located, help="What search made.")]
NewModel = Annotated[Path, Argument(metavar="OUT", help="A new or empty folder.")]
ModelPath = Annotated[Path, Argument(metavar="MODEL_DIR", help="What collect made.")]
Clips = Annotated[list[Path], Argument(metavar="CLIP...", help="Folders of frames, or videos.")]

Paths = Annotated[
    list[Path] | None,
    Argument(metavar="PATH", parser=located, help="Folders for IMAGES, STUDY; s3://, gs://."),
]

Json = Annotated[bool, Option("--json", help="Print one JSON document.")]
Seed = Annotated[int, Option("--seed", min=0, help="Decides everything drawn.")]
Address = Annotated[
    str | None,
    Option(
        "--address",
        help="Ray cluster (host:6379 or auto); default: RAY_ADDRESS, else a local Ray.",
    ),
]
MaxWorkers = Annotated[int | None, Option("--max-workers", min=1, help="At most so many.")]

DemoOut = Annotated[Path, Option("--out", help="Where everything goes.")]

Layout = Annotated[
    str,
    Option(
        "--layout",
        metavar="NAME",
        help="casme2, samm, mmew, smic, casme3, fourdme, table or megc2019.",
    ),
]
NSubjects = Annotated[int, Option("--subjects", help="Number of people.")]
NClips = Annotated[int, Option("--clips", help="Number of clips in all.")]
FrameSize = Annotated[int, Option("--image-size", help="Side of a frame in pixels.")]
NFrames = Annotated[int, Option("--frames", help="Typical number of frames of a clip.")]
Null = Annotated[bool, Option("--null", help="Draw labels independently of the images.")]

Annotations = Annotated[
    list[Path] | None,
    Option("--annotations", help="The sheet, when ROOT holds several; megc2019: one per part."),
]
FramesDir = Annotated[
    list[Path] | None,
    Option("--frames-dir", help="The frames, when ROOT holds several; megc2019: one per part."),
]
Corrections = Annotated[
    str | None,
    Option(
        "--corrections",
        metavar="published|FILE",
        help="Replace cells of the sheet: the published corrections, or a CSV like theirs.",
    ),
]
Crop = Annotated[
    str,
    Option(
        "--crop",
        help="none; face: the onset frame's face, a clip without is left out; face-or-centre.",
    ),
]
ContactSheet = Annotated[
    Path | None,
    Option("--contact-sheet", help="Write a PNG: moments and dynamic images of some clips."),
]
ManifestCsv = Annotated[
    Path | None, Option("--manifest", help="Write a CSV, one row per clip with state and reason.")
]
ImageSize = Annotated[int, Option("--image-size", help="Side of a dynamic image in pixels.")]
Coefficients = Annotated[str, Option("--coefficients", help="harmonic or linear.")]
Apex = Annotated[
    str | None,
    Option(
        "--apex",
        metavar="annotated|midpoint|spot",
        help="A clip without: annotated leaves it out, midpoint takes the middle, spot the frame "
        "of largest motion. Default: annotated, midpoint for a data set that has no apexes.",
    ),
]
SkipBroken = Annotated[
    bool, Option("--skip-broken", help="Exit with 0 although clips cannot be read.")
]

SpaceName = Annotated[str, Option("--space", help="A shipped space or a YAML file.")]
Fixed = Annotated[list[str] | None, Option("--set", metavar="NAME=VALUE", help="Fix a dimension.")]
Classes = Annotated[
    str | None,
    Option(
        "--classes",
        metavar="SET|FILE",
        help="A label set (casme2:5, samm:5, mmew:6, megc2019:3, all, ...) or a YAML file that "
        "maps labels to classes.",
    ),
]
Configs = Annotated[
    int | None, Option("--configs", help="Configurations; default 32, may grow on resume.")
]
WaveSize = Annotated[
    int | None, Option("--wave-size", help="Drawn together; default min(8, configurations).")
]
Objective = Annotated[
    str | None, Option("--objective", help="uf1 (default), uar or accuracy, pooled over folds.")
]
Strategy = Annotated[
    str,
    Option(
        "--strategy",
        help="ladder: screen on groups of people, the best climb to LOSO; exhaustive: every fold "
        "of every configuration.",
    ),
]
LadderText = Annotated[
    str | None,
    Option(
        "--ladder",
        metavar="GROUPS[*STEPS],...",
        help="The rungs below LOSO, with shares of the steps; default: the space's, or 3*0.5.",
    ),
]
Keep = Annotated[
    str | None,
    Option("--keep", metavar="SHARE", help="Of a rung that climb; default: the space's, or 1/16."),
]
Drop = Annotated[
    str | None,
    Option(
        "--drop",
        metavar="none|bootstrap",
        help="Stop hopeless configurations inside a rung; default bootstrap.",
    ),
]
MaxTrainings = Annotated[
    int | None,
    Option("--max-trainings", help="Draw no wave with which the study could need more."),
]
MaxHours = Annotated[
    float | None,
    Option("--max-hours", help="Draw no wave with which the study would take longer."),
]
StudySeed = Annotated[
    int | None, Option("--seed", help="Decides folds, draws and trainings; default 0.")
]
Enqueue = Annotated[
    Path | None, Option("--enqueue", help="A YAML list of settings that run first.")
]
Threads = Annotated[
    int | None, Option("--threads-per-training", help="CPU threads of a training; default 1.")
]
GpusPerTrial = Annotated[
    str, Option("--gpus-per-trial", help="auto is 0.25 where the cluster has GPUs, else 0.")
]
CpusPerTrial = Annotated[
    float | None, Option("--cpus-per-trial", help="Default: the threads of a training.")
]
KeepWeights = Annotated[
    str, Option("--keep-weights", help="Of how many best configurations, or all.")
]
DryRun = Annotated[bool, Option("--dry-run", help="Print the plan and stop.")]

TrackingUri = Annotated[
    str | None,
    Option(
        "--tracking-uri",
        help="MLflow store; default: MLFLOW_TRACKING_URI, else an SQLite file beside the study.",
    ),
]
Experiment = Annotated[
    str | None, Option("--experiment", help="Default: MLFLOW_EXPERIMENT_NAME, else dianet-ray.")
]
LogFaces = Annotated[
    bool, Option("--log-faces", help="Also log example images, which show persons.")
]

Html = Annotated[Path | None, Option("--html", help="Write a self-contained page.")]
PredictionsCsv = Annotated[
    Path | None, Option("--predictions", help="Write the champion's held-out predictions.")
]
NoFaces = Annotated[bool, Option("--no-faces", help="No image of a person on the page.")]
OfStudy = Annotated[
    Path | None, Option("--study", parser=located, metavar="STUDY", help="The champion of STUDY.")
]
OfModel = Annotated[str | None, Option("--model", help="A registered model: NAME@champion.")]

OnsetFrame = Annotated[int | None, Option("--onset", help="Default: the first frame.")]
ApexFrame = Annotated[
    int | None, Option("--apex", help="Default: spotted, the frame of largest motion.")
]
OffsetFrame = Annotated[int | None, Option("--offset", help="Default: the last frame.")]
Subject = Annotated[
    str | None, Option("--subject", help="Let no model vote that has seen this person.")
]
