"""Read a study from disk as the plain records that decisions, reports and projections use."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dianet_ray.artefacts import weights_path
from dianet_ray.errors import InputError
from dianet_ray.protocol.study import Clip, Configuration, Fold, Span, Study, Training, Weights
from dianet_ray.search.ledger import Record, read_records, read_study
from dianet_ray.settings import Settings, config_id


def load_study(path: Path) -> Study:
    """Read study.json and the ledger.

    Raises:
        InputError: no study, or a damaged one.
    """
    return extended(empty_study(path.absolute().name, read_study(path)), read_records(path))


def study_content(study: Study) -> Record:
    """Describe a new study as study.json does; `empty_study` reads it back."""
    return {
        "identity": study.identity,
        "about": study.about,
        "classes": study.classes,
        "clips": [[clip.clip_id, clip.subject, clip.label] for clip in study.clips],
        "rungs": [[fold.test_subjects for fold in folds] for folds in study.rungs],
    }


def empty_study(name: str, content: Record) -> Study:
    """Make the view of a study in which nothing is drawn yet."""
    clips = tuple(Clip(*clip) for clip in content["clips"])
    return Study(
        name=name,
        identity=content["identity"],
        about=content["about"],
        clips=clips,
        classes=tuple(content["classes"]),
        rungs=tuple(
            tuple(
                Fold(i, tuple(subjects), tuple(_clips_of(subjects, clips)))
                for i, subjects in enumerate(folds)
            )
            for folds in content["rungs"]
        ),
        configurations=(),
        trainings={},
        spans=(),
    )


def _clips_of(subjects: Iterable[str], clips: tuple[Clip, ...]) -> list[int]:
    held_out = set(subjects)
    return [i for i, clip in enumerate(clips) if clip.subject in held_out]


def extended(study: Study, records: Iterable[Record]) -> Study:
    """Add ledger records to a view; the given view is unchanged."""
    configurations = list(study.configurations)
    trainings = dict(study.trainings)
    spans = list(study.spans)
    n_configs, end = study.n_configs, study.end_of_drawing
    for record in records:
        kind = record["kind"]
        if kind == "wave":
            configurations += _drawn(record, len(configurations))
        elif kind == "training":
            training = training_from(record)
            trainings[training.number, training.rung, training.fold] = training
        elif kind == "weights":
            key = (record["number"], study.loso_rung, record["fold"])
            weights = _weights(record["weights"], trainings[key].config_id, record["fold"])
            trainings[key] = replace(trainings[key], weights=weights)
        elif kind == "end_of_drawing":
            end = record
        n_configs = record.get("n_configs", n_configs)
        _follow(spans, record)
    return replace(
        study,
        configurations=tuple(configurations),
        trainings=trainings,
        spans=tuple(spans),
        n_configs=n_configs,
        end_of_drawing=end,
    )


def _follow(spans: list[Span], record: Record) -> None:
    """Extend the last driver's span to a record, or begin another one."""
    kind = record["kind"]
    if kind == "start":
        spans.append(Span(record["at"], record["at"], record["n_workers"], record["with"]))
    elif kind == "workers" and spans:
        change = (record["at"], record["n_workers"])
        spans[-1] = replace(spans[-1], changes=(*spans[-1].changes, change))
    elif kind in ("training", "stop") and spans:
        # Workers' clocks may differ a little, so a span never shrinks.
        last = max(spans[-1].stopped_at, record["at"])
        spans[-1] = replace(spans[-1], stopped_at=last)


def _drawn(record: Record, first: int) -> list[Configuration]:
    settings = [Settings(**values) for values in record["settings"]]
    return [
        Configuration(number, config_id(one), one, record["wave"])
        for number, one in enumerate(settings, start=first)
    ]


def training_record(**values: Any) -> Record:
    """Make the ledger record of a training from what a worker reported, as plain JSON values."""
    empty: Record = {
        "probabilities": None,
        "history": [],
        "weights": None,
        "error": "",
        "environment": {},
    }
    return {"kind": "training", "at": values["finished_at"], **empty, **values}


def training_from(record: Record) -> Training:
    """Read a training from its ledger record."""
    values = {k: v for k, v in record.items() if k not in ("kind", "at")}
    if values["probabilities"] is not None:
        values["probabilities"] = np.array(values["probabilities"], dtype=np.float32)
    if values["weights"] is not None:
        values["weights"] = _weights(values["weights"], values["config_id"], values["fold"])
    values["history"] = tuple(values["history"])
    return Training(**values)


def _weights(values: Record, config_id: str, fold: int) -> Weights:
    """Read where weights are; a ledger from elsewhere must not lead out of its study."""
    found = Weights(**values)
    if not config_id.isalnum() or found.path != weights_path(config_id, fold):
        raise InputError(
            f"a ledger names weights inside its study: got {found.path!r} for configuration "
            f"{config_id!r}, fold {fold}"
        )
    return found
