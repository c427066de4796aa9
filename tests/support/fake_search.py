"""A search without images: a trial that trains nothing, and plans to run it with."""

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dianet_ray.artefacts import LoggedStep, Recipe, weights_path
from dianet_ray.cluster.connection import Bundle, Cluster
from dianet_ray.cluster.nodes import Nodes
from dianet_ray.model.weights import WeightsFile
from dianet_ray.options import SearchOptions
from dianet_ray.prepare.images import images_hash
from dianet_ray.protocol import leaks
from dianet_ray.protocol.folds import Clip, Fold, folds_at
from dianet_ray.protocol.ladder import EXHAUSTIVE, Ladder
from dianet_ray.protocol.results import Point, Seen, TrainingResult, Weights, WorkerEnvironment
from dianet_ray.protocol.standing import standing_of
from dianet_ray.protocol.study import Identity, Origin, new_study
from dianet_ray.search.events import Member, Order
from dianet_ray.search.plan import Plan
from dianet_ray.search.retention import damaged_weights
from dianet_ray.search.searcher import StudySearcher
from dianet_ray.search.space import Space
from dianet_ray.search.trial import FoldTrial, Made
from dianet_ray.search.tuner import make_searcher, run
from dianet_ray.search.workers import make_workers, resources
from dianet_ray.settings import Range, derive_seed

CLASSES = ("calm", "glad", "sad")
SPACE = Space(
    "tpe",
    {"schedule": "averaged", "points": 2},
    {"learning_rate": Range(1e-4, 1e-1, log=True), "dropout": Range(0.0, 0.5)},
    (),
    (),
)
WORKER = WorkerEnvironment(device="cpu", torch="2.13.0", threads=1, block=1, host="here")


def fake_points(
    rung: int, member: Member, fold: Fold, labels: np.ndarray, seed: int
) -> tuple[Point, ...]:
    """Predict well when the learning rate is near 3e-3: a function of the training alone.

    The point before the last one is the best.
    """
    generator = np.random.default_rng(derive_seed(seed, member.config_id, rung, fold.index))
    skill = 0.6 * np.exp(-abs(np.log(member.settings.learning_rate / 3e-3)))
    n_classes = int(labels.max()) + 1
    truth = np.eye(n_classes)[labels[list(fold.test_clips)]]
    steps = member.settings.shown_at
    points = []
    for place, at in enumerate(steps):
        guess = generator.dirichlet(np.ones(n_classes), size=len(fold.test_clips))
        share = skill / (1 + abs(len(steps) - 2 - place) / 4) if len(steps) > 1 else skill
        points.append(Point(at, np.asarray((1 - share) * guess + share * truth, np.float32)))
    return tuple(points)


def _seen(images: np.ndarray, fold: Fold) -> Seen:
    hashes = [images_hash(one) for one in images]
    others = set(range(len(hashes))) - set(fold.test_clips)
    return leaks.seen((hashes[i] for i in others), (hashes[i] for i in fold.test_clips))


class FakeTrial(FoldTrial):
    """Writes a few bytes as weights and predicts by formula, after `FAKE_SECONDS`."""

    def train_block(self, order: Order) -> Made:
        started_at = time.time()
        time.sleep(float(os.environ.get("FAKE_SECONDS", "0")))
        made = [self._train(order, member, started_at) for member in order.members]
        return Made(
            tuple(result for result, _ in made), tuple(file for _, some in made for file in some)
        )

    def _train(
        self, order: Order, member: Member, started_at: float
    ) -> tuple[TrainingResult, list[WeightsFile]]:
        material = self._material
        fold = folds_at(material.rungs, order.rung)[member.fold]
        points = fake_points(order.rung, member, fold, material.labels, material.seed)
        written: list[WeightsFile] = []
        seed = order.rung - len(material.rungs) + 1
        if seed >= 0 and member.keeps_weights:
            written = [self._file(member, one.steps, seed) for one in points]
            points = tuple(map(self._with_weights, points, written))
        result = TrainingResult(
            outcome="ok",
            started_at=started_at,
            finished_at=time.time(),
            points=points,
            history=(LoggedStep(step=1, loss=1.0, accuracy=0.5, learning_rate=1e-3),),
            environment=replace(WORKER, block=len(order.members)),
            seen=_seen(material.images, fold),
        )
        return result, written

    def _file(self, member: Member, steps: int, seed: int) -> WeightsFile:
        path = self._material.study_path / weights_path(member.config_id, steps, member.fold, seed)
        return WeightsFile(path, f"{member.config_id} {steps} {member.fold} {seed}".encode())

    def _with_weights(self, point: Point, file: WeightsFile) -> Point:
        path = file.path.relative_to(self._material.study_path).as_posix()
        return replace(point, weights=Weights(path, len(file.content), file.sha256))


def fake_plan(
    path: Path,
    *,
    n_subjects: int = 4,
    n_configs: int = 6,
    space: Space = SPACE,
    ladder: Ladder = EXHAUSTIVE,
    **options: Any,
) -> Plan:
    """Plan a study of `n_subjects` subjects with three clips each.

    `options` are those of a search; `seed`, `wave_size` and `protocol` go into the study's
    identity.
    """
    clips = tuple(
        Clip(f"d/s{s:02d}/{c}", f"d/s{s:02d}", c) for s in range(n_subjects) for c in range(3)
    )
    identity = Identity(
        images="0" * 64,
        classes="fake:3",
        labels={name: name for name in CLASSES},
        space=space.identity(),
        ladder=ladder,
        protocol=options.pop("protocol", "loso"),
        objective="uf1",
        seed=options.pop("seed", 0),
        wave_size=options.pop("wave_size", min(4, n_configs)),
        threads_per_training=1,
    )
    return Plan(
        path=path,
        study=new_study(
            path.name, identity=identity, origin=_origin(clips), clips=clips, classes=CLASSES
        ),
        space=space,
        n_asked=n_configs,
        n_configs=n_configs,
        rows=np.arange(len(clips)),
        options=SearchOptions(**{"repeats": 0, **options}),
    )


def _origin(clips: Sequence[Clip]) -> Origin:
    return Origin(
        dataset="d",
        images_path="none",
        recipe=Recipe(image_size=32),
        apex="annotated",
        n_left_out=0,
        n_unlabelled=0,
        other_labels={},
        dropped_labels={},
        duplicates=(),
        fingerprints=tuple(clip.clip_id for clip in clips),
        image_hashes=tuple(images_hash(one) for one in _images(len(clips))),
    )


def fake_images(plan: Plan) -> np.ndarray:
    """Return plain dynamic images for every clip, each of a grey of its own."""
    return _images(len(plan.study.clips))


def _images(n: int) -> np.ndarray:
    greys = np.arange(n, dtype=np.float16)
    return np.broadcast_to(greys[:, None, None, None, None], (n, 3, 8, 8, 3)).copy()


def searcher_of(plan: Plan) -> StudySearcher:
    """Make the searcher of a plan, which knows what weights are missing."""
    return make_searcher(plan, damaged_weights(plan.path, standing_of(plan.study), plan.n_kept))


def run_plan(plan: Plan, images: np.ndarray, trial: type[FoldTrial] = FakeTrial) -> StudySearcher:
    """Run a plan on two workers of the Ray that this process is connected to."""
    searcher, nodes = searcher_of(plan), Nodes(None)
    nodes.look()
    needs = resources(plan, Cluster("local", (Bundle(2, 2),)))
    run(
        searcher,
        plan,
        make_workers(plan, images, nodes, needs, trial=trial),
        started_at=time.time(),
    )
    return searcher
