"""The searcher without Tune: a contract that any order of events must keep."""

import hashlib
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st
from ray.tune.search import Searcher

from dianet_ray.artefacts import weights_path
from dianet_ray.cluster.deaths import Death
from dianet_ray.protocol import leaks
from dianet_ray.protocol.ladder import Rung
from dianet_ray.protocol.results import Weights
from dianet_ray.protocol.standing import standing_of
from dianet_ray.search.events import Answer, Results, answer_of, order_of
from dianet_ray.search.space import Space
from dianet_ray.search.status import status_of
from dianet_ray.search.study_file import load_study
from dianet_ray.settings import Choice, Settings
from tests.support.fake_search import fake_plan, searcher_of
from tests.support.play import answer_to, decisions, play


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A study that nothing interrupted: past TPE's random start-up, with one failure."""
    plan = fake_plan(tmp_path_factory.mktemp("whole"), n_subjects=3, n_configs=20, wave_size=4)
    play(plan, fails_sometimes, n_workers=1)
    return decisions(load_study(plan.path))


def fails_sometimes(order):
    return "failed" if order.only.number == 5 and order.only.fold == 1 else "ok"


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


def test_a_worker_that_saw_other_clips_has_failed(tmp_path):
    """Its scores may come from networks that were trained on the test subject."""
    plan = fake_plan(tmp_path, n_configs=2, n_subjects=2, wave_size=1)
    searcher = searcher_of(plan)
    order = order_of(searcher.suggest("t"))
    (result,) = answer_of(answer_to(plan, order)).results
    other = replace(result, seen=leaks.seen(["a"], ["b"]))
    searcher.on_trial_complete("t", result=Answer(Results((other,))).report())
    searcher.flush()
    found = load_study(tmp_path).trainings[0, 0, 0]
    assert (found.outcome, found.result.reason) == ("failed", leaks.RULE)
    assert found.points == ()


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

    def outcome(order):
        if order.only.number == 1:
            return "ok"
        attempts.append(order.attempt)
        return "lost"

    searcher, _ = play(plan, outcome, n_workers=1)
    assert attempts == [1, 2, 3]
    assert standing_of(searcher.study).states() == ["lost", "complete"]
    assert "lost 3 times" in searcher.study.of(0)[0].result.error


@pytest.mark.parametrize(
    ("own", "state"),
    [
        ((True, True, True), "failed"),
        ((True, True, False), "lost"),  # the last one went with its node
        ((False, True, True), "lost"),
    ],
)
def test_a_configuration_fails_that_kills_three_workers_on_nodes_that_live(tmp_path, own, state):
    plan = fake_plan(tmp_path, n_subjects=2, n_configs=2, wave_size=2)
    deaths = iter([Death("Ray's paragraph", is_own=one, host="10.0.0.7") for one in own])
    searcher, _ = play(
        plan,
        lambda order: "lost" if order.only.number == 0 else "ok",
        n_workers=1,
        death_of=lambda trial_id: next(deaths),
        cause_of=lambda death: "ended by SIGABRT",
    )
    standing = standing_of(searcher.study)
    assert standing.states() == [state, "complete"]
    (failure,) = standing.failures()
    assert failure.is_crash == (state == "failed")
    if failure.is_crash:
        dropout = searcher.study.configurations[0].settings.dropout
        assert failure.reason.startswith(
            "its worker crashed 3 times on 10.0.0.7 (ended by SIGABRT); settings: "
        )
        assert f"dropout: {dropout}" in failure.reason
        error = standing.study.of(0)[0].result.error
        assert error.splitlines()[1] == "Ray's paragraph"
    status = status_of(standing, plan.path)
    assert ("1 of the failed crashed their workers" in status.lines()[1]) == failure.is_crash
    assert status.lines()[-1] == f"failed   {failure}"
    assert status.document()["failures"][0]["reason"] == failure.reason


def test_a_first_wave_that_fails_everywhere_ends_the_study_with_its_message(tmp_path):
    plan = fake_plan(tmp_path, n_subjects=3, n_configs=12, wave_size=2)
    searcher, trained = play(plan, lambda order: "failed", n_workers=1)
    assert searcher.failure == "every training of the first wave failed: ValueError: bad"
    assert len(trained) < 12


def test_one_configuration_that_fails_does_not_end_the_study(tmp_path):
    plan = fake_plan(tmp_path, n_subjects=2, n_configs=4, wave_size=2)
    searcher, _ = play(
        plan, lambda order: "failed" if order.only.number == 0 else "ok", n_workers=1
    )
    assert searcher.failure == ""
    assert standing_of(searcher.study).states() == ["failed", *["complete"] * 3]


def test_stopping_lets_what_is_in_flight_finish_and_starts_nothing(tmp_path):
    plan = fake_plan(tmp_path, n_subjects=2, n_configs=4)
    searcher = searcher_of(plan)
    order = order_of(searcher.suggest("a"))
    searcher.is_stopping = True
    assert searcher.suggest("b") is None
    searcher.on_trial_complete("a", result=answer_to(plan, order))
    assert searcher.suggest("b") == Searcher.FINISHED
    searcher.flush()
    assert set(load_study(tmp_path).trainings) == {(order.only.number, 0, order.only.fold)}


def test_listeners_hear_only_of_what_is_durable(tmp_path):
    plan = fake_plan(tmp_path, n_subjects=3, n_configs=4)
    searcher = searcher_of(plan)

    def check(study):
        on_disk = load_study(tmp_path)
        assert set(study.trainings) <= set(on_disk.trainings)
        assert study.configurations == on_disk.configurations

    searcher.on_change = check
    for name in "abcdef":
        order = order_of(searcher.suggest(name))
        searcher.on_trial_complete(name, result=answer_to(plan, order))
        searcher.flush()
    assert len(searcher.study.trainings) == 6


def test_a_message_names_a_draw_that_differs_and_the_record_stands(tmp_path, caplog):
    sizes = {"n_subjects": 2, "n_configs": 4}
    play(fake_plan(tmp_path, **sizes))
    before = load_study(tmp_path).configurations
    plan = resumed(tmp_path, **sizes)
    other = fake_plan(tmp_path, seed=1, **sizes)
    identity = replace(plan.study.identity, seed=other.study.identity.seed)
    searcher = searcher_of(replace(plan, study=replace(plan.study, identity=identity)))
    assert not searcher.has_work()
    assert "the ledger stands" in caplog.text
    assert load_study(tmp_path).configurations == before


def test_configurations_that_complete_in_one_flush_keep_the_best_weights(tmp_path):
    """A configuration that is complete but not scored yet must not lose its weights."""
    plan = fake_plan(tmp_path, n_subjects=2, n_configs=6, wave_size=6, keep_weights=2)
    searcher = searcher_of(plan)
    orders = [order_of(searcher.suggest(str(i))) for i in range(12)]
    for i, order in enumerate(orders):
        for steps in order.only.settings.shown_at:
            path = tmp_path / weights_path(order.only.config_id, steps, order.only.fold)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
        searcher.on_trial_complete(str(i), result=answer_to(plan, order))
    searcher.flush()
    standing = standing_of(searcher.study)
    ranked = [one.number for one in standing.ranking]
    assert len(ranked) == searcher.n_complete == 6
    best = ranked[:2]
    left = {path.name for path in (tmp_path / "weights").iterdir()}
    assert left == {
        f"{searcher.study.configurations[number].config_id}-{standing.steps_read(number)}"
        for number in best
    }


def with_weights(plan, order):
    """What a worker reports that has written a file for every point."""
    (result,) = answer_of(answer_to(plan, order)).results
    points = []
    for point in result.points:
        name = weights_path(order.only.config_id, point.steps, order.only.fold)
        (plan.path / name).parent.mkdir(parents=True, exist_ok=True)
        (plan.path / name).write_bytes(b"x")
        weights = Weights(name, 1, hashlib.sha256(b"x").hexdigest())
        points.append(replace(point, weights=weights))
    return Answer(Results((replace(result, points=tuple(points)),))).report()


def test_weights_that_are_made_again_are_kept_at_the_best_point_alone(tmp_path):
    plan = fake_plan(tmp_path, n_subjects=2, n_configs=1, wave_size=1)
    searcher = searcher_of(plan)
    for i in ("a", "b"):
        searcher.on_trial_complete(i, result=with_weights(plan, order_of(searcher.suggest(i))))
    searcher.flush()
    (kept,) = (tmp_path / "weights").iterdir()
    next(kept.iterdir()).write_bytes(b"damaged")
    again = searcher_of(replace(plan, study=load_study(tmp_path)))
    order = order_of(again.suggest("c"))
    again.on_trial_complete("c", result=with_weights(plan, order))
    again.flush()
    assert again.suggest("d") == Searcher.FINISHED
    assert list((tmp_path / "weights").iterdir()) == [kept]
    assert {file.read_bytes() for file in kept.iterdir()} == {b"x"}
    assert not searcher_of(replace(plan, study=load_study(tmp_path))).has_work()


def test_a_space_that_ends_with_a_wave_is_decided_as_its_ledger_says(tmp_path):
    """The next wave is asked for and is empty; nothing may be promoted as if it had been drawn."""
    first = Settings(schedule="averaged", points=2, learning_rate=3e-3)
    rates = Choice((3e-3, 0.1, 0.5, 1e-4))
    fixed = {"schedule": "averaged", "points": 2}
    space = Space("grid", fixed, {"learning_rate": rates}, (), (first,))
    ladder = (
        Rung(3, keep=1 / 16, drop="bootstrap", keeps_first=True),
        Rung(drop="bootstrap"),
    )
    sizes = {"n_subjects": 26, "n_configs": 12, "wave_size": 2}
    plan = fake_plan(tmp_path / "study", space=space, ladder=ladder, **sizes)
    play(plan)
    ended = load_study(plan.path)
    assert len(ended.configurations) == 4
    assert standing_of(ended).decisions.is_over
    assert play(replace(plan, study=ended, n_configs=ended.n_configs))[1] == []
