"""One training inside a Ray worker: where images, folds and fit meet.

A class Trainable whose actors are reused; the images come once per node from the object store.
It returns what the ledger records and never raises for what a training does by itself: only a
worker that dies makes Tune report an error, so an error means lost.
"""

from __future__ import annotations

import faulthandler
import socket
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import ray
import torch
from ray import tune

from dianet_ray.artefacts import weights_path
from dianet_ray.cluster.probe import Probe, find_problem
from dianet_ray.errors import InputError, one_line
from dianet_ray.model import fit as fitting
from dianet_ray.model.blocks import Workplace
from dianet_ray.model.out_of_memory import is_out_of_memory
from dianet_ray.model.own_network import trust
from dianet_ray.model.weights import WeightsFile, weights_file
from dianet_ray.prepare.images import images_hash
from dianet_ray.protocol import leaks
from dianet_ray.protocol.folds import Fold, folds_at
from dianet_ray.protocol.results import Point, TrainingResult, Weights, WorkerEnvironment
from dianet_ray.search.events import (
    Answer,
    Member,
    Order,
    Refusal,
    Report,
    Results,
    Unfit,
    Waiting,
    order_of,
)
from dianet_ray.search.start_values import StartValues
from dianet_ray.settings import NetworkFile, Settings, derive_seed
from dianet_ray.storage import files


@dataclass(frozen=True)
class Material:
    """What every training of a study reads.

    `images` is (clips, 3, H, W, 3) float16 and `labels` (clips,) int64, in the study's order.
    `network` is trained instead of DIANet where the study has one.
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
    pretrained: StartValues = field(default_factory=dict)
    network: NetworkFile | None = None

    @cached_property
    def image_hashes(self) -> tuple[str, ...]:
        """The hash of each clip's images, as this worker has them."""
        return tuple(map(images_hash, self.images))


@dataclass(frozen=True, slots=True)
class Made:
    """What a block made: results, and the files that must be there before they are reported."""

    results: tuple[TrainingResult, ...]
    files: tuple[WeightsFile, ...] = ()

    def write(self, on_progress: Callable[[], None] = lambda: None) -> None:
        """Write the files; it can be repeated. `on_progress` is called before each."""
        for file in self.files:
            on_progress()
            file.write()


class FoldTrial(tune.Trainable):  # type: ignore[misc]
    """Trains a block and stops."""

    def setup(self, config: dict[str, str], material: Material | None = None) -> None:
        """Keep the material; the configuration is read anew for each trial."""
        assert material is not None
        self._material = material
        self._made: Made | None = None
        self._give_up_at = 0.0
        # The number of threads changes the order of sums, so it is part of the study's identity.
        torch.set_num_threads(material.threads)
        self._node_id = ray.get_runtime_context().get_node_id()
        self._workplace = Workplace(assigned_device())
        self._problem = gpu_problem()
        if not self._problem and material.probe and self._node_id not in material.probed:
            self._problem = find_problem(material.probe)
        if not self._problem and material.network is not None:
            self._problem = network_problem(material.network)

    # A function trainable could not be reused safely: a thread of it that still runs after 2 s
    # marks the next trial as failed (ray-project/ray issue 29268).
    def reset_config(self, new_config: dict[str, str]) -> bool:
        """Accept the next trial, so that the actor is reused."""
        self._made = None  # Tune may have stopped the trial before while it waited
        return True

    def step(self) -> Report:
        """Train what the trial's order asks for, write its files and report the result.

        While the storage is away or full each step tries again to write, and reports that. A
        worker that waited within one step would look busy.
        """
        order = order_of(self.config)
        assert order is not None
        if self._problem:
            return self._refuse(self._problem)
        if self._made is None:
            made = self.train_block(order)
            if isinstance(made, Unfit):
                return Answer(made).report()
            self._made = made
            self._give_up_at = time.monotonic() + files.PATIENCE_S
        watch(order.silence_s)
        try:
            self._made.write(lambda: watch(order.silence_s))
        except files.failures() as error:
            return self._wait(one_line(error))
        finally:
            faulthandler.cancel_dump_traceback_later()
        results, self._made = self._made.results, None
        return Answer(Results(results)).report()

    def _wait(self, reason: str) -> Report:
        """Wait a moment for the storage, or give the order back after `files.PATIENCE_S`."""
        if time.monotonic() >= self._give_up_at:
            self._made = None
            return self._refuse(f"cannot write {self._material.study_path}: {reason}")
        time.sleep(files.RETRY_S)
        return Answer(Waiting(socket.gethostname(), reason)).report()

    def _refuse(self, problem: str) -> Report:
        """Give the order back: this node cannot take part."""
        return Answer(Refusal(self._node_id, problem)).report()

    def train_block(self, order: Order) -> Made | Unfit:
        """Train a block; what goes wrong in a training is its result.

        What goes wrong with several of them says nothing of each: they have to be tried apart.

        Raises:
            torch.AcceleratorError: this process has lost its GPU.
        """
        # docs/decisions.md: Detecting a worker that hangs
        watch(order.silence_s)
        started_at = time.time()
        try:
            return train(
                self._material, order, self._workplace, lambda step: watch(order.silence_s)
            )
        except Exception as error:
            is_memory = is_out_of_memory(error)
            if isinstance(error, torch.AcceleratorError) and not is_memory:
                raise  # a lost GPU ends this worker: the training is lost, and tried in another
            if len(order.members) > 1:
                return Unfit(f"{type(error).__name__}: {one_line(error)}", is_memory)
            environment = describe_worker(len(order.members), str(self._workplace.device))
            failed = _failed(error, started_at, environment)
            return Made((failed,))
        finally:
            faulthandler.cancel_dump_traceback_later()


def watch(limit_s: float) -> None:
    """End this worker when it stays silent: the training is then lost and tried again.

    The timer is a C thread, so it works when the interpreter itself hangs in a driver call.
    """
    faulthandler.dump_traceback_later(limit_s, exit=True)


def train(
    material: Material, order: Order, workplace: Workplace, on_progress: Callable[[int], None]
) -> Made:
    """Train a block.

    Only weights of LOSO and its repeats are kept: the models of other rungs predict nothing.
    """
    started_at = time.time()
    members = [_member(material, order, member) for member in order.members]
    found = fitting.fit_block(
        shortened(order.members[0].settings, order.steps),
        fitting.LabelledImages(material.images, material.labels, material.n_classes),
        members,
        workplace,
        on_progress=on_progress,
    )
    environment = describe_worker(len(order.members), str(workplace.device))
    hashes = material.image_hashes
    results, written = [], []
    for member, asked, fitted in zip(order.members, members, found, strict=True):
        if isinstance(fitted, fitting.NonFiniteLoss):
            results.append(_failed(fitted, started_at, environment))
            continue
        points = []
        for shown in fitted.shown:
            weights = None
            seed = order.rung - len(material.rungs) + 1
            if seed >= 0 and member.keeps_weights:
                weights, file = _packed(material, member, shown, seed)
                written.append(file)
            points.append(Point(shown.steps, shown.probabilities, weights))
        result = TrainingResult(
            outcome="ok",
            started_at=started_at,
            finished_at=time.time(),
            points=tuple(points),
            history=fitted.history,
            environment=environment,
            seen=leaks.seen((hashes[i] for i in asked.train), (hashes[i] for i in asked.test)),
        )
        results.append(result)
    return Made(tuple(results), tuple(written))


def _failed(error: Exception, started_at: float, environment: WorkerEnvironment) -> TrainingResult:
    """Describe a training that failed by itself."""
    trace = "".join(traceback.format_exception(error))
    return TrainingResult(
        outcome="failed",
        started_at=started_at,
        finished_at=time.time(),
        error=f"{type(error).__name__}: {one_line(error)}\n{trace}",
        environment=environment,
    )


def _member(material: Material, order: Order, member: Member) -> fitting.Member:
    held_out = folds_at(material.rungs, order.rung)[member.fold].test_clips
    test = np.array(held_out, dtype=np.int64)
    return fitting.Member(
        train=np.setdiff1d(np.arange(len(material.labels)), test),
        test=test,
        seed=derive_seed(material.seed, member.config_id, order.rung, member.fold),
        settings=shortened(member.settings, order.steps),
        pretrained=material.pretrained.get(member.settings.pretrained),
    )


def shortened(settings: Settings, share: float) -> Settings:
    """Train for a share of the steps, one at least.

    >>> shortened(Settings(steps=150), 0.5).steps
    75
    """
    return settings.model_copy(update={"steps": max(1, round(settings.steps * share))})


def _packed(
    material: Material, member: Member, shown: fitting.Shown, seed: int
) -> tuple[Weights, WeightsFile]:
    """Make the file of the weights of a LOSO fold at a point, and what the ledger holds of it."""
    path = weights_path(member.config_id, shown.steps, member.fold, seed)
    about = {"config_id": member.config_id, "fold": str(member.fold), "steps": str(shown.steps)}
    file = weights_file(material.study_path / path, shown.weights, about)
    return Weights(path, len(file.content), file.sha256), file


def describe_worker(block: int, device: str) -> WorkerEnvironment:
    """Say what a training ran on, so that the report can tell when a study mixes machines."""
    return WorkerEnvironment(
        device="cpu" if device == "cpu" else torch.cuda.get_device_name(device),
        torch=torch.__version__,
        threads=torch.get_num_threads(),
        block=block,
        host=socket.gethostname(),
    )


def gpu_problem() -> str:
    """Say what keeps this worker from the GPU that Ray gave it; empty when nothing does."""
    if not ray.get_gpu_ids() or torch.cuda.is_available():
        return ""
    return (
        f"node {socket.gethostname()} was given a GPU by Ray {ray.__version__} that torch "
        f"{torch.__version__} cannot see: install a CUDA build there or use --gpus-per-trial 0"
    )


def network_problem(file: NetworkFile) -> str:
    """Run a user's network file, which may import what is not here; say what went wrong."""
    try:
        trust(file)
    except InputError as error:
        return f"node {socket.gethostname()} cannot run the network: {error}"
    return ""


def assigned_device() -> str:
    """Choose the GPU that Ray assigned to this trial, else the CPU.

    A worker without an assigned GPU still sees all of them, so what torch sees does not decide.
    """
    return "cuda:0" if ray.get_gpu_ids() else "cpu"  # Ray hides the other GPUs from this worker
