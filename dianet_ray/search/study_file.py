"""A study on disk: study.json says what it is, the ledger what has happened."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dianet_ray.artefacts import (
    STUDY_FORMAT,
    STUDY_JSON,
    Record,
    from_json,
    to_plain,
    weights_path,
)
from dianet_ray.errors import InputError
from dianet_ray.protocol import leaks
from dianet_ray.protocol.folds import Clip, Fold
from dianet_ray.protocol.results import Training
from dianet_ray.protocol.study import Configuration, Identity, Origin, Span, Study
from dianet_ray.search.events import (
    BlockSized,
    DrawingEnded,
    Ended,
    Event,
    Started,
    TrainingEnded,
    WaveDrawn,
    WeightsMade,
    WorkersChanged,
)
from dianet_ray.search.ledger import read_events
from dianet_ray.settings import config_id
from dianet_ray.storage import files


@dataclass(frozen=True, slots=True)
class StudyFile(Record):
    """The content of study.json; `rungs` holds, for each rung, the test subjects of each fold."""

    format: int
    identity: Identity
    origin: Origin
    classes: tuple[str, ...]
    clips: tuple[Clip, ...]
    rungs: tuple[tuple[tuple[str, ...], ...], ...]


def load_study(path: Path) -> Study:
    """Read study.json and the ledger.

    Raises:
        InputError: no study, one of another format, a damaged one, or one in which a training saw
            clips that it must not see.
    """
    study = extended(_read(path), read_events(path))
    leaks.check(study)
    return study


def write_study(path: Path, study: Study) -> None:
    """Write study.json once, when the study is made."""
    content = StudyFile(
        format=STUDY_FORMAT,
        identity=study.identity,
        origin=study.origin,
        classes=study.classes,
        clips=study.clips,
        rungs=tuple(tuple(fold.test_subjects for fold in folds) for folds in study.rungs),
    )
    files.make_folder(path)
    files.create(path / STUDY_JSON, (json.dumps(to_plain(content), indent=1) + "\n").encode())


def _read(path: Path) -> Study:
    file = path / STUDY_JSON
    try:
        text = files.read(file)
    except FileNotFoundError:
        raise InputError(f"a study holds {STUDY_JSON}: none in {path}") from None
    except files.failures() as error:
        raise InputError(f"{file} cannot be read: {error}") from None
    _check_format(text, file)
    found = from_json(StudyFile, text, str(file))
    _check_parts(found, file)
    return Study(
        name=path.absolute().name,
        identity=found.identity,
        origin=found.origin,
        clips=found.clips,
        classes=found.classes,
        rungs=tuple(_folds(subjects, found.clips) for subjects in found.rungs),
        configurations=(),
        trainings={},
        spans=(),
    )


def _check_format(text: bytes, file: Path) -> None:
    try:
        content: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file} is damaged: {error}") from None
    found = content.get("format") if isinstance(content, dict) else None
    if found != STUDY_FORMAT:
        raise InputError(
            f"this version reads studies of format {STUDY_FORMAT}: {file} has format {found}; "
            "search again into a new folder, or use the version that made it"
        )


def _check_parts(found: StudyFile, file: Path) -> None:
    """Refuse a file whose parts do not fit together."""
    n_clips, origin = len(found.clips), found.origin
    if not all(0 <= clip.label < len(found.classes) for clip in found.clips):
        raise InputError(f"{file} is damaged: a clip has none of {len(found.classes)} classes")
    if {len(origin.fingerprints), len(origin.image_hashes)} != {n_clips}:
        raise InputError(f"{file} is damaged: the hashes are not those of {n_clips} clips")
    if len(found.rungs) != len(found.identity.ladder):
        raise InputError(
            f"{file} is damaged: {len(found.rungs)} rungs of folds for a ladder of "
            f"{len(found.identity.ladder)}"
        )


def _folds(test_subjects: Sequence[tuple[str, ...]], clips: tuple[Clip, ...]) -> tuple[Fold, ...]:
    return tuple(
        Fold(index, subjects, tuple(i for i, c in enumerate(clips) if c.subject in subjects))
        for index, subjects in enumerate(test_subjects)
    )


def extended(study: Study, events: Iterable[Event]) -> Study:
    """Add ledger events to a study; the given one is unchanged."""
    grown = _Growing(study)
    for event in events:
        grown.add(event)
    return grown.study()


class _Growing:
    """A study while events are added to it."""

    def __init__(self, study: Study) -> None:
        # Of its own: the given study stays as it is.
        self._study = replace(
            study,
            trainings=dict(study.trainings),
            repeats=dict(study.repeats),
            pairs=dict(study.pairs),
        )
        self._configurations = list(study.configurations)
        self._spans = list(study.spans)
        self._n_configs, self._end = study.n_configs, study.end_of_drawing
        self._block = study.block

    def study(self) -> Study:
        return replace(
            self._study,
            configurations=tuple(self._configurations),
            spans=tuple(self._spans),
            n_configs=self._n_configs,
            end_of_drawing=self._end,
            block=self._block,
        )

    def add(self, event: Event) -> None:
        match event:
            case Started():
                self._n_configs = event.n_configs
                span = Span(event.at, event.at, event.n_workers, event.environment)
                self._spans.append(span)
            case WorkersChanged():
                self._change_workers(event)
            case WaveDrawn():
                self._draw(event)
            case TrainingEnded():
                self._end_training(event.training)
                self._follow(event.at)
            case WeightsMade():
                self._replace_weights(event)
            case BlockSized() | DrawingEnded():
                self._limit(event)
            case Ended():
                self._follow(event.at)

    def _limit(self, event: BlockSized | DrawingEnded) -> None:
        if isinstance(event, BlockSized):
            self._block = event.block
        else:
            self._n_configs, self._end = event.end.n_configs, event.end

    def _change_workers(self, event: WorkersChanged) -> None:
        if self._spans:
            changes = (*self._spans[-1].changes, (event.at, event.n_workers))
            self._spans[-1] = replace(self._spans[-1], changes=changes)

    def _draw(self, event: WaveDrawn) -> None:
        first = len(self._configurations)
        self._configurations += (
            Configuration(number, config_id(settings), settings, event.wave)
            for number, settings in enumerate(event.settings, start=first)
        )

    def _end_training(self, training: Training) -> None:
        self._check_weights(training)
        if problem := self._problem(training):
            raise InputError(
                f"the ledger of {self._study.name} is damaged: configuration {training.number}, "
                f"rung {training.rung}, fold {training.fold}: {problem}"
            )
        self._study.known_of(training.rung)[training.key] = training

    def _problem(self, training: Training) -> str:
        """Say why a training cannot be one of this study; empty if it can."""
        study = self._study
        if not 0 <= training.number < len(self._configurations):
            return "it was never drawn"
        if training.config_id != self._configurations[training.number].config_id:
            return f"its settings have another id, {training.config_id}"
        if training.rung < 0 or not 0 <= training.fold < len(study.folds_of(training.rung)):
            return "there is no such fold"
        if training.outcome == "ok" and not training.points:
            return "it has no predictions"
        n_clips = len(study.folds_of(training.rung)[training.fold].test_clips)
        shape = (n_clips, len(study.classes))
        for point in training.points:
            found = point.probabilities
            if found.shape != shape:
                return f"probabilities must be {shape}, got {found.shape}"
            # False also for what is no number.
            if not (np.all(found >= 0) and np.allclose(found.sum(axis=1), 1, atol=1e-3)):
                return "the probabilities of a clip must add up to 1"
        return ""

    def _replace_weights(self, event: WeightsMade) -> None:
        key = (event.number, self._study.loso_rung, event.fold)
        if key not in self._study.trainings:
            raise InputError(
                f"the ledger of {self._study.name} is damaged: weights of configuration "
                f"{event.number}, fold {event.fold}, which was never trained"
            )
        before = self._study.trainings[key]
        pairs = zip(before.points, event.weights, strict=True)
        points = tuple(replace(point, weights=weights) for point, weights in pairs)
        made = replace(before, result=replace(before.result, points=points))
        self._check_weights(made)
        self._study.trainings[key] = made

    def _follow(self, at: float) -> None:
        """Extend the last driver's span. Workers' clocks may differ, so it never shrinks."""
        if self._spans:
            last = max(self._spans[-1].stopped_at, at)
            self._spans[-1] = replace(self._spans[-1], stopped_at=last)

    def _check_weights(self, training: Training) -> None:
        """Refuse a ledger that leads out of its study; it may come from somebody else."""
        name, fold, seed = training.config_id, training.fold, self._study.seed_of(training)
        for point in training.points:
            if point.weights is None:
                continue
            wanted = weights_path(name, point.steps, fold, max(0, seed))
            if not name.isalnum() or point.weights.path != wanted:
                raise InputError(
                    f"a ledger names weights inside its study: got {point.weights.path!r} for "
                    f"configuration {name!r}, fold {fold}"
                )
