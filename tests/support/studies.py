"""Studies made of random numbers, for tests of what reads a study."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from dianet_ray.artefacts import weights_path
from dianet_ray.protocol.folds import loso
from dianet_ray.protocol.ladder import Rung
from dianet_ray.protocol.study import Clip, Configuration, Span, Study, Training, Weights
from dianet_ray.settings import Settings, config_id, derive_seed

CLASSES = ("disgust", "happiness", "surprise")
ENVIRONMENT = {
    "python": "3.11.2",
    "torch": "2.13.0",
    "device": "cpu",
    "device_name": "a processor",
    "threads": 1,
    "block": 1,
}
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
    """A finished study on two workers; a larger `signal` answers right more often.

    Later configurations have a little more signal than earlier ones. With `signal=0` the answers
    know nothing of the labels. Take trainings away (`dataclasses.replace`) for unfinished ones.
    """
    clips = make_clips(n_subjects, seed=seed, classes=len(CLASSES))
    folds = loso(clips, CLASSES, seed)
    configurations = []
    trainings: dict[tuple[int, int, int], Training] = {}
    clock = [1010.0, 1010.0]  # when each worker is free; start-up takes ten seconds
    for number in range(n_configs):
        settings = make_settings(number)
        name = config_id(settings)
        configurations.append(Configuration(number, name, settings, wave=number // 8))
        strength = signal * (1 + number / max(1, n_configs))
        generator = np.random.default_rng(derive_seed(seed, "answers", number))
        for fold in folds:
            labels = [clips[index].label for index in fold.test_clips]
            started_at = min(clock)
            clock[clock.index(started_at)] = started_at + SECONDS
            trainings[number, 0, fold.index] = Training(
                number=number,
                config_id=name,
                rung=0,
                fold=fold.index,
                outcome="ok",
                attempt=1,
                seconds=SECONDS,
                started_at=started_at,
                finished_at=started_at + SECONDS,
                probabilities=_answer(labels, strength, generator),
                history=(
                    {"step": 10, "loss": 1.1, "accuracy": 0.4, "learning_rate": 1e-3},
                    {"step": 20, "loss": 0.9, "accuracy": 0.6, "learning_rate": 1e-4},
                ),
                weights=Weights(weights_path(name, fold.index), 1000, "0" * 64),
                environment=ENVIRONMENT,
            )
    return Study(
        name="demo-study",
        identity=_identity(seed),
        about=_about(len(clips)),
        clips=clips,
        classes=CLASSES,
        rungs=(folds,),
        configurations=tuple(configurations),
        trainings=trainings,
        spans=(Span(1000.0, max(clock) + 1.0, 2, {"dianet_ray": "0", "n_workers": 2}),),
    )


LADDER = (Rung(3, keep=0.25), Rung())


def laddered(n_configs: int = 8, seed: int = 0) -> Study:
    """A finished exhaustive study, its LOSO trainings dealt to groups as well."""
    whole = make_study(9, n_configs, seed=seed, signal=0.5)
    rungs = tuple(rung.folds(whole.clips, CLASSES, seed) for rung in LADDER)
    study = dataclasses.replace(
        whole,
        identity={**whole.identity, "ladder": [rung.plain() for rung in LADDER]},
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
            answers = pooled[list(fold.test_clips)]
            noisy = answers + rng.uniform(0, 0.3, answers.shape)
            groups[configuration.number, 0, fold.index] = dataclasses.replace(
                study.trainings[configuration.number, 1, 0],
                rung=0,
                fold=fold.index,
                probabilities=noisy.astype(np.float32),
                weights=None,
            )
    return dataclasses.replace(study, trainings={**groups, **study.trainings})


def _answer(labels: list[int], strength: float, generator: np.random.Generator) -> np.ndarray:
    logits = generator.normal(size=(len(labels), len(CLASSES)))
    logits[np.arange(len(labels)), labels] += strength
    odds = np.exp(logits)
    return np.asarray(odds / odds.sum(axis=1, keepdims=True), dtype=np.float32)


def _identity(seed: int) -> dict[str, Any]:
    return {
        "images": "f" * 64,
        "classes": list(CLASSES),
        "space": {
            "sampler": "tpe",
            "fixed": {"width": 8, "embedding": 16, "steps": 20},
            "search": {
                "heads": [1, 2, 4],
                "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
            },
            "constraints": [],
            "points": [],
        },
        "ladder": ["loso"],
        "protocol": "loso",
        "objective": "uf1",
        "seed": seed,
        "wave_size": 8,
        "threads_per_training": 1,
    }


def _about(n_clips: int) -> dict[str, Any]:
    return {
        "dataset": "casme2",
        "images_path": "/data/images",
        "images": {"dataset": "casme2", "n_clips": n_clips + 1, "n_left_out": 2},
        "left_out": {"label not in the class set": 1},
    }
