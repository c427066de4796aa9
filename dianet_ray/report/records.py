"""The records of a report: the document that `report --json` prints.

Field names are the keys of the JSON, which scripts rely on. Scores are in 0..1, times in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dianet_ray.artefacts import Record
from dianet_ray.protocol.correction import Corrected
from dianet_ray.protocol.decisions import RungState
from dianet_ray.protocol.paired import Difference
from dianet_ray.protocol.predictions import Chance, Interval
from dianet_ray.protocol.standing import Failure
from dianet_ray.protocol.study import State
from dianet_ray.settings import Settings


@dataclass(frozen=True, slots=True)
class Scores(Record):
    """Every metric of some pooled predictions."""

    accuracy: float
    uf1: float
    uar: float

    def of(self, metric: str) -> float:
        """Look a metric up by its name, one of METRICS."""
        return float(getattr(self, metric))


@dataclass(frozen=True, slots=True)
class LeftOut(Record):
    """How many clips `prepare` could not use, and how many have a label outside the classes."""

    prepare: int
    classes: int


@dataclass(frozen=True, slots=True)
class Dataset(Record):
    """The clips of the study: how many, of how many subjects, and of each class by its name."""

    name: str
    clips: int
    subjects: int
    classes: dict[str, int]
    left_out: int
    left_out_by: LeftOut


@dataclass(frozen=True, slots=True)
class RungFlow(Record):
    """How many configurations reached a rung, and what its trainings took.

    `steps` is the share of the training steps that its trainings get, `keep` the share of the
    configurations that is promoted, `promoted` how many were. `states` counts those that reached
    the rung.
    """

    partition: str
    folds: int
    steps: float
    keep: float
    reached: int
    promoted: int
    states: dict[RungState, int]
    trainings: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Saved(Record):
    """What the ladder saved against training every LOSO fold of every configuration.

    Negative where the ladder cost more; `seconds` is None before the first LOSO training.
    """

    trainings: int
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Flow(Record):
    """What happened to the configurations in each rung; the last rung is LOSO."""

    rungs: tuple[RungFlow, ...]
    saved: Saved


@dataclass(frozen=True, slots=True)
class Fidelity(Record):
    """How well a rung below LOSO ranks.

    `correlation` is the rank correlation of its scores and those of LOSO among the `n`
    configurations that finished both; None where they are too few. `rising` numbers the
    configurations that were not promoted and were rising so fast when the rung ended that they
    would pass the champion with all steps.
    """

    partition: str
    n: int
    correlation: float | None
    rising: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ClassScore(Record):
    """The champion on one class of so many clips; `ci95` is by score (recall, precision, f1)."""

    clips: int
    recall: float
    precision: float
    f1: float
    ci95: dict[str, Interval]


@dataclass(frozen=True, slots=True)
class ConfidenceBin(Record):
    """Clips whose predicted class has a probability in `range`.

    `probability` is its mean, and `accuracy` the share of them that are predicted correctly.
    """

    range: Interval
    clips: int
    probability: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Calibration(Record):
    """How far the champion's probabilities are off: the expected calibration error, and its bins.

    Bins without a clip are left out.
    """

    error: float
    bins: tuple[ConfidenceBin, ...]


@dataclass(frozen=True, slots=True)
class SubjectScore(Record):
    """The champion on the clips of one subject, which were held out together."""

    clips: int
    correct: int
    accuracy: float


@dataclass(frozen=True, slots=True)
class DatasetScores(Scores):
    """The champion on one data set of a composite, over all the classes of the study."""

    clips: int
    subjects: int


@dataclass(frozen=True, slots=True)
class PointScore(Record):
    """The objective at one point of the way, with its interval over subjects."""

    steps: int
    score: float
    ci95: Interval


@dataclass(frozen=True, slots=True)
class AtBound(Record):
    """A value of a setting at an end of what was searched, from `low` to `high`."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Champion(Scores):
    """The champion and its LOSO scores, read after `steps` steps.

    `at_bounds` names the settings that lie at an end of what was searched, so that more of it may
    hold a better one. `curve` is its objective at every point. `ci95`, `corrected` and
    `above_chance` are by metric; `corrected` is None where there was one configuration at one
    point to choose from. `coverage` is how often such intervals held the truth in simulations of
    studies of this size. Above chance means that the lower end of the corrected interval is above
    the level of chance (of `ci95`, where there is no correction), and that permuted labels do not
    reach the score, where they can be permuted; `above_chance_uncorrected` is of
    `ci95`, which is no evidence. `confusion` counts clips by true class (rows) and predicted
    class, in the order of the data set's classes; `recall` and `per_class` are by class,
    `per_subject` by subject and `parts` by data set, empty unless the study is of a composite.
    """

    number: int
    config_id: str
    settings: Settings
    at_bounds: dict[str, AtBound]
    steps: int
    curve: tuple[PointScore, ...]
    ci95: dict[str, Interval]
    corrected: dict[str, Corrected] | None
    coverage: float | None
    above_chance: dict[str, bool]
    above_chance_uncorrected: dict[str, bool]
    confusion: tuple[tuple[int, ...], ...]
    recall: dict[str, float]
    per_class: dict[str, ClassScore]
    calibration: Calibration
    per_subject: dict[str, SubjectScore]
    parts: dict[str, DatasetScores]


@dataclass(frozen=True, slots=True)
class Spread(Record):
    """A score, averaged over seeds, and how far it varies.

    `deviation` is the standard deviation between seeds, None with one seed; `standard_error` is
    that of the mean, over subjects.
    """

    mean: float
    deviation: float | None
    standard_error: float


@dataclass(frozen=True, slots=True)
class Seeds(Record):
    """LOSO of a configuration with `n` other seeds than that which ranked it.

    With `n_failed` more seeds a training failed or was lost, so they have no score.
    """

    n: int
    n_failed: int
    accuracy: Spread
    uf1: Spread
    uar: Spread

    def of(self, metric: str) -> Spread:
        """Look a metric up by its name, one of METRICS."""
        found: Spread = getattr(self, metric)
        return found


@dataclass(frozen=True, slots=True)
class Chosen(Record):
    """What was chosen for a subject by the others alone: a configuration and its point."""

    number: int
    steps: int


@dataclass(frozen=True, slots=True)
class Nested(Scores):
    """Nested cross-validation: each subject is tested with what the others alone chose.

    `configurations` had all their trainings, and `chosen` is by subject. `trainings` were needed,
    and `textbook` would be without sharing.
    """

    ci95: dict[str, Interval]
    configurations: int
    chosen: dict[str, Chosen]
    trainings: int
    textbook: int


@dataclass(frozen=True, slots=True)
class Verdict(Record):
    """Whether the champion is above chance by the objective, and a sentence that says it."""

    above_chance: bool
    text: str


@dataclass(frozen=True, slots=True)
class Defaults(Scores):
    """The configuration that the search began with, which always takes LOSO, and its scores.

    `difference` is the champion less it, by metric, as they scored: the champion was chosen for
    scoring high. `corrected` takes that off.
    """

    number: int
    config_id: str
    steps: int
    difference: dict[str, Difference]
    corrected: dict[str, Corrected]
    seeds: Seeds | None


@dataclass(frozen=True, slots=True)
class ValueEffect(Record):
    """The scores of the `n` configurations in which a setting has one value."""

    value: bool | int | float | str
    n: int
    median: float
    best: float


@dataclass(frozen=True, slots=True)
class RangeEffect(Record):
    """The scores of the `n` configurations in which a setting lies in a third of its range.

    `median` and `best` are None where there is no such configuration.
    """

    range: Interval
    n: int
    median: float | None
    best: float | None


Effects = tuple[ValueEffect, ...] | tuple[RangeEffect, ...]
"""What one setting did: its values in order, or the thirds of its range."""


MIN_CONFIGS = 20
"""With fewer configurations nothing is said of importance: the best quarter would hold less than
the five that Optuna's documentation asks for."""


@dataclass(frozen=True, slots=True)
class Importance(Record):
    """How much a setting mattered: its share in all settings' importance, 0..1.

    `p` is how often shuffled scores make any setting seem as important.
    """

    share: float
    ci95: Interval
    p: float


@dataclass(frozen=True, slots=True)
class SearchPoint(Record):
    """What the first `configurations` of a search found: the number of the best, and its score.

    Scores are LOSO scores by the objective; `corrected` is without the optimism of the choice.
    """

    configurations: int
    best: int
    score: float
    corrected: float


@dataclass(frozen=True, slots=True)
class RungResult(Record):
    """A configuration in one rung.

    `scores`, the `soft` objective, which ranks configurations, and the `steps` of the point at
    which they are, are None unless it finished the rung.
    """

    partition: str
    state: RungState
    n_trainings: int
    scores: Scores | None
    soft: float | None
    steps: int | None


@dataclass(frozen=True, slots=True)
class ConfigurationResult(Record):
    """A configuration, and each rung that it reached, from the first.

    `rank` is 1 for the champion, and None unless it finished LOSO.
    """

    number: int
    config_id: str
    settings: Settings
    rungs: tuple[RungResult, ...]
    state: State
    rank: int | None

    @property
    def scores(self) -> Scores:
        """The scores in the highest rung that it finished; it finished one at least."""
        return next(rung.scores for rung in reversed(self.rungs) if rung.scores is not None)

    @property
    def soft(self) -> float:
        """The mean soft objective of the rungs that it finished; it finished one at least."""
        found = [rung.soft for rung in self.rungs if rung.soft is not None]
        return sum(found) / len(found)


@dataclass(frozen=True, slots=True)
class Seconds(Record):
    """Where the time went.

    `wall`: the drivers' time; `training`: the sum over trainings; `startup`: from the start of the
    first driver that trained to its first training; `busy_fraction`: training time over workers x
    time from each driver's first training to the end of its last one. The last two are None before
    the first training.
    """

    wall: float
    training: float
    startup: float | None
    busy_fraction: float | None


@dataclass(frozen=True, slots=True)
class Environment(Record):
    """What the trainings ran on.

    `trainings`: every value that each recorded key took; `mixed`: the keys that took several and
    decide whether a repetition is equal to the bit; `driver`: what the last driver recorded.
    """

    trainings: dict[str, tuple[str | int, ...]]
    mixed: tuple[str, ...]
    driver: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Report(Record):
    """The report of a study. `chance` is by metric; `champion` is None before any is complete.

    `n_trainings` are those of the search, and `n_after` those that followed it.
    `n_trainings_exhaustive` are every LOSO fold of every configuration. No decision, score or
    report reads the `n_surplus`. `seeds` are of the champion's repeats, of which
    `n_failed_repeats` failed; `verdict` is of the champion, and `nested` is None unless the study
    is. `defaults` is None where the space names no settings to begin with, or they are not
    complete. `as_others_count` is by way of counting, and empty without a champion. `fidelity` is
    of each rung below LOSO, and empty before there is a champion. `search_curve` is empty until a
    configuration is complete. `importance` and `settings_effect` are by setting, of the scores in
    the first rung. `failures` say why configurations failed or were lost.
    """

    study: str
    dataset: Dataset
    strategy: str
    protocol: str
    objective: str
    n_configs: int
    n_trainings: int
    n_after: int
    n_surplus: int
    n_trainings_exhaustive: int
    flow: Flow
    fidelity: tuple[Fidelity, ...]
    chance: dict[str, Chance]
    champion: Champion | None
    seeds: Seeds | None
    n_failed_repeats: int
    verdict: Verdict | None
    nested: Nested | None
    defaults: Defaults | None
    as_others_count: dict[str, Scores]
    search_curve: tuple[SearchPoint, ...]
    importance: dict[str, Importance]
    settings_effect: dict[str, Effects]
    configs: tuple[ConfigurationResult, ...]
    failures: tuple[Failure, ...]
    seconds: Seconds
    environment: Environment

    @property
    def ranking(self) -> list[ConfigurationResult]:
        """The complete configurations by the rule that chooses the champion, best first."""
        ranked = {config.rank: config for config in self.configs if config.rank is not None}
        return [ranked[place] for place in sorted(ranked)]
