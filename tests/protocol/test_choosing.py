"""What is known to be good is kept unless others are clearly ahead of it."""

import numpy as np
import pytest

from dianet_ray.artefacts import METRICS
from dianet_ray.protocol.choosing import Rule, point_read
from dianet_ray.protocol.metrics import scores

N_SUBJECTS = 9


def counted(generator, skill):
    """Soft counts by subject of predictors with given skills: (len(skill), S, 3, 3)."""
    hits = generator.binomial(
        8, np.asarray(skill)[:, None, None], size=(len(skill), N_SUBJECTS, 3)
    )
    counts = np.zeros((len(skill), N_SUBJECTS, 3, 3), dtype=np.int64)
    for label in range(3):
        counts[:, :, label, label] = hits[:, :, label]
        counts[:, :, label, (label + 1) % 3] = 8 - hits[:, :, label]
    return counts


def pooled(counts, objective):
    return float(scores(counts.sum(axis=0))[objective])


def lead(one, other, objective):
    """The lead of one over another, in standard errors of a jackknife over subjects."""
    left = np.array(
        [
            pooled(np.delete(one, subject, axis=0), objective)
            - pooled(np.delete(other, subject, axis=0), objective)
            for subject in range(N_SUBJECTS)
        ]
    )
    error = ((N_SUBJECTS - 1) / N_SUBJECTS * ((left - left.mean()) ** 2).sum()) ** 0.5
    return (pooled(one, objective) - pooled(other, objective)) / error


@pytest.mark.parametrize("objective", METRICS)
def test_a_training_is_read_at_its_end_unless_a_point_leads_by_two_standard_errors(objective):
    seen = set()
    for seed in range(40):
        counts = counted(np.random.default_rng(seed), [0.55, 0.7, 0.65, 0.6])
        ahead = [k for k in range(3) if lead(counts[k], counts[3], objective) > 2]
        best = max(ahead, key=lambda k: pooled(counts[k], objective), default=3)
        assert point_read(counts, objective) == best
        seen.add(best)
    assert len(seen) > 2


def test_one_subject_alone_shows_nothing_and_one_point_leaves_no_choice():
    counts = counted(np.random.default_rng(0), [1.0, 0.0])
    assert point_read(counts, "uf1") == 0
    assert point_read(counts[:, :1], "uf1") == 1
    assert point_read(counts[1:], "uf1") == 0


def test_equal_points_are_read_at_the_end():
    counts = counted(np.random.default_rng(0), [0.6])
    assert point_read(np.concatenate([counts, counts]), "uf1") == 1


def test_what_is_clearly_ahead_is_ranked_by_the_totals():
    counts = counted(np.random.default_rng(0), [0.2, 0.8, 0.9, 0.1])
    judged = scores(counts.sum(axis=1))["uf1"][None]
    rule = Rule.of(counts, "uf1", 0, ahead=1.0)
    assert rule.choose(judged).tolist() == [2]
    assert rule.choose(np.array([[0.5, 0.7, 0.6, 0.9]]), judged).tolist() == [1]
    assert rule.choose(np.array([[0.5, 0.6, 0.6, 0.9]]), judged).tolist() == [1]
    # Nobody is kept: the highest total wins, ties go to the earlier place.
    free = Rule.of(counts, "uf1", None, ahead=1.0)
    assert free.choose(np.array([[0.5, 0.7, 0.9, 0.9]]), judged).tolist() == [2]
