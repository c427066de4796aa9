"""Studies made of random numbers, for tests of what reads a study."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from dianet_ray.artefacts import LoggedStep, Recipe, weights_path
from dianet_ray.options import SearchOptions
from dianet_ray.protocol import leaks
from dianet_ray.protocol.folds import Clip, repeat_rung
from dianet_ray.protocol.ladder import EXHAUSTIVE, Rung
from dianet_ray.protocol.results import (
    Outcome,
    Point,
    Training,
    TrainingResult,
    Weights,
    WorkerEnvironment,
)
from dianet_ray.protocol.study import (
    Configuration,
    DriverEnvironment,
    Identity,
    Origin,
    Span,
    Study,
    new_study,
)
from dianet_ray.settings import Choice, Range, Settings, SpaceIdentity, config_id, derive_seed

CLASSES = ("disgust", "happiness", "surprise")
WORKER = WorkerEnvironment(device="cpu", torch="2.13.0", threads=1, block=1, host="here")
DRIVER = DriverEnvironment(
    n_configs=2,
    dianet_ray="0",
    python="3.11.2",
    ray="2.60.0",
    torch="2.13.0",
    optuna="5.0.0",
    host="here",
    cpus_per_trial=1.0,
    gpus_per_trial=0.0,
    options=SearchOptions(),
)
HISTORY = (
    LoggedStep(step=10, loss=1.1, accuracy=0.4, learning_rate=1e-3),
    LoggedStep(step=20, loss=0.9, accuracy=0.6, learning_rate=1e-4),
)
SECONDS = 2.0
"""How long every made-up training takes."""


def make_clips(n_subjects: int = 6, *, seed: int = 0, classes: int = 3) -> tuple[Clip, ...]:
    """Every subject shows every class once or more often."""
    generator = np.random.default_rng(derive_seed(seed, "clips"))
    clips = []
    for subject in range(1, n_subjects + 1):
        labels = [*range(classes), *generator.integers(0, classes, size=generator.integers(1, 4))]
        for take, label in enumerate(labels, start=1):
            name = f"casme2/sub{subject:02d}"
            clips.append(Clip(f"{name}/EP{take:02d}_01", name, int(label)))
    return tuple(sorted(clips, key=lambda clip: clip.clip_id))


def make_settings(number: int) -> Settings:
    """Distinct settings: heads take three values, the learning rate one per configuration."""
    return Settings(
        width=8,
        embedding=16,
        heads=(1, 2, 4)[number % 3],
        learning_rate=float(f"{1e-4 * 1.1**number:.6g}"),
        steps=20,
    )


def make_study(
    n_subjects: int = 6, n_configs: int = 4, *, seed: int = 0, signal: float = 1.0
) -> Study:
    """A finished study on two workers; with a larger `signal` more predictions are right.

    Later configurations have a little more signal than earlier ones. With `signal=0` the
    predictions know nothing of the labels. Take trainings away (`dataclasses.replace`) for
    unfinished studies.
    """
    clips = make_clips(n_subjects, seed=seed, classes=len(CLASSES))
    study = new_study(
        "demo-study",
        identity=_identity(seed),
        origin=_origin(clips),
        clips=clips,
        classes=CLASSES,
    )
    configurations = []
    trainings: dict[tuple[int, int, int], Training] = {}
    clock = [1010.0, 1010.0]  # when each worker is free; start-up takes ten seconds
    for number in range(n_configs):
        settings = make_settings(number)
        name = config_id(settings)
        configurations.append(Configuration(number, name, settings, wave=number // 8))
        strength = signal * (1 + number / max(1, n_configs))
        generator = np.random.default_rng(derive_seed(seed, "answers", number))
        for fold in study.folds:
            labels = [clips[index].label for index in fold.test_clips]
            started_at = min(clock)
            clock[clock.index(started_at)] = started_at + SECONDS
            result = TrainingResult(
                outcome="ok",
                started_at=started_at,
                finished_at=started_at + SECONDS,
                points=(
                    Point(
                        settings.steps,
                        _predict(labels, strength, generator),
                        Weights(weights_path(name, settings.steps, fold.index), 1000, "0" * 64),
                    ),
                ),
                history=HISTORY,
                environment=WORKER,
                seen=leaks.expected(study, 0, fold.index),
            )
            trainings[number, 0, fold.index] = Training(number, name, 0, fold.index, 1, result)
    return dataclasses.replace(
        study,
        configurations=tuple(configurations),
        trainings=trainings,
        spans=(Span(1000.0, max(clock) + 1.0, 2, DRIVER),),
    )


def shown_early(study: Study, good: int) -> Study:
    """The same study, its trainings shown at half their steps as well.

    There the configuration `good` was right about every clip, and the others about none.
    """
    trainings = {}
    for key, training in study.trainings.items():
        (point,) = training.points
        held_out = study.rungs[training.rung][training.fold].test_clips
        truth = np.eye(len(CLASSES), dtype=np.float32)[[study.clips[i].label for i in held_out]]
        path = weights_path(training.config_id, point.steps // 2, training.fold)
        early = Point(
            point.steps // 2,
            truth if training.number == good else np.roll(truth, 1, axis=1),
            point.weights and Weights(path, 1000, "1" * 64),
        )
        trainings[key] = with_result(training, points=(early, point))
    return dataclasses.replace(study, trainings=trainings)


LADDER = (Rung(3, keep=0.25), Rung())


def laddered(n_configs: int = 8, seed: int = 0) -> Study:
    """A finished exhaustive study, its LOSO trainings dealt to groups as well."""
    whole = make_study(9, n_configs, seed=seed, signal=0.5)
    rungs = tuple(rung.folds(whole.clips, CLASSES, seed) for rung in LADDER)
    study = dataclasses.replace(
        whole,
        identity=dataclasses.replace(whole.identity, ladder=LADDER),
        rungs=rungs,
        trainings={
            (n, 1, f): dataclasses.replace(t, rung=1) for (n, _, f), t in whole.trainings.items()
        },
    )
    rng = np.random.default_rng(seed)
    groups: dict[tuple[int, int, int], Training] = {}
    for configuration in study.configurations:
        pooled = study.pooled(configuration.number)
        for fold in rungs[0]:
            probabilities = pooled[list(fold.test_clips)]
            noisy = probabilities + rng.uniform(0, 0.3, probabilities.shape)
            like = study.trainings[configuration.number, 1, 0]
            groups[configuration.number, 0, fold.index] = dataclasses.replace(
                like,
                rung=0,
                fold=fold.index,
                result=dataclasses.replace(
                    like.result,
                    points=(Point(like.points[-1].steps, noisy.astype(np.float32)),),
                    seen=leaks.expected(study, 0, fold.index),
                ),
            )
    return dataclasses.replace(study, trainings={**groups, **study.trainings})


def _predict(labels: list[int], strength: float, generator: np.random.Generator) -> np.ndarray:
    logits = generator.normal(size=(len(labels), len(CLASSES)))
    logits[np.arange(len(labels)), labels] += strength
    odds = np.exp(logits)
    return np.asarray(odds / odds.sum(axis=1, keepdims=True), dtype=np.float32)


def _identity(seed: int) -> Identity:
    return Identity(
        images="f" * 64,
        classes="casme2:3",
        labels={name: name for name in CLASSES},
        space=SpaceIdentity(
            sampler="tpe",
            fixed={"width": 8, "embedding": 16, "steps": 20},
            search={
                "heads": Choice((1, 2, 4)),
                "learning_rate": Range(1e-4, 1e-2, log=True),
            },
            constraints=(),
            first_settings=(),
            around=None,
        ),
        ladder=EXHAUSTIVE,
        protocol="loso",
        objective="uf1",
        seed=seed,
        wave_size=8,
        threads_per_training=1,
    )


def _origin(clips: tuple[Clip, ...]) -> Origin:
    return Origin(
        dataset="casme2",
        images_path="/data/images",
        recipe=Recipe(),
        apex="annotated",
        n_left_out=2,
        n_unlabelled=1,
        other_labels={"fear": 1},
        dropped_labels={},
        duplicates=(),
        fingerprints=tuple(f"print of {clip.clip_id}" for clip in clips),
        image_hashes=tuple(f"images of {clip.clip_id}" for clip in clips),
    )


def with_result(training: Training, **changes: Any) -> Training:
    """The same training with other values in its result."""
    return dataclasses.replace(training, result=dataclasses.replace(training.result, **changes))


def with_environment(training: Training, **changes: Any) -> Training:
    """The same training on a worker that differs in some values."""
    return with_result(training, environment=dataclasses.replace(WORKER, **changes))


def ending(training: Training, outcome: Outcome, error: str) -> Training:
    """The same training, failed or lost."""
    return with_result(training, outcome=outcome, error=error, points=())


def begun(study: Study, number: int) -> Study:
    """The study, whose space begins with the settings of a configuration that becomes number 0."""
    first = study.configurations[0].settings
    if number:
        # Its trainings change places with those of configuration 0, its settings do not.
        places = {0: number, number: 0}
        study = dataclasses.replace(
            study,
            trainings={
                (new, rung, fold): dataclasses.replace(training, number=new)
                for (old, rung, fold), training in study.trainings.items()
                for new in [places.get(old, old)]
            },
        )
    space = dataclasses.replace(study.identity.space, first_settings=(first,))
    return dataclasses.replace(study, identity=dataclasses.replace(study.identity, space=space))


def repeated(study: Study, number: int, others: Sequence[Study]) -> Study:
    """The same study, with repeats of a configuration: the predictions of other studies."""
    repeats = {
        (number, repeat_rung(study.rungs, place), fold.index): dataclasses.replace(
            other.trainings[number, 0, fold.index], rung=repeat_rung(study.rungs, place)
        )
        for place, other in enumerate(others)
        for fold in study.folds
    }
    return dataclasses.replace(study, repeats={**study.repeats, **repeats})
