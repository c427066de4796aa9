"""How a report is put into words, on the terminal and on the page alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from dianet_ray.artefacts import METRICS
from dianet_ray.progress import count, duration
from dianet_ray.protocol.predictions import Interval
from dianet_ray.report.as_others_count import BOTH, MEAN, POOLED
from dianet_ray.report.records import (
    Champion,
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

CORRECTED = (
    "The best of many scores is optimistic, because it was picked for being high. The corrected "
    "score takes that off (a coupled bootstrap over subjects): it is what to expect on new "
    "subjects."
)
NOT_CORRECTED = "Only one configuration was tried, so no choice has to be discounted."


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
    if len(report.flow.rungs) == 1:
        return f"{n} of {count(every, 'training')} done"
    return f"{count(n, 'training')} done (every LOSO fold of every configuration would be {every})"


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
    return (
        f"{count(n, 'configuration')} that rung {place} did not promote ({named}) would pass the "
        "champion with all steps if the scores went on rising as over its last two points: give "
        "the rung more of the steps (--ladder)."
    )


def curve(report: Report) -> str:
    """Say how the champion's score goes on along its training; empty where it was shown once."""
    champion = report.champion
    if champion is None or len(champion.curve) < 2:
        return ""
    name, last = METRIC_NAMES[report.objective], champion.curve[-1]
    shown = ", ".join(
        f"{point.score:.3f} [{point.ci95[0]:.2f}, {point.ci95[1]:.2f}] after {point.steps}"
        for point in champion.curve
    )
    if champion.steps < last.steps:
        goes = "falls" if last.score < champion.of(report.objective) else "rises no further"
        verdict = f"It {goes} after {champion.steps} steps, where the champion is read."
    else:
        verdict = (
            "It is still rising at the last point, where the champion is read: train longer "
            f"(--set steps={2 * last.steps})."
        )
    return f"{name} by steps: {shown}. {verdict}"


def defaults(report: Report) -> str:
    """Say whether the search found better settings than it began with; empty if unknown."""
    first, champion = report.defaults, report.champion
    if first is None or champion is None:
        return ""
    if champion.number == first.number:
        return (
            f"The champion is configuration {first.number}, with which the search began: nothing "
            "that was drawn scored higher."
        )
    name, found = METRIC_NAMES[report.objective], first.difference[report.objective]
    corrected = first.corrected[report.objective]
    verdict = "Tuning helped" if corrected.ci95[0] > 0 else "Tuning is not shown to have helped"
    return (
        f"{verdict}: configuration {first.number}, with which the search began, has {name} "
        f"{first.of(report.objective):.3f}. That of the champion, on the subjects that chose it, "
        f"differs by {_signed(found.value, found.ci95)} (p {_p(found.p)}, which ignores the "
        "choice). "
        "Corrected for the choice, the gain to expect on new subjects is "
        f"{_signed(corrected.estimate, corrected.ci95)}."
    )


def at_bounds(report: Report) -> str:
    """Name the champion's settings that lie at an end of what was searched; empty if none does."""
    found = report.champion.at_bounds if report.champion else {}
    if not found:
        return ""
    named = (
        f"{name} {show(one.value)} ({show(one.low)} to {show(one.high)})"
        for name, one in found.items()
    )
    return (
        f"At an end of what was searched: {', '.join(named)}. A wider range may hold a better "
        "configuration."
    )


OTHERS = {
    MEAN: "averaged over subjects instead of pooled",
    POOLED: "with every held-out subject choosing its own number of steps (a leak), pooled",
    BOTH: "with the same leak, averaged over subjects",
}
"""How each way of counting in `Report.as_others_count` is described."""


def as_others_count(report: Report) -> str:
    """Give the champion's score by other ways of counting; empty without a champion."""
    if report.champion is None:
        return ""
    ours = report.champion.of(report.objective)
    counts = (
        (found.of(report.objective), OTHERS[how]) for how, found in report.as_others_count.items()
    )
    found = [f"{score:.3f} ({100 * (score - ours):+.1f} points) {how}" for score, how in counts]
    return (
        f"As others count, to place their figures, not to be quoted: "
        f"{METRIC_NAMES[report.objective]} {'; '.join(found)}."
    )


def _signed(value: float, ends: Interval) -> str:
    return f"{value:+.3f} [{ends[0]:+.2f}, {ends[1]:+.2f}]"


def _p(value: float) -> str:
    return f"= {value:.2g}" if value >= 0.001 else "< 0.001"


def datasets(champion: Champion) -> list[str]:
    """Say what the champion scores on each data set of a composite; nothing for a single one."""
    return [
        f"{name}: {', '.join(f'{METRIC_NAMES[m]} {found.of(m):.3f}' for m in METRICS)} "
        f"({count(found.clips, 'clip')} of {count(found.subjects, 'subject')})"
        for name, found in champion.parts.items()
    ]


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


def above(champion: Champion, metric: str) -> str:
    """Say whether a metric is above chance; "score only" where that is so before correction."""
    if champion.above_chance[metric]:
        return "yes"
    return "score only" if champion.above_chance_uncorrected[metric] else "no"


ABOVE = "Above chance: the lower end of the interval is above the chance level."
ABOVE_CORRECTED = (
    "Above chance: the lower end of the corrected interval is above the chance level. Score only: "
    "only the interval of the uncorrected score is above it, and the best of many scores often is "
    "where nothing was learnt."
)


def chance(report: Report) -> str:
    """Explain the chance level of the objective, with the two ways to guess."""
    name, found = METRIC_NAMES[report.objective], report.chance[report.objective]
    majority = (
        f"Chance: {name} is {found.majority:.3f} when each fold predicts the commonest class of "
        "its training clips"
    )
    if found.shuffled is None:
        return f"{majority}."
    return (
        f"{majority}, and {found.shuffled:.3f} when the champion's predictions are scored against "
        "shuffled labels. The larger one counts."
    )
