"""What a planned search will take, and the lines that say so."""

from __future__ import annotations

from collections.abc import Callable

from dianet_ray.model.network import build
from dianet_ray.progress import count
from dianet_ray.protocol.study import Study
from dianet_ray.search.plan import Plan
from dianet_ray.search.space import Space
from dianet_ray.settings import Choice, Settings, Value


def largest_training_bytes(plan: Plan) -> int:
    """Size the weights of one training of the largest network that the space holds, in bytes.

    They are those of one point.
    """
    size = plan.study.origin.recipe.image_size
    return max(
        sum(
            p.numel() * p.element_size()
            for p in build(one, len(plan.study.classes), size).parameters()
        )
        for one in _candidates(plan.space)
    )


def _candidates(space: Space) -> list[Settings]:
    return [*space.first_settings, *filter(None, [_largest(space)])]


def _largest(space: Space) -> Settings | None:
    """Complete the largest value of every dimension that shapes the network."""
    if not space.dimensions:
        return space.settings({})
    largest: dict[str, Value] = {**Settings().model_dump(), **space.fixed}
    largest |= {"heads": 1, "phases": "both", "fusion": "cross_attention"}
    for name in ("width", "embedding", "backbone", "steps", "points"):
        dimension = space.dimensions.get(name)
        if isinstance(dimension, Choice):
            largest[name] = max(dimension.values)
        elif dimension is not None:
            largest[name] = dimension.high
    schedule = space.dimensions.get("schedule")
    if isinstance(schedule, Choice) and "averaged" in schedule.values:
        largest["schedule"] = "averaged"  # the only one that is shown more than once
    return Settings(**largest)


def most_disk_bytes(plan: Plan) -> int:
    """Bound the weights on disk at any time: those kept, and those of two waves that still run.

    What still runs holds the weights of every point, what is kept those of one.
    """
    n_in_loso = plan.entering(plan.n_configs)[-1]
    kept = n_in_loso if plan.options.keep_weights == "all" else plan.options.keep_weights
    open_waves = 2 * plan.study.identity.wave_size
    n_open = min(n_in_loso, open_waves)
    n_points = max(len(one.shown_at) for one in _candidates(plan.space))
    n_weights = n_open * n_points + min(n_in_loso - n_open, kept)
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
    say(f"workers  {n_workers} of {where}")
    wave_size, n_folds = study.identity.wave_size, len(study.rungs[0])
    if 2 * wave_size * n_folds < n_workers and wave_size < plan.n_configs:
        enough = -(-n_workers // (2 * n_folds))
        say(f"         two waves cannot feed them and some will idle: --wave-size {enough} would")
    say(f"store    {store}; at most {most_disk_bytes(plan) / 1e6:.0f} MB of weights")


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
