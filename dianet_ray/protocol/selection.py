"""The champion, and what its score is worth once the search that found it is discounted.

The best of many scores on the same people is optimistic. BBC-CV repeats the choice on resampled
people and scores it on the people left out, from predictions alone, without another training.
"""

from __future__ import annotations

import numpy as np

from dianet_ray.protocol.metrics import scores
from dianet_ray.protocol.predictions import quantiles
from dianet_ray.protocol.standing import standing
from dianet_ray.protocol.study import Configuration, Study
from dianet_ray.schemas import METRICS
from dianet_ray.settings import derive_seed


def champion(study: Study) -> Configuration | None:
    """Choose among the configurations that finished LOSO.

    Returns:
        The one with the largest sum of pooled objective over its rungs, ties to the lower number;
        None while no configuration is complete.
    """
    return standing(study).champion()


def corrected(
    confusions: np.ndarray, objective: str, *, seed: int, n: int = 1000
) -> dict[str, dict[str, float | list[float]]]:
    """Estimate what the chosen configuration scores on new people (BBC-CV over subjects).

    Each replicate draws subjects with replacement, chooses the best configuration on them (ties
    to the lower index) and scores it on the subjects that were not drawn. Replicates that drew
    everybody are skipped. Reference: Tsamardinos, Greasidou and Borboudakis 2018,
    https://doi.org/10.1007/s10994-018-5714-4.

    Args:
        confusions: (K, S, C, C) counts per complete configuration, in number order, and subject;
            at least two subjects.
        objective: the metric that chooses, one of METRICS.
        seed: the study seed.
        n: number of replicates.

    Returns:
        For each of METRICS: `estimate`, the mean, and `ci95`, [low, high], of the out-of-bag
        scores.
    """
    n_subjects, n_classes = confusions.shape[1:3]
    flat = confusions.reshape(len(confusions), n_subjects, -1)
    generator = np.random.default_rng(derive_seed(seed, "corrected"))
    drawn = generator.multinomial(n_subjects, np.full(n_subjects, 1 / n_subjects), size=n)
    drawn = drawn[(drawn == 0).any(axis=1)]
    shape = (len(drawn), n_classes, n_classes)
    in_bag = [
        scores((drawn @ counts).reshape(shape), present_only=True)[objective] for counts in flat
    ]
    winners = np.argmax(in_bag, axis=0)
    out_of_bag = np.einsum("bs,bsx->bx", drawn == 0, flat[winners])
    scored = scores(out_of_bag.reshape(shape), present_only=True)
    return {
        metric: {"estimate": float(scored[metric].mean()), "ci95": list(quantiles(scored[metric]))}
        for metric in METRICS
    }
