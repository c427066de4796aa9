"""What a recorded matrix says of its parts: configurations, subjects, clips, trainings, noise.

A clip is predicted right when its margin is above zero:

    margin = level of the class in this rung + quality of the configuration in this rung
           + its leaning to the class + its luck with the subject + its luck with the clip
           + ease of the subject + ease of the clip + luck of the training + noise

Every term is normal. Only the true qualities keep the shape of the recorded ones, because the
number of near-best configurations is what makes a search hard. Variances come from products of the
recorded margins, which are log odds of the true class against the best other one, in units of each
configuration's own spread. A product over different clips holds what the configuration brings, one
over different rungs what training again does not change, and so on. Levels come from the
predictions. Only the last point of a training counts. A margin times `spread` is the log odds of
the true class against the best other one.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from statistics import NormalDist

import numpy as np

from benchmarks.replay.matrix import Matrix
from dianet_ray.protocol.metrics import confusion
from dianet_ray.protocol.predictions import classify


@dataclass(frozen=True, slots=True)
class Deviations:
    """Standard deviations of the terms of a margin."""

    leaning: float
    luck_with_subject: float
    luck_with_clip: float
    training: float
    noise: float
    subject: float
    clip: float

    @property
    def variance(self) -> float:
        """The variance of their sum."""
        return float(sum(value**2 for value in astuple(self)))


@dataclass(frozen=True, slots=True)
class Times:
    """Log seconds of a training: means by rung, deviations of configurations and trainings."""

    means: np.ndarray
    configuration: float
    training: float

    @property
    def log_std(self) -> float:
        """The deviation of both together."""
        return float(np.hypot(self.configuration, self.training))


@dataclass(frozen=True, slots=True)
class Fitted:
    """What is known of a recorded matrix.

    A configuration has a quality in every rung and, last, a true one, which other subjects show;
    it starts as that of LOSO. `recall` is the share of right predictions as a normal quantile
    (rungs + 1, C), `qualities` the covariance (rungs + 1, rungs + 1), `shape` the standardised
    quantiles of the truth, `wrong` the classes of wrong predictions (C, C), `sticky` how often a
    clip's wrong predictions are one and the same class, `spread` the mean unit of margins.
    """

    recorded: Matrix
    recall: np.ndarray
    qualities: np.ndarray
    shape: np.ndarray
    deviations: Deviations
    wrong: np.ndarray
    sticky: float
    spread: float
    times: Times

    @property
    def levels(self) -> np.ndarray:
        """The mean margin of every class, (rungs + 1, C)."""
        spread = np.diag(self.qualities) + self.deviations.variance
        return np.asarray(self.recall * np.sqrt(spread)[:, None])


def fit(recorded: Matrix) -> Fitted:
    """Fit the margins of a recorded matrix."""
    labels = np.array([clip.label for clip in recorded.clips])
    probabilities = np.stack([rung.probabilities[:, -1] for rung in recorded.rungs.values()])
    odds = _log_odds(probabilities, labels)
    spread = odds.std(axis=-1, keepdims=True)
    qualities, deviations = _variances(recorded, labels, odds / spread)
    predicted, n_classes = classify(probabilities), len(recorded.classes)
    right = np.array(
        [[(one == labels)[:, labels == c].mean() for c in range(n_classes)] for one in predicted]
    )
    truth = np.broadcast_to(labels, predicted.shape)
    wrong = confusion(truth.ravel(), predicted.ravel(), n_classes)
    wrong = wrong * (1.0 - np.eye(n_classes)) + 1e-9
    logit = _quantiles(recorded.truth.clip(0.01, 0.99))
    return Fitted(
        recorded=recorded,
        recall=_quantiles(np.pad(right, ((0, 1), (0, 0)), mode="edge").clip(0.01, 0.99)),
        qualities=np.pad(qualities, (0, 1), mode="edge"),
        shape=np.sort((logit - logit.mean()) / logit.std()),
        deviations=deviations,
        wrong=wrong / wrong.sum(axis=1, keepdims=True),
        sticky=_sticky(predicted, labels, n_classes),
        spread=float(spread.mean()),
        times=_times(recorded),
    )


def _quantiles(shares: np.ndarray) -> np.ndarray:
    """Find where a standard normal variable is below with these probabilities."""
    return np.asarray(np.vectorize(NormalDist().inv_cdf)(shares))


def _log_odds(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return log odds of the true class against the best other, (rungs, K, N)."""
    logs = np.log(probabilities.astype(np.float64).clip(1e-6))
    clips = np.arange(len(labels))
    true = logs[..., clips, labels]
    logs[..., clips, labels] = -np.inf
    return np.asarray(true - logs.max(axis=-1))


def _variances(
    recorded: Matrix, labels: np.ndarray, margins: np.ndarray
) -> tuple[np.ndarray, Deviations]:
    """Take apart the mean products of margins, over pairs of clips that share less and less."""
    subjects = np.unique([clip.subject for clip in recorded.clips], return_inverse=True)[1]
    group = np.empty(len(labels), dtype=int)
    for fold in next(iter(recorded.rungs.values())).folds:
        group[list(fold.test_clips)] = fold.index
    same_clip = np.eye(len(labels), dtype=bool)
    same_class, same_subject, same_group = (
        one[:, None] == one for one in (labels, subjects, group)
    )
    ease = margins.mean(axis=1, keepdims=True)
    own = margins - ease
    products = np.einsum("akn,bkm->abnm", own, own, optimize=True) / (margins.shape[1] - 1)
    strangers = ~same_class & ~same_subject
    n = len(margins)
    between, within = products[~np.eye(n, dtype=bool)], products[np.eye(n, dtype=bool)]
    qualities = products[:, :, strangers & ~same_group].mean(axis=-1)
    q = qualities[~np.eye(n, dtype=bool)].mean()
    grouped = within[:-1]  # LOSO trains one model a subject
    together = grouped[:, strangers & same_group].mean()
    training = together - np.diag(qualities)[:-1].mean()
    leaning = between[:, same_class & ~same_subject].mean() - q
    luck_with_subject = between[:, same_subject & ~same_class].mean() - q
    luck_with_clip = between[:, same_clip].mean() - q - leaning - luck_with_subject
    fixed = np.diag(qualities).mean() + leaning + luck_with_subject + luck_with_clip + training
    noise = within[:, same_clip].mean() - fixed
    for label in np.unique(labels):
        ease[:, :, labels == label] -= ease[:, :, labels == label].mean(axis=2, keepdims=True)
    eases = np.einsum("aon,aom->nm", ease, ease) / n
    subject = eases[same_subject & ~same_clip].mean() - eases[~same_subject].mean()
    clip = eases[same_clip].mean() - subject
    found = (leaning, luck_with_subject, luck_with_clip, training, noise, subject, clip)
    return qualities, Deviations(*(float(np.sqrt(max(0.0, one))) for one in found))


def _sticky(predicted: np.ndarray, labels: np.ndarray, n_classes: int) -> float:
    """Estimate from how often two wrong predictions of a clip agree beyond its class's chance."""
    flat = predicted.reshape(-1, len(labels))
    counts = np.stack([(flat == c).sum(axis=0) for c in range(n_classes)], axis=1).astype(float)
    counts[np.arange(len(labels)), labels] = 0.0
    by_class = np.stack([counts[labels == c].sum(axis=0) for c in range(n_classes)])
    shares = by_class / by_class.sum(axis=1, keepdims=True).clip(1)
    total = counts.sum(axis=1)
    pairs = (total * (total - 1)).sum()
    agree = (counts * (counts - 1)).sum() / pairs
    chance = ((shares**2).sum(axis=1)[labels] * total * (total - 1)).sum() / pairs
    return float(np.sqrt(np.clip((agree - chance) / (1 - chance), 0.0, 1.0)))


def _times(recorded: Matrix) -> Times:
    logs = [np.log(rung.seconds) for rung in recorded.rungs.values()]
    means = np.array([one.mean() for one in logs])
    centred = [one - mean for one, mean in zip(logs, means, strict=True)]
    configuration = float(np.mean([one.mean(axis=1) for one in centred], axis=0).std())
    total = float(np.concatenate([one.ravel() for one in centred]).std())
    return Times(means, configuration, float(np.sqrt(max(0.0, total**2 - configuration**2))))
