"""The `search` command: plan a study, run or resume it under the driver's lock, publish it.

Here the lock, Ray, the searcher and MLflow meet; none of them knows the others.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from dianet_ray.artefacts import DRIVER_FOLDER, IMAGES_JSON
from dianet_ray.cli.publishing import projection, publish
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
from dianet_ray.errors import InputError, Stopped, StudyFailed, one_line
from dianet_ray.options import TrackingOptions
from dianet_ray.prepare.images import Images
from dianet_ray.processors import processors
from dianet_ray.progress import count
from dianet_ray.protocol.standing import Standing, standing_of
from dianet_ray.protocol.study import Study
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
from dianet_ray.tracking.thread import ProjectionThread

logger = logging.getLogger(__name__)

Say = Callable[[str], None]

CLOSE_S = 120.0
"""How long the end of a search waits for MLflow: the champion's models take some seconds."""

STOPPED_CLOSE_S = 1.0
"""The same for a search that was stopped: `ray job stop` kills three seconds after SIGTERM."""


@dataclass(frozen=True, slots=True)
class Search:
    """A search as the command line asks for it.

    Attributes:
        make_plan: reads the study and plans the rest of it; called again under the lock.
        images: the loaded IMAGES.
        tracking: where MLflow is.
        address: the cluster's address; None for RAY_ADDRESS, else a local Ray.
        started_at: when the command started, in seconds since the epoch.
        say: prints one line of the plan.
        trial: what trains; tests and benchmarks of the search alone pass an empty one.
    """

    make_plan: Callable[[], Plan]
    images: Images
    tracking: TrackingOptions
    address: str | None
    started_at: float
    say: Say
    trial: type[Any] = FoldTrial

    def dry_run(self) -> None:
        """Print the plan and do nothing."""
        plan = self.make_plan()
        uri = store.choose_uri(self.tracking.uri, plan.path)
        if named_address(self.address) == LOCAL:
            self._describe(plan, local_cluster(), uri, is_dry=True)
            return
        with connected(self.address) as cluster:
            self._describe(plan, cluster, uri, is_dry=True)

    def run(self) -> Standing:
        """Run or resume the search under the driver's lock, and publish the study to MLflow.

        Raises:
            InputError: anything wrong that can be known before the first training.
            StudyFailed: the search cannot continue, or an earlier run of it could not.
            Stopped: the search was interrupted.
        """
        path = self.make_plan().path
        uri = store.choose_uri(self.tracking.uri, path)
        with files.writing(path):
            files.make_folder(path.parent)
        # Before Ray starts: a wrong address must cost seconds, not the first wave.
        store.check_store(uri)
        with ExitStack() as stack:
            with files.writing(path):
                stack.enter_context(Lock(path / DRIVER_FOLDER, f"the study {path}"))
            try:
                study = self._finish(self.make_plan(), uri)  # another driver may have finished
            except Stopped:
                self._publish_champion(path, uri)
                raise
            standing = standing_of(study)
            self._publish(standing, path=path, uri=uri)
        return standing

    def _finish(self, plan: Plan, uri: str) -> Study:
        """Search until the study is complete, if it is not."""
        standing = standing_of(plan.study)
        if failure := standing.first_wave_failure():
            raise StudyFailed(f"{failure}; repair the cause and use a new folder")
        with files.answering(plan.path):
            # Lost weights are trained again now; else only a later `collect` would notice.
            damaged = damaged_weights(plan.path, standing, plan.n_kept)
        is_complete = plan.is_done() and not damaged
        return plan.study if is_complete else self._train(plan, uri, damaged)

    def _publish_champion(self, path: Path, uri: str) -> None:
        """Publish a study whose search is over: what follows may take longer, and changes none."""
        with suppress(InputError):  # it was stopped before it began
            standing = standing_of(load_study(path))
            if standing.decisions.is_over:
                self._publish(standing, path=path, uri=uri)

    def _publish(self, standing: Standing, *, path: Path, uri: str) -> None:
        try:
            publish(standing, path, uri, self.tracking, images=self.images)
        except Exception as error:  # whatever MLflow raises, the search is done
            logger.warning(
                "the champion could not be written to MLflow (%s): run dianet-ray track %s",
                one_line(error),
                path,
            )

    def _train(self, plan: Plan, uri: str, damaged: list[tuple[int, int]]) -> Study:
        """Join the cluster, probe its nodes and search until the end."""
        n_cpus = local_cluster().n_cpus
        if plan.options.max_workers:  # then a local Ray need not take the whole machine
            n_cpus = min(n_cpus, math.ceil(plan.cpus_per_trial * plan.options.max_workers))
        with connected(self.address, n_cpus=int(n_cpus)) as cluster:
            needs = self._describe(plan, cluster, uri)
            with self._nodes(cluster, plan) as nodes:
                with files.writing(plan.path):
                    searcher = tuner.make_searcher(plan, damaged)
                workers = make_workers(plan, self.images.images, nodes, needs, trial=self.trial)
                return self._search(searcher, plan, workers, uri)

    def _search(self, searcher: StudySearcher, plan: Plan, workers: Workers, uri: str) -> Study:
        """Run the searcher, with a thread that writes to MLflow what is durable."""
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
            raise Stopped(
                "interrupted: trainings in flight were finished and recorded; the same command "
                "resumes"
            )
        return searcher.study

    @contextmanager
    def _nodes(self, cluster: Cluster, plan: Plan) -> Iterator[Nodes]:
        """Probe all nodes of a cluster, also those that join later; a local Ray needs no probe."""
        # This machine is the driver's own: it has the same files and versions.
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
        """Print the plan, and return what a trial occupies; a dry run requests no node.

        Raises:
            InputError: no node can run a trial, and the autoscaler can add none that could.
        """
        needs = resources(plan, cluster)
        n_now = n_workers(cluster.nodes, needs.trial, needs.limit)
        if not n_now:
            # `is_dry` comes first: asking the autoscaler starts nodes, which cost money.
            if cluster.is_ours or not (is_dry or can_come(needs.trial)):
                raise cluster.too_small_for(needs.trial)
            logger.warning("no node can hold a trial yet: waiting for the autoscaler to add one")
        where = f"{needs.trial} each; {cluster.address} Ray, {count(cluster.n_nodes, 'node')}"
        if cluster.is_ours and (here := processors()).limit != "machine":
            where += f"; {here}"
        shown = store.shown(uri)
        describe(plan, self.say, n_workers=n_now, where=where, store=shown)
        return needs
