"""The card of a model folder: what the fold models are, and what they were trained on.

`make` describes the champion of a study, `read` reads a folder's card and checks every file that
it names. Subjects are in a card by hash only, images by fingerprint only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, Literal

from pydantic import BaseModel, Field, ValidationError

from dianet_ray.artefacts import (
    CARD_FORMAT,
    CARD_JSON,
    METRICS,
    Recipe,
    Record,
    fold_file,
    from_json,
)
from dianet_ray.errors import InputError, one_line
from dianet_ray.protocol.correction import Corrected
from dianet_ray.protocol.predictions import Interval
from dianet_ray.protocol.results import Training
from dianet_ray.protocol.standing import Standing
from dianet_ray.protocol.study import Study
from dianet_ray.report.records import Report
from dianet_ray.settings import NetworkFile, Settings

VERSIONS = ("torch", "device", "threads", "block")
"""What a training's record says that can change its weights."""


@dataclass(frozen=True, slots=True)
class CardScore(Record):
    """The ensemble's configuration in one metric, as its study's report has it; 0..1.

    `corrected` is None where the study had one configuration at one point to choose from.
    """

    value: float
    ci95: Interval
    corrected: Corrected | None
    chance: float


@dataclass(frozen=True, slots=True)
class FoldFile(Record):
    """The file of one fold model, and the hashes of the subjects held out of its training."""

    file: str
    sha256: str
    test_subjects: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Card(Record):
    """Everything that is known of a model folder, as its card.json holds it.

    The models are as they were after `steps` steps, where the configuration is read.
    `recipe` and `apex` (annotated, midpoint or spot) say how the images that it was trained on
    were made, `images_hash` which they were; the statistics that normalise images are in each
    weights file. `metrics` is by metric. `subjects` are hashes; `clips` holds a subject's hash by
    the fingerprint of the clip's images. `versions` lists by key what the fold models were trained
    with; more than one value means a mixture. `network` is the code of a user's network.
    """

    # CARD_FORMAT; a Literal takes no name.
    format: Literal[4]
    dataset: str
    classes: Annotated[tuple[str, ...], Field(min_length=2)]
    config_id: str
    settings: Settings
    steps: int
    recipe: Recipe
    apex: str
    images_hash: str
    protocol: str
    objective: str
    metrics: dict[str, CardScore]
    n_configs: int
    subjects: tuple[str, ...]
    # At least one: the mean of no models would be NaN, and be reported as a prediction.
    folds: Annotated[tuple[FoldFile, ...], Field(min_length=1)]
    clips: dict[str, str]
    versions: dict[str, tuple[str, ...]]
    network: NetworkFile | None


def trainings_of(standing: Standing, *, seeds: bool) -> list[Training]:
    """List what makes the champion's ensemble: LOSO, and with `seeds` its whole repeats too.

    Raises:
        InputError: no configuration is complete.
    """
    study, winner = standing.study, standing.champion()
    if winner is None:
        raise InputError(
            f"a model needs a complete configuration: none of the {len(study.configurations)} "
            f"configurations of {study.name} is complete, after {len(study.trainings)} trainings"
        )
    found = study.of(winner.number)
    if seeds:
        for rung in sorted({rung for number, rung, _ in study.repeats if number == winner.number}):
            repeat = study.of(winner.number, rung)
            if len(repeat) == len(study.folds) and all(one.outcome == "ok" for one in repeat):
                found += repeat
    return found


def make(
    standing: Standing, report: Report, fingerprints: Mapping[str, str], *, seeds: bool = False
) -> Card:
    """Describe the champion's fold models.

    Args:
        standing: of a study with a champion, whose weights the ledger recorded.
        report: its report.
        fingerprints: of every clip's images, by clip_id; `predict` does not recognise a clip
            without one.
        seeds: take the repeats with other seeds as well.

    Raises:
        InputError: no configuration is complete, or weights are not recorded.
    """
    study, trainings = standing.study, trainings_of(standing, seeds=seeds)
    winner = study.configurations[trainings[0].number]
    steps = standing.steps_read(winner.number)
    return Card(
        format=CARD_FORMAT,
        dataset=study.origin.dataset,
        classes=study.classes,
        config_id=winner.config_id,
        settings=winner.settings,
        steps=steps,
        recipe=study.origin.recipe,
        apex=study.origin.apex,
        images_hash=study.identity.images,
        protocol=study.identity.protocol,
        objective=study.objective,
        metrics=_metrics(report),
        n_configs=len(study.configurations),
        subjects=tuple(sorted(subject_hash(s) for f in study.folds for s in f.test_subjects)),
        folds=tuple(_fold(study, training, steps) for training in trainings),
        clips={
            fingerprints[clip.clip_id]: subject_hash(clip.subject)
            for clip in study.clips
            if clip.clip_id in fingerprints
        },
        versions=_versions(trainings),
        network=study.identity.space.network,
    )


def subject_hash(subject: str) -> str:
    """Hash a name-spaced subject to 16 hex digits.

    >>> subject_hash("casme2/sub01") == subject_hash("casme2/sub02")
    False
    """
    # Data set licences keep subjects within the group that signed; model folders are passed on.
    return hashlib.sha256(f"dianet:{subject}".encode()).hexdigest()[:16]


def _metrics(report: Report) -> dict[str, CardScore]:
    champion = report.champion
    assert champion is not None  # `make` has refused a study without one
    return {
        metric: CardScore(
            value=champion.of(metric),
            ci95=champion.ci95[metric],
            corrected=champion.corrected[metric] if champion.corrected else None,
            chance=report.chance[metric].level,
        )
        for metric in METRICS
    }


def _fold(study: Study, training: Training, steps: int) -> FoldFile:
    weights = training.at(steps).weights
    if weights is None:
        raise InputError(
            f"the champion's weights must be recorded: fold {training.fold} of {study.name} "
            "has none; run the same search again"
        )
    subjects = study.folds[training.fold].test_subjects
    return FoldFile(
        file=fold_file(training.fold, study.seed_of(training)),
        sha256=weights.sha256,
        test_subjects=tuple(sorted(map(subject_hash, subjects))),
    )


def _versions(trainings: Sequence[Training]) -> dict[str, tuple[str, ...]]:
    records = [training.result.environment for training in trainings]
    return {
        key: tuple(sorted({str(getattr(record, key)) for record in records if record}))
        for key in VERSIONS
    }


def read(folder: Path) -> Card:
    """Read a folder's card and check every file that it names.

    Raises:
        InputError: no card, a card that is damaged or of another format, or a file that is
            missing or changed.
    """
    path = folder / CARD_JSON
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"a model folder must hold a {CARD_JSON}: none in {folder}") from None
    except OSError as error:
        raise InputError(f"a model card must be readable: {path}: {one_line(error)}") from None
    _check_format(text, path)
    card = from_json(Card, text, str(path))
    for fold in card.folds:
        _check_file(folder, fold)
    return card


class _Versioned(BaseModel):
    format: int


def _check_format(text: bytes, path: Path) -> None:
    """Refuse a card of another version; one that has none is left to `from_json`."""
    # Checked before the rest: the other keys of another version would be reported as damage.
    try:
        found = _Versioned.model_validate_json(text).format
    except ValidationError:
        return
    if found != CARD_FORMAT:
        raise InputError(
            f"this version reads model folders of format {CARD_FORMAT}: {path} has format "
            f"{found}; collect the model again, from a study that this version can read"
        )


def _check_file(folder: Path, fold: FoldFile) -> None:
    if not _is_plain_name(fold.file):
        raise InputError(
            f"a card must name weights files in its own folder: got {fold.file!r}, in {folder}"
        )
    path = folder / fold.file
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"a model file must be readable: {path}: {one_line(error)}") from None
    if found != fold.sha256:
        raise InputError(
            f"a model file must be as its card says: {path} has sha256 {found[:12]}..., the card "
            f"says {fold.sha256[:12]}...; collect the model again"
        )


def _is_plain_name(name: str) -> bool:
    """Whether a name stays in its folder, on any system."""
    # A card may come from an unknown source, and must not lead out of its folder.
    is_name = name == PurePosixPath(name).name == PureWindowsPath(name).name
    return is_name and name.endswith(".safetensors") and "\0" not in name
