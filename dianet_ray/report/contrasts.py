"""Compare configurations over the same subjects: of one study, or the champions of several."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, replace

from dianet_ray.artefacts import METRICS, Record
from dianet_ray.errors import InputError
from dianet_ray.progress import count
from dianet_ray.protocol.paired import Difference, differences, holm
from dianet_ray.protocol.predictions import Interval, interval
from dianet_ray.protocol.standing import Standing
from dianet_ray.report.champion import scores_of
from dianet_ray.report.records import Scores
from dianet_ray.report.wording import show
from dianet_ray.settings import Value

N_NAMED = 8
N_DIFFERING = 3
"""Configurations that differ in more settings are told apart by their numbers alone."""


@dataclass(frozen=True, slots=True)
class Adjusted(Difference):
    """A difference beside others; `p_holm` is its `p` adjusted for their number."""

    p_holm: float


@dataclass(frozen=True, slots=True)
class Contrast(Record):
    """Two configurations over the same subjects: names, scores with intervals, `a` less `b`.

    `settings_a` and `settings_b` say in which settings all that are compared differ, if in few.
    """

    a: str
    b: str
    settings_a: str
    settings_b: str
    scores_a: Scores
    scores_b: Scores
    ci95_a: dict[str, Interval]
    ci95_b: dict[str, Interval]
    difference: dict[str, Adjusted]


@dataclass(frozen=True, slots=True)
class Contrasts(Record):
    """The first of several configurations against each of the others, of `subjects` subjects."""

    subjects: int
    objective: str
    comparison: tuple[Contrast, ...]


@dataclass(frozen=True, slots=True)
class Contender:
    """A complete configuration under the name by which it was asked for.

    `settings` are those in which it differs from the others, if they are few.
    """

    name: str
    standing: Standing
    number: int
    settings: str = ""


def of_study(standing: Standing, wanted: str) -> list[Contender]:
    """Find what `--compare` names in a study: `A,B` or `setting=value,value`.

    A and B are numbers or ids of complete configurations. Of several that have a value the best
    one by the rule that chooses the champion is taken.

    Raises:
        InputError: fewer than two, or one that is not there or not complete.
    """
    setting, is_setting, values = wanted.rpartition("=")
    names = [name.strip() for name in values.split(",")]
    if len(names) < 2 or not all(names):
        raise InputError(
            f"--compare takes A,B or setting=value,value, with two names at least: got {wanted!r}"
        )
    if len(set(names)) < len(names):
        raise InputError(f"--compare takes different names: got {wanted!r}")
    if is_setting:
        found = [_with_value(standing, setting.strip(), name) for name in names]
    else:
        found = _told_apart([_named(standing, name) for name in names])
    if len({one.number for one in found}) < len(found):  # 7 and its id, or true and yes
        raise InputError(f"--compare takes different configurations: got {wanted!r}")
    return found


def _told_apart(found: Sequence[Contender]) -> list[Contender]:
    """Add the settings in which configurations differ, if they are few."""
    of_study = found[0].standing.study.configurations
    values = [of_study[one.number].settings.values() for one in found]
    differing = [name for name in values[0] if len({one.get(name) for one in values}) > 1]
    if not 0 < len(differing) <= N_DIFFERING:
        return list(found)
    shown = {name: _distinct([one[name] for one in values]) for name in differing}
    return [
        replace(one, settings=", ".join(f"{name} {shown[name][place]}" for name in differing))
        for place, one in enumerate(found)
    ]


def _distinct(values: Sequence[Value]) -> list[str]:
    """Show values, in full where a few digits of them look alike."""
    short = [show(value) for value in values]
    return short if len(set(short)) == len(set(values)) else list(map(str, values))


def _named(standing: Standing, name: str) -> Contender:
    complete = standing.complete()
    for one in complete:
        if name in (str(one.number), one.config_id):
            return Contender(f"configuration {one.number}", standing, one.number)
    there = _listed(str(one.number) for one in complete)
    raise InputError(
        f"--compare takes complete configurations of {standing.study.name}: got {name!r}, there "
        f"are {there}"
    )


def _with_value(standing: Standing, setting: str, value: str) -> Contender:
    complete = standing.ranking
    values = {one.number: one.settings.values() for one in complete}
    names = {name for one in values.values() for name in one}
    if setting not in names:
        raise InputError(f"--compare takes a setting: {setting!r} is none of {_listed(names)}")
    found = [one for one in complete if _is(values[one.number][setting], value)]
    if not found:
        there = {show(one[setting]) for one in values.values()}
        raise InputError(
            f"--compare: no complete configuration of {standing.study.name} has "
            f"{setting}={value}; the values of {setting} are {_listed(there)}"
        )
    return Contender(f"{setting}={value}", standing, found[0].number)


def _is(value: Value, text: str) -> bool:
    """Whether somebody who typed a text meant a value, as the report shows it or in full."""
    return text == show(value) or text.lower() == str(value).lower()


def _listed(names: Iterable[str]) -> str:
    found = sorted(names)
    return ", ".join([*found[:N_NAMED], "..."] if len(found) > N_NAMED else found) or "none"


def of_champions(standings: Sequence[Standing]) -> list[Contender]:
    """Take the champions of studies that predict the same clips in the same classes.

    Raises:
        InputError: other clips or classes, or a study without a champion.
    """
    first = standings[0].study
    found = []
    for standing in standings:
        study = standing.study
        if study.classes != first.classes:
            raise InputError(
                "studies are compared over the same classes: "
                f"{first.name} has {', '.join(first.classes)}, {study.name} has "
                f"{', '.join(study.classes)}"
            )
        # A clip under another subject or class is another one for the folds and the scores.
        mine, theirs = (set(map(astuple, one.clips)) for one in (study, first))
        if n := len({clip[0] for clip in mine ^ theirs}):
            raise InputError(
                f"studies are compared over the same clips: {count(n, 'clip')} of {first.name} "
                f"({len(theirs)}) and {study.name} ({len(mine)}) differ"
            )
        champion = standing.champion()
        if champion is None:
            raise InputError(f"{study.name} has no champion to compare: none is complete yet")
        found.append(Contender(f"{study.name} ({champion.number})", standing, champion.number))
    if len({one.name for one in found}) < len(found):  # folders of one name elsewhere
        found = [replace(one, name=f"{n}: {one.name}") for n, one in enumerate(found, 1)]
    return found


def contrasts(contenders: Sequence[Contender]) -> Contrasts:
    """Compare the first of two or more contenders with each of the others."""
    study = contenders[0].standing.study
    first, *others = (one.standing.confusions(one.number) for one in contenders)
    seed = study.identity.seed
    found = [differences(first, other, seed) for other in others]
    own = interval(first, seed)
    adjusted = {metric: holm([one[metric].p for one in found]) for metric in METRICS}
    return Contrasts(
        subjects=len(first),
        objective=study.objective,
        comparison=tuple(
            Contrast(
                a=contenders[0].name,
                b=contender.name,
                settings_a=contenders[0].settings,
                settings_b=contender.settings,
                scores_a=scores_of(first.sum(axis=0)),
                scores_b=scores_of(counts.sum(axis=0)),
                ci95_a=own,
                ci95_b=interval(counts, seed),
                difference={
                    metric: Adjusted(one.value, one.ci95, one.p, adjusted[metric][place])
                    for metric, one in found[place].items()
                },
            )
            for place, (contender, counts) in enumerate(zip(contenders[1:], others, strict=True))
        ),
    )
