"""Make or resume a study: what it is, and whether it is the same one.

Everything here happens before Ray starts or a file is written, so a wrong command costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dianet_ray.artefacts import DRIVER_FOLDER, STUDY_JSON, Objective, Protocol, to_plain
from dianet_ray.errors import InputError, one_line
from dianet_ray.model.trial_run import check, stack_problem
from dianet_ray.options import SearchOptions
from dianet_ray.prepare.images import images_hash
from dianet_ray.processors import processors
from dianet_ray.progress import count
from dianet_ray.protocol.folds import check_pairs
from dianet_ray.protocol.ladder import (
    EXHAUSTIVE,
    N_GROUPS,
    Ladder,
    default_ladder,
    entering,
    parse_keep,
    parse_ladder,
)
from dianet_ray.protocol.standing import standing_of
from dianet_ray.protocol.study import Identity, Study, new_study
from dianet_ray.search.afterwards import missing, most_after
from dianet_ray.search.budget import Budget, Extent
from dianet_ray.search.space import Space
from dianet_ray.search.start_values import StartValues, start_values
from dianet_ray.search.study_file import load_study
from dianet_ray.search.threads import measured_threads
from dianet_ray.search.used_clips import UsedClips, clips_of, labels_of, origin_of
from dianet_ray.storage import files

if TYPE_CHECKING:
    from dianet_ray.datasets.label_sets import LabelSet
    from dianet_ray.prepare.images import Images

N_CONFIGS = 32
WAVE_SIZE = 8


@dataclass(frozen=True, slots=True)
class Plan:
    """A study ready to run; `rows` index the images of its clips, in its order.

    `n_asked` configurations are asked for; `n_configs` is what is to be drawn, fewer where an
    earlier command with the same budgets has ended the drawing. `pretrained` are the weights that
    the space names.
    """

    path: Path
    study: Study
    space: Space
    n_asked: int
    n_configs: int
    rows: np.ndarray
    options: SearchOptions
    pretrained: StartValues = field(default_factory=dict)

    @property
    def is_new(self) -> bool:
        """Nothing of the study is on disk."""
        return STUDY_JSON not in files.names(self.path)

    def is_done(self) -> bool:
        """Say whether every configuration has ended, and every repeat."""
        is_drawn = len(self.study.configurations) >= self.n_configs
        grown = replace(self.study, n_configs=self.n_configs)
        standing = standing_of(grown)
        is_over = is_drawn and standing.decisions.is_over
        return is_over and not missing(standing, self.options.repeats)

    @property
    def n_kept(self) -> int | None:
        """How many configurations keep their weights; None for all."""
        keep = self.options.keep_weights
        return None if keep == "all" else keep

    @property
    def ladder(self) -> Ladder:
        """The rungs that configurations are promoted through."""
        return self.study.ladder

    @property
    def budget(self) -> Budget:
        """When drawing ends before all configurations are drawn."""
        return Budget(self.options.max_trainings, self.options.max_hours)

    def most_trainings(self, n_configs: int | None = None) -> int:
        """Bound the trainings of a search of n configurations, by default of the whole search."""
        n = self.n_configs if n_configs is None else n_configs
        n_folds = [len(folds) for folds in self.study.rungs]
        return sum(n_in * n for n_in, n in zip(self.entering(n), n_folds, strict=True))

    @property
    def extent(self) -> Extent:
        """How far to go with the study."""
        return Extent(self.n_configs, self.budget, self.n_kept, self.options.repeats)

    def most_after(self, n_configs: int | None = None) -> int:
        """Bound the trainings that follow a search of n configurations, by default of all."""
        n = self.n_configs if n_configs is None else n_configs
        return most_after(self.study, self.extent, n)

    def entering(self, n_configs: int) -> list[int]:
        """Bound how many of n configurations enter each rung."""
        return entering(self.ladder, n_configs, self.study.identity.wave_size)

    @property
    def threads(self) -> int:
        """Threads of one training, part of what makes results equal to the bit."""
        return self.study.identity.threads_per_training

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
    existing = _existing(path)
    labels = labels_of(images, existing, options)
    if existing is not None:
        _check_same("images", existing.identity.images, images.hash, path)
    used, settled = clips_of(images, labels), _settled(existing, options)
    if options.threads_per_training == "auto" and existing is None:
        settled = replace(settled, threads=_threads(space, images, settled))
    ladder = _ladder(space, options, len({clip.subject for clip in used.clips}))
    if settled.protocol == "nested" and len(ladder) > 1:
        raise InputError(
            "--protocol nested needs --strategy exhaustive: a ladder promotes by the scores of "
            "every subject"
        )
    identity = _identity(images, labels, settled, space=space, ladder=ladder)
    if existing is not None:
        _check_identity(existing.identity, identity, path)
        _check_content(existing, images, used)
    study = existing or new_study(
        path.name,
        identity=identity,
        origin=origin_of(images, labels, used),
        clips=used.clips,
        classes=tuple(labels.classes),
    )
    if settled.protocol == "nested":
        check_pairs(study.clips, study.classes)
    if space.network is not None:
        _check_network(space, study, stacks=options.folds_per_trial not in ("auto", 1))
    n_configs = _n_configs(study, settled.n_asked, options)
    plan = Plan(
        path,
        study,
        space=space,
        n_asked=settled.n_asked,
        n_configs=n_configs,
        rows=used.rows,
        options=options,
        pretrained=start_values(space),
    )
    _check_budget(plan)
    return plan


def _threads(space: Space, images: Images, settled: _Settled) -> int:
    """Measure how many threads a training should have; two waves of three groups run at once."""
    n_ready = 2 * settled.wave_size * N_GROUPS
    return measured_threads(
        space.example(), images.record.recipe.image_size, processors().n, n_ready
    )


def _check_network(space: Space, study: Study, *, stacks: bool) -> None:
    """Try a user's network once, before any trial does."""
    n_classes, image_size = len(study.classes), study.origin.recipe.image_size
    example = space.example()
    check(example, n_classes, image_size)
    if stacks and (problem := stack_problem(example, n_classes, image_size)):
        raise InputError(f"{problem}; without --folds-per-trial its trainings run one by one")


def _identity(
    images: Images, labels: LabelSet, settled: _Settled, *, space: Space, ladder: Ladder
) -> Identity:
    return Identity(
        images=images.hash,
        classes=labels.name,
        labels=labels.mapping,
        space=space.identity(),
        ladder=ladder,
        protocol=settled.protocol,
        objective=settled.objective,
        seed=settled.seed,
        wave_size=settled.wave_size,
        threads_per_training=settled.threads,
    )


def _existing(path: Path) -> Study | None:
    """Read the study that a folder holds; None for a folder in which a new one may start."""
    with files.answering(path):
        found = _found(path)
    if STUDY_JSON in found:
        return load_study(path)
    _check_new(path, found)
    return None


def _ladder(space: Space, options: SearchOptions, n_subjects: int) -> Ladder:
    """Take the ladder of the options, else of the space, else the default for n subjects."""
    if options.strategy == "exhaustive":
        if options.ladder or options.keep or options.drop:
            raise InputError("--ladder, --keep and --drop belong to --strategy ladder")
        return EXHAUSTIVE
    if options.ladder is not None:
        ladder = parse_ladder(options.ladder)
    else:
        ladder = space.ladder or default_ladder(n_subjects)
    if len(ladder) == 1:  # a data set of few subjects
        return ladder
    drop = options.drop or "bootstrap"
    keep = None if options.keep is None else parse_keep(options.keep, "--keep")
    keeps_first = bool(space.first_settings)
    below = tuple(
        replace(rung, drop=drop, keep=keep or rung.keep, keeps_first=keeps_first)
        for rung in ladder[:-1]
    )
    small = next((r for r in below if r.groups and r.groups > n_subjects), None)
    if small is not None:
        raise InputError(
            f"{small.groups} groups need as many subjects: the study has {n_subjects}"
        )
    return (*below, replace(ladder[-1], drop=drop, keep=0.0))


def _n_configs(study: Study, n_asked: int, options: SearchOptions) -> int:
    """Count the configurations to draw. A budget that ended an equal command ends this one too."""
    asked = Budget(options.max_trainings, options.max_hours).asked(n_asked)
    end = study.end_of_drawing
    if end is None or end.asked != asked:
        return n_asked
    # A command with a larger budget may have drawn on since.
    return max(end.n_configs, len(study.configurations))


def _check_content(study: Study, images: Images, used: UsedClips) -> None:
    """Refuse images that are not those of the study: trainings would fail, one by one."""
    known = zip(used.rows, study.origin.image_hashes, strict=True)
    changed = [row for row, hashed in known if images_hash(images.images[row]) != hashed]
    if changed:
        raise InputError(
            f"IMAGES have changed since the study was made: {count(len(changed), 'clip')}, such "
            f"as {images.clip_ids[changed[0]]}, in {images.path}; bring them back, or search in a "
            "new folder"
        )


def _check_budget(plan: Plan) -> None:
    limit = plan.options.max_trainings
    n = min(plan.study.identity.wave_size, plan.n_asked)
    least = plan.most_trainings(n) + plan.most_after(n)
    if limit is not None and limit < least and not plan.study.configurations:
        raise InputError(
            "--max-trainings must allow for the first wave, one LOSO rung and its repeats: "
            f"{n} configurations can take {least} trainings, got {limit}"
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


@dataclass(frozen=True, slots=True)
class _Settled:
    """Options as given, else as the study has them, else their defaults."""

    n_asked: int
    protocol: Protocol
    objective: Objective
    seed: int
    wave_size: int
    threads: int


def _settled(existing: Study | None, options: SearchOptions) -> _Settled:
    n_before = existing.spans[-1].environment.n_configs if existing and existing.spans else None
    n_asked = options.configs or n_before or N_CONFIGS
    n_drawn = len(existing.configurations) if existing else 0
    if n_asked < n_drawn:
        raise InputError(f"--configs may only grow: got {n_asked}, {n_drawn} are drawn already")
    if existing is None:
        default = _Settled(n_asked, "loso", "uf1", 0, min(WAVE_SIZE, n_asked), 1)
    else:
        before = existing.identity
        default = _Settled(
            n_asked,
            before.protocol,
            before.objective,
            before.seed,
            before.wave_size,
            before.threads_per_training,
        )
    asked = options.threads_per_training
    return _Settled(
        n_asked,
        protocol=options.protocol or default.protocol,
        objective=options.objective or default.objective,
        seed=default.seed if options.seed is None else options.seed,  # 0 is a seed
        wave_size=options.wave_size or default.wave_size,
        threads=asked if isinstance(asked, int) else default.threads,
    )


def _check_identity(old: Identity, new: Identity, path: Path) -> None:
    for one in fields(Identity):
        _check_same(one.name, getattr(old, one.name), getattr(new, one.name), path)


def _check_same(name: str, old: Any, new: Any, path: Path) -> None:
    if old != new:
        raise InputError(
            f"the study {path} has another {name}: {_difference(old, new)}; "
            "use the same command, or a new folder"
        )


def _difference(old: Any, new: Any) -> str:
    """Name the first difference of two values, keys of mappings and fields of records included."""
    if is_dataclass(old) and is_dataclass(new):
        old, new = to_plain(old), to_plain(new)
    if isinstance(old, dict) and isinstance(new, dict):
        for key in {**old, **new}:
            if old.get(key) != new.get(key):
                return f"{key}: {_difference(old.get(key), new.get(key))}"
    return f"it has {_shown(old)}, this command says {_shown(new)}"


def _shown(value: Any) -> str:
    return "; ".join(map(str, value)) if isinstance(value, tuple) else str(value)
