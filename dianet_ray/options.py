"""The validated options of one run: paths, resources, budgets; never part of a configuration."""

from __future__ import annotations

import json
import os
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dianet_ray.errors import InputError

JOB_VARIABLE = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Set by Ray inside a submitted job, whose working directory is deleted with the job."""


class Options(BaseModel):
    """Base of every run's options: immutable, nothing unknown."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PrepareOptions(Options):
    """How dynamic images are made; all but the last two go into the hash of IMAGES."""

    image_size: int = Field(64, ge=16, le=1024)
    coefficients: Literal["harmonic", "linear"] = "harmonic"
    apex: Literal["annotated", "midpoint", "spot"] | None = None
    crop: Literal["none", "face", "face-or-centre"] = "none"
    corrections: str | None = None
    skip_broken: bool = False
    max_workers: int | None = Field(None, ge=1)


class SearchOptions(Options):
    """How a search runs; None means as the study has it, else the default."""

    classes: str | None = None
    configs: int | None = Field(None, ge=1)
    wave_size: int | None = Field(None, ge=1)
    objective: Literal["uf1", "uar", "accuracy"] | None = None
    strategy: Literal["exhaustive", "ladder"] = "ladder"
    ladder: str | None = None
    keep: str | None = None
    drop: Literal["none", "bootstrap"] | None = None
    max_trainings: int | None = Field(None, ge=1)
    max_hours: float | None = Field(None, gt=0)
    seed: int | None = Field(None, ge=0)
    threads_per_training: int | None = Field(None, ge=1)
    gpus_per_trial: Annotated[float, Field(ge=0)] | Literal["auto"] = "auto"
    cpus_per_trial: float | None = Field(None, gt=0)
    max_workers: int | None = Field(None, ge=1)
    keep_weights: Annotated[int, Field(ge=1)] | Literal["all"] = 3


class TrackingOptions(Options):
    """Where MLflow is, and whether persons may be seen there."""

    uri: str | None = None
    experiment: str | None = None
    log_faces: bool = False


AnyOptions = TypeVar("AnyOptions", bound=Options)


def parse_options(kind: type[AnyOptions], values: dict[str, Any]) -> AnyOptions:
    """Validate options that came from the command line.

    Raises:
        InputError: naming the flag, the rule and what was given.
    """
    try:
        return kind(**values)
    except ValidationError as error:
        first = error.errors()[0]
        flag = "--" + str(first["loc"][0]).replace("_", "-")
        raise InputError(f"{flag}: {first['msg']}, got {first['input']!r}") from None


def submitted_job() -> str:
    """Name the Ray job that this process is the driver of; empty outside a submitted job."""
    try:
        metadata = json.loads(os.environ.get(JOB_VARIABLE, "{}")).get("metadata", {})
        return str(metadata.get("job_submission_id", ""))
    except (ValueError, AttributeError):
        return ""
