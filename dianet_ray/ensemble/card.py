"""The card of a model folder: what the fold models are, and what they were trained on.

`make` writes it from a study, `read` reads a folder's and checks every file against it. People are
in it by hash only, images by fingerprint only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dianet_ray.artefacts import CARD_JSON, FORMAT, METRICS, fold_file
from dianet_ray.errors import InputError, one_line
from dianet_ray.protocol.correction import champion
from dianet_ray.protocol.study import Configuration, Study
from dianet_ray.report.document import summarise
from dianet_ray.settings import Settings

VERSIONS = ("torch", "device", "threads", "block")
"""What a training's record says that can change its weights."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Preprocessing(_Part):
    """How a clip becomes dynamic images."""

    image_size: int = Field(ge=1)
    coefficients: Literal["harmonic", "linear"]
    crop: Literal["none", "face", "face-or-centre"] = "none"


class FoldFile(_Part):
    """One fold model's file, and who was held out of its training."""

    file: str
    sha256: str
    test_subjects: tuple[str, ...]


class Card(_Part):
    """What collecting and predicting need of a card; `make` writes more."""

    format: Literal[1]
    dataset: str
    classes: tuple[str, ...] = Field(min_length=2)
    config_id: str
    settings: Settings
    preprocessing: Preprocessing
    folds: tuple[FoldFile, ...] = Field(min_length=1)
    clips: dict[str, str]


def make(study: Study, fingerprints: Mapping[str, str]) -> dict[str, Any]:
    """Describe the champion's fold models.

    Args:
        study: a study with a champion, whose weights the ledger recorded.
        fingerprints: of every clip's images, by clip_id; a clip without one will not be
            recognised by `predict`.

    Raises:
        InputError: no configuration is complete.
    """
    winner = champion(study)
    if winner is None:
        raise InputError(
            f"a model needs a complete configuration: {study.name} has "
            f"{len(study.trainings)} trainings of {len(study.configurations)} configurations"
        )
    images = study.about["images"]
    options = images["options"]
    return {
        "format": FORMAT,
        "dataset": study.about["dataset"],
        "classes": list(study.classes),
        "config_id": winner.config_id,
        "settings": winner.settings.model_dump(),
        "preprocessing": {
            "image_size": options["image_size"],
            "coefficients": options["coefficients"],
            "apex": options["apex"],
            "crop": options.get("crop", "none"),
        },
        "images_hash": study.identity["images"],
        "normalisation": {
            "kind": winner.settings.normalisation,
            "statistics": "in each weights file, from that fold's training subjects",
        },
        "protocol": study.identity["protocol"],
        "objective": study.objective,
        "metrics": _metrics(study),
        "n_configs": len(study.configurations),
        "subjects": sorted(subject_hash(s) for fold in study.folds for s in fold.test_subjects),
        "folds": _folds(study, winner),
        "clips": {
            fingerprints[clip.clip_id]: subject_hash(clip.subject)
            for clip in study.clips
            if clip.clip_id in fingerprints
        },
        "versions": _versions(study, winner),
    }


def subject_hash(subject: str) -> str:
    """Hash a name-spaced subject to 16 hex digits.

    >>> subject_hash("casme2/sub01") == subject_hash("casme2/sub02")
    False
    """
    return hashlib.sha256(f"dianet:{subject}".encode()).hexdigest()[:16]


def _metrics(study: Study) -> dict[str, Any]:
    """Score the champion, with its interval, what is left on new people, and chance."""
    found = summarise(study)
    mine, chance = found["champion"], found["chance"]
    return {
        metric: {
            "value": mine[metric],
            "ci95": mine["ci95"][metric],
            "corrected": mine["corrected"][metric] if mine["corrected"] else None,
            "chance": chance[metric]["level"],
        }
        for metric in METRICS
    }


def _folds(study: Study, winner: Configuration) -> list[dict[str, Any]]:
    folds = []
    for training in study.of(winner.number):
        if training.weights is None:
            raise InputError(
                f"the champion's weights must be recorded: fold {training.fold} of {study.name} "
                "has none; run the same search again"
            )
        folds.append(
            {
                "file": fold_file(training.fold),
                "sha256": training.weights.sha256,
                "test_subjects": sorted(
                    subject_hash(s) for s in study.folds[training.fold].test_subjects
                ),
            }
        )
    return folds


def _versions(study: Study, winner: Configuration) -> dict[str, list[str]]:
    """List what trained the fold models; more than one value means a mixture."""
    records = [training.environment for training in study.of(winner.number)]
    named = {key: {str(r[key]) for r in records if key in r} for key in VERSIONS}
    return {key: sorted(values) for key, values in named.items() if values}


def read(folder: Path) -> Card:
    """Read a folder's card and check every file that it names.

    Raises:
        InputError: no card, a card that is wrong, or a file that is missing or changed; one line.
    """
    path = folder / CARD_JSON
    try:
        card = Card(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise InputError(f"a model folder holds {CARD_JSON}: none in {folder}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path} is no model card: {where}: {first['msg']}") from None
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path} cannot be read: {one_line(error)}") from None
    for fold in card.folds:
        _check_file(folder, fold)
    return card


def _check_file(folder: Path, fold: FoldFile) -> None:
    if not _is_plain_name(fold.file):
        raise InputError(f"a card names files of its own folder: {fold.file!r}, in {folder}")
    path = folder / fold.file
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"a model file cannot be read: {path}: {one_line(error)}") from None
    if found != fold.sha256:
        raise InputError(
            f"a model file must be as its card says: {path} has sha256 {found[:12]}..., the card "
            f"{fold.sha256[:12]}..."
        )


def _is_plain_name(name: str) -> bool:
    """Whether a name stays in its folder, on any system."""
    is_name = name == PurePosixPath(name).name == PureWindowsPath(name).name
    return is_name and name.endswith(".safetensors") and "\0" not in name
