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

from dianet_ray.artefacts import METRICS, to_plain
from dianet_ray.protocol.metrics import confusion, scores
from dianet_ray.protocol.predictions import classify
from dianet_ray.protocol.results import Training
from dianet_ray.protocol.standing import Standing
from dianet_ray.protocol.study import Configuration, Identity, Study

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
class MetricValue:
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
    values: tuple[MetricValue, ...] = ()


def study_id(study: Study) -> str:
    """Hash what makes it this study to 12 hex digits."""
    text = json.dumps(to_plain(study.identity), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def model_name(study: Study) -> str:
    """Name the registered model: the data set and its set of classes."""
    classes = study.identity.classes.rpartition(":")[2]
    name = f"dianet-{study.origin.dataset}-{classes}"
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name)


def started_at(study: Study) -> int:
    """When the study's first driver started, in milliseconds: tells equal studies apart."""
    return milliseconds(study.spans[0].started_at if study.spans else 0.0)


def milliseconds(seconds: float) -> int:
    """Turn a record's time into MLflow's."""
    return round(seconds * 1000)


def study_state(standing: Standing) -> str:
    """Say where a study stands: over when nothing that is drawn still runs; it may grow later."""
    states = set(standing.states())
    if not states or states & set(OPEN):
        return "running"
    return "complete" if "complete" in states else "failed"


def study_run(study: Study, state: str, tags: dict[str, str] | None = None) -> RunContent:
    """Describe the run of the whole study: its identity; `best_so_far` is written as it grows."""
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
        params={key: value for key, value in params.items() if len(value) <= LONGEST_PARAM},
    )


def _identity_params(identity: Identity) -> dict[str, str]:
    """Write what is not nested as MLflow parameters, which are text."""
    plain = {k: v for k, v in to_plain(identity).items() if not isinstance(v, dict)}
    return {k: v if isinstance(v, str) else json.dumps(v) for k, v in plain.items()}


def best_so_far(standing: Standing) -> Iterator[MetricValue]:
    """Walk the configurations in number order up to the first that may still change.

    A point is the best complete configuration up to its step, by the rule of the champion, so it
    never changes later, and the last one is the champion's score.
    """
    best: dict[str, float] = {}
    best_total, at = -1.0, 0
    study, totals = standing.study, standing.totals()
    for configuration in study.configurations:
        number = configuration.number
        state = standing.state(number)
        if state in OPEN:
            return
        at = max(at, _finished_at(standing, number))
        if state != "complete":
            continue
        if totals[number] > best_total:
            best, best_total = pooled_scores(study, number), totals[number]
        for metric in METRICS:
            yield MetricValue(f"best/{metric}", best[metric], number, at)


def pooled_scores(study: Study, number: int, rung: int | None = None) -> dict[str, float]:
    """Score the pooled predictions of a finished rung (LOSO) with every metric."""
    predicted = classify(study.pooled(number, rung))
    found = scores(confusion(study.labels(), predicted, len(study.classes)))
    return {metric: float(found[metric]) for metric in METRICS}


def configuration_run(standing: Standing, configuration: Configuration) -> RunContent:
    """Describe a configuration's run: a metric per rung that it finished, more of LOSO."""
    study, number = standing.study, configuration.number
    state = standing.state(number)
    starts = [training.result.started_at for training in standing.needed(number)]
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
        params={key: str(value) for key, value in configuration.settings.model_dump().items()},
        values=() if state in OPEN else tuple(_configuration_values(standing, number)),
    )


def _configuration_values(standing: Standing, number: int) -> Iterator[MetricValue]:
    study, trainings = standing.study, standing.needed(number)
    at = _finished_at(standing, number)
    finished = [entry for entry in standing.entries(number) if entry.state == "complete"]
    if len(study.rungs) > 1:
        for entry in finished:
            for metric, value in pooled_scores(study, number, entry.rung).items():
                yield MetricValue(f"rung/{metric}", value, entry.rung, at)
    if not finished or finished[-1].rung < study.loso_rung:
        return
    for metric, value in pooled_scores(study, number).items():
        yield MetricValue(metric, value, 0, at)
    yield MetricValue("seconds/training", sum(training.seconds for training in trainings), 0, at)
    for training in study.of(number):
        at = milliseconds(training.result.finished_at)
        yield MetricValue("seconds/fold", training.seconds, training.fold, at)
        for key, value in _fold_scores(study, training).items():
            yield MetricValue(f"fold/{key}", value, training.fold, at)


def fold_run(study: Study, training: Training, tags: dict[str, str]) -> RunContent:
    """Describe one fold of the champion: its learning curve and its held-out score.

    Args:
        study: the study.
        training: an ok training of the champion.
        tags: what else the run holds, such as the hash of its card.
    """
    at = milliseconds(training.result.finished_at)
    values = [MetricValue("seconds/fold", training.seconds, 0, at)]
    values += [
        MetricValue(f"held_out/{k}", v, 0, at) for k, v in _fold_scores(study, training).items()
    ]
    for entry in training.result.history:
        for key in ("loss", "accuracy", "learning_rate"):
            values.append(MetricValue(f"train/{key}", getattr(entry, key), entry.step, at))
    weights = training.result.weights
    own = {KIND: "fold", STUDY: study_id(study), CONFIG_ID: training.config_id}
    own |= {FOLD: str(training.fold), WEIGHTS: weights.sha256 if weights else ""}
    return RunContent(
        name=f"fold-{training.fold:03d}",
        tags={**own, **tags},
        state="complete",
        started_at=milliseconds(training.result.started_at),
        finished_at=at,
        params={
            "fold": str(training.fold),
            "n_clips": str(len(study.folds[training.fold].test_clips)),
        },
        values=tuple(values),
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


def _finished_at(standing: Standing, number: int) -> int:
    ends = [training.result.finished_at for training in standing.needed(number)]
    return milliseconds(max(ends)) if ends else started_at(standing.study)


def json_text(value: Any) -> str:
    """Write JSON the same way every time, so that equal content has an equal hash."""
    return json.dumps(value, indent=1, sort_keys=True) + "\n"
