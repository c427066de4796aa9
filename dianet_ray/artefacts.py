"""The one place with artefact names, columns and dtypes, and with how records become JSON.

Stages talk through files: IMAGES is what `prepare` makes, STUDY what `search` makes, a model
folder what `collect` makes. A record that several packages share is defined here; the others are
defined where they are made. Nothing here touches a disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from dianet_ray.errors import InputError, first_problem

STUDY_FORMAT = 8
"""Version of STUDY's layout; a reader refuses another one. CHANGELOG.md says what changed."""

IMAGES_FORMAT = 3
"""The same for IMAGES."""

CARD_FORMAT: Final = 4
"""The same for a model folder."""

# This order is in every stored image: changing it needs a new IMAGES_FORMAT.
PHASES = ("onset_apex", "apex_offset", "whole_clip")
"""The dynamic images of a clip, in storage order: axis 1 of every image array."""

N_CHANNELS = 3
"""Frames are pooled as RGB; greyscale frames are repeated over the channels."""

# IMAGES: images.json is written last, so its existence means that the folder is complete; without
# it the folder holds what an interrupted prepare left, and the next one continues from there.
IMAGES_JSON = "images.json"
IMAGES_FOLDER = "clips"  # parquet parts; columns IMAGE_COLUMNS, tensors float16 (H, W, 3)
MANIFEST_CSV = "manifest.csv"  # one row per clip of the sheet or the folders, MANIFEST_COLUMNS
LEFT_OUT_CSV = "left_out.csv"  # the rows of MANIFEST_CSV whose state is left_out

IMAGE_COLUMNS = (
    *("clip_id", "subject", "label", *PHASES, *(f"{p}_scale" for p in PHASES)),
    *("apex", "box", "note", "signature", "made_from"),
)
"""`<phase>_scale` is the sum of positive coefficients that the stored image was divided by; what
follows lets `prepare` continue where it was interrupted."""

MANIFEST_COLUMNS = (
    "clip_id",
    "subject",
    "label",
    "onset",
    "apex",
    "offset",
    "n_frames",
    "apex_from",
    "box",
    "state",
    "reason",
    "frames_path",
)
USED, CORRECTED, LEFT_OUT = "used", "corrected", "left_out"

MIN_SUBJECTS_PER_CLASS = 2
"""With one, the fold that tests this subject trains without the class."""

# STUDY: study.json holds the identity; ledger/ is the truth; the rest can be made again.
STUDY_JSON = "study.json"
LEDGER_FOLDER = "ledger"  # NNNNNN.jsonl, immutable numbered parts
WEIGHTS_FOLDER = "weights"  # <config_id>-<steps>[-seed-<n>]/<fold>.safetensors
DRIVER_FOLDER = "driver"  # who writes the ledger now, with a heartbeat

# A model folder: card.json is written last.
CARD_JSON = "card.json"
# Larger is better in each of them; nothing here is ever minimised.
METRICS = ("accuracy", "uf1", "uar")


def weights_folder(config_id: str, steps: int, seed: int = 0) -> str:
    """Name the folder of a configuration's weights at one point, relative to STUDY.

    `seed` numbers the repeats of LOSO from 1; 0 is LOSO itself.
    """
    return f"{WEIGHTS_FOLDER}/{config_id}-{steps}{_suffix(seed)}"


def weights_path(config_id: str, steps: int, fold: int, seed: int = 0) -> str:
    """Name the weights of one LOSO training, or of a repeat, at one point, relative to STUDY."""
    # Relative, so that a study can be moved and its ledger still finds them.
    return f"{weights_folder(config_id, steps, seed)}/{fold_file(fold)}"


def fold_file(fold: int, seed: int = 0) -> str:
    """Name the weights file of one fold.

    >>> fold_file(7), fold_file(7, seed=2)
    ('fold-007.safetensors', 'fold-007-seed-2.safetensors')
    """
    return f"fold-{fold:03d}{_suffix(seed)}.safetensors"


def _suffix(seed: int) -> str:
    return f"-seed-{seed}" if seed else ""


class Record:
    """Base of the frozen dataclasses that cross a process or file boundary as JSON.

    A subclass is `@dataclass(frozen=True, slots=True)`. Reading it refuses unknown keys.
    """

    __slots__ = ()
    # An unknown key is misspelt, or of another version; ignoring it would lose what it says.
    # docs/decisions.md: Records are frozen dataclasses
    __pydantic_config__ = ConfigDict(extra="forbid")


AnyRecord = TypeVar("AnyRecord")


# Cached: building an adapter takes far longer than reading a record with it.
@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def to_plain(record: Any) -> Any:
    """Turn a record into the plain values that JSON knows."""
    kind: Any = type(record)
    return _adapter(kind).dump_python(record, mode="json")


def to_json(record: Any) -> str:
    """Write a record as one line of JSON."""
    kind: Any = type(record)
    return _adapter(kind).dump_json(record).decode()


def from_json(kind: type[AnyRecord], text: str | bytes, where: str) -> AnyRecord:
    """Read a record of `kind`, which may be a union of records.

    Args:
        kind: the record's type.
        text: one JSON document.
        where: what holds it, for the message.

    Raises:
        InputError: not JSON, an unknown or missing key, or a value that breaks a rule.
    """
    form: Any = kind
    try:
        found: AnyRecord = _adapter(form).validate_json(text)
    except ValidationError as error:
        raise InputError(f"{where} is damaged: {first_problem(error)}") from None
    return found


Coefficients = Literal["harmonic", "linear"]
Crop = Literal["none", "face", "face-or-centre"]
Protocol = Literal["loso", "nested"]
"""`nested`: settings are chosen for each subject by the others alone as well."""
MAX_REPEATS = 100
"""Repeats of LOSO with other seeds that a study may have."""

Objective = Literal["uf1", "uar", "accuracy"]


@dataclass(frozen=True, slots=True)
class Recipe(Record):
    """How a dynamic image is made: side in pixels, coefficients, part of the frame, gaps."""

    image_size: Annotated[
        int, Field(ge=16, le=1024, description="Side of a dynamic image in pixels.")
    ] = 64
    coefficients: Annotated[
        Coefficients, Field(description="Coefficients of the approximate rank pooling.")
    ] = "harmonic"
    crop: Annotated[
        Crop,
        Field(
            description="Part of the frames that is used. none: all of it. face: the face in the "
            "onset frame; a clip without one is left out. face-or-centre: the centre if no face "
            "is found."
        ),
    ] = "none"
    fill_gaps: Annotated[
        int,
        Field(
            ge=0,
            le=1000,
            title="N",
            description="Number of missing frames in a row for which the nearest frame of the "
            "clip stands in. 0: a clip with a missing frame is left out.",
        ),
    ] = 0


@dataclass(frozen=True, slots=True)
class Duplicate(Record):
    """Two clips with the same frames, by clip_id; `correlation` of their signatures.

    `across_subjects`: the clips are filed under different subjects, so that a network would be
    tested on frames that it was trained on.
    """

    first: str
    second: str
    correlation: float
    across_subjects: bool


@dataclass(frozen=True, slots=True)
class LoggedStep(Record):
    """One logged step of a training: loss and accuracy on its batch, and its learning rate."""

    step: int
    loss: float
    accuracy: float
    learning_rate: float
