"""One training inside a Ray worker: where images, folds and fit meet.

A class Trainable whose actors are reused; the images come once per node from the object store.
It returns what the ledger records and never raises for what a training does by itself: only a
worker that dies makes Tune report an error, so an error means lost.
"""

from __future__ import annotations

import faulthandler
import json
import socket
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch
from ray import tune

from dianet_ray.artefacts import weights_path
from dianet_ray.cluster.probe import Probe, find_problem
from dianet_ray.errors import StorageAway, one_line
from dianet_ray.model import fit as fitting
from dianet_ray.protocol.study import Fold
from dianet_ray.search.searcher import REFUSED
from dianet_ray.settings import Settings, derive_seed
from dianet_ray.storage import files


@dataclass(frozen=True, slots=True)
class Material:
    """What every training of a study reads.

    `images` is (clips, 3, H, W, 3) float16 and `labels` (clips,) int64, in the study's order.
    A node that is not among `probed` (ids) is checked by `probe` before it trains.
    """

    images: np.ndarray
    labels: np.ndarray
    n_classes: int
    rungs: tuple[tuple[Fold, ...], ...]
    study_path: Path
    seed: int
    threads: int
    probe: Probe | None = None
    probed: frozenset[str] = frozenset()


class FoldTrial(tune.Trainable):  # type: ignore[misc]
    """Trains a block of folds of one configuration and stops."""

    def setup(self, config: dict[str, Any], material: Material | None = None) -> None:
        """Keep the material; the configuration is read anew for each trial."""
        assert material is not None
        self._material = material
        torch.set_num_threads(material.threads)
        self._node_id = ray.get_runtime_context().get_node_id()
        self._problem = gpu_problem()
        if not self._problem and material.probe and self._node_id not in material.probed:
            self._problem = find_problem(material.probe)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Accept the next trial, so that the actor is reused."""
        return True

    def step(self) -> dict[str, Any]:
        """Train, and report everything as one result."""
        if self._problem:
            return self._refuse(self._problem)
        return self.train_block()

    def _refuse(self, problem: str) -> dict[str, Any]:
        """Give the training back: this node cannot take part."""
        return report({"outcome": REFUSED, "node_id": self._node_id, "error": problem})

    def train_block(self) -> dict[str, Any]:
        """Train what the configuration asks for."""
        work = self.config["work"]
        limit_s = float(work["silence_s"])
        watch(limit_s)
        started_at = time.time()
        try:
            trained = train(self._material, work, lambda step: watch(limit_s))
        except StorageAway as error:
            return self._refuse(f"cannot write {self._material.study_path}: {error}")
        except torch.AcceleratorError:
            raise  # this process has lost its GPU: lost, tried again in another one
        except Exception as error:
            trained = {
                "outcome": "failed",
                "error": f"{type(error).__name__}: {one_line(error)}\n{traceback.format_exc()}",
                "environment": describe_worker(len(work["folds"])),
            }
        finally:
            faulthandler.cancel_dump_traceback_later()
        finished_at = time.time()
        times = {"started_at": started_at, "finished_at": finished_at}
        return report({**trained, **times, "seconds": finished_at - started_at})


def report(training: dict[str, Any]) -> dict[str, Any]:
    """Wrap a training for Tune: as text, because Tune flattens nested results."""
    return {"done": True, "training": json.dumps(training)}


def watch(limit_s: float) -> None:
    """End this worker when it stays silent: the training is then lost and tried again.

    The timer is a C thread, so it works when the interpreter itself hangs in a driver call.
    """
    faulthandler.dump_traceback_later(limit_s, exit=True)


def train(material: Material, work: dict[str, Any], on_progress: Any) -> dict[str, Any]:
    """Train one fold; `work` holds number, settings, config_id, rung, steps (a share), folds.

    Only LOSO weights are kept: nobody predicts with the models of another rung.
    """
    settings = shortened(Settings(**work["settings"]), work["steps"])
    (index,) = work["folds"]
    fold = material.rungs[work["rung"]][index]
    device = assigned_device()
    test = np.array(fold.test_clips, dtype=np.int64)
    train_clips = np.setdiff1d(np.arange(len(material.labels)), test)
    member = fitting.Member(
        train=train_clips,
        test=test,
        seed=derive_seed(material.seed, work["config_id"], work["rung"], index),
    )
    (fitted,) = fitting.fit(
        settings,
        material.images,
        material.labels,
        [member],
        n_classes=material.n_classes,
        device=device,
        on_progress=on_progress,
    )
    weights = None
    if work["rung"] == len(material.rungs) - 1:
        weights = _save(material, work, fitted, lambda: on_progress(settings.steps))
    return {
        "outcome": "ok",
        "probabilities": fitted.probabilities.tolist(),
        "history": fitted.history,
        "weights": weights,
        "environment": describe_worker(len(work["folds"]), device),
    }


def shortened(settings: Settings, share: float) -> Settings:
    """Train for a share of the steps, one at least.

    >>> shortened(Settings(steps=150), 0.5).steps
    75
    """
    return settings.model_copy(update={"steps": max(1, round(settings.steps * share))})


def _save(
    material: Material, work: dict[str, Any], fitted: fitting.Fitted, on_wait: Callable[[], None]
) -> dict[str, Any]:
    """Save the weights of a LOSO fold, patiently: the storage may be away or full."""
    (index,) = work["folds"]
    path = weights_path(work["config_id"], index)
    file, about = material.study_path / path, {"config_id": work["config_id"], "fold": str(index)}
    n_bytes, sha256 = files.patiently(
        lambda: fitting.save_weights(file, fitted.weights, about), lambda error: on_wait()
    )
    return {"path": path, "n_bytes": n_bytes, "sha256": sha256}


def describe_worker(block: int, device: str = "cpu") -> dict[str, Any]:
    """Say what a training ran on, so that the report can tell when a study mixes machines."""
    return {
        "device": "cpu" if device == "cpu" else torch.cuda.get_device_name(device),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "block": block,
        "host": socket.gethostname(),
    }


def gpu_problem() -> str:
    """Say what keeps this worker from the GPU that Ray gave it; empty when nothing does."""
    if not ray.get_gpu_ids() or torch.cuda.is_available():
        return ""
    return (
        f"node {socket.gethostname()} was given a GPU by Ray {ray.__version__} that torch "
        f"{torch.__version__} cannot see: install a CUDA build there or use --gpus-per-trial 0"
    )


def assigned_device() -> str:
    """Choose the GPU that Ray assigned to this trial, else the CPU.

    A worker without an assigned GPU still sees all of them, so what torch sees does not decide.
    """
    return "cuda:0" if ray.get_gpu_ids() else "cpu"  # Ray hides the other GPUs from this worker
