"""The arguments and options of the command line, each declared once.

An option that belongs to a command is declared here. Those that a model of `dianet_ray.options`
holds are declared there, and `takes` makes options of its fields.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from typer import Argument, Option

from dianet_ray.datasets.releases import DATASETS
from dianet_ray.options import Options, TrackingOptions, flags_of, parse_options
from dianet_ray.settings import setting_names
from dianet_ray.storage.addresses import located
from dianet_ray.synth.layouts import LAYOUTS

if TYPE_CHECKING:
    # A type checker cannot know what the folders hold.
    DatasetName = str
    LayoutName = str
else:
    DatasetName = Literal[DATASETS]
    LayoutName = Literal[LAYOUTS]

Apex = Literal["annotated", "midpoint", "spot"]


def takes(
    kind: type[Options], parameter: str, *, only: Sequence[str] = ()
) -> Callable[[Callable[..., None]], Any]:
    """Give a command the fields of an option model, or only some of them, as options.

    typer reads a function's signature, so the decorated command shows one parameter per field
    instead of `parameter`, to which the command itself gets the validated model.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        # Annotations of the commands are text (from __future__), and typer needs types.
        own = inspect.signature(command, eval_str=True).parameters.values()
        options = [
            _parameter(name, field)
            for name, field in flags_of(kind).items()
            if not only or name in only
        ]
        parameters = [one for one in own if one.name != parameter] + options

        @functools.wraps(command)
        def run(**given: Any) -> None:
            names = {one.name for one in options}
            rest = {name: value for name, value in given.items() if name not in names}
            command(**rest, **{parameter: parse_options(kind, given)})

        # typer reads both: the signature for the order, the annotations for the types.
        run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in parameters]
        )
        run.__annotations__ = {one.name: one.annotation for one in parameters}
        return run

    return decorate


def _parameter(name: str, field: FieldInfo) -> inspect.Parameter:
    annotation: Any = field.annotation
    default: Any = field.default
    members = [one for one in get_args(annotation) if one is not NoneType]
    if get_origin(annotation) in (Union, UnionType) and len(members) > 1:
        # typer reads no unions of such types; the model parses the text.
        annotation, default = (str, str(default)) if default is not None else (str | None, None)
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[annotation, _option(name, field)],
    )


def _option(name: str, field: FieldInfo) -> Any:
    flag = "--" + name.replace("_", "-")
    return Option(flag, help=field.description, metavar=field.title)


# Arguments

NewFolder = Annotated[
    Path, Argument(metavar="DIR", help="Folder to make; it must be new or empty.")
]
Dataset = Annotated[DatasetName, Argument(metavar="DATASET", help="Name of the data set.")]
Root = Annotated[Path, Argument(metavar="ROOT", help="Folder of the data set.")]
NewImages = Annotated[
    Path,
    Argument(
        metavar="OUT",
        parser=located,
        help="Folder to make, on a file system or in a store (s3://, gs://).",
    ),
]
ImagesPath = Annotated[
    Path, Argument(metavar="IMAGES", parser=located, help="Folder that prepare made.")
]
NewStudy = Annotated[
    Path,
    Argument(
        metavar="STUDY",
        parser=located,
        help="Folder to make or to resume, on a file system or in a store (s3://, gs://).",
    ),
]
StudyPath = Annotated[
    Path, Argument(metavar="STUDY", parser=located, help="Folder that search made.")
]
StudyPaths = Annotated[
    list[Path],
    Argument(
        metavar="STUDY...",
        parser=located,
        help="Folder that search made. Of several, the champions are compared.",
    ),
]
NewModel = Annotated[
    Path, Argument(metavar="OUT", help="Folder to make; it must be new or empty.")
]
ModelPath = Annotated[Path, Argument(metavar="MODEL_DIR", help="Folder that collect made.")]
Clips = Annotated[
    list[Path], Argument(metavar="CLIP...", help="Folders of numbered frames, or videos.")
]
Paths = Annotated[
    list[Path] | None,
    Argument(
        metavar="PATH",
        parser=located,
        help="Folders to check, for data sets, IMAGES or STUDY; a store's address is allowed.",
    ),
]

# Options of several commands

Json = Annotated[bool, Option("--json", help="Print one JSON document and nothing else.")]
Seed = Annotated[int, Option("--seed", min=0, help="Seed of everything that is random.")]
Address = Annotated[
    str | None,
    Option(
        "--address",
        metavar="HOST:PORT|auto",
        help="Ray cluster to join. Default: RAY_ADDRESS, else a local Ray of its own.",
    ),
]
TrackingUri = Annotated[
    str | None, _option("tracking_uri", flags_of(TrackingOptions)["tracking_uri"])
]

# demo, synth

DemoOut = Annotated[Path, Option("--out", metavar="DIR", help="Folder of all results.")]
Layout = Annotated[
    LayoutName, Option("--layout", help="Data set whose files and annotations are imitated.")
]
NSubjects = Annotated[int, Option("--subjects", help="Number of subjects.")]
NClips = Annotated[int, Option("--clips", help="Total number of clips.")]
FrameSize = Annotated[int, Option("--image-size", help="Side of a frame in pixels.")]
NFrames = Annotated[int, Option("--frames", help="Typical number of frames of a clip.")]
Null = Annotated[bool, Option("--null", help="Draw the labels independently of the images.")]

# validate, prepare

Annotations = Annotated[
    list[Path] | None,
    Option(
        "--annotations",
        metavar="FILE",
        help="Annotation sheet, if ROOT holds several. For megc2019, give one per part.",
    ),
]
SheetName = Annotated[
    str | None,
    Option("--sheet", metavar="NAME", help="Sheet of the workbook, if several hold the columns."),
]
FramesDir = Annotated[
    list[Path] | None,
    Option(
        "--frames-dir",
        metavar="DIR",
        help="Folder of the frames, if ROOT holds several. For megc2019, give one per part.",
    ),
]
ContactSheet = Annotated[
    Path | None,
    Option(
        "--contact-sheet",
        metavar="FILE.png",
        help="Draw key frames and dynamic images of some clips.",
    ),
]
ManifestCsv = Annotated[
    Path | None,
    Option(
        "--manifest",
        metavar="FILE.csv",
        help="Write one row per clip, with its state and the reason.",
    ),
]

# search

SpaceName = Annotated[
    str,
    Option(
        "--space",
        metavar="NAME|FILE",
        help="Name of a shipped search space (dianet, phases, quick, ststnet), or a YAML file.",
    ),
]
Fixed = Annotated[
    list[str] | None,
    Option(
        "--set",
        metavar="NAME=VALUE",
        help="Fix a setting to one value; may be given repeatedly. Settings: "
        f"{', '.join(setting_names())}.",
    ),
]
Enqueue = Annotated[
    Path | None,
    Option("--enqueue", metavar="FILE", help="YAML list of settings to train first."),
]
Network = Annotated[
    Path | None,
    Option(
        "--network",
        metavar="FILE.py",
        help="Train the network of this file, instead of DIANet or of the space's.",
    ),
]
DryRun = Annotated[bool, Option("--dry-run", help="Print the plan, then stop.")]

# report, collect

Html = Annotated[
    Path | None, Option("--html", metavar="FILE", help="Write the report as one HTML page.")
]
PredictionsCsv = Annotated[
    Path | None,
    Option(
        "--predictions",
        metavar="FILE.csv",
        help="Write the champion's held-out predictions.",
    ),
]
Latex = Annotated[
    Path | None,
    Option("--latex", metavar="FILE.tex", help="Write the champion's scores as a LaTeX table."),
]
NoFaces = Annotated[bool, Option("--no-faces", help="Put no images of faces on the page.")]
Compare = Annotated[
    str | None,
    Option(
        "--compare",
        metavar="A,B|SETTING=VALUE,VALUE",
        help="Compare configurations, by number or id, or the best ones with a value, over the "
        "same subjects: the first with each of the others.",
    ),
]
OfStudy = Annotated[
    Path | None,
    Option("--study", parser=located, metavar="STUDY", help="Collect the champion of this study."),
]
OfModel = Annotated[
    str | None,
    Option("--model", metavar="NAME@champion", help="Collect a registered model from MLflow."),
]

AllSeeds = Annotated[
    bool,
    Option(
        "--seeds",
        help="Take the models of all seeds (--repeats), from the study's own weights.",
    ),
]

# predict

OnsetFrame = Annotated[
    int | None,
    Option("--onset", help="Number of the onset frame. Default: the first frame of the clip."),
]
ApexFrame = Annotated[
    int | None,
    Option("--apex", help="Number of the apex frame. Default: the frame of largest motion."),
]
OffsetFrame = Annotated[
    int | None,
    Option("--offset", help="Number of the offset frame. Default: the last frame of the clip."),
]
TrustCode = Annotated[
    bool,
    Option("--trust-code", help="Run the network file where a user wrote the network."),
]
Subject = Annotated[
    str | None,
    Option(
        "--subject",
        metavar="ID",
        help="Subject of the clip. Models that were trained on this subject are not used.",
    ),
]
