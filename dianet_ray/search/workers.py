"""Where trainings run: the usable nodes, what a trial takes of one, and what runs there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from ray import tune

from dianet_ray.cluster.autoscaler import Demand
from dianet_ray.cluster.connection import Bundle, Cluster, check_gpus, n_workers
from dianet_ray.cluster.nodes import Nodes, elsewhere
from dianet_ray.search.events import order_of
from dianet_ray.search.plan import Plan
from dianet_ray.search.trial import FoldTrial, Material

AUTO_GPUS = 1.0
"""GPUs that a trial takes by default: a stack of trainings fills one."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What a trial occupies, and how many may run at once if there is a limit."""

    cpus: float
    gpus: float
    limit: int | None

    @property
    def trial(self) -> Bundle:
        """CPUs and GPUs of a trial."""
        return Bundle(self.cpus, self.gpus)


def resources(plan: Plan, cluster: Cluster) -> Resources:
    """Decide what a trial occupies.

    Raises:
        InputError: GPUs that are neither a share of one nor whole ones.
    """
    asked = plan.options.gpus_per_trial
    gpus = (AUTO_GPUS if cluster.n_gpus else 0.0) if asked == "auto" else float(asked)
    check_gpus(gpus)
    return Resources(plan.cpus_per_trial, gpus, plan.options.max_workers)


@dataclass(frozen=True, slots=True)
class Workers:
    """The nodes, what a trial takes of one, the trainable that runs there, and what it reads."""

    nodes: Nodes
    needs: Resources
    trainable: Any
    demand: Demand | None
    material: Material

    def n_workers(self) -> int:
        """Count the trials that fit on the good nodes now."""
        return n_workers(self.nodes.good.values(), self.needs.trial, self.needs.limit)

    def n_asked_for(self) -> int:
        """Count the trials to hand to Ray: those that fit, and some that wait for new nodes."""
        n_now = self.n_workers()
        if self.demand is None:
            return n_now
        asked = n_now + self.demand.n_queued(n_now, frozenset(self.nodes.good))
        return min(asked, self.needs.limit or asked)


def make_workers(
    plan: Plan,
    images: np.ndarray,
    nodes: Nodes,
    needs: Resources,
    *,
    trial: type[tune.Trainable] = FoldTrial,
) -> Workers:
    """Bind the images to the trial through the object store: once per node, not per trial.

    Args:
        plan: what to run.
        images: (clips of IMAGES, 3, H, W, 3) float16, all of them.
        nodes: where trials may run.
        needs: what a trial occupies.
        trial: what trains; benchmarks and tests of the search alone pass an empty one.
    """
    study = plan.study
    material = Material(
        images=np.ascontiguousarray(images[plan.rows]),
        labels=study.labels(),
        n_classes=len(study.classes),
        rungs=study.rungs,
        study_path=plan.path,
        seed=study.identity.seed,
        threads=plan.threads,
        probe=nodes.probe,
        probed=frozenset(nodes.good),
        pretrained=plan.pretrained,
        network=plan.space.network,
    )
    # Tune copies a trial's configuration for every trial, so the images must not be in it.
    bound = tune.with_parameters(trial, material=material)
    trainable = tune.with_resources(bound, partial(_request, needs))
    demand = None if nodes.probe is None else Demand(needs.trial)  # no one grows our own machine
    return Workers(nodes, needs, trainable, demand, material)


def _request(needs: Resources, config: dict[str, str]) -> tune.PlacementGroupFactory:
    """Ask for a trial's room, on no node that must be avoided."""
    # docs/decisions.md: Keeping trials off a bad node
    order = order_of(config)
    selector = elsewhere(order.avoid if order else ())
    chosen = {"bundle_label_selector": [selector]} if selector else {}
    return tune.PlacementGroupFactory([{"CPU": needs.cpus, "GPU": needs.gpus}], **chosen)
