"""How a report is put into words, on the terminal and on the page alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from dianet_ray.progress import count, duration
from dianet_ray.protocol.predictions import Interval
from dianet_ray.report.records import (
    Fidelity,
    RangeEffect,
    Report,
    RungFlow,
    Saved,
    ValueEffect,
)

N_NAMED = 5
"""How many configurations a sentence names."""
METRIC_NAMES = {"accuracy": "accuracy", "uf1": "UF1", "uar": "UAR"}
# The JSON keeps the states' own names, which scripts rely on.
STATE_NAMES = {"waiting": "awaiting promotion", "screened": "not promoted"}
"""Plain words for those states of a configuration whose names need an explanation."""
RUNG_STATE_NAMES = {"complete": "finished"}
"""The same for its states in one rung."""

CONTRASTS = (
    "Intervals come from a bootstrap over subjects that draws the same ones for both, p from "
    "2,000 permutations in which each subject's predictions change sides; Holm's p allows for the "
    "number of comparisons. None allows for a configuration having been chosen on these subjects."
)


def show(value: bool | float | str) -> str:
    """Write a setting's value.

    >>> show(True), show(4), show(0.00012345)
    ('yes', '4', '0.000123')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def interval(ends: Interval) -> str:
    """Write an interval.

    >>> interval((0.412, 0.6))
    '0.41 to 0.60'
    """
    return f"{ends[0]:.2f} to {ends[1]:.2f}"


def states(counts: Mapping[str, int]) -> str:
    """Write how many configurations are in each state.

    >>> states({"complete": 2, "screened": 30})
    '2 complete, 30 not promoted'
    """
    named = (f"{n} {STATE_NAMES.get(state, state)}" for state, n in sorted(counts.items()))
    return ", ".join(named)


def configurations(report: Report) -> str:
    """Count the configurations, by state."""
    drawn = count(report.n_configs, "configuration")
    found = states(Counter(config.state for config in report.configs))
    return f"{drawn} ({found})" if found else f"{drawn} drawn so far"


def failures(report: Report) -> list[str]:
    """Say why configurations failed or were lost, the first few of them."""
    found = [f"Failed: {failure}" for failure in report.failures[:N_NAMED]]
    n_more = len(report.failures) - len(found)
    return [*found, f"{n_more} more failed: --json lists all"] if n_more else found


def trainings(report: Report) -> str:
    """Count the trainings; under one rung there are as many to do as LOSO folds."""
    n, every = report.n_trainings, report.n_trainings_exhaustive
    after = f", {report.n_after} after the search" if report.n_after else ""
    if len(report.flow.rungs) == 1:
        return f"{n} of {count(every, 'training')} done{after}"
    return (
        f"{count(n, 'training')} done (every LOSO fold of every configuration would be {every})"
        f"{after}"
    )


def surplus(report: Report) -> str:
    """Say how many trainings are surplus; empty when none is."""
    n = report.n_surplus
    if not n:
        return ""
    are = "is" if n == 1 else "are"
    return f"{count(n, 'training')} {are} surplus: no decision, score or report reads them."


def partition(name: str) -> str:
    """Write a rung's partition.

    >>> partition("groups-3"), partition("loso")
    ('3 groups of subjects', 'leave one subject out')
    """
    if name == "loso":
        return "leave one subject out"
    return f"{name.rpartition('-')[2]} groups of subjects"


def flow(report: Report) -> list[str]:
    """Say what each rung of the ladder did, and what was saved; nothing under one rung alone."""
    rungs = report.flow.rungs
    if len(rungs) < 2:
        return []
    lines = [_rung(place, rung, is_last=rung is rungs[-1]) for place, rung in enumerate(rungs, 1)]
    return [*lines, _saved(report.flow.saved)]


def _rung(place: int, rung: RungFlow, *, is_last: bool) -> str:
    share = "" if rung.steps == 1 else f", {100 * rung.steps:g} % of the steps"
    name = f"Rung {place} ({partition(rung.partition)}{share})"
    if not rung.reached:
        return f"{name}: no configuration yet."
    found = [f"{n} {RUNG_STATE_NAMES.get(state, state)}" for state, n in rung.states.items()]
    found += [] if is_last else [f"{rung.promoted} promoted"]
    spent = f"{count(rung.trainings, 'training')} in {duration(rung.seconds)}"
    return f"{name}: {count(rung.reached, 'configuration')} ({', '.join(found)}); {spent}."


def _saved(saved: Saved) -> str:
    # With few configurations a ladder can cost more than LOSO alone.
    fewer = "fewer" if saved.trainings >= 0 else "more"
    found = count(abs(saved.trainings), f"{fewer} training")
    if saved.seconds is not None:
        less = "less" if saved.seconds >= 0 else "more"
        found += f", {duration(abs(saved.seconds))} {less} training"
    return f"Compared with training every LOSO fold of every configuration: {found}."


def fidelity(report: Report) -> list[str]:
    """Say how well each rung below LOSO ranks; nothing where no configuration finished both."""
    return [
        line
        for place, rung in enumerate(report.fidelity, 1)
        for line in (_agreement(place, rung), _rising(place, rung))
        if line
    ]


def _agreement(place: int, rung: Fidelity) -> str:
    if rung.correlation is None:
        return ""
    return (
        f"Rung {place} and LOSO: among the {rung.n} configurations that finished both, the rank "
        f"correlation of their scores is {rung.correlation:.2f}."
    )


def _rising(place: int, rung: Fidelity) -> str:
    if not rung.rising:
        return ""
    n = len(rung.rising)
    named = ", ".join(map(str, rung.rising[:N_NAMED])) + (", ..." if n > N_NAMED else "")
    numbers = "number" if n == 1 else "numbers"
    return (
        f"{count(n, 'configuration')} that rung {place} did not promote ({numbers} {named}) would "
        "pass the champion with all steps if the scores went on rising as over its last two "
        "points: give the rung more of the steps (--ladder)."
    )


def effect_source(report: Report) -> str:
    """Name the score by which the effects of settings are shown, and its configurations."""
    name, first = METRIC_NAMES[report.objective], report.flow.rungs[0]
    if len(report.flow.rungs) == 1:
        return f"{name} of each complete configuration"
    return (
        f"{name} in rung 1 ({partition(first.partition)}) of each configuration that finished it"
    )


def effect_value(effect: ValueEffect | RangeEffect) -> str:
    """Write the value of a setting, or the third of its range, that a row describes."""
    if isinstance(effect, ValueEffect):
        return show(effect.value)
    return f"{show(effect.range[0])} to {show(effect.range[1])}"


def mixed(report: Report) -> str:
    """Name the differences between trainings that change results; empty when there are none."""
    keys = report.environment.mixed
    if not keys:
        return ""
    return (
        f"The trainings differ in {', '.join(keys)}: the same search on one kind of worker gives "
        "equal results only up to rounding."
    )
