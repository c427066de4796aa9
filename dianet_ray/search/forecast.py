"""What a planned search will take, and the lines that say so."""

from __future__ import annotations

import contextlib
import itertools
import math
import random
from collections.abc import Callable, Iterator, Sequence

import torch

from dianet_ray.errors import InputError
from dianet_ray.model.build import build
from dianet_ray.progress import count
from dianet_ray.protocol.folds import nested_costs
from dianet_ray.protocol.study import Study
from dianet_ray.search.afterwards import most_repeats
from dianet_ray.search.plan import Plan
from dianet_ray.search.space import Space
from dianet_ray.settings import Settings, Value, own_names

MOST_CANDIDATES, MOST_TRIED = 256, 4096
"""Networks that are sized, and combinations of choices that are tried to find so many. Of a space
with more they are taken at random."""


def largest_training_bytes(plan: Plan) -> int:
    """Size the weights of one training of the largest network that the space holds, in bytes.

    They are those of one point.
    """
    return max(_bytes(plan, one) for one in _candidates(plan.space))


def largest_settings(plan: Plan) -> Settings:
    """Choose the settings whose network has the most weights, with the largest batch."""
    largest = max(_candidates(plan.space), key=lambda one: _bytes(plan, one))
    batch_size = max(plan.space.values("batch_size"))
    return largest.model_copy(update={"batch_size": batch_size})


def _bytes(plan: Plan, settings: Settings) -> int:
    size, n_classes = plan.study.origin.recipe.image_size, len(plan.study.classes)
    # Without storage: the largest of a wide space may take gigabytes. A user's file may need it.
    with (
        torch.device("meta" if plan.space.network is None else "cpu"),
        contextlib.suppress(InputError),  # a user's file may refuse what its space excludes
    ):
        network = build(settings, n_classes, size)
        return sum(p.numel() * p.element_size() for p in network.parameters())
    return 0


def _candidates(space: Space) -> list[Settings]:
    largest = itertools.islice(_largest(space), MOST_CANDIDATES)
    return list(dict.fromkeys([space.example(), *space.first_settings, *largest]))


def _largest(space: Space) -> Iterator[Settings]:
    """Complete the largest numbers that shape a network, with every choice that does."""
    # The number of heads changes no shape, and the least one divides most embeddings.
    largest = space.defaults() | {"heads": min(space.values("heads"))}
    for name in ("width", "embedding", "layers", "steps", "points"):
        largest[name] = max(space.values(name))
    if "averaged" in space.values("schedule"):
        largest["schedule"] = "averaged"  # the only one that is shown more than once
    shapes = ("backbone", "shared_streams", "phases", "fusion", "gate", "pretrained")
    names = (*shapes, *own_names(space.kind))
    choices = [_ends(space.values(name)) for name in names]
    for values in _combined(choices):
        found = space.settings(largest | dict(zip(names, values, strict=True)))
        if found is not None:  # else they do not go together
            yield found


def _combined(choices: Sequence[tuple[Value, ...]]) -> Iterator[tuple[Value, ...]]:
    """List all combinations, in random order, or as many random ones as are tried."""
    generator = random.Random(0)
    if math.prod(map(len, choices)) <= MOST_TRIED:
        every = list(itertools.product(*choices))
        yield from generator.sample(every, len(every))
        return
    for _ in range(MOST_TRIED):
        yield tuple(map(generator.choice, choices))


def _ends(values: tuple[Value, ...]) -> tuple[Value, ...]:
    """Keep the smallest and the largest of numbers, and all of other values."""
    if all(type(value) in (int, float) for value in values):
        return tuple({min(values), max(values)})
    return values


def most_disk_bytes(plan: Plan) -> int:
    """Bound the weights on disk at any time: those kept, and those of two waves that still run.

    What still runs holds the weights of every point, what is kept those of one.
    """
    n_in_loso = plan.entering(plan.n_configs)[-1]
    kept = n_in_loso if plan.options.keep_weights == "all" else plan.options.keep_weights
    open_waves = 2 * plan.study.identity.wave_size
    n_open = min(n_in_loso, open_waves)
    n_points = max(len(one.shown_at) for one in _candidates(plan.space))
    n_weights = n_open * n_points + min(n_in_loso - n_open, kept) + plan.options.repeats
    return n_weights * len(plan.study.folds) * largest_training_bytes(plan)


def describe(
    plan: Plan, say: Callable[[str], None], *, n_workers: int, where: str, store: str
) -> None:
    """Say the plan in a few lines; `where` the workers are, `store` what MLflow writes to."""
    study = plan.study
    say(f"images   {study.origin.images_path}")
    say(f"study    {plan.path} ({'resumed' if study.spans else 'new'})")
    for line in _clip_lines(study):
        say(line)
    at_most = "at most " if len(plan.ladder) > 1 else ""
    say(
        f"search   {_rungs(plan)}: {at_most}{count(plan.most_trainings(), 'training')} in waves "
        f"of {study.identity.wave_size}, objective {study.objective}, "
        f"seed {study.identity.seed}; "
        f"{count(len(study.trainings), 'training')} done so far"
    )
    for line in _after_lines(plan):
        say(line)
    say(f"workers  {n_workers} of {where}")
    if plan.options.threads_per_training == "auto":
        how = "measured" if plan.is_new else "as the study has them"
        say(f"         {count(plan.threads, 'thread')} per training, {how}")
    wave_size, n_folds = study.identity.wave_size, len(study.rungs[0])
    needed = n_workers * (study.block or 1)  # trainings that two waves must have
    if 2 * wave_size * n_folds < needed and wave_size < plan.n_configs:
        enough = -(-needed // (2 * n_folds))
        say(f"         two waves cannot feed them and some will idle: --wave-size {enough} would")
    say(f"store    {store}; at most {most_disk_bytes(plan) / 1e6:.0f} MB of weights")


def _after_lines(plan: Plan) -> list[str]:
    """Say what is trained when the search is over."""
    study, repeats = plan.study, plan.options.repeats
    n_repeats, n_pairs = most_repeats(study, repeats), plan.most_after()
    n_pairs -= n_repeats
    lines = []
    if n_pairs:
        most, textbook = nested_costs(plan.n_configs, len(study.folds))
        lines.append(
            f"         then {count(n_pairs, 'training')} that hold out two subjects: nested, "
            f"{most} in all, {most / textbook:.2f} of the {textbook} of the textbook"
        )
    if n_repeats:
        lines.append(
            f"         then LOSO again with {count(repeats, 'other seed')}: at most "
            f"{count(n_repeats, 'training')}"
        )
    return lines


def _clip_lines(study: Study) -> list[str]:
    """Say which clips a study uses, and which it does not."""
    origin = study.origin
    counts = ", ".join(
        f"{name} {sum(clip.label == i for clip in study.clips)}"
        for i, name in enumerate(study.classes)
    )
    lines = [
        f"clips    {len(study.clips)} of {count(len(study.folds), 'subject')}, "
        f"{origin.n_left_out + origin.n_unlabelled} left out; {study.identity.classes}: {counts}"
    ]
    if origin.other_labels:
        counted = ", ".join(f"{name} {n}" for name, n in sorted(origin.other_labels.items()))
        lines.append(f"         labels of no class: {counted}")
    for label, why in origin.dropped_labels.items():
        lines.append(f"         no class {label}: {why}")
    if origin.duplicates:
        worst = max(origin.duplicates, key=lambda pair: pair.across_subjects)
        leak = (
            ": if they are copies, a fold tests what it trained on"
            if worst.across_subjects
            else ""
        )
        lines.append(
            f"         pairs of clips that move almost alike: {len(origin.duplicates)}, for "
            f"example {worst.first} and {worst.second}{leak}"
        )
    return lines


def _rungs(plan: Plan) -> str:
    """Say how many configurations enter each rung, and what it is."""
    n_entering = plan.entering(plan.n_configs)
    parts = []
    for rung, n, folds in zip(plan.ladder, n_entering, plan.study.rungs, strict=True):
        what = count(len(folds), "fold") if rung.groups is None else f"{rung.groups} groups"
        share = "" if rung.steps == 1 else f" ({rung.steps:g} of the steps)"
        parts.append(f"{n} x {what}{share}")
    return f"{count(plan.n_configs, 'configuration')}, " + ", then ".join(parts)
