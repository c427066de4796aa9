"""Make or resume a study: what it is, and whether it is the same one.

Everything here happens before Ray starts or a file is written, so a wrong command costs nothing.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dianet_ray.artefacts import DRIVER_FOLDER, STUDY_JSON
from dianet_ray.datasets.label_sets import LabelSet, label_set, plain_label
from dianet_ray.errors import InputError, one_line
from dianet_ray.options import SearchOptions
from dianet_ray.prepare.images import fingerprint
from dianet_ray.protocol.ladder import (
    EXHAUSTIVE,
    Ladder,
    default_ladder,
    entering,
    parse_keep,
    parse_ladder,
)
from dianet_ray.protocol.standing import ladder_of, standing
from dianet_ray.protocol.study import Clip, Study
from dianet_ray.search.budget import Budget
from dianet_ray.search.space import Space
from dianet_ray.search.study_file import empty_study, load_study
from dianet_ray.storage import files

if TYPE_CHECKING:
    from dianet_ray.prepare.images import Images

N_CONFIGS = 32
WAVE_SIZE = 8


@dataclass(frozen=True, slots=True)
class Plan:
    """A study ready to run; `rows` index the images of its clips, in its order.

    `n_asked` configurations are asked for; `n_configs` is what is to be drawn, fewer where an
    earlier command with the same budgets has ended the drawing.
    """

    path: Path
    study: Study
    space: Space
    n_asked: int
    n_configs: int
    rows: np.ndarray
    options: SearchOptions

    @property
    def is_new(self) -> bool:
        """Nothing of the study is on disk."""
        return STUDY_JSON not in files.names(self.path)

    @property
    def is_done(self) -> bool:
        """Every configuration has ended."""
        is_drawn = len(self.study.configurations) >= self.n_configs
        return is_drawn and standing(replace(self.study, n_configs=self.n_configs)).climb.is_over

    @property
    def n_kept(self) -> int | None:
        """How many configurations keep their weights; None for all."""
        keep = self.options.keep_weights
        return None if keep == "all" else keep

    @property
    def ladder(self) -> Ladder:
        """The rungs that configurations climb."""
        return ladder_of(self.study)

    @property
    def budget(self) -> Budget:
        """When drawing ends before all configurations are drawn."""
        return Budget(self.options.max_trainings, self.options.max_hours)

    def most_trainings(self, n_configs: int | None = None) -> int:
        """Bound the trainings of a search of so many configurations, by default the whole one."""
        n = self.n_configs if n_configs is None else n_configs
        n_folds = [len(folds) for folds in self.study.rungs]
        return sum(n_in * n for n_in, n in zip(self.entering(n), n_folds, strict=True))

    def entering(self, n_configs: int) -> list[int]:
        """Bound the configurations that enter each rung, of so many."""
        return entering(self.ladder, n_configs, int(self.study.identity["wave_size"]))

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
    with files.answering(path):
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
    n_asked, wave_size = _sizes(existing, options)
    ladder = _ladder(space, options, len({images.subjects[i] for i in rows}))
    identity = {
        "images": images.hash,
        "classes": labels.name,
        "labels": labels.mapping,
        "space": space.identity(),
        "ladder": [rung.plain() for rung in ladder],
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
    rungs = [rung.folds(clips, labels.classes, identity["seed"]) for rung in ladder]
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
        "rungs": [[fold.test_subjects for fold in folds] for folds in rungs],
    }
    study = existing or empty_study(path.name, content)
    n_configs = _n_configs(study, n_asked, options)
    plan = Plan(path, study, space, n_asked, n_configs, rows, options)
    _check_budget(plan)
    return plan


def _ladder(space: Space, options: SearchOptions, n_subjects: int) -> Ladder:
    """Take the ladder of the options, else of the space, else the default for so many people."""
    if options.strategy == "exhaustive":
        if options.ladder or options.keep or options.drop:
            raise InputError("--ladder, --keep and --drop belong to --strategy ladder")
        return EXHAUSTIVE
    if options.ladder is not None:
        ladder = parse_ladder(options.ladder)
    else:
        ladder = space.ladder or default_ladder(n_subjects)
    if len(ladder) == 1:  # a handful of people
        return ladder
    drop = options.drop or "bootstrap"
    keep = None if options.keep is None else parse_keep(options.keep, "--keep")
    changed = tuple(
        replace(rung, drop=drop, keep=(keep or rung.keep) if rung.groups else 0.0)
        for rung in ladder
    )
    small = next((r for r in changed if r.groups and r.groups > n_subjects), None)
    if small is not None:
        raise InputError(f"{small.groups} groups need as many people: the study has {n_subjects}")
    return changed


def _n_configs(study: Study, n_asked: int, options: SearchOptions) -> int:
    """Count the configurations to draw: what ended an equal command ends this one too."""
    asked = {"configs": n_asked, **Budget(options.max_trainings, options.max_hours).plain()}
    end = study.end_of_drawing
    if not end or end["asked"] != asked:
        return n_asked
    # A command with a larger budget may have drawn on since.
    return max(int(end["n_configs"]), len(study.configurations))


def _check_budget(plan: Plan) -> None:
    limit = plan.options.max_trainings
    n = min(int(plan.study.identity["wave_size"]), plan.n_asked)
    least = plan.most_trainings(n)
    if limit is not None and limit < least and not plan.study.configurations:
        raise InputError(
            f"--max-trainings must allow for the first wave and one LOSO rung: {n} configurations "
            f"can take {least} trainings, got {limit}"
        )


def _found(path: Path) -> list[str]:
    try:
        return files.names(path)
    except OSError as error:
        if path.is_file():
            raise InputError(f"a study is a folder: {path} is a file") from None
        raise InputError(f"a study must be readable: {path}: {one_line(error)}") from None


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
