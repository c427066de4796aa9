"""LOSO with other seeds when a search is over: exactly what is asked, and no decision reads it."""

import dataclasses
import itertools
import random

import numpy as np
import pytest

from dianet_ray.protocol.ladder import Rung
from dianet_ray.protocol.standing import standing_of
from dianet_ray.search.afterwards import Afterwards
from dianet_ray.search.budget import Budget, Extent
from dianet_ray.search.study_file import load_study
from dianet_ray.settings import Settings
from tests.support.fake_search import SPACE, fake_plan
from tests.support.in_process import Workers, start
from tests.support.play import decisions, play

BEGINS = (Settings(**SPACE.defaults() | {"learning_rate": 2e-4, "dropout": 0.1}),)
WITH_DEFAULTS = dataclasses.replace(SPACE, first_settings=BEGINS)
LADDER = (Rung(3, 0.5, keep=0.25, keeps_first=True), Rung())
SIZES = {"n_subjects": 4, "n_configs": 8, "wave_size": 4, "ladder": LADDER, "space": WITH_DEFAULTS}


def plan_of(path, n, **changes):
    """Plan as the same command typed again does."""
    plan = fake_plan(path, repeats=n, **SIZES | changes)
    return plan if plan.is_new else dataclasses.replace(plan, study=load_study(path))


def run_here(path, n, **changes):
    """Search with workers in this process, which write weights."""
    plan = plan_of(path, n, **changes)
    Workers(plan).run(start(plan))


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """What the search decides without repeats."""
    path = tmp_path_factory.mktemp("plain")
    play(plan_of(path, 0))
    return decisions(load_study(path))


def wanted(study, n):
    standing = standing_of(study)
    numbers = {standing.champion().number, 0}
    return {(k, 2 + r, fold) for k in numbers for r in range(n) for fold in range(4)}


@pytest.mark.parametrize("n_workers", [1, 3])
def test_the_champion_and_the_first_settings_are_repeated_when_the_search_is_over(
    tmp_path, plain, n_workers
):
    _, trained = play(plan_of(tmp_path, 2), n_workers=n_workers)
    study = load_study(tmp_path)
    assert standing_of(study).champion().number != 0  # else there is only one to repeat
    assert set(study.repeats) == wanted(study, 2)
    assert len(trained) == len(set(trained)) == len(study.trainings) + len(study.repeats)
    is_repeat = [key in study.repeats for key in trained]
    assert is_repeat == sorted(is_repeat)
    assert decisions(study) == plain


def test_every_repeat_has_a_seed_of_its_own_and_trains_to_the_champion_s_point(tmp_path):
    play(plan_of(tmp_path, 2))
    study = load_study(tmp_path)
    standing = standing_of(study)
    number = standing.champion().number
    shown = [study.trainings[number, 1, 0].at(standing.steps_read(number))]
    shown += [study.repeats[number, 2 + r, 0].points[-1] for r in range(2)]
    assert {point.steps for point in shown} == {standing.steps_read(number)}
    for one, other in itertools.pairwise(shown):
        assert not np.array_equal(one.probabilities, other.probabilities)


def files_of(path, study, number):
    """The weights of a configuration's repeats, as the ledger has them and as files."""
    named = [one.points[-1].weights for key, one in study.repeats.items() if key[0] == number]
    return [path / one.path for one in named if one is not None]


def test_the_champion_s_repeats_alone_keep_weights_and_only_as_long_as_it_is_one(tmp_path):
    run_here(tmp_path, 2, n_configs=2)
    study = load_study(tmp_path)
    former = standing_of(study).champion().number
    assert len(files_of(tmp_path, study, former)) == 2 * 4
    assert all(file.is_file() for file in files_of(tmp_path, study, former))
    assert sum(len(files_of(tmp_path, study, n)) for n in range(2)) == 2 * 4
    run_here(tmp_path, 2)
    study = load_study(tmp_path)
    champion = standing_of(study).champion().number
    assert champion != former
    assert not any(file.exists() for file in files_of(tmp_path, study, former))
    assert all(file.is_file() for file in files_of(tmp_path, study, champion))


@pytest.mark.parametrize("seed", range(8))
def test_kills_at_any_event_repeat_only_what_was_in_flight(tmp_path, plain, seed):
    rng = random.Random(seed)
    for n_events in [rng.randint(0, 45) for _ in range(3)] + [10**9]:
        plan = plan_of(tmp_path, 2)
        before = {*plan.study.trainings, *plan.study.repeats}
        _, trained = play(plan, n_workers=2, rng=rng, n_events=n_events)
        assert not before & set(trained)
    study = load_study(tmp_path)
    assert set(study.repeats) == wanted(study, 2)
    assert decisions(study) == plain


def test_more_of_them_may_be_asked_for_later_and_a_finished_study_has_no_work(tmp_path):
    play(plan_of(tmp_path, 1))
    assert plan_of(tmp_path, 1).is_done()
    assert not plan_of(tmp_path, 3).is_done()
    _, trained = play(plan_of(tmp_path, 3))
    study = load_study(tmp_path)
    assert set(study.repeats) == wanted(study, 3)
    assert set(trained) == wanted(study, 3) - wanted(study, 1)
    assert plan_of(tmp_path, 3).is_done()
    assert play(plan_of(tmp_path, 2))[1] == []


def test_a_search_that_grows_repeats_its_new_champion(tmp_path):
    play(plan_of(tmp_path, 1, n_configs=2))
    first = standing_of(load_study(tmp_path)).champion().number
    play(plan_of(tmp_path, 1))
    study = load_study(tmp_path)
    assert standing_of(study).champion().number != first
    assert set(study.repeats) >= wanted(study, 1)


def test_without_first_settings_the_champion_alone_is_repeated(tmp_path):
    play(plan_of(tmp_path, 1, space=SPACE))
    study = load_study(tmp_path)
    assert {key[0] for key in study.repeats} == {standing_of(study).champion().number}


@pytest.mark.parametrize("how", ["lost", "failed"])
def test_a_repeat_ends_with_its_first_failure_and_the_others_go_on(tmp_path, plain, how):
    def outcome(order):
        return how if order.rung == 3 and order.only.fold == 1 else "ok"

    searcher, _ = play(plan_of(tmp_path, 2), outcome, n_workers=1)
    study = load_study(tmp_path)
    assert set(study.repeats) == {
        key for key in wanted(study, 2) if key[1] == 2 or key[2] in (0, 1)
    }
    assert {one.outcome for key, one in study.repeats.items() if key[1:] == (3, 1)} == {how}
    assert decisions(study) == plain
    assert plan_of(tmp_path, 2).is_done()
    assert searcher.n_done == searcher.n_most
    assert play(plan_of(tmp_path, 2))[1] == []


@pytest.mark.parametrize("n_then", [1, 3])
def test_the_progress_counts_what_is_wanted_alone(tmp_path, n_then):
    searcher, _ = play(plan_of(tmp_path, 2, n_configs=2))
    assert searcher.n_done == searcher.n_most
    searcher, _ = play(plan_of(tmp_path, n_then))
    assert searcher.n_done == searcher.n_most
    study = load_study(tmp_path)
    assert searcher.n_done == len(study.trainings) + len(wanted(study, n_then))


def test_budgets_hold_with_what_follows_the_search(tmp_path):
    limit = plan_of(tmp_path / "none", 0, n_configs=12).most_trainings(12)
    for n, n_drawn in ((0, 12), (2, 8)):
        path = tmp_path / str(n)
        play(plan_of(path, n, n_configs=12, max_trainings=limit))
        study = load_study(path)
        assert len(study.configurations) == n_drawn
        assert len(study.trainings) + len(study.repeats) <= limit


def test_a_repeat_in_blocks_is_of_one_configuration(tmp_path):
    plan = plan_of(tmp_path, 1)
    play(dataclasses.replace(plan, study=dataclasses.replace(plan.study, block=3)))
    study = load_study(tmp_path)
    assert set(study.repeats) == wanted(study, 1)
    blocks = [one.block for one in study.repeats.values()]
    assert {len(block) for block in blocks} == {3, 0}
    assert all(len({number for number, _ in block}) <= 1 for block in blocks)


def test_blocks_that_do_not_fit_are_formed_anew_as_a_resumed_search_forms_them(tmp_path):
    play(plan_of(tmp_path, 0, n_subjects=11, n_configs=2))
    study = load_study(tmp_path)
    extent = Extent(2, Budget(), n_repeats=2)

    def begun(block):
        found = Afterwards(study, extent)
        found.begin(standing_of(study), block)
        return found

    going_on = begun(5)
    done = going_on.take()
    assert going_on.split(going_on.take()) == 2
    resumed = [
        tuple(key for key in one.keys if key not in done.keys) for one in iter(begun(2).take, None)
    ]
    assert [one.keys for one in iter(going_on.take, None)] == [keys for keys in resumed if keys]


def test_blocks_only_become_smaller(tmp_path):
    """A larger one may still have been in flight when smaller ones were formed."""
    play(plan_of(tmp_path, 0, n_subjects=11, n_configs=2))
    study = load_study(tmp_path)
    afterwards = Afterwards(study, Extent(2, Budget(), n_repeats=2))
    afterwards.begin(standing_of(study), 4)
    one, other = afterwards.take(), afterwards.take()
    assert afterwards.split(one) == 2
    assert afterwards.split(afterwards.take()) == 1
    assert afterwards.split(other) == 1
    assert {len(train.members) for train in iter(afterwards.take, None)} == {1}


@pytest.mark.parametrize("has_repeats", [False, True])
def test_hours_allow_for_what_follows_and_count_what_is_done_of_it(tmp_path, has_repeats):
    """Every training takes 1 s here, so 16 repeats take 16 s on one worker."""
    play(plan_of(tmp_path, 2 if has_repeats else 0))
    study = load_study(tmp_path)
    n_rungs = [sum(key[1] == rung for key in study.trainings) for rung in range(2)]
    left_s = 0 if has_repeats else 16

    def forbids(seconds):
        budget = Budget(hours=seconds / 3600)
        return budget.forbids(study, [*n_rungs, 16], n_workers=1, now=0.0)  # it started at 0

    assert forbids(left_s - 1 if left_s else -1.0)
    assert not forbids(left_s + 1)
