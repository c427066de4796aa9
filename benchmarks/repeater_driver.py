"""Search with plain Ray Tune: OptunaSearch, each suggestion repeated for every subject.

    python -m benchmarks.repeater_driver IMAGES SCRATCH [--configs 24] [--workers 2] [--seed 0] ...

`against_repeater` compares with this command. `Repeater` gives every fold of a configuration to
one trial. The mean accuracy of the folds goes to Optuna, and the best mean wins. Folds, seeds and
`fit` are those of `dianet-ray search`, so equal settings give equal networks. Everything that
costs Tune time and is not needed here is off: loggers, checkpoints, output. The command prints one
JSON document.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from ray import tune
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search.optuna import OptunaSearch
from ray.tune.search.repeater import TRIAL_INDEX, Repeater

from dianet_ray.cluster.connection import LOCAL, connected
from dianet_ray.model.fit import LabelledImages, Member, fit
from dianet_ray.options import SearchOptions
from dianet_ray.prepare.images import load_images
from dianet_ray.protocol.folds import Fold
from dianet_ray.protocol.metrics import confusion, scores
from dianet_ray.protocol.predictions import classify
from dianet_ray.search.plan import Plan, make_plan
from dianet_ray.search.space import Space, rounded
from dianet_ray.search.space_file import read_space
from dianet_ray.settings import Choice, Dimension, Settings, config_id, derive_seed

SPACE = "quick"
METRIC = "accuracy"
NEVER = str(10**9)


@dataclass(frozen=True, slots=True)
class Material:
    """What every trial reads: images (clips, 3, H, W, 3), labels (clips,), and the LOSO folds.

    `rung` is the number of LOSO in our search, of which the seeds of its trainings are made.
    """

    images: np.ndarray
    labels: np.ndarray
    n_classes: int
    folds: tuple[Fold, ...]
    space: Space
    seed: int
    rung: int


class OneFold(tune.Trainable):  # type: ignore[misc]
    """Trains the fold that the Repeater numbers, in one step."""

    def setup(self, config: dict[str, Any], material: Material | None = None) -> None:
        """Keep the material, which a reused actor keeps too."""
        assert material is not None
        self._material = material
        torch.set_num_threads(1)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Accept the next trial."""
        return True

    def step(self) -> dict[str, Any]:
        """Train; report accuracy, and predictions as text, which Tune does not flatten."""
        started_at = time.monotonic()
        known = self._material
        config = dict(self.config)
        fold = known.folds[config.pop(TRIAL_INDEX)]
        settings = complete(known.space, config)
        test = np.array(fold.test_clips, dtype=np.int64)
        member = Member(
            np.setdiff1d(np.arange(len(known.labels)), test),
            test,
            derive_seed(known.seed, config_id(settings), known.rung, fold.index),
        )
        clips = LabelledImages(known.images, known.labels, known.n_classes)
        (fitted,) = fit(settings, clips, [member])
        hits = classify(fitted.probabilities) == known.labels[test]
        return {
            "done": True,
            METRIC: float(hits.mean()),
            "probabilities": json.dumps(fitted.probabilities.tolist()),
            "seconds": time.monotonic() - started_at,
        }


class AsQueued(FIFOScheduler):  # type: ignore[misc]
    """Leaves each trial its own actor: see `dianet_ray.search.tuner`.

    Without it Tune may give a starting actor's trial away and kill it, when trainings are shorter
    than an actor's start.
    """

    def choose_trial_to_run(self, tune_controller: Any) -> None:
        """Choose none: the queue decides."""


def complete(space: Space, drawn: dict[str, Any]) -> Settings:
    """Complete drawn values to settings, rounded as our search does."""
    settings = space.settings({name: rounded(value) for name, value in drawn.items()})
    if settings is None:  # Optuna knows nothing of constraints
        raise ValueError(f"a drawn point breaks a constraint of the space: {drawn}")
    return settings


def distribution(dimension: Dimension) -> BaseDistribution:
    """Write a dimension for Optuna."""
    if isinstance(dimension, Choice):
        return CategoricalDistribution(dimension.values)
    low, high, log, step = dimension.low, dimension.high, dimension.log, dimension.step
    if dimension.is_integer:
        return IntDistribution(int(low), int(high), log=log, step=int(step or 1))
    return FloatDistribution(low, high, log=log, step=step)


def material(plan: Plan, images: np.ndarray) -> Material:
    """Collect what the trials read."""
    study = plan.study
    return Material(
        images=np.ascontiguousarray(images[plan.rows]),
        labels=study.labels(),
        n_classes=len(study.classes),
        folds=study.folds,
        space=plan.space,
        seed=study.identity.seed,
        rung=study.loso_rung,
    )


def repeater(known: Material) -> Repeater:
    """Make the searcher; the space's first settings come first, as in our search."""
    names = list(known.space.dimensions)
    first = [settings.model_dump() for settings in known.space.first_settings]
    sampler = OptunaSearch(
        {name: distribution(known.space.dimensions[name]) for name in names},
        metric=METRIC,
        mode="max",
        points_to_evaluate=[{name: values[name] for name in names} for values in first],
        seed=known.seed,
    )
    return Repeater(sampler, repeat=len(known.folds))


def search(known: Material, asked: argparse.Namespace) -> Any:
    """Run every fold of every configuration, and return Tune's results in the order of trials."""
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(OneFold, material=known), {"cpu": 1}),
        tune_config=tune.TuneConfig(
            search_alg=repeater(known),
            scheduler=FIFOScheduler() if asked.stock_scheduler else AsQueued(),
            num_samples=asked.configs * len(known.folds),
            max_concurrent_trials=asked.workers,
            reuse_actors=not asked.fresh_actors,
        ),
        run_config=tune.RunConfig(
            name="repeater",
            storage_path=str(asked.scratch.absolute()),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            verbose=0,
        ),
    )
    found = tuner.fit()
    if found.errors:
        raise SystemExit(f"{found.num_errors} trials failed: {found.errors[0]}")
    return found


def summary(known: Material, found: Any) -> dict[str, Any]:
    """Choose the configuration with the best mean accuracy, and pool its predictions."""
    best = max(groups(known, found), key=lambda group: float(np.nanmean(column(group, METRIC))))
    config = {k: v for k, v in best[0].config.items() if k != TRIAL_INDEX}
    pooled = np.zeros((len(known.labels), known.n_classes), dtype=np.float32)
    for fold, result in zip(known.folds, best, strict=True):
        assert result.config[TRIAL_INDEX] == fold.index
        pooled[list(fold.test_clips)] = json.loads(result.metrics["probabilities"])
    return {
        "trainings": len(found),
        "processes": len(set(column(found, "pid"))),
        "training_s": float(sum(column(found, "seconds"))),
        "settings": complete(known.space, config).model_dump(),
        "mean_accuracy": float(np.nanmean(column(best, METRIC))),
        "uf1": float(scores(confusion(known.labels, classify(pooled), known.n_classes))["uf1"]),
    }


def groups(known: Material, found: Any) -> Iterator[list[Any]]:
    """Yield the results of each suggestion, whose trials follow each other."""
    n_folds = len(known.folds)
    for first in range(0, len(found), n_folds):
        yield [found[first + i] for i in range(n_folds)]


def column(results: Any, name: str) -> list[float]:
    """Collect a metric of every result."""
    return [float(result.metrics[name]) for result in results]


def main() -> None:
    """Search, and print the champion."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path)
    parser.add_argument("scratch", type=Path)
    parser.add_argument("--configs", type=int, default=24)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], help="as in search")
    parser.add_argument("--fresh-actors", action="store_true", help="reuse_actors=False")
    parser.add_argument("--stock-scheduler", action="store_true", help="Tune's FIFO as it is")
    asked = parser.parse_args()
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = NEVER
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    images = load_images(asked.images.absolute())
    plan = make_plan(
        images,
        asked.scratch.absolute() / "never-written",
        space=read_space(SPACE, asked.set, None),
        options=SearchOptions(seed=asked.seed),
    )
    known = material(plan, images.images)
    with connected(LOCAL, n_cpus=asked.workers):
        found = search(known, asked)
    print(json.dumps(summary(known, found)))


if __name__ == "__main__":
    main()
