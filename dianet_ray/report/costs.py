"""What a search cost and where it ran: seconds, busy fraction, devices and versions."""

from __future__ import annotations

from typing import Any

from dianet_ray.artefacts import to_plain
from dianet_ray.protocol.results import Training
from dianet_ray.protocol.study import Span, Study
from dianet_ray.report.records import Environment, Seconds

DECISIVE = ("device", "torch", "threads")
"""Trainings that differ in one of these are equal to a float tolerance only."""


def seconds(study: Study) -> Seconds:
    """Measure where a study's time went."""
    # Sums over drivers: the time between a kill and the resume is not counted.
    wall = sum(span.stopped_at - span.started_at for span in study.spans)
    training = sum(training.seconds for training in study.all_trainings())
    driven = _by_span(study)
    if not driven:
        return Seconds(float(wall), float(training), startup=None, busy_fraction=None)
    # Until a driver's first training, workers start and images load: that is start-up, not idling.
    first_span, first_trainings = driven[0]
    available = sum(_worker_seconds(span, trainings) for span, trainings in driven)
    return Seconds(
        wall=float(wall),
        training=float(training),
        startup=min(t.result.started_at for t in first_trainings) - first_span.started_at,
        busy_fraction=training / available if available else None,
    )


def _worker_seconds(span: Span, trainings: list[Training]) -> float:
    """Sum the workers' time from a driver's first training to the end of its last one."""
    start = min(training.result.started_at for training in trainings)
    return span.worker_seconds(start, max(training.result.finished_at for training in trainings))


def _by_span(study: Study) -> list[tuple[Span, list[Training]]]:
    """Give every training to the driver that ran when it finished."""
    # The lock admits one driver at a time, so the last span that has begun is the right one.
    spans = sorted(study.spans, key=lambda span: span.started_at)
    trainings: list[list[Training]] = [[] for _ in spans]
    for training in study.all_trainings():
        place = sum(span.started_at <= training.result.finished_at for span in spans) - 1
        # A worker's clock may be behind the driver's: nothing ends before the first driver starts.
        trainings[max(0, place)].append(training)
    return [(span, found) for span, found in zip(spans, trainings, strict=True) if found]


def environment(study: Study) -> Environment:
    """Say what the trainings ran on."""
    taken: dict[str, set[str | int]] = {}
    for training in study.all_trainings():
        for key, value in _recorded(training).items():
            taken.setdefault(key, set()).add(value)
    return Environment(
        trainings={key: tuple(sorted(taken[key], key=str)) for key in sorted(taken)},
        mixed=tuple(key for key in DECISIVE if len(taken.get(key, ())) > 1),
        driver=_driver(study),
    )


def _recorded(training: Training) -> dict[str, str | int]:
    environment = training.result.environment
    return {} if environment is None else to_plain(environment)


def _driver(study: Study) -> dict[str, Any]:
    """Say what the last driver ran with; options that it was not given are left out."""
    if not study.spans:
        return {}
    last = study.spans[-1].environment
    return {**to_plain(last), "options": last.options.model_dump(exclude_none=True)}
