"""How commands run: paths, resources, budgets; validated, and never part of a configuration.

The options of `search` and of MLflow are declared here once: `cli/flags.py` makes the command
line's flags of them. A field's description is its help, its title the placeholder of its value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, Literal, TypeVar, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from dianet_ray.artefacts import MAX_REPEATS, Objective, Protocol, Recipe
from dianet_ray.errors import InputError, first_problem

MOST_CONFIGS = 10**6
MOST_EXPERIMENT = 500  # characters, as MLflow allows
LEAST_CPUS, MOST_OF_A_TRIAL = 0.001, 1024
"""CPUs, threads or GPUs of one trial; Ray counts thousandths."""


class Options(BaseModel):
    """Base of the options of a command: immutable, no unknown fields."""

    # By name too: the command line says tracking_uri, the code says uri.
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class PrepareOptions(Options):
    """How IMAGES are made: the recipe and the rules of the manifest, then how the run behaves.

    `skip_broken` and `max_workers` change no image.
    """

    recipe: Recipe = Recipe()
    apex: Literal["annotated", "midpoint", "spot"] | None = Field(
        None,
        description="What to do with a clip whose apex is not annotated. annotated: leave it out. "
        "midpoint: take its middle frame. spot: take the frame of largest motion. Default: "
        "annotated; midpoint for smic, which annotates none.",
    )
    corrections: str | None = Field(
        None,
        title="published|FILE",
        description="Corrections of the sheet: the published ones, or a CSV file of the same "
        "form.",
    )
    merge_subjects: bool = Field(
        False,
        description="Take spellings of a subject that differ only in case, width, blanks, leading "
        "zeros or a trailing .0 as one subject. Default: refuse them.",
    )
    label_conflicts: Literal["sheet", "leave-out", "name"] = Field(
        "sheet",
        description="What to do with a clip whose name or folder says another class than the "
        "sheet. sheet: keep the sheet's label. leave-out: leave it out. name: take the label of "
        "its name.",
    )
    skip_broken: bool = Field(
        False, description="Exit with status 0 even if some clips cannot be read."
    )
    max_workers: int | None = Field(
        None, ge=1, description="Maximum number of parallel tasks. Default: what fits."
    )


class SearchOptions(Options):
    """How a search runs; None keeps the value of an existing study, else takes the default."""

    classes: str | None = Field(
        None,
        title="SET|FILE",
        description="Label set (casme2:5, samm:5, mmew:6, megc2019:3, all, ...), or a YAML file "
        "that maps labels to classes. Default: the most common published set of the data set; all "
        "for a table.",
    )
    configs: int | None = Field(
        None,
        ge=1,
        le=MOST_CONFIGS,
        description="Number of configurations. It may grow when a study is resumed. Default: 32.",
    )
    wave_size: int | None = Field(
        None,
        ge=1,
        description="Number of configurations that are drawn together. Default: 8, or all if "
        "there are fewer.",
    )
    objective: Objective | None = Field(
        None, description="Score to maximise, pooled over all folds. Default: uf1."
    )
    # docs/decisions.md: Nested cross-validation by pairs
    protocol: Protocol | None = Field(
        None,
        description="loso: leave one subject out. nested: choose the settings for each subject by "
        "the others alone as well, which needs --strategy exhaustive. Default: loso.",
    )
    strategy: Literal["exhaustive", "ladder"] = Field(
        "ladder",
        description="ladder: screen configurations on groups of subjects and promote the best to "
        "LOSO. exhaustive: train every LOSO fold of every configuration.",
    )
    # docs/decisions.md: Groups of subjects before LOSO
    ladder: str | None = Field(
        None,
        title="GROUPS[*STEPS],...",
        description="Rungs below LOSO: the number of subject groups, and the share of the "
        "training steps. Default: the space file's, else 3*0.5.",
    )
    # Text, because a share is given as 1/16, which no float flag would take.
    # docs/decisions.md: Share promoted
    keep: str | None = Field(
        None,
        title="SHARE",
        description="Share of a rung's configurations that is promoted. Default: the space "
        "file's, else 1/16.",
    )
    drop: Literal["none", "bootstrap"] | None = Field(
        None, description="How to drop hopeless configurations inside a rung. Default: bootstrap."
    )
    # Budgets stop drawing only. A budget that cut into drawn waves would make the result depend
    # on the moment at which it ran out.
    max_trainings: int | None = Field(
        None,
        ge=1,
        description="Draw no further wave if the study could then need more trainings, repeats "
        "included. What has been drawn is always finished.",
    )
    max_hours: float | None = Field(
        None,
        gt=0,
        description="Draw no further wave if the study would then take more hours. What has been "
        "drawn is always finished.",
    )
    # The defaults of seed and threads are never taken from the machine: both are part of a
    # study's identity, and another machine must be able to repeat the search.
    seed: int | None = Field(
        None, ge=0, description="Seed of the folds, the draws and the trainings. Default: 0."
    )
    threads_per_training: (
        Annotated[int, Field(ge=1, le=MOST_OF_A_TRIAL)] | Literal["auto"] | None
    ) = Field(
        None,
        title="auto|N",
        description="Number of CPU threads of a training. auto measures on this machine, when the "
        "study is made, with how many the search trains most. Default: 1.",
    )
    gpus_per_trial: Annotated[float, Field(ge=0, le=MOST_OF_A_TRIAL)] | Literal["auto"] = Field(
        "auto",
        title="auto|X",
        description="GPUs of a trial: a fraction of one, or a whole number. auto is 1 if the "
        "cluster has GPUs, else 0.",
    )
    # docs/decisions.md: Blocks follow from the study
    folds_per_trial: Annotated[int, Field(ge=1, le=1024)] | Literal["auto"] = Field(
        "auto",
        title="auto|N",
        description="Trainings of equal shape that a trial runs as one stack, at most. auto is as "
        "many as fit into a GPU's memory, and 1 on CPUs. A study keeps the number that it began "
        "with.",
    )
    cpus_per_trial: float | None = Field(
        None,
        ge=LEAST_CPUS,
        le=MOST_OF_A_TRIAL,
        description="CPUs of a trial. Default: the threads of a training.",
    )
    max_workers: int | None = Field(
        None, ge=1, description="Maximum number of parallel trainings. Default: what fits."
    )
    # The weights of 64 x 26 ResNet pairs would take 150 GB.
    # docs/decisions.md: No checkpoints by Ray Tune
    keep_weights: Annotated[int, Field(ge=1)] | Literal["all"] = Field(
        3,
        title="N|all",
        description="Number of configurations, best first, whose weights are kept.",
    )

    # docs/decisions.md: Repeats with other seeds
    repeats: int = Field(
        3,
        ge=0,
        le=MAX_REPEATS,
        description="How often LOSO is trained again with other seeds when the search is over, "
        "for the champion and for the settings that the search began with.",
    )


class TrackingOptions(Options):
    """Where MLflow is, and whether faces may be seen there."""

    uri: str | None = Field(
        None,
        alias="tracking_uri",
        title="URI",
        description="MLflow store. Default: MLFLOW_TRACKING_URI, else an SQLite file beside the "
        "study.",
    )
    experiment: str | None = Field(
        None,
        max_length=MOST_EXPERIMENT,
        title="NAME",
        description="MLflow experiment. Default: MLFLOW_EXPERIMENT_NAME, else dianet-ray.",
    )
    # Off by default: licences of the data sets forbid passing faces on.
    log_faces: bool = Field(
        False, description="Also log example images, which show the faces of subjects."
    )


AnyOptions = TypeVar("AnyOptions", bound=Options)


def flags_of(kind: type[Options]) -> dict[str, FieldInfo]:
    """Map each name on the command line to its field; a record's fields are flags of their own."""
    found: dict[str, FieldInfo] = {}
    for name, field in kind.model_fields.items():
        if is_dataclass(field.annotation):
            found |= _record_fields(field.annotation)
        else:
            found[field.alias or name] = field
    return found


def _record_fields(kind: Any) -> dict[str, FieldInfo]:
    hints = get_type_hints(kind, include_extras=True)
    return {
        one.name: FieldInfo.from_annotated_attribute(hints[one.name], one.default)
        for one in fields(kind)
    }


def parse_options(kind: type[AnyOptions], values: Mapping[str, Any]) -> AnyOptions:
    """Validate what the command line gave; values that belong to no field are ignored.

    Raises:
        InputError: a value breaks a rule; names the flag, the rule and the value.
    """
    try:
        return kind(**_nested(kind, values))
    except ValidationError as error:
        problem = first_problem(error)
        # Each field of a recipe is a flag of its own.
        flag = "--" + problem.name.removeprefix("recipe.").split(".")[0].replace("_", "-")
        raise InputError(f"{flag}: {problem.rule}, got {problem.shown}") from None


def _nested(kind: type[Options], values: Mapping[str, Any]) -> dict[str, Any]:
    """Put the flags that belong to a record into the record."""
    found: dict[str, Any] = {}
    for name, field in kind.model_fields.items():
        if is_dataclass(field.annotation):
            names = _record_fields(field.annotation)
            found[name] = {one: values[one] for one in names if one in values}
        elif (flag := field.alias or name) in values:
            found[flag] = values[flag]
    return found
