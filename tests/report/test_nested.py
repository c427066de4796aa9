"""Nested cross-validation: what is chosen for a subject never sees it, and pairs serve twice."""

import dataclasses
import itertools

import numpy as np
import pytest

from dianet_ray.artefacts import METRICS
from dianet_ray.protocol.folds import loso, nested_costs, pair_rung, pairs
from dianet_ray.protocol.metrics import confusion, scores
from dianet_ray.protocol.predictions import shares
from dianet_ray.protocol.standing import standing_of
from dianet_ray.report import verdicts
from dianet_ray.report.nested import nested
from dianet_ray.search.study_file import load_study
from tests.support.fake_search import fake_plan
from tests.support.play import decisions, play
from tests.support.reports import report_of
from tests.support.studies import begun, ending, make_clips, make_study, with_result

N_SUBJECTS, N_CONFIGS = 5, 6


def searched(path, **options):
    sizes = {"n_subjects": N_SUBJECTS, "n_configs": N_CONFIGS, "wave_size": 2}
    play(fake_plan(path, protocol="nested", **sizes | options))
    return load_study(path)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return searched(tmp_path_factory.mktemp("nested"))


def pair_of(study, number, *subjects):
    """The training of a configuration that held out two subjects."""
    rung = pair_rung(study.rungs)
    for fold in study.folds_of(rung):
        if set(fold.test_subjects) == set(subjects):
            return fold, study.pairs[number, rung, fold.index]
    raise AssertionError(subjects)


def pooled(counts, without=None):
    total = sum(one for subject, one in counts.items() if subject != without)
    return float(scores(total, present_only=True)["uf1"])


def is_ahead(one, other, errors):
    """Say whether counts lead others by so many standard errors of a jackknife."""
    leads = np.array([pooled(one, subject) - pooled(other, subject) for subject in one])
    return pooled(one) - pooled(other) > errors * ((len(leads) - 1) * leads.var()) ** 0.5


def by_hand(study, first=None):
    """The textbook, subject by subject: what is chosen, and the pooled counts."""
    subjects = sorted({clip.subject for clip in study.clips})
    labels = study.labels()
    total, chosen = 0, {}
    for outer in subjects:
        ranked = []
        for number in range(N_CONFIGS):
            shown = {}
            for place in range(2):
                counts = {}  # by inner subject
                for inner in subjects:
                    if inner == outer:
                        continue
                    fold, training = pair_of(study, number, outer, inner)
                    rows = [
                        row
                        for row, clip in enumerate(fold.test_clips)
                        if study.clips[clip].subject == inner
                    ]
                    held = [fold.test_clips[row] for row in rows]
                    point = training.points[place]
                    counts[inner] = np.zeros((3, 3), dtype=np.int64)
                    for clip, row in zip(held, rows, strict=True):
                        counts[inner][labels[clip]] += shares(point.probabilities[row])
                shown[point.steps] = counts
            early, end = shown
            steps = early if is_ahead(shown[early], shown[end], 2) else end
            ranked.append((-pooled(shown[steps]), number, steps, shown[steps]))
        if first is not None:
            kept = ranked[first]
            ranked = [one for one in ranked if is_ahead(one[-1], kept[-1], 1)] or [kept]
        _, number, steps, _ = min(ranked, key=lambda one: one[:2])
        chosen[outer] = number, steps
        fold = next(f for f in study.folds if f.test_subjects == (outer,))
        tested = study.trainings[number, 0, fold.index].at(steps)
        total = total + confusion(
            labels[list(fold.test_clips)], tested.probabilities.argmax(axis=1), 3
        )
    return chosen, scores(total)


@pytest.mark.parametrize("first", [None, 0])
def test_it_is_what_the_textbook_says(study, first):
    study = study if first is None else begun(study, first)
    found = nested(standing_of(study))
    chosen, scored = by_hand(study, first)
    assert {name: (one.number, one.steps) for name, one in found.chosen.items()} == chosen
    for metric in METRICS:
        assert found.of(metric) == pytest.approx(float(scored[metric]))
        assert found.ci95[metric][0] <= found.of(metric) <= found.ci95[metric][1]


def test_every_pair_is_trained_once_for_both_of_its_subjects(study):
    n_pairs = N_SUBJECTS * (N_SUBJECTS - 1) // 2
    assert len(study.pairs) == N_CONFIGS * n_pairs
    found = nested(standing_of(study))
    assert found.trainings == len(study.trainings) + len(study.pairs)
    assert found.configurations == N_CONFIGS


@pytest.mark.parametrize(("n_configs", "n_subjects"), [(8, 10), (8, 12), (32, 26), (64, 68)])
def test_from_ten_subjects_on_it_takes_at_most_055_of_the_textbook(n_configs, n_subjects):
    ours, textbook = nested_costs(n_configs, n_subjects)
    assert ours <= 0.55 * textbook


def test_what_is_chosen_for_a_subject_does_not_depend_on_it(study):
    before = nested(standing_of(study)).chosen
    for outer in sorted(before):
        mine = {index for index, clip in enumerate(study.clips) if clip.subject == outer}
        turned = {}
        for known in (study.trainings, study.pairs):
            for key, training in known.items():
                held = study.folds_of(training.rung)[training.fold].test_clips
                rows = [row for row, clip in enumerate(held) if clip in mine]
                points = []
                for point in training.points:
                    other = point.probabilities.copy()
                    other[rows] = np.roll(other[rows], 1 + key[0] % 2, axis=1)
                    points.append(dataclasses.replace(point, probabilities=other))
                turned[key] = with_result(training, points=tuple(points))
        changed = dataclasses.replace(
            study,
            trainings={key: turned[key] for key in study.trainings},
            pairs={key: turned[key] for key in study.pairs},
        )
        after = nested(standing_of(changed)).chosen
        assert after[outer] == before[outer]


def drawn_by(path, outcome=lambda order: "ok", protocol="nested"):
    """The settings of a search that goes past TPE's random start."""
    sizes = {"n_subjects": 2, "n_configs": 24, "wave_size": 4}
    play(fake_plan(path, protocol=protocol, **sizes), outcome)
    return [one.settings for one in load_study(path).configurations]


def test_draws_do_not_follow_scores(tmp_path):
    """A draw that did would know how the subject does that its settings are tested on."""

    def fails(order):
        return "failed" if order.only.number % 2 else "ok"

    assert drawn_by(tmp_path / "one") == drawn_by(tmp_path / "other", fails)
    # Where they may follow scores, the same failures change them.
    one, other = (
        drawn_by(tmp_path / name, outcome, "loso")
        for name, outcome in (("loso", lambda order: "ok"), ("failing", fails))
    )
    assert one != other


def test_a_configuration_that_lacks_a_pair_is_left_out(study):
    found = nested(standing_of(study))
    best = next(iter(found.chosen.values())).number
    key = next(key for key in study.pairs if key[0] == best)
    broken = {**study.pairs, key: ending(study.pairs[key], "failed", "ValueError: bad")}
    without = nested(standing_of(dataclasses.replace(study, pairs=broken)))
    assert without.configurations == N_CONFIGS - 1
    assert all(one.number != best for one in without.chosen.values())


def test_a_resumed_study_trains_what_is_missing(tmp_path, study):
    sizes = {"n_subjects": N_SUBJECTS, "n_configs": N_CONFIGS, "wave_size": 2}
    for n_events in (37, 51, 10**9):
        plan = fake_plan(tmp_path, protocol="nested", **sizes)
        if not plan.is_new:
            plan = dataclasses.replace(plan, study=load_study(tmp_path))
        known = {*plan.study.trainings, *plan.study.pairs}
        _, trained = play(plan, n_events=n_events)
        assert not known & set(trained)
    again = load_study(tmp_path)
    assert nested(standing_of(again)) == nested(standing_of(study))
    assert decisions(again) == decisions(study)


def test_the_report_says_it_and_other_studies_have_none(study):
    report = report_of(study)
    assert report.nested == nested(standing_of(study))
    assert verdicts.nested(report).startswith(f"Nested: UF1 {report.nested.uf1:.3f} [")
    assert report_of(make_study()).nested is None
    assert verdicts.nested(report_of(make_study())) == ""


def test_pairs_hold_out_every_two_subjects_once():
    folds = loso(make_clips(7), ("a", "b", "c"), 0)
    found = pairs(folds)
    assert [fold.index for fold in found] == list(range(21))
    assert {frozenset(fold.test_subjects) for fold in found} == {
        frozenset((one.test_subjects[0], other.test_subjects[0]))
        for one, other in itertools.combinations(folds, 2)
    }
    for fold in found:
        assert len(set(fold.test_clips)) == len(fold.test_clips)


def test_what_was_trained_of_configurations_that_are_left_out_is_counted(study):
    key = next(key for key in study.pairs if key[0] == 1)
    lost = dataclasses.replace(study, pairs={k: one for k, one in study.pairs.items() if k != key})
    found = nested(standing_of(lost))
    assert found.configurations == N_CONFIGS - 1
    assert found.trainings == len(lost.trainings) + len(lost.pairs)
    assert found.textbook == nested_costs(N_CONFIGS, N_SUBJECTS)[1]
