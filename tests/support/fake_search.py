"""A search without images: a trial that trains nothing, and plans to run it with."""

import hashlib
import os
import time
from pathlib import Path

import numpy as np

from dianet_ray.artefacts import weights_path
from dianet_ray.cluster.connection import Bundle, Cluster
from dianet_ray.cluster.nodes import Nodes
from dianet_ray.options import SearchOptions
from dianet_ray.protocol.ladder import EXHAUSTIVE
from dianet_ray.protocol.study import Clip
from dianet_ray.search.plan import Plan
from dianet_ray.search.retention import damaged_weights
from dianet_ray.search.searcher import StudySearcher
from dianet_ray.search.space import Range, Space
from dianet_ray.search.study_file import empty_study
from dianet_ray.search.trial import FoldTrial, report
from dianet_ray.search.tuner import make_searcher, run
from dianet_ray.search.workers import muster, resources
from dianet_ray.settings import Settings, derive_seed
from dianet_ray.storage import files

CLASSES = ("calm", "glad", "sad")
SPACE = Space(
    "tpe",
    {},
    {"learning_rate": Range(1e-4, 1e-1, log=True), "dropout": Range(0.0, 0.5)},
    (),
    (),
)


def fake_answers(work, fold, labels, seed):
    """Answer well when the learning rate is near 3e-3: a function of the work alone."""
    settings = Settings(**work["settings"])
    rng = np.random.default_rng(derive_seed(seed, work["config_id"], work["rung"], fold.index))
    skill = 0.6 * np.exp(-abs(np.log(settings.learning_rate / 3e-3)))
    n_classes = int(labels.max()) + 1
    probabilities = rng.dirichlet(np.ones(n_classes), size=len(fold.test_clips))
    truth = np.eye(n_classes)[labels[list(fold.test_clips)]]
    return (1 - skill) * probabilities + skill * truth


def save(path, content):
    """Write as `save_weights` does."""
    files.make_folder(path.parent, parents=False)
    files.put(path, content)


class FakeTrial(FoldTrial):
    """Writes a few bytes as weights and answers by formula, after `FAKE_SECONDS`."""

    def train_block(self):
        work, material = self.config["work"], self._material
        (index,) = work["folds"]
        started_at = time.time()
        time.sleep(float(os.environ.get("FAKE_SECONDS", "0")))
        is_loso = work["rung"] == len(material.rungs) - 1
        path = material.study_path / weights_path(work["config_id"], index)
        content = f"{work['config_id']} {index}".encode()
        if is_loso:
            files.patiently(lambda: save(path, content), lambda error: None)
        fold = material.rungs[work["rung"]][index]
        answers = fake_answers(work, fold, material.labels, material.seed)
        finished_at = time.time()
        return report(
            {
                "outcome": "ok",
                "probabilities": answers.astype(np.float32).tolist(),
                "history": [{"step": 1.0, "loss": 1.0}],
                "weights": {
                    "path": weights_path(work["config_id"], index),
                    "n_bytes": len(content),
                    "sha256": hashlib.sha256(content).hexdigest(),
                }
                if is_loso
                else None,
                "environment": {"device": "cpu"},
                "started_at": started_at,
                "finished_at": finished_at,
                "seconds": finished_at - started_at,
            }
        )


def fake_plan(
    path: Path, *, n_subjects=4, n_configs=6, space=SPACE, ladder=EXHAUSTIVE, **options
) -> Plan:
    """Plan a study of `n_subjects` people with three clips each."""
    clips = tuple(
        Clip(f"d/s{s:02d}/{c}", f"d/s{s:02d}", c) for s in range(n_subjects) for c in range(3)
    )
    wave_size = options.pop("wave_size", min(4, n_configs))
    identity = {
        "images": "0" * 64,
        "classes": "fake:3",
        "labels": {name: name for name in CLASSES},
        "space": space.identity(),
        "ladder": [rung.plain() for rung in ladder],
        "protocol": "loso",
        "objective": "uf1",
        "seed": options.pop("seed", 0),
        "wave_size": wave_size,
        "threads_per_training": 1,
    }
    content = {
        "identity": identity,
        "about": {
            "dataset": "d",
            "images": {"n_clips": len(clips), "n_left_out": 0, "options": {"image_size": 32}},
            "images_path": "none",
            "n_unlabelled": 0,
        },
        "classes": CLASSES,
        "clips": [[c.clip_id, c.subject, c.label] for c in clips],
        "rungs": [
            [fold.test_subjects for fold in rung.folds(clips, CLASSES, identity["seed"])]
            for rung in ladder
        ],
    }
    return Plan(
        path=path,
        study=empty_study(path.name, content),
        space=space,
        n_asked=n_configs,
        n_configs=n_configs,
        rows=np.arange(len(clips)),
        options=SearchOptions(**options),
    )


def fake_images(plan: Plan) -> np.ndarray:
    """Return black dynamic images for every clip."""
    return np.zeros((len(plan.study.clips), 3, 8, 8, 3), dtype=np.float16)


def searcher_of(plan: Plan) -> StudySearcher:
    """Make the searcher of a plan, which knows what weights are missing."""
    return make_searcher(plan, damaged_weights(plan.path, plan.study, plan.n_kept))


def run_plan(plan: Plan, images: np.ndarray, trial: type = FakeTrial) -> StudySearcher:
    """Run a plan on two workers of the Ray that this process is connected to."""
    searcher, nodes = searcher_of(plan), Nodes(None)
    nodes.look()
    needs = resources(plan, Cluster("local", (Bundle(2, 2),)))
    run(searcher, plan, muster(plan, images, nodes, needs, trial=trial), started_at=time.time())
    return searcher
