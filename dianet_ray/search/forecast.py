"""What a planned search will take, and how its plan is said."""

from __future__ import annotations

from collections.abc import Callable

from dianet_ray.model.network import build
from dianet_ray.progress import count
from dianet_ray.search.plan import Plan
from dianet_ray.search.space import Choice, Space, Value
from dianet_ray.settings import Settings


def largest_training_bytes(plan: Plan) -> int:
    """Size the weights of one training of the largest network that the space holds, in bytes."""
    size = plan.study.about["images"]["options"]["image_size"]
    candidates = [*plan.space.points, *filter(None, [_largest(plan.space)])]
    return max(
        sum(
            p.numel() * p.element_size()
            for p in build(one, len(plan.study.classes), size).parameters()
        )
        for one in candidates
    )


def _largest(space: Space) -> Settings | None:
    """Complete the largest value of every dimension that shapes the network."""
    if not space.dimensions:
        return space.settings({})
    largest: dict[str, Value] = {"heads": 1, "phases": "both", "fusion": "cross_attention"}
    for name in ("width", "embedding", "backbone"):
        dimension = space.dimensions.get(name)
        if isinstance(dimension, Choice):
            largest[name] = max(dimension.values)
        elif dimension is not None:
            largest[name] = dimension.high
        elif name in space.fixed:
            largest[name] = space.fixed[name]
    return Settings(**largest)


def most_disk_bytes(plan: Plan) -> int:
    """Bound the weights on disk at any time: those kept, and two waves before they are judged."""
    n_in_loso = plan.entering(plan.n_configs)[-1]
    kept = n_in_loso if plan.options.keep_weights == "all" else plan.options.keep_weights
    open_waves = 2 * int(plan.study.identity["wave_size"])
    n_configs = min(n_in_loso, kept + open_waves)
    return n_configs * len(plan.study.folds) * largest_training_bytes(plan)


def describe(
    plan: Plan, say: Callable[[str], None], *, n_workers: int, where: str, store: str
) -> None:
    """Say the plan in a few lines; `where` the workers are, `store` what MLflow writes to."""
    study, n_people = plan.study, len(plan.study.folds)
    n_folds = len(study.rungs[0])
    counts = ", ".join(
        f"{name} {sum(clip.label == i for clip in study.clips)}"
        for i, name in enumerate(study.classes)
    )
    left_out = study.about["images"]["n_left_out"] + study.about["n_unlabelled"]
    say(f"images   {study.about['images_path']}")
    say(f"study    {plan.path} ({'resumed' if study.spans else 'new'})")
    say(
        f"clips    {len(study.clips)} of {count(n_people, 'subject')}, {left_out} left out; "
        f"{study.identity['classes']}: {counts}"
    )
    if others := study.about.get("other_labels"):
        counted = ", ".join(f"{name} {n}" for name, n in sorted(others.items()))
        say(f"         labels of no class: {counted}")
    for label, why in study.about.get("dropped_labels", {}).items():
        say(f"         no class {label}: {why}")
    if doubled := study.about["images"].get("duplicates"):
        first, second, _, is_leak = max(doubled, key=lambda pair: pair[3])
        leak = ": a fold tests what it trained on" if is_leak else ""
        say(
            f"         pairs of clips with the same frames: {len(doubled)}, for example "
            f"{first} and {second}{leak}"
        )
    at_most = "at most " if len(plan.ladder) > 1 else ""
    say(
        f"search   {_climb(plan)}: {at_most}{count(plan.most_trainings(), 'training')} in waves "
        f"of {study.identity['wave_size']}, objective {study.objective}, "
        f"seed {study.identity['seed']}; {len(study.trainings)} recorded"
    )
    say(f"workers  {n_workers} of {where}")
    wave_size = int(study.identity["wave_size"])
    if 2 * wave_size * n_folds < n_workers and wave_size < plan.n_configs:
        enough = -(-n_workers // (2 * n_folds))
        say(f"         two waves cannot feed them and some will idle: --wave-size {enough} would")
    say(f"store    {store}; at most {most_disk_bytes(plan) / 1e6:.0f} MB of weights")


def _climb(plan: Plan) -> str:
    """Say how many configurations enter each rung, and what it is."""
    n_entering = plan.entering(plan.n_configs)
    parts = []
    for rung, n, folds in zip(plan.ladder, n_entering, plan.study.rungs, strict=True):
        what = count(len(folds), "fold") if rung.groups is None else f"{rung.groups} groups"
        share = "" if rung.steps == 1 else f" ({rung.steps:g} of the steps)"
        parts.append(f"{n} x {what}{share}")
    return f"{count(plan.n_configs, 'configuration')}, " + ", then ".join(parts)
