"""What a search cost and where it ran: seconds, busy fraction, devices and versions."""

from __future__ import annotations

import json
from typing import Any

from dianet_ray.protocol.study import Span, Study, Training

DECISIVE = ("device", "device_name", "torch", "threads", "block")
"""Trainings that differ in one of these are equal to a float tolerance only."""


def seconds(study: Study) -> dict[str, float | None]:
    """Measure a study's time.

    Returns:
        `wall`, the drivers' time; `training`, the sum over trainings; `startup`, from the start
        of the first driver that trained to its first training; `busy_fraction`, training time over
        workers x time from each driver's first training to its last one's end. The last two are
        None before the first training.
    """
    wall = sum(span.stopped_at - span.started_at for span in study.spans)
    training = sum(training.seconds for training in study.trainings.values())
    driven = _by_span(study)
    if not driven:
        return {"wall": wall, "training": training, "startup": None, "busy_fraction": None}
    first_span, first_trainings = driven[0]
    available = sum(
        span.worker_seconds(
            min(t.started_at for t in trainings), max(t.finished_at for t in trainings)
        )
        for span, trainings in driven
    )
    return {
        "wall": wall,
        "training": training,
        "startup": min(t.started_at for t in first_trainings) - first_span.started_at,
        "busy_fraction": training / available if available else None,
    }


def _by_span(study: Study) -> list[tuple[Span, list[Training]]]:
    """Give every training to the driver that ran when it finished."""
    spans = sorted(study.spans, key=lambda span: span.started_at)
    trainings: list[list[Training]] = [[] for _ in spans]
    for training in study.trainings.values():
        place = sum(span.started_at <= training.finished_at for span in spans) - 1
        trainings[max(0, place)].append(training)
    return [(span, found) for span, found in zip(spans, trainings, strict=True) if found]


def environment(study: Study) -> dict[str, Any]:
    """Say what the trainings ran on.

    Returns:
        `trainings`, every value that each recorded key took; `mixed`, the keys of DECISIVE that
        took more than one; `driver`, what the last driver recorded.
    """
    values: dict[str, dict[str, Any]] = {}
    for training in study.trainings.values():
        for key, value in training.environment.items():
            values.setdefault(key, {})[json.dumps(value)] = value
    taken = {key: [found[text] for text in sorted(found)] for key, found in sorted(values.items())}
    return {
        "trainings": taken,
        "mixed": [key for key in DECISIVE if len(taken.get(key, [])) > 1],
        "driver": dict(study.spans[-1].environment) if study.spans else {},
    }
