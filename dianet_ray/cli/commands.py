"""Commands that join several parts: a tracked search, its projection again, collecting.

The parts do not know each other; here the driver's lock, Ray, the searcher, MLflow and the card
meet.
"""

from __future__ import annotations

import logging
import math
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dianet_ray.artefacts import DRIVER_FOLDER, IMAGES_JSON, to_json
from dianet_ray.cluster.autoscaler import can_come
from dianet_ray.cluster.connection import (
    LOCAL,
    Cluster,
    connected,
    local_cluster,
    n_workers,
    named_address,
)
from dianet_ray.cluster.nodes import Nodes, probed
from dianet_ray.ensemble import card, collect
from dianet_ray.errors import InputError, Stopped, StudyFailed
from dianet_ray.options import TrackingOptions
from dianet_ray.prepare.images import Images, load_images
from dianet_ray.protocol.standing import Standing, standing_of
from dianet_ray.protocol.study import Study
from dianet_ray.report import page
from dianet_ray.report.records import Report
from dianet_ray.search import tuner
from dianet_ray.search.forecast import describe
from dianet_ray.search.plan import Plan
from dianet_ray.search.retention import damaged_weights
from dianet_ray.search.searcher import StudySearcher
from dianet_ray.search.study_file import load_study
from dianet_ray.search.trial import FoldTrial
from dianet_ray.search.workers import Resources, Workers, make_workers, resources
from dianet_ray.storage import files
from dianet_ray.storage.lock import Lock
from dianet_ray.tracking import store
from dianet_ray.tracking.champion import ModelCard
from dianet_ray.tracking.thread import ProjectionThread

if TYPE_CHECKING:
    from dianet_ray.tracking.projection import Projection

logger = logging.getLogger(__name__)

Say = Callable[[str], None]
CLOSE_S = 120.0
"""How long the end of a search waits for MLflow: the champion's models take some seconds."""

STOPPED_CLOSE_S = 1.0
"""The same when it is stopped: `ray job stop` kills three seconds after its SIGTERM."""


@dataclass(frozen=True, slots=True)
class Search:
    """A search as the command line asked for it; `make_plan` reads the study anew."""

    make_plan: Callable[[], Plan]
    images: Images
    tracking: TrackingOptions
    address: str | None
    started_at: float
    say: Say
    trial: type[Any] = FoldTrial

    def dry_run(self) -> None:
        """Say the plan and do nothing."""
        plan = self.make_plan()
        uri = store.choose_uri(self.tracking.uri, plan.path)
        if named_address(self.address) == LOCAL:
            self._describe(plan, local_cluster(), uri, is_dry=True)
            return
        with connected(self.address) as cluster:
            self._describe(plan, cluster, uri, is_dry=True)

    def run(self) -> Study:
        """Run or resume under the driver's lock, with MLflow beside it.

        Raises:
            InputError: anything wrong that can be known before the first training.
            StudyFailed: the search cannot go on, or could not when it ran before.
            Stopped: somebody interrupted it.
        """
        path = self.make_plan().path
        uri = store.choose_uri(self.tracking.uri, path)
        with files.writing(path):
            files.make_folder(path.parent)
        store.check_store(uri)
        with ExitStack() as stack:
            with files.writing(path):
                stack.enter_context(Lock(path / DRIVER_FOLDER, f"the study {path}"))
            plan = self.make_plan()  # again: another driver may have just finished
            standing = standing_of(plan.study)
            if failure := standing.first_wave_failure():
                raise StudyFailed(f"{failure}; repair the cause and use a new folder")
            with files.answering(path):
                damaged = damaged_weights(path, standing, plan.n_kept)
            is_done = plan.is_done() and not damaged
            study = plan.study if is_done else self._train(plan, uri, damaged)
            try:
                publish(standing_of(study), path, uri, self.tracking, images=self.images)
            except Exception as error:  # whatever MLflow raises, the search is done
                reason = " ".join(str(error).split())
                logger.warning("MLflow lacks the champion (%s): dianet-ray track %s", reason, path)
        return study

    def _train(self, plan: Plan, uri: str, damaged: list[tuple[int, int]]) -> Study:
        """Search until the end, with a thread that writes to MLflow what is durable."""
        n_cpus = local_cluster().n_cpus
        if plan.options.max_workers:  # a local Ray of our own need not take the whole machine
            n_cpus = min(n_cpus, math.ceil(plan.cpus_per_trial * plan.options.max_workers))
        with connected(self.address, n_cpus=int(n_cpus)) as cluster:
            needs = self._describe(plan, cluster, uri)
            with self._nodes(cluster, plan) as nodes:
                with files.writing(plan.path):
                    searcher = tuner.make_searcher(plan, damaged)
                workers = make_workers(plan, self.images.images, nodes, needs, trial=self.trial)
                return self._search(searcher, plan, workers, uri)

    def _search(self, searcher: StudySearcher, plan: Plan, workers: Workers, uri: str) -> Study:
        make = partial(projection, plan.path, uri, self.tracking, images=self.images)
        thread, patience_s = ProjectionThread(make), CLOSE_S
        searcher.on_change = thread.submit
        try:
            tuner.run(searcher, plan, workers, started_at=self.started_at)
        except Stopped:
            patience_s = STOPPED_CLOSE_S
            raise
        finally:
            thread.close(searcher.study, timeout_s=patience_s)
        if searcher.is_stopping:
            raise Stopped("interrupted, what was in flight is recorded; the same command resumes")
        return searcher.study

    @contextmanager
    def _nodes(self, cluster: Cluster, plan: Plan) -> Iterator[Nodes]:
        """Probe every node of a cluster, and those that come later; our own machine is known."""
        if cluster.is_ours:
            nodes = Nodes(None)
            nodes.look()
            yield nodes
            return
        with probed([self.images.path / IMAGES_JSON], plan.path) as nodes:
            yield nodes

    def _describe(
        self, plan: Plan, cluster: Cluster, uri: str, *, is_dry: bool = False
    ) -> Resources:
        """Say the plan, and return what a trial occupies; a dry run asks for no node.

        Raises:
            InputError: no node can run a trial, and none that could will come.
        """
        needs = resources(plan, cluster)
        n_now = n_workers(cluster.nodes, needs.trial, needs.limit)
        if not n_now:
            if cluster.is_ours or not (is_dry or can_come(needs.trial)):
                raise cluster.lacks_room(needs.trial)
            logger.warning("no node can hold a trial yet: the autoscaler is asked for one")
        where = (
            f"{needs.cpus:g} CPUs and {needs.gpus:g} GPUs each; {cluster.address} Ray, "
            f"{cluster.n_nodes} nodes"
        )
        shown = store.shown(uri)
        describe(plan, self.say, n_workers=n_now, where=where, store=shown)
        return needs


def projection(
    study_path: Path, uri: str, tracking: TrackingOptions, *, images: Images | None
) -> Projection:
    """Connect to MLflow and make the projection of a study; slow the first time."""
    client = store.connect(uri)
    from dianet_ray.tracking.projection import Projection

    faces = None
    if tracking.log_faces and images is not None:
        faces = {images.clip_ids[i]: images.images[i] for i in range(min(3, len(images.clip_ids)))}
    experiment = store.choose_experiment(tracking.experiment)
    return Projection(client, experiment, study_path, faces=faces)


def publish(
    standing: Standing, path: Path, uri: str, tracking: TrackingOptions, *, images: Images | None
) -> None:
    """Bring MLflow up to date with a study, its champion included when there is one."""
    writer = projection(path, uri, tracking, images=images)
    winner, study = standing.champion(), standing.study
    if winner is None:
        writer.update(standing)
        return
    names = [clip.clip_id for clip in study.clips]
    prints = dict(zip(names, study.origin.fingerprints, strict=True))
    text = to_json(card.make(standing, prints))
    writer.finish(standing, ModelCard(text, winner.config_id, study.origin.recipe.image_size))


def images_of(study: Study) -> Images | None:
    """Load the images that a study was made from; None when they are gone or others."""
    try:
        images = load_images(files.located(study.origin.images_path))
    except InputError:
        return None
    return images if images.hash == study.identity.images else None


def track(path: Path, tracking: TrackingOptions) -> str:
    """Write a study to MLflow again from its ledger, and return the store's address.

    Raises:
        InputError: no study, no answer, or faces asked for whose images are gone.
    """
    study = load_study(path)
    uri = store.choose_uri(tracking.uri, path)
    images = images_of(study) if tracking.log_faces else None
    if tracking.log_faces and images is None:
        raise InputError(
            f"--log-faces needs the images of the study: {study.origin.images_path} no longer "
            "holds them"
        )
    publish(standing_of(study), path, uri, tracking, images=images)
    return uri


def collect_models(
    out: Path, *, study_path: Path | None, model: str | None, tracking_uri: str | None
) -> Any:
    """Fetch a model folder from MLflow, verify it and put it at `out`; return its card.

    Raises:
        InputError: not exactly one source, nothing there, or a damaged file.
    """
    if (study_path is None) == (model is None):
        raise InputError("collect takes either --study STUDY or --model NAME@champion")
    uri = store.choose_uri(tracking_uri, study_path)
    from dianet_ray.tracking import download  # imports MLflow, which takes a second

    client = store.connect(uri)
    with tempfile.TemporaryDirectory(prefix="dianet-collect-") as folder:
        if study_path is not None:
            fetched = download.download_study(
                client, standing_of(load_study(study_path)), Path(folder)
            )
        else:
            fetched = download.download_model(client, str(model), Path(folder))
        return collect.collect(fetched, out)


def write_page(study: Study, report: Report, path: Path, *, with_faces: bool) -> None:
    """Write the page, with a few dynamic images while IMAGES is where it was."""
    images = images_of(study) if with_faces else None
    examples = None
    if images is not None:
        examples = page.examples(study, images.clip_ids, images.images)
    page.write(report, examples, path)
