"""Make or resume a study: what it is, whether it is the same one, and what it will cost.

Everything here happens before Ray starts or a file is written, so a wrong command costs nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dianet_ray import storage
from dianet_ray.data.images import fingerprint
from dianet_ray.data.labels import LabelSet, label_set, plain_label
from dianet_ray.errors import InputError
from dianet_ray.model.network import build
from dianet_ray.options import SearchOptions
from dianet_ray.protocol.folds import loso
from dianet_ray.protocol.study import Clip, Study
from dianet_ray.schemas import DRIVER_FOLDER, STUDY_JSON
from dianet_ray.search.space import Choice, Space, Value
from dianet_ray.search.study_view import empty_study, load_study
from dianet_ray.settings import Settings

if TYPE_CHECKING:
    from dianet_ray.data.images import Images

N_CONFIGS = 32
WAVE_SIZE = 8


@dataclass(frozen=True, slots=True)
class Plan:
    """A study ready to run; `rows` index the images of its clips, in its order."""

    path: Path
    study: Study
    space: Space
    n_configs: int
    rows: np.ndarray
    options: SearchOptions

    @property
    def is_new(self) -> bool:
        """Nothing of the study is on disk."""
        return STUDY_JSON not in storage.names(self.path)

    @property
    def is_done(self) -> bool:
        """Every configuration has ended."""
        study = self.study
        states = [study.state(c.number) for c in study.configurations]
        return len(states) >= self.n_configs and "running" not in states

    @property
    def n_kept(self) -> int | None:
        """How many configurations keep their weights; None for all."""
        keep = self.options.keep_weights
        return None if keep == "all" else keep

    @property
    def n_trainings(self) -> int:
        """Trainings of the whole search."""
        return self.n_configs * len(self.study.folds)

    @property
    def threads(self) -> int:
        """Threads of one training, part of what makes results equal to the bit."""
        return int(self.study.identity["threads_per_training"])

    @property
    def cpus_per_trial(self) -> float:
        """CPUs that a trial occupies."""
        return self.options.cpus_per_trial or float(self.threads)


def make_plan(images: Images, path: Path, *, space: Space, options: SearchOptions) -> Plan:
    """Describe the study that the command asks for, or the one that it resumes.

    Raises:
        InputError: the folder holds another study, naming the key and both values; `--configs`
            below what is drawn; too few clips, subjects or classes.
    """
    with storage.answering(path):
        found = _found(path)
    existing = load_study(path) if STUDY_JSON in found else None
    if existing is None:
        _check_new(path, found)
    labels = _labels(images, existing, options)
    if existing is not None:
        _check_same(existing.identity, {"images": images.hash}, path)
    named = zip(images.labels, images.subjects, strict=True)
    class_of = [labels.class_of(label, subject) for label, subject in named]
    rows = np.array([i for i, name in enumerate(class_of) if name is not None])
    if not len(rows):
        raise InputError(f"no clip has a label of {labels.name}: {images.path}")
    n_configs, wave_size = _sizes(existing, options)
    identity = {
        "images": images.hash,
        "classes": labels.name,
        "labels": labels.mapping,
        "space": space.identity(),
        "ladder": ["loso"],
        "protocol": "loso",
        "objective": _chosen(options, existing, "objective", "uf1"),
        "seed": _chosen(options, existing, "seed", 0),
        "wave_size": wave_size,
        "threads_per_training": _chosen(options, existing, "threads_per_training", 1),
    }
    if existing is not None:
        _check_same(existing.identity, identity, path)
    clips = tuple(
        Clip(
            images.clip_ids[i],
            images.subjects[i],
            labels.classes.index(str(class_of[i])),
        )
        for i in rows
    )
    folds = loso(clips, labels.classes, identity["seed"])
    content = {
        "identity": identity,
        "about": {
            "dataset": images.about["dataset"],
            "images": images.about,
            "images_path": str(images.path),
            "n_unlabelled": len(images.labels) - len(rows),
            "other_labels": dict(
                Counter(
                    plain_label(label)
                    for label, name in zip(images.labels, class_of, strict=True)
                    if name is None
                )
            ),
            "dropped_labels": labels.dropped,
            "fingerprints": [fingerprint(images.images[i]) for i in rows],
        },
        "classes": labels.classes,
        "clips": [[clip.clip_id, clip.subject, clip.label] for clip in clips],
        "folds": [fold.test_subjects for fold in folds],
    }
    study = existing or empty_study(path.name, content)
    return Plan(path, study, space, n_configs, rows, options)


def _found(path: Path) -> list[str]:
    try:
        return storage.names(path)
    except OSError as error:
        if path.is_file():
            raise InputError(f"a study is a folder: {path} is a file") from None
        raise InputError(f"a study must be readable: {path}: {storage.reason(error)}") from None


def _check_new(path: Path, found: list[str]) -> None:
    """Refuse a folder that holds more than what a driver that was killed at its start leaves."""
    if any(name != DRIVER_FOLDER and not name.startswith(".") for name in found):
        raise InputError(f"a new study needs a new or empty folder: {path} holds other files")


def _labels(images: Images, existing: Study | None, options: SearchOptions) -> LabelSet:
    if options.classes is None and existing is not None:
        return LabelSet(existing.identity["classes"], existing.identity["labels"])
    clips = list(zip(images.labels, images.subjects, strict=True))
    return label_set(options.classes, images.about["dataset"], clips=clips)


def _sizes(existing: Study | None, options: SearchOptions) -> tuple[int, int]:
    n_drawn = len(existing.configurations) if existing else 0
    asked = (
        existing.spans[-1].environment.get("n_configs") if existing and existing.spans else None
    )
    n_configs = options.configs or asked or N_CONFIGS
    if n_configs < n_drawn:
        raise InputError(f"--configs may only grow: got {n_configs}, {n_drawn} are drawn already")
    default = int(existing.identity["wave_size"]) if existing else min(WAVE_SIZE, n_configs)
    return n_configs, options.wave_size or default


def _chosen(options: SearchOptions, existing: Study | None, key: str, default: Any) -> Any:
    """Take an option as given, else as the study has it, else the default."""
    given = getattr(options, key)
    if given is not None:
        return given
    return existing.identity[key] if existing else default


def _check_same(old: dict[str, Any], new: dict[str, Any], path: Path) -> None:
    for key, value in new.items():
        if old.get(key) != value:
            raise InputError(
                f"the study {path} has another {key}: {_short(old.get(key), value)}; "
                "use the same command, or a new folder"
            )


def _short(old: Any, new: Any) -> str:
    """Name the first difference of two values, keys of mappings included."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in {**old, **new}:
            if old.get(key) != new.get(key):
                return f"{key}: {_short(old.get(key), new.get(key))}"
    return f"it has {old}, this command says {new}"


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
    kept = plan.n_configs if plan.options.keep_weights == "all" else plan.options.keep_weights
    open_waves = 2 * int(plan.study.identity["wave_size"])
    n_configs = min(plan.n_configs, kept + open_waves)
    return n_configs * len(plan.study.folds) * largest_training_bytes(plan)


def describe(
    plan: Plan, say: Callable[[str], None], *, n_workers: int, where: str, store: str
) -> None:
    """Say the plan in a few lines; `where` the workers are, `store` what MLflow writes to."""
    study, n_folds = plan.study, len(plan.study.folds)
    counts = ", ".join(
        f"{name} {sum(clip.label == i for clip in study.clips)}"
        for i, name in enumerate(study.classes)
    )
    left_out = study.about["images"]["n_left_out"] + study.about["n_unlabelled"]
    say(f"images   {study.about['images_path']}")
    say(f"study    {plan.path} ({'resumed' if study.spans else 'new'})")
    say(
        f"clips    {len(study.clips)} of {n_folds} people, {left_out} left out; "
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
            f"         {len(doubled)} pairs of clips show the same frames, for example "
            f"{first} and {second}{leak}"
        )
    say(
        f"search   {plan.n_configs} configurations x {n_folds} folds = {plan.n_trainings} "
        f"trainings in waves of {study.identity['wave_size']}, objective {study.objective}, "
        f"seed {study.identity['seed']}; {len(study.trainings)} recorded"
    )
    say(f"workers  {n_workers} of {where}")
    wave_size = int(study.identity["wave_size"])
    if 2 * wave_size * n_folds < n_workers and wave_size < plan.n_configs:
        enough = -(-n_workers // (2 * n_folds))
        say(f"         two waves cannot feed them and some will idle: --wave-size {enough} would")
    say(f"store    {store}; at most {most_disk_bytes(plan) / 1e6:.0f} MB of weights")
