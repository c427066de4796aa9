"""The report of a study: one JSON document, from which the terminal and the page are made.

Reads a Study; writes predictions as CSV. Everything random comes from the study seed, so the same
ledger gives the same report.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from dianet_ray.artefacts import METRICS
from dianet_ray.errors import InputError
from dianet_ray.protocol import correction, predictions
from dianet_ray.protocol.metrics import scores
from dianet_ray.protocol.standing import standing
from dianet_ray.protocol.study import Configuration, Study
from dianet_ray.report import costs, savings
from dianet_ray.report.settings_effect import effects
from dianet_ray.report.terminal import render
from dianet_ray.storage.outputs import write_file

__all__ = ["render", "summarise", "write_predictions"]


def summarise(study: Study) -> dict[str, Any]:
    """Make the document that `report --json` prints; `champion` is None before any is complete."""
    winner = correction.champion(study)
    counts = [_finished(study, rung) for rung in range(len(study.rungs))]
    configs = [_configuration(study, c, counts) for c in study.configurations]
    screened = [
        (c.settings, found["rungs"][0]["scores"][study.objective])
        for c, found in zip(study.configurations, configs, strict=True)
        if found["rungs"][0]["scores"]
    ]
    answers = None if winner is None else predictions.classify(study.pooled(winner.number))
    chance = predictions.chance(
        study.labels(),
        answers,
        folds=study.folds,
        n_classes=len(study.classes),
        seed=_seed(study),
    )
    return {
        "study": study.name,
        "dataset": _dataset(study),
        "strategy": "exhaustive" if study.identity["ladder"] == ["loso"] else "ladder",
        "protocol": study.identity["protocol"],
        "objective": study.objective,
        "n_configs": len(study.configurations),
        "n_trainings": len(study.trainings),
        "n_surplus": _n_surplus(study),
        "n_trainings_exhaustive": len(study.configurations) * len(study.folds),
        "flow": savings.flow(study),
        "chance": chance,
        "champion": None if winner is None else _champion(study, winner, counts, chance),
        "settings_effect": effects(screened, study.identity["space"]),
        "configs": configs,
        "seconds": costs.seconds(study),
        "environment": costs.environment(study),
    }


def write_predictions(study: Study, path: Path) -> None:
    """Write the champion's held-out probabilities as CSV, one row per clip.

    Raises:
        InputError: no configuration is complete, or the file cannot be written.
    """
    winner = correction.champion(study)
    if winner is None:
        raise InputError(
            "predictions need a complete configuration: "
            f"{study.name} has {len(study.trainings)} trainings of "
            f"{len(study.configurations)} configurations, and none is complete"
        )
    probabilities = study.pooled(winner.number)
    answers = predictions.classify(probabilities)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    named = [f"probability_{name}" for name in study.classes]
    writer.writerow(["clip_id", "subject", "label", "predicted", *named])
    for clip, answer, row in zip(study.clips, answers, probabilities, strict=True):
        label, predicted = study.classes[clip.label], study.classes[answer]
        writer.writerow([clip.clip_id, clip.subject, label, predicted, *map(str, row)])
    write_file(path, text.getvalue())


def _seed(study: Study) -> int:
    return int(study.identity["seed"])


def _n_surplus(study: Study) -> int:
    """Count the trainings that no decision, score or report reads."""
    decided = standing(study)
    return sum(decided.is_surplus(training) for training in study.trainings.values())


Counts = dict[int, np.ndarray]
"""The configurations that finished a rung, in number order: (S, C, C) counts per subject."""


def _finished(study: Study, rung: int) -> Counts:
    counts = {}
    for number in sorted(run.number for run in standing(study).climb.complete(rung)):
        answers = predictions.classify(study.pooled(number, rung))
        found = predictions.subject_confusions(study.clips, answers, len(study.classes))
        counts[number] = found[1]
    return counts


def _plain(confusion: np.ndarray) -> dict[str, float]:
    return {metric: float(score) for metric, score in scores(confusion).items()}


def _dataset(study: Study) -> dict[str, Any]:
    """Describe the clips; `left_out` counts those that `prepare` or the class set left out."""
    images = study.about.get("images", {})
    n_clips = len(study.clips)
    n_outside = int(images.get("n_clips", n_clips)) - n_clips
    n_unusable = int(images.get("n_left_out", 0))
    n_of = Counter(clip.label for clip in study.clips)
    return {
        "name": study.about.get("dataset", ""),
        "clips": n_clips,
        "subjects": len({clip.subject for clip in study.clips}),
        "classes": {name: n_of[label] for label, name in enumerate(study.classes)},
        "left_out": n_unusable + n_outside,
        "left_out_by": {"prepare": n_unusable, "classes": n_outside},
    }


def _champion(
    study: Study,
    winner: Configuration,
    counts: list[Counts],
    chance: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    """Describe the winner; chosen from one configuration there is nothing to correct."""
    mine = counts[-1][winner.number]
    total = mine.sum(axis=0)
    ci95 = predictions.interval(mine, _seed(study))
    corrected = None
    if len(counts[0]) > 1:
        corrected = correction.corrected(counts, study.objective, seed=_seed(study))
    recall = np.diagonal(total) / total.sum(axis=1)
    subjects = sorted({clip.subject for clip in study.clips})
    by_subject = dict(zip(subjects, mine, strict=True))
    return {
        "number": winner.number,
        "config_id": winner.config_id,
        "settings": winner.settings.model_dump(),
        **_plain(total),
        "ci95": {metric: list(ci95[metric]) for metric in METRICS},
        "corrected": corrected,
        "above_chance": {m: ci95[m][0] > chance[m]["level"] for m in METRICS},
        "confusion": total.tolist(),
        "recall": dict(zip(study.classes, recall.tolist(), strict=True)),
        "per_subject": {
            subject: {
                "clips": int(one.sum()),
                "correct": int(one.trace()),
                "accuracy": float(one.trace() / one.sum()),
            }
            for subject, one in by_subject.items()
        },
        "parts": _parts(by_subject),
    }


def _parts(by_subject: dict[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """Score the data sets of a composite apart; empty for a single one.

    As published: every part over all the classes of the study, by the same predictions.
    """
    parts: dict[str, list[np.ndarray]] = {}
    for subject, one in by_subject.items():
        parts.setdefault(subject.partition("/")[0], []).append(one)
    if len(parts) < 2:
        return {}
    totals = {part: np.sum(found, axis=0) for part, found in parts.items()}
    return {
        part: {
            "clips": int(total.sum()),
            "subjects": len(parts[part]),
            **_plain(total),
        }
        for part, total in totals.items()
    }


def _configuration(
    study: Study, configuration: Configuration, counts: list[Counts]
) -> dict[str, Any]:
    number = configuration.number
    rungs = [
        {
            "partition": savings.name(study, run.rung),
            "state": run.state,
            "n_trainings": len(study.of(number, run.rung)),
            "scores": _plain(counts[run.rung][number].sum(axis=0))
            if number in counts[run.rung]
            else None,
        }
        for run in standing(study).runs(number)
    ]
    return {
        "number": number,
        "config_id": configuration.config_id,
        "settings": configuration.settings.model_dump(),
        "rungs": rungs,
        "state": standing(study).state(number),
    }
