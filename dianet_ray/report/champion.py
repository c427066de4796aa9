"""The champion's section of a report: scores, intervals, correction, confusion, subjects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dianet_ray.artefacts import METRICS
from dianet_ray.protocol import paired, permutation, predictions
from dianet_ray.protocol.correction import Choices, Tally
from dianet_ray.protocol.metrics import scores
from dianet_ray.protocol.predictions import Chance, Interval
from dianet_ray.protocol.standing import Standing
from dianet_ray.protocol.study import Configuration
from dianet_ray.report.coverage import coverage
from dianet_ray.report.per_class import calibration, class_scores
from dianet_ray.report.records import (
    Champion,
    DatasetScores,
    Defaults,
    PointScore,
    Scores,
    SubjectScore,
)
from dianet_ray.report.seeds import seeds
from dianet_ray.report.settings_effect import at_bounds


@dataclass(frozen=True, slots=True)
class Counted:
    """A configuration's predictions in a rung that it finished, counted.

    `counts` are (points, S, C, C) by true and predicted class, `soft` the same of shares, `steps`
    those of the points, and `read` is the place of the point at which the configuration is read.
    """

    steps: tuple[int, ...]
    counts: np.ndarray
    soft: np.ndarray
    read: int

    @property
    def as_read(self) -> np.ndarray:
        """The counts at the point that is read, (S, C, C)."""
        found: np.ndarray = self.counts[self.read]
        return found

    def soft_score(self, objective: str) -> float:
        """Score the shares at the point that is read: what ranks configurations."""
        return float(scores(self.soft[self.read].sum(axis=0))[objective])


Counts = dict[int, Counted]
"""The configurations that finished a rung, in number order."""


def scores_of(confusion: np.ndarray) -> Scores:
    """Score a confusion matrix, (C, C) counts."""
    return Scores(**{metric: float(score) for metric, score in scores(confusion).items()})


def choices(standing: Standing, counts: Sequence[Counts]) -> Choices | None:
    """Repeat the choice of the champion, by `counts` of each rung; None if there was no choice."""
    study, first = standing.study, standing.began_with()
    # Promotion is a choice too, so the first rung counts, also when one finished LOSO.
    # The points are a choice as well.
    if sum(len(counted.steps) for counted in counts[0].values()) < 2:
        return None
    rungs = [
        {number: Tally(one.counts, one.soft) for number, one in found.items()} for found in counts
    ]
    # docs/decisions.md: Correction under the ladder
    number = first.number if first and first.number in counts[-1] else None
    return Choices(rungs, study.objective, first=number, seed=study.identity.seed)


def defaults(
    standing: Standing, winner: Configuration, counts: Counts, chosen: Choices | None
) -> Defaults | None:
    """Compare the champion with the settings that the search began with, by LOSO `counts`.

    None where the space names none, where they did not finish, and where there was no choice.
    """
    study, first = standing.study, standing.began_with()
    if first is None or chosen is None:
        return None
    mine = counts[first.number]
    of_all = scores_of(mine.as_read.sum(axis=0))
    best = counts[winner.number].as_read
    return Defaults(
        accuracy=of_all.accuracy,
        uf1=of_all.uf1,
        uar=of_all.uar,
        number=first.number,
        config_id=first.config_id,
        steps=mine.steps[mine.read],
        difference=paired.differences(best, mine.as_read, study.identity.seed),
        corrected=chosen.gain(first.number),
        seeds=seeds(standing, first.number),
    )


def describe(
    standing: Standing,
    winner: Configuration,
    counted: Counted,
    chance: Mapping[str, Chance],
    chosen: Choices | None,
) -> Champion:
    """Describe the champion.

    Args:
        standing: of the study.
        winner: its champion.
        counted: its predictions in LOSO.
        chance: what guessing scores, by metric.
        chosen: the choice, repeated; None with one configuration at one point.
    """
    study = standing.study
    mine = counted.as_read
    total = mine.sum(axis=0)
    # Subjects are resampled, not clips: clips of one subject resemble each other.
    found = predictions.interval(mine, study.identity.seed)
    subjects = sorted({clip.subject for clip in study.clips})
    by_subject = dict(zip(subjects, mine, strict=True))
    # No division by 0: a study is refused if a class has no clip.
    recall = np.diagonal(total) / total.sum(axis=1)
    of_all, corrected = scores_of(total), chosen.score() if chosen else None
    # The champion's own interval ignores that it is the best of many: on labels that are noise it
    # lies above chance in 28 to 46 % of exhaustive searches.
    judged = {metric: corrected[metric].ci95 if corrected else found[metric] for metric in METRICS}
    return Champion(
        accuracy=of_all.accuracy,
        uf1=of_all.uf1,
        uar=of_all.uar,
        number=winner.number,
        config_id=winner.config_id,
        settings=winner.settings,
        at_bounds=at_bounds(winner.settings, study.identity.space.search),
        steps=counted.steps[counted.read],
        curve=_curve(standing, winner, counted),
        ci95={metric: found[metric] for metric in METRICS},
        corrected=corrected,
        coverage=coverage(len(subjects)) if corrected else None,
        above_chance={m: is_above(judged[m], chance[m]) for m in METRICS},
        above_chance_uncorrected={m: found[m][0] > chance[m].level for m in METRICS},
        confusion=tuple(map(tuple, total.tolist())),
        recall=dict(zip(study.classes, recall.tolist(), strict=True)),
        per_class=class_scores(mine, study.classes, study.identity.seed),
        calibration=calibration(standing.pooled(winner.number), study.labels()),
        per_subject={subject: _subject(one) for subject, one in by_subject.items()},
        parts=_parts(by_subject),
    )


def is_above(interval: Interval, chance: Chance) -> bool:
    """Say whether a score is above chance: its interval is, and few permutations reach it."""
    return interval[0] > chance.level and (chance.p is None or chance.p <= permutation.ALPHA)


def _curve(standing: Standing, winner: Configuration, counted: Counted) -> tuple[PointScore, ...]:
    scored = [(steps, standing.score(winner.number, steps)) for steps in counted.steps]
    return tuple(
        PointScore(steps, found.value, (found.low, found.high)) for steps, found in scored
    )


def _subject(confusion: np.ndarray) -> SubjectScore:
    n_clips, n_correct = int(confusion.sum()), int(confusion.trace())
    return SubjectScore(clips=n_clips, correct=n_correct, accuracy=n_correct / n_clips)


def _parts(by_subject: Mapping[str, np.ndarray]) -> dict[str, DatasetScores]:
    """Score the data sets of a composite apart; empty for a single one.

    As published: every data set over all the classes of the study, by the same predictions.
    """
    parts: dict[str, list[np.ndarray]] = {}
    for subject, one in by_subject.items():
        parts.setdefault(subject.partition("/")[0], []).append(one)
    if len(parts) < 2:
        return {}
    return {part: _dataset_scores(found) for part, found in parts.items()}


def _dataset_scores(per_subject: Sequence[np.ndarray]) -> DatasetScores:
    total = np.sum(per_subject, axis=0)
    found = scores_of(total)
    return DatasetScores(
        accuracy=found.accuracy,
        uf1=found.uf1,
        uar=found.uar,
        clips=int(total.sum()),
        subjects=len(per_subject),
    )
