"""What each MLflow run of a study holds, as plain records made from the ledger's view.

Pure: equal studies give equal records, and every time in them comes from the study. `projection`
writes them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dianet_ray.artefacts import METRICS
from dianet_ray.protocol.metrics import confusion, scores
from dianet_ray.protocol.predictions import classify
from dianet_ray.protocol.standing import standing
from dianet_ray.protocol.study import Configuration, Study, Training

KIND, STUDY, STATE = "dianet.kind", "dianet.study", "dianet.state"
CONFIG_ID, FOLD, CHAMPION = "dianet.config_id", "dianet.fold", "dianet.champion"
CARD, WEIGHTS = "dianet.card_sha256", "dianet.weights_sha256"
LONGEST_PARAM = 500
STATUS = {
    "running": "RUNNING",
    "waiting": "RUNNING",
    "complete": "FINISHED",
    "screened": "FINISHED",
    "dropped": "KILLED",
    "failed": "FAILED",
    "lost": "FAILED",
}
OPEN = ("running", "waiting")
"""States of a configuration that may still change."""


@dataclass(frozen=True, slots=True)
class Point:
    """One value of a metric; `at` is in milliseconds since the epoch."""

    key: str
    value: float
    step: int
    at: int


@dataclass(frozen=True, slots=True)
class RunContent:
    """A run; times are in milliseconds since the epoch. Its state is written last of all."""

    name: str
    tags: dict[str, str]
    state: str
    started_at: int
    finished_at: int
    params: dict[str, str] = field(default_factory=dict)
    points: tuple[Point, ...] = ()


def study_id(study: Study) -> str:
    """Hash what makes it this study to 12 hex digits."""
    text = json.dumps(study.identity, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def model_name(study: Study) -> str:
    """Name the registered model: the data set and its set of classes."""
    classes = study.identity["classes"]
    last = classes.rpartition(":")[2] if isinstance(classes, str) else len(study.classes)
    name = f"dianet-{study.about['dataset']}-{last}"
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name)


def started_at(study: Study) -> int:
    """When the study's first driver started, in milliseconds: tells equal studies apart."""
    return milliseconds(study.spans[0].started_at if study.spans else 0.0)


def milliseconds(seconds: float) -> int:
    """Turn a record's time into MLflow's."""
    return round(seconds * 1000)


def study_state(study: Study) -> str:
    """Say where a study stands: over when nothing that is drawn still runs; it may grow later."""
    states = set(standing(study).states())
    if not states or states & set(OPEN):
        return "running"
    return "complete" if "complete" in states else "failed"


def study_run(study: Study, state: str, tags: dict[str, str] | None = None) -> RunContent:
    """Describe the run of the whole study: its identity; `best_so_far` is written as it grows."""
    plain = {key: value for key, value in study.identity.items() if not isinstance(value, dict)}
    params = {key: v if isinstance(v, str) else json.dumps(v) for key, v in plain.items()}
    params |= {"dataset": str(study.about["dataset"]), "n_clips": str(len(study.clips))}
    params["n_folds"] = ", ".join(str(len(folds)) for folds in study.rungs)
    ends = [training.finished_at for training in study.trainings.values()]
    return RunContent(
        name=study.name,
        tags={KIND: "study", STUDY: study_id(study), **(tags or {})},
        state=state,
        started_at=started_at(study),
        finished_at=milliseconds(max(ends, default=0.0)),
        params={key: value for key, value in params.items() if len(value) <= LONGEST_PARAM},
    )


def best_so_far(study: Study) -> Iterator[Point]:
    """Walk the configurations in number order up to the first that may still change.

    A point is the best complete configuration up to its step, by the rule of the champion, so it
    never changes later, and the last one is the champion's score.
    """
    best: dict[str, float] = {}
    best_total, at = -1.0, 0
    standings = standing(study)
    for configuration in study.configurations:
        state = standings.state(configuration.number)
        if state in OPEN:
            return
        at = max(at, _finished_at(study, configuration.number))
        if state != "complete":
            continue
        total = standings.climb.total(configuration.number, study.loso_rung)
        if total > best_total:
            best, best_total = pooled_scores(study, configuration.number), total
        for metric in METRICS:
            yield Point(f"best/{metric}", best[metric], configuration.number, at)


def pooled_scores(study: Study, number: int, rung: int | None = None) -> dict[str, float]:
    """Score the pooled predictions of a finished rung (LOSO) with every metric."""
    answers = classify(study.pooled(number, rung))
    found = scores(confusion(study.labels(), answers, len(study.classes)))
    return {metric: float(found[metric]) for metric in METRICS}


def configuration_run(study: Study, configuration: Configuration) -> RunContent:
    """Describe a configuration's run: a metric per rung that it finished, more of LOSO."""
    number = configuration.number
    trainings = standing(study).needed(number)
    state = standing(study).state(number)
    starts = [training.started_at for training in trainings]
    return RunContent(
        name=f"{number:03d}-{configuration.config_id}",
        tags={
            KIND: "configuration",
            STUDY: study_id(study),
            CONFIG_ID: configuration.config_id,
            "dianet.number": str(number),
            "dianet.wave": str(configuration.wave),
        },
        state=state,
        started_at=milliseconds(min(starts)) if starts else started_at(study),
        finished_at=_finished_at(study, number),
        params={key: str(value) for key, value in configuration.settings.model_dump().items()},
        points=() if state in OPEN else tuple(_configuration_points(study, number)),
    )


def _configuration_points(study: Study, number: int) -> Iterator[Point]:
    trainings = standing(study).needed(number)
    at = _finished_at(study, number)
    finished = [run for run in standing(study).runs(number) if run.state == "complete"]
    if len(study.rungs) > 1:
        for run in finished:
            for metric, value in pooled_scores(study, number, run.rung).items():
                yield Point(f"rung/{metric}", value, run.rung, at)
    if not finished or finished[-1].rung < study.loso_rung:
        return
    for metric, value in pooled_scores(study, number).items():
        yield Point(metric, value, 0, at)
    yield Point("seconds/training", sum(training.seconds for training in trainings), 0, at)
    for training in study.of(number):
        at = milliseconds(training.finished_at)
        yield Point("seconds/fold", training.seconds, training.fold, at)
        for key, value in _fold_scores(study, training).items():
            yield Point(f"fold/{key}", value, training.fold, at)


def fold_run(study: Study, training: Training, tags: dict[str, str]) -> RunContent:
    """Describe one fold of the champion: its learning curve and its held-out score.

    Args:
        study: the study.
        training: an ok training of the champion.
        tags: what else the run holds, such as the hash of its card.
    """
    at = milliseconds(training.finished_at)
    points = [Point("seconds/fold", training.seconds, 0, at)]
    points += [Point(f"held_out/{k}", v, 0, at) for k, v in _fold_scores(study, training).items()]
    for entry in training.history:
        step = round(entry["step"])
        points += [Point(f"train/{k}", v, step, at) for k, v in entry.items() if k != "step"]
    own = {KIND: "fold", STUDY: study_id(study), CONFIG_ID: training.config_id}
    own |= {FOLD: str(training.fold), WEIGHTS: training.weights.sha256 if training.weights else ""}
    return RunContent(
        name=f"fold-{training.fold:03d}",
        tags={**own, **tags},
        state="complete",
        started_at=milliseconds(training.started_at),
        finished_at=at,
        params={
            "fold": str(training.fold),
            "n_clips": str(len(study.folds[training.fold].test_clips)),
        },
        points=tuple(points),
    )


def _fold_scores(study: Study, training: Training) -> dict[str, float]:
    labels = study.labels()[list(study.folds[training.fold].test_clips)]
    probabilities = np.asarray(training.probabilities, dtype=np.float64)
    found = scores(confusion(labels, classify(probabilities), len(study.classes)))
    true = probabilities[np.arange(len(labels)), labels]
    return {
        "accuracy": float(found["accuracy"]),
        "log_loss": float(-np.log(np.clip(true, 1e-7, 1.0)).mean()),
    }


def _finished_at(study: Study, number: int) -> int:
    ends = [training.finished_at for training in standing(study).needed(number)]
    return milliseconds(max(ends)) if ends else started_at(study)


def json_text(value: Any) -> str:
    """Write JSON the same way every time, so that equal content has an equal hash."""
    return json.dumps(value, indent=1, sort_keys=True) + "\n"
