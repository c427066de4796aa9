"""The searcher without Tune: a contract that any order of events must keep."""

import json
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st
from ray.tune.search import Searcher

from dianet_ray.artefacts import weights_path
from dianet_ray.protocol.correction import champion
from dianet_ray.protocol.standing import standing
from dianet_ray.search.plan import Plan
from dianet_ray.search.retention import totals
from dianet_ray.search.study_file import load_study
from tests.support.fake_search import fake_answers, fake_plan, searcher_of


def result_of(plan: Plan, work, outcome="ok"):
    (fold,) = work["folds"]
    labels = plan.study.labels()
    held_out = plan.study.rungs[work["rung"]][fold]
    answers = fake_answers(work, held_out, labels, plan.study.identity["seed"])
    times = {"seconds": 1.0, "started_at": 0.0, "finished_at": 1.0}
    training = (
        {"outcome": "ok", "probabilities": answers.tolist(), **times}
        if outcome == "ok"
        else {"outcome": "failed", "error": "ValueError: bad", **times}
    )
    return {"training": json.dumps(training)}


def play(plan, outcome=lambda work: "ok", *, n_workers=2, rng=None, n_events=10**9):
    """Drive a searcher as Tune does; stop without warning after n_events, as a kill does."""
    searcher, rng = searcher_of(plan), rng or random.Random(0)
    start = {"kind": "start", "at": 0.0, "n_workers": n_workers, "with": {}}
    searcher.ledger.append(start)
    busy, names = {}, iter(range(10**9))
    trained = []
    while n_events > 0:
        while len(busy) < n_workers:
            name = f"t{next(names)}"
            suggestion = searcher.suggest(name)
            if not isinstance(suggestion, dict):
                break
            busy[name] = suggestion["work"]
        if not busy:
            assert suggestion == Searcher.FINISHED
            break
        name = rng.choice(sorted(busy))
        work = busy.pop(name)
        came = outcome(work)
        if came == "lost":
            searcher.on_trial_complete(name, error=True)
        else:
            trained.append((work["number"], work["rung"], *work["folds"]))
            searcher.on_trial_complete(name, result=result_of(plan, work, came))
        n_events -= 1
        if rng.random() < 0.3:
            searcher.flush()
    return searcher, trained


def decisions(study):
    """What must not depend on timing: draws, states, every record that counts, champion."""
    decided, winner = standing(study), champion(study)
    return (
        [(c.number, c.config_id, c.wave) for c in study.configurations],
        decided.states(),
        [content(t) for c in study.configurations for t in decided.needed(c.number)],
        winner and winner.config_id,
    )


def content(training):
    answers = training.probabilities
    key = (training.number, training.rung, training.fold)
    return (*key, training.outcome, None if answers is None else answers.tobytes())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A study that nothing interrupted: past TPE's random start-up, with one failure."""
    plan = fake_plan(tmp_path_factory.mktemp("whole"), n_subjects=3, n_configs=20, wave_size=4)
    play(plan, fails_sometimes, n_workers=1)
    return decisions(load_study(plan.path))


def fails_sometimes(work):
    return "failed" if work["number"] == 5 and work["folds"] == [1] else "ok"


@budget(max_examples=12, deadline=None)
@given(st.integers(1, 5), st.integers(0, 10**6))
def test_timing_and_the_number_of_workers_change_no_decision(
    tmp_path_factory, whole, n_workers, seed
):
    plan = fake_plan(tmp_path_factory.mktemp("s"), n_subjects=3, n_configs=20, wave_size=4)
    play(plan, fails_sometimes, n_workers=n_workers, rng=random.Random(seed))
    assert decisions(load_study(plan.path)) == whole


@budget(max_examples=12, deadline=None)
@given(st.lists(st.integers(0, 25), max_size=4), st.integers(1, 4), st.integers(0, 10**6))
def test_kills_at_any_event_change_no_decision_and_repeat_only_what_was_in_flight(
    tmp_path_factory, whole, kills, n_workers, seed
):
    path, rng = tmp_path_factory.mktemp("s"), random.Random(seed)
    sizes = {"n_subjects": 3, "n_configs": 20, "wave_size": 4}
    for n_events in [*kills, 10**9]:
        plan = resumed(path, **sizes)
        before = set(plan.study.trainings)
        _, trained = play(plan, fails_sometimes, n_workers=n_workers, rng=rng, n_events=n_events)
        assert not before & set(trained)
    assert decisions(load_study(path)) == whole


def resumed(path, **sizes):
    """Plan as the same command typed again does."""
    plan = fake_plan(path, **sizes)
    if plan.is_new:
        return plan
    return replace(plan, study=load_study(path))


def test_a_study_that_grows_equals_one_of_that_size(tmp_path, whole):
    sizes = {"n_subjects": 3, "wave_size": 4}
    for n_configs in (2, 7, 20):
        play(resumed(tmp_path, n_configs=n_configs, **sizes), fails_sometimes)
    assert decisions(load_study(tmp_path)) == whole


def test_a_finished_study_has_no_work_and_writes_nothing(tmp_path):
    sizes = {"n_configs": 3, "n_subjects": 2}
    play(fake_plan(tmp_path, **sizes))
    parts = sorted((tmp_path / "ledger").iterdir())
    searcher = searcher_of(resumed(tmp_path, **sizes))
    assert not searcher.has_work()
    assert searcher.suggest("t") == Searcher.FINISHED
    assert sorted((tmp_path / "ledger").iterdir()) == parts


def test_a_lost_worker_is_tried_again_and_then_recorded(tmp_path):
    plan = fake_plan(tmp_path, n_subjects=2, n_configs=2, wave_size=2)
    attempts = []

    def outcome(work):
        if work["number"] == 1:
            return "ok"
        attempts.append(work["attempt"])
        return "lost"

    searcher, _ = play(plan, outcome, n_workers=1)
    assert attempts == [1, 2, 3]
    assert standing(searcher.study).states() == ["lost", "complete"]
    assert "lost 3 times" in searcher.study.of(0)[0].error


def test_a_first_wave_that_fails_everywhere_ends_the_study_with_its_message(tmp_path):
    plan = fake_plan(tmp_path, n_subjects=3, n_configs=12, wave_size=2)
    searcher, trained = play(plan, lambda work: "failed", n_workers=1)
    assert searcher.failure == "every training of the first wave failed: ValueError: bad"
    assert len(trained) < 12


def test_one_configuration_that_fails_does_not_end_the_study(tmp_path):
    plan = fake_plan(tmp_path, n_subjects=2, n_configs=4, wave_size=2)
    searcher, _ = play(plan, lambda w: "failed" if w["number"] == 0 else "ok", n_workers=1)
    assert searcher.failure == ""
    assert standing(searcher.study).states() == ["failed", *["complete"] * 3]


def test_stopping_lets_what_is_in_flight_finish_and_starts_nothing(tmp_path):
    plan = fake_plan(tmp_path, n_subjects=2, n_configs=4)
    searcher = searcher_of(plan)
    work = searcher.suggest("a")["work"]
    searcher.is_stopping = True
    assert searcher.suggest("b") is None
    searcher.on_trial_complete("a", result=result_of(plan, work))
    assert searcher.suggest("b") == Searcher.FINISHED
    searcher.flush()
    assert set(load_study(tmp_path).trainings) == {(work["number"], 0, *work["folds"])}


def test_listeners_hear_only_of_what_is_durable(tmp_path):
    plan = fake_plan(tmp_path, n_subjects=3, n_configs=4)
    searcher = searcher_of(plan)

    def check(study):
        on_disk = load_study(tmp_path)
        assert set(study.trainings) <= set(on_disk.trainings)
        assert study.configurations == on_disk.configurations

    searcher.on_change = check
    for name in "abcdef":
        work = searcher.suggest(name)["work"]
        searcher.on_trial_complete(name, result=result_of(plan, work))
        searcher.flush()
    assert len(searcher.study.trainings) == 6


def test_a_message_names_a_draw_that_differs_and_the_record_stands(tmp_path, caplog):
    sizes = {"n_subjects": 2, "n_configs": 4}
    play(fake_plan(tmp_path, **sizes))
    before = load_study(tmp_path).configurations
    plan = resumed(tmp_path, **sizes)
    other = fake_plan(tmp_path, seed=1, **sizes)
    identity = {**plan.study.identity, "seed": other.study.identity["seed"]}
    searcher = searcher_of(replace(plan, study=replace(plan.study, identity=identity)))
    assert not searcher.has_work()
    assert "the ledger stands" in caplog.text
    assert load_study(tmp_path).configurations == before


def test_configurations_that_complete_in_one_flush_keep_the_best_weights(tmp_path):
    """A configuration that is complete but not scored yet must not lose its weights."""
    plan = fake_plan(tmp_path, n_subjects=2, n_configs=6, wave_size=6, keep_weights=2)
    searcher = searcher_of(plan)
    works = [searcher.suggest(str(i))["work"] for i in range(12)]
    for i, work in enumerate(works):
        (fold,) = work["folds"]
        path = tmp_path / weights_path(work["config_id"], fold)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
        searcher.on_trial_complete(str(i), result=result_of(plan, work))
    searcher.flush()
    scores = totals(searcher.study)
    assert len(scores) == searcher.n_complete == 6
    best = sorted(scores, key=lambda number: (-scores[number], number))[:2]
    left = {path.name for path in (tmp_path / "weights").iterdir()}
    assert left == {searcher.study.configurations[number].config_id for number in best}
