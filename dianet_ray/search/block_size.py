"""How many trainings a trial runs as one stack: as asked, or as many as fit into a GPU."""

from __future__ import annotations

import logging

import numpy as np
import ray

from dianet_ray.cluster.nodes import elsewhere
from dianet_ray.errors import one_line
from dianet_ray.model.fit import LabelledImages, Member
from dianet_ray.model.memory import most_members
from dianet_ray.search.forecast import largest_settings
from dianet_ray.search.plan import Plan
from dianet_ray.search.trial import Material, assigned_device, gpu_problem, network_problem
from dianet_ray.search.workers import Workers
from dianet_ray.settings import Settings

logger = logging.getLogger(__name__)


def block_size(plan: Plan, workers: Workers) -> int:
    """Choose the size of blocks; `auto` measures on a GPU of the cluster, once per study.

    The caller is connected to Ray.
    """
    asked = plan.options.folds_per_trial
    if asked != "auto":
        return asked
    if plan.study.block is not None:
        return plan.study.block
    if plan.study.trainings or not workers.needs.gpus:  # what began one by one goes on so
        return 1
    needs = workers.needs
    task = ray.remote(num_cpus=needs.cpus, num_gpus=needs.gpus)(_measure).options(
        label_selector=elsewhere(workers.nodes.avoided)
    )
    share = min(1.0, needs.gpus)
    try:
        measured: int = ray.get(task.remote(workers.material, largest_settings(plan), share))
    except ray.exceptions.RayError as error:  # the first trial will meet it, and say so
        logger.warning(
            "trainings run one by one: a GPU could not be measured: %s", one_line(error)
        )
        return 1
    return measured


def _measure(material: Material, settings: Settings, share: float) -> int:
    """Measure in a worker; what keeps it from training at all is said by the first trial."""
    if gpu_problem() or (material.network is not None and network_problem(material.network)):
        return 1
    clips = LabelledImages(material.images, material.labels, material.n_classes)
    everyone = np.arange(len(material.labels))
    weights = material.pretrained.get(settings.pretrained)
    member = Member(everyone, everyone[:0], 0, pretrained=weights)
    return most_members(settings, clips, member, assigned_device(), share)
