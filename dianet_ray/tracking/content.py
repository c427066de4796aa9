"""What each MLflow run of a study holds, as records made from the study's `Standing`.

Pure: equal studies give equal records, and every time in them comes from the study. `projection`
writes them. docs/decisions.md: MLflow as a projection.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from dianet_ray.artefacts import METRICS, LoggedStep, to_plain
from dianet_ray.protocol.metrics import confusion, scores
from dianet_ray.protocol.predictions import classify
from dianet_ray.protocol.results import Training
from dianet_ray.protocol.standing import Standing
from dianet_ray.protocol.study import Configuration, Identity, State, Study

KIND, STUDY, STATE = "dianet.kind", "dianet.study", "dianet.state"
CONFIG_ID, FOLD, CHAMPION = "dianet.config_id", "dianet.fold", "dianet.champion"
CARD, WEIGHTS = "dianet.card_sha256", "dianet.weights_sha256"

MAX_PARAM_LENGTH = 500
"""In characters. Stores of older servers refuse longer values; identity.json holds them all."""

MIN_PROBABILITY = 1e-7
"""Smaller ones count as this in the log loss, which a single 0 would make infinite."""

STATUS: Mapping[State, str] = {
    "running": "RUNNING",
    "waiting": "RUNNING",
    "complete": "FINISHED",
    "screened": "FINISHED",
    "dropped": "KILLED",
    "failed": "FAILED",
    "lost": "FAILED",
}
"""MLflow's status of a run, by the state of what it shows."""

OPEN: tuple[State, ...] = ("running", "waiting")
"""States of a configuration that may still change."""


@dataclass(frozen=True, slots=True)
class MetricValue:
    """One value of a metric; `at` is in milliseconds since the epoch."""

    key: str
    value: float
    step: int
    at: int


@dataclass(frozen=True, slots=True)
class RunContent:
    """Everything that a run holds; times are in milliseconds since the epoch."""

    name: str
    tags: dict[str, str]
    state: State
    started_at: int
    finished_at: int
    params: dict[str, str] = field(default_factory=dict)
    values: tuple[MetricValue, ...] = ()


def study_id(study: Study) -> str:
    """Hash the identity of a study to 12 hex digits."""
    text = json.dumps(to_plain(study.identity), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def identity_json(study: Study) -> str:
    """Write the text of a study's identity.json; equal studies have equal texts."""
    plain = {"identity": to_plain(study.identity), "classes": study.classes}
    return json.dumps(plain, indent=1, sort_keys=True) + "\n"


def model_name(study: Study) -> str:
    """Name the registered model after the data set and the set of classes."""
    # The data set is in the name already: casme2:5 becomes dianet-casme2-5.
    classes = study.identity.classes.rpartition(":")[2]
    name = f"dianet-{study.origin.dataset}-{classes}"
    # MLflow refuses "/" and ":" here, and the name is part of URIs that users type.
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name)


def started_at(study: Study) -> int:
    """Say when the study's first driver started, in milliseconds.

    Two studies may have the same identity: this tells their runs apart.
    """
    return milliseconds(study.spans[0].started_at if study.spans else 0.0)


def milliseconds(seconds: float) -> int:
    """Turn a time of the ledger into one of MLflow."""
    # The ledger's times, never the clock: stores drop a value only if its time is equal too.
    return round(seconds * 1000)


def study_state(standing: Standing) -> State:
    """Return the state of the whole study: `running`, `complete` or `failed`.

    It is running while any drawn configuration is. A study that is over may still grow.
    """
    states = set(standing.states())
    if not states or states & set(OPEN):
        return "running"
    return "complete" if "complete" in states else "failed"


def study_run(study: Study, state: State, tags: dict[str, str] | None = None) -> RunContent:
    """Describe the run of the whole study. Its only metrics, `best_curve`, are written apart."""
    params = _identity_params(study.identity)
    params |= {"dataset": study.origin.dataset, "n_clips": str(len(study.clips))}
    params["n_folds"] = ", ".join(str(len(folds)) for folds in study.rungs)
    ends = [training.result.finished_at for training in study.trainings.values()]
    return RunContent(
        name=study.name,
        tags={KIND: "study", STUDY: study_id(study), **(tags or {})},
        state=state,
        started_at=started_at(study),
        finished_at=milliseconds(max(ends, default=0.0)),
        params={key: value for key, value in params.items() if len(value) <= MAX_PARAM_LENGTH},
    )


def _identity_params(identity: Identity) -> dict[str, str]:
    """Write the identity's plain values as text; the space and the labels are too long."""
    plain = {k: v for k, v in to_plain(identity).items() if not isinstance(v, dict)}
    return {k: v if isinstance(v, str) else json.dumps(v) for k, v in plain.items()}


def best_curve(standing: Standing) -> Iterator[MetricValue]:
    """Score, for every number, the best complete configuration up to it.

    The rule is that of the champion, so the curve ends at the champion's score. Dropped, failed
    and screened configurations have no value of their own.
    """
    best: dict[str, float] = {}
    study, at = standing.study, 0
    places = {one.number: place for place, one in enumerate(standing.ranking)}
    best_place = len(places)
    for configuration in study.configurations:
        number = configuration.number
        state = standing.state(number)
        # What comes after an open configuration waits, so that no value is ever rewritten: a
        # study that was interrupted must end with the curve of one that was not.
        if state in OPEN:
            return
        at = max(at, _finished_at(standing, number))
        if state != "complete":
            continue
        if places[number] < best_place:
            best, best_place = pooled_scores(standing, number), places[number]
        for metric in METRICS:
            yield MetricValue(f"best/{metric}", best[metric], number, at)


def pooled_scores(
    standing: Standing, number: int, rung: int | None = None, steps: int | None = None
) -> dict[str, float]:
    """Score the pooled predictions of a finished rung (default: LOSO) with every metric.

    They are those of the point that is given in steps, else of the one that is read.
    """
    study = standing.study
    predicted = classify(study.pooled(number, rung, steps or standing.steps_read(number, rung)))
    found = scores(confusion(study.labels(), predicted, len(study.classes)))
    return {metric: float(found[metric]) for metric in METRICS}


def configuration_run(standing: Standing, configuration: Configuration) -> RunContent:
    """Describe a configuration's run: scores of each rung that it finished, and more of LOSO."""
    study, number = standing.study, configuration.number
    state = standing.state(number)
    starts = [training.result.started_at for training in standing.needed(number)]
    # Metrics follow when nothing can change any more, so that an interrupted and an
    # uninterrupted study end with equal runs.
    # docs/decisions.md: What MLflow gets while a configuration runs
    values = () if state in OPEN else tuple(_configuration_values(standing, number))
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
        finished_at=_finished_at(standing, number),
        params={key: str(value) for key, value in configuration.settings.values().items()},
        values=values,
    )


def _configuration_values(standing: Standing, number: int) -> Iterator[MetricValue]:
    study, at = standing.study, _finished_at(standing, number)
    finished = [entry.rung for entry in standing.entries(number) if entry.state == "complete"]
    if len(study.rungs) > 1:
        for rung in finished:
            for metric, value in pooled_scores(standing, number, rung).items():
                yield MetricValue(f"rung/{metric}", value, rung, at)
    if study.loso_rung in finished:
        yield from _loso_values(standing, number, at)


def _loso_values(standing: Standing, number: int, at: int) -> Iterator[MetricValue]:
    """Score the LOSO rung whole and by fold, with the time that the configuration took."""
    study = standing.study
    for metric, value in pooled_scores(standing, number).items():
        yield MetricValue(metric, value, 0, at)
    for steps in study.points(number):
        for metric, value in pooled_scores(standing, number, steps=steps).items():
            yield MetricValue(f"curve/{metric}", value, steps, at)
    best = standing.steps_read(number)
    seconds = sum(training.seconds for training in standing.needed(number))
    yield MetricValue("seconds/training", seconds, 0, at)
    # Folds are steps of one metric: a run per fold of every configuration would drown the UI.
    for training in study.of(number):
        ended_at = milliseconds(training.result.finished_at)
        yield MetricValue("seconds/fold", training.seconds, training.fold, ended_at)
        for key, value in _fold_scores(study, training, best).items():
            yield MetricValue(f"fold/{key}", value, training.fold, ended_at)


def fold_run(study: Study, training: Training, steps: int, tags: dict[str, str]) -> RunContent:
    """Describe one fold of the champion: its learning curve and its held-out scores.

    Args:
        study: the study.
        training: an ok training of the champion's LOSO rung.
        steps: where the champion is read.
        tags: further tags, such as the hash of the card.
    """
    result, fold, weights = training.result, training.fold, training.at(steps).weights
    at = milliseconds(result.finished_at)
    values = [MetricValue("seconds/fold", training.seconds, 0, at)]
    for key, value in _fold_scores(study, training, steps).items():
        values.append(MetricValue(f"held_out/{key}", value, 0, at))
    for logged in result.history:
        values += _learning_values(logged, at)
    return RunContent(
        name=f"fold-{fold:03d}",
        tags={
            KIND: "fold",
            STUDY: study_id(study),
            CONFIG_ID: training.config_id,
            FOLD: str(fold),
            WEIGHTS: weights.sha256 if weights else "",
            **tags,
        },
        state="complete",
        started_at=milliseconds(result.started_at),
        finished_at=at,
        params={"fold": str(fold), "n_clips": str(len(study.folds[fold].test_clips))},
        values=tuple(values),
    )


def _learning_values(logged: LoggedStep, at: int) -> Iterator[MetricValue]:
    yield MetricValue("train/loss", logged.loss, logged.step, at)
    yield MetricValue("train/accuracy", logged.accuracy, logged.step, at)
    yield MetricValue("train/learning_rate", logged.learning_rate, logged.step, at)


def _fold_scores(study: Study, training: Training, steps: int) -> dict[str, float]:
    """Score one fold at a point by metrics that are averages over its clips."""
    # A fold of one subject rarely has every class, so its UF1 and UAR would mean little.
    labels = study.labels()[list(study.folds[training.fold].test_clips)]
    probabilities = np.asarray(training.at(steps).probabilities, dtype=np.float64)
    found = scores(confusion(labels, classify(probabilities), len(study.classes)))
    of_label = probabilities[np.arange(len(labels)), labels]
    return {
        "accuracy": float(found["accuracy"]),
        "log_loss": float(-np.log(np.clip(of_label, MIN_PROBABILITY, 1.0)).mean()),
    }


def _finished_at(standing: Standing, number: int) -> int:
    ends = [training.result.finished_at for training in standing.needed(number)]
    return milliseconds(max(ends)) if ends else started_at(standing.study)
