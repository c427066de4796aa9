"""What a report says of its champion, in words: on the terminal and on the page alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from dianet_ray.artefacts import METRICS, Objective
from dianet_ray.progress import count
from dianet_ray.protocol.permutation import ALPHA, N_PERMUTATIONS
from dianet_ray.protocol.predictions import Chance, Interval
from dianet_ray.report.as_others_count import BOTH, MEAN, POOLED
from dianet_ray.report.coverage import most_similar
from dianet_ray.report.records import MIN_CONFIGS, Champion, Report, Spread, Verdict
from dianet_ray.report.wording import METRIC_NAMES, interval, show

CORRECTED = (
    "The best of many scores is optimistic, because it was picked for being high. The corrected "
    "score takes that off (a coupled bootstrap over subjects): it is what to expect on new "
    "subjects."
)
ROUNDED = 0.0005
"""Scores that differ by less look equal."""

CLEARLY = "by more than a standard error of the difference"
"""How far others must be ahead of the settings that a search began with: AHEAD_OF_FIRST."""


def not_corrected(report: Report) -> str:
    """Say why the score is not corrected."""
    tried = "was tried" if len(report.configs) == 1 else "has been scored"
    return f"Only one configuration {tried}, so no choice has to be discounted."


def corrected(champion: Champion, objective: str) -> str:
    """Say what the correction is, and where it takes nothing off; empty without one."""
    if champion.corrected is None:
        return ""
    if abs(champion.corrected[objective].estimate - champion.of(objective)) >= ROUNDED:
        return CORRECTED
    return f"{CORRECTED} Here there is nothing to take off."


def rank(report: Report) -> str:
    """Say how the champion compares with the other complete configurations."""
    n = len(report.ranking)
    if n == 1:
        return "the only complete one"
    first, champion = report.defaults, report.champion
    if first is not None and champion is not None and first.number == champion.number:
        return f"with which the search began: of {n} complete ones none is ahead of it {CLEARLY}"
    return f"the best of {n} complete ones"


def intervals(champion: Champion) -> str:
    """Say what is scored, and where intervals come from."""
    found = (
        "Scores are of the held-out predictions of all folds together; 95 % intervals come from a "
        "bootstrap over subjects, which knows nothing of the choice"
    )
    if champion.coverage is None:
        return f"{found}."
    return (
        f"{found}, those of corrected scores from a jackknife and from how much the choice "
        f"varies; in simulations of studies of {most_similar(len(champion.per_subject))} subjects "
        f"the latter held the truth in {100 * champion.coverage:.0f} % of searches."
    )


def verdict(champion: Champion, chance: Mapping[str, Chance], objective: Objective) -> Verdict:
    """Say in a sentence whether the champion is above chance."""
    name, level = METRIC_NAMES[objective], chance[objective].level
    judged, where = champion.ci95[objective], "the interval of the champion's score"
    if champion.corrected:
        judged, where = champion.corrected[objective].ci95, "the interval of the corrected score"
    is_above, p = champion.above_chance[objective], chance[objective].p
    lies = judged[0] > level
    text = (
        f"By {name} the champion is {'' if is_above else 'not '}above chance: {where}, "
        f"{interval(judged)}, {'lies' if lies else 'does not lie'} above the {level:.2f} that "
        "guessing scores"
    )
    if p is not None:
        text += (
            f", {'and' if lies == (p <= ALPHA) else 'but'} with labels dealt anew within each "
            f"subject the best score is as high {_often(p)}"
        )
    if not is_above:
        text += ". This study is no evidence that anything was learnt"
    return Verdict(is_above, f"{text}.")


def _often(p: float) -> str:
    """Say how often something happens by luck.

    >>> _often(1 / (N_PERMUTATIONS + 1)), _often(0.25)
    ('in none of 200 trials (p = 0.005)', 'in 25 % of 200 trials (p = 0.25)')
    """
    if p * (N_PERMUTATIONS + 1) < 1.5:
        return f"in none of {N_PERMUTATIONS} trials (p = {p:.3f})"
    return f"in {100 * p:.0f} % of {N_PERMUTATIONS} trials (p = {p:.2g})"


def seeds(report: Report) -> str:
    """Say how the champion scores with other seeds; empty without repeats."""
    n_failed = report.n_failed_repeats
    if report.champion is None or (report.seeds is None and not n_failed):
        return ""
    if report.seeds is None:
        return f"With {count(n_failed, 'other seed')} a training of the champion failed."
    found, name = report.seeds.of(report.objective), METRIC_NAMES[report.objective]
    said = (
        f"Trained again with {count(report.seeds.n, 'other seed')}, the champion has {name} "
        f"{_spread(found)}; the standard error over subjects is {found.standard_error:.3f}. With "
        f"the seed that chose it, it has {report.champion.of(report.objective):.3f}."
    )
    if n_failed:
        said += f" With {count(n_failed, 'more seed')} a training failed."
    first = report.defaults
    if first is None or first.seeds is None or first.number == report.champion.number:
        return said
    return (
        f"{said} Configuration {first.number}, with which the search began, has "
        f"{_spread(first.seeds.of(report.objective))} with {count(first.seeds.n, 'other seed')}."
    )


def nested(report: Report) -> str:
    """Say what nested cross-validation found; empty unless the study is nested."""
    found, champion = report.nested, report.champion
    if found is None or champion is None:
        return ""
    name = METRIC_NAMES[report.objective]
    same = sum(one.number == champion.number for one in found.chosen.values())
    return (
        f"Nested: {name} {found.of(report.objective):.3f} "
        f"[{found.ci95[report.objective][0]:.2f}, {found.ci95[report.objective][1]:.2f}] where "
        f"each subject is tested with the best of {count(found.configurations, 'configuration')} "
        f"by the other subjects alone, the champion for {same} of {len(found.chosen)}. It took "
        f"{found.trainings} trainings instead of {found.textbook}."
    )


def _spread(found: Spread) -> str:
    if found.deviation is None:
        return f"{found.mean:.3f}"
    return f"{found.mean:.3f} on average (deviation {found.deviation:.3f})"


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
    best = max(champion.curve, key=lambda point: point.score)
    if champion.steps < last.steps:
        # By its soft score, which chooses, it falls; by the metric itself it may go on.
        falls = (
            "It falls" if last.score < champion.of(report.objective) else "Its soft score falls"
        )
        verdict = f"{falls} after {champion.steps} steps, where the champion is read."
    elif best.steps < last.steps:
        verdict = (
            f"No more is gained after {best.steps} steps, but nothing is clearly lost either: the "
            "champion is read at the end."
        )
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
            f"that was drawn is clearly ahead of it, {CLEARLY}."
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


SAME = 0.005
"""Half a point: scores that differ by less are called equal."""


def search_curve(report: Report) -> str:
    """Say whether drawing more configurations was worth it; empty where there was no choice."""
    points = report.search_curve
    if len(points) < 2:
        return ""
    name, last = METRIC_NAMES[report.objective], points[-1]
    sizes = ", ".join(str(one.configurations) for one in points)
    shown = ", ".join(f"{one.corrected:.3f}" for one in points)
    enough = next(
        one
        for place, one in enumerate(points)
        if one.corrected >= max(later.corrected for later in points[place:]) - SAME
    )
    if enough is last:
        before = points[-2]
        verdict = (
            f"The last {last.configurations - before.configurations} gained "
            f"{100 * (last.corrected - before.corrected):.1f} points: more may find better ones "
            "(--configs)."
        )
    else:
        n = enough.configurations
        drawn = "configuration" if n == 1 else f"{n} configurations"
        verdict = f"What was drawn after the first {drawn} gained nothing."
    return f"Corrected {name} of the best of the first {sizes} configurations: {shown}. {verdict}"


SURE = 0.05
"""The p up to which a setting is said to have mattered."""


def importance(report: Report) -> str:
    """Say which settings mattered; empty where none varied."""
    if not report.settings_effect:
        return ""
    found, n = report.importance, report.flow.rungs[0].states.get("complete", 0)
    if not found and n >= MIN_CONFIGS:
        return ""  # nothing that is searched varied
    mattered = {name: one for name, one in found.items() if one.p <= SURE}
    if not mattered:
        return f"Which settings mattered cannot be told from {count(n, 'configuration')}."
    named = ", ".join(
        f"{name} (share {one.share:.2f} [{one.ci95[0]:.2f}, {one.ci95[1]:.2f}], p {_p(one.p)})"
        for name, one in mattered.items()
    )
    rest = len(found) - len(mattered)
    others = f" Of {count(rest, 'other setting')} nothing can be told." if rest else ""
    return (
        f"What mattered for a place in the best quarter of {count(n, 'configuration')} "
        f"(PED-ANOVA): {named}.{others}"
    )


def classes(champion: Champion) -> list[str]:
    """Say how well the champion knows each class."""
    return [
        f"{name} ({count(found.clips, 'clip')}): "
        + ", ".join(
            f"{CLASS_NAMES[part]} {getattr(found, part):.2f} "
            f"[{found.ci95[part][0]:.2f}, {found.ci95[part][1]:.2f}]"
            for part in CLASS_NAMES
        )
        for name, found in champion.per_class.items()
    ]


CLASS_NAMES = {"f1": "F1", "recall": "recall", "precision": "precision"}


def calibration(champion: Champion) -> str:
    """Say how far the champion's probabilities can be trusted."""
    found = champion.calibration
    n = sum(one.clips for one in found.bins)
    sure = sum(one.clips * one.probability for one in found.bins) / n
    return (
        f"The champion gives the class that it predicts a probability of {sure:.2f} on average, "
        f"and {champion.accuracy:.2f} of its predictions are right (expected calibration error "
        f"{found.error:.3f})."
    )


OTHERS = {
    MEAN: "averaged over subjects instead of pooled",
    POOLED: "pooled, every held-out subject choosing its own number of steps by its own labels",
    BOTH: "averaged over subjects, each choosing in the same way",
}
"""How each way of counting in `Report.as_others_count` is described."""

NOT_OURS = "for comparison with published figures only, not to be quoted"


class OtherCount(NamedTuple):
    """The champion's score by another way of counting, and how many points it is above ours.

    It `leaks` if labels of held-out subjects choose something.
    """

    how: str
    score: float
    points: float
    leaks: str


def as_others_count(report: Report) -> list[OtherCount]:
    """Give the champion's score by the objective as others count it; empty without a champion."""
    if report.champion is None:
        return []
    ours = report.champion.of(report.objective)
    return [
        OtherCount(
            OTHERS[how],
            found.of(report.objective),
            100 * (found.of(report.objective) - ours),
            "yes" if how != MEAN and len(report.champion.curve) > 1 else "no",
        )
        for how, found in report.as_others_count.items()
    ]


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


SCORE_ONLY, INTERVAL_ONLY = "score only", "interval only"


def above(report: Report, metric: str) -> str:
    """Say whether the champion is above chance by a metric, or what alone is."""
    champion = report.champion
    assert champion is not None
    if champion.above_chance[metric]:
        return "yes"
    corrected = champion.corrected
    low = (corrected[metric].ci95 if corrected else champion.ci95[metric])[0]
    if low > report.chance[metric].level:
        return INTERVAL_ONLY
    return SCORE_ONLY if champion.above_chance_uncorrected[metric] else "no"


def above_legend(report: Report) -> str:
    """Explain the answers of `above` that this report gives."""
    said = {above(report, metric) for metric in METRICS}
    is_corrected = report.champion is not None and report.champion.corrected is not None
    text = (
        f"Above chance: the lower end of the {'corrected ' if is_corrected else ''}interval is "
        "above the chance level"
    )
    if report.chance[report.objective].p is None:
        text += "."
    else:
        text += ", and permuted labels reach the best score in at most 5 % of trials."
    if INTERVAL_ONLY in said:
        text += " Interval only: permuted labels reach it more often."
    if SCORE_ONLY in said:
        text += (
            " Score only: only the interval of the uncorrected score is above it, and the best of "
            "many scores often is where nothing was learnt."
        )
    return text


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
