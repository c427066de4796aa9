"""Where the champion looks in the clips that the page shows, by the model that never saw them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from dianet_ray.model.own_network import trust
from dianet_ray.model.regions import regions
from dianet_ray.model.weights import parse_weights
from dianet_ray.protocol.standing import Standing
from dianet_ray.protocol.study import Configuration
from dianet_ray.report.page import Example, Mark
from dianet_ray.storage import files


def with_regions(
    standing: Standing, path: Path, examples: Sequence[Example], *, trusts_code: bool = False
) -> list[Example]:
    """Add where the champion looked, where its weights are kept.

    Args:
        standing: of the study.
        path: the study's folder, which holds the weights.
        examples: clips of the study.
        trusts_code: run the network file of a study whose network a user wrote.
    """
    champion, network = standing.champion(), standing.study.identity.space.network
    if champion is None or (network is not None and not trusts_code):
        return list(examples)
    if network is not None:
        trust(network)
    return [_explained(standing, path, champion, example) for example in examples]


def _explained(
    standing: Standing, path: Path, champion: Configuration, example: Example
) -> Example:
    study = standing.study
    place = next(i for i, clip in enumerate(study.clips) if clip.clip_id == example.clip_id)
    fold = next(fold.index for fold in study.folds if place in fold.test_clips)
    weights = _weights(standing, path, champion, fold)
    if weights is None:
        return example
    found = regions(champion.settings, weights, example.images, len(study.classes))
    maps = {"what speaks for its prediction": found.activation}
    if found.attention is not None:
        maps["what the other phases attend to"] = found.attention / found.attention.max()
    marks = tuple(
        Mark(phase, what, region)
        for what, of_phases in maps.items()
        for phase, region in zip(found.phases, of_phases, strict=True)
    )
    return replace(example, marks=marks, predicted=study.classes[found.predicted])


def _weights(
    standing: Standing, path: Path, champion: Configuration, fold: int
) -> dict[str, Tensor] | None:
    """Read the weights of a fold model, where it is read; None when they are gone or damaged."""
    steps = standing.steps_read(champion.number)
    training = next(t for t in standing.study.of(champion.number) if t.fold == fold)
    recorded = training.at(steps).weights
    if recorded is None:
        return None
    try:
        content = files.read(path / recorded.path)
    except files.failures():
        return None
    return parse_weights(content) if recorded.matches(content) else None
