"""The schedule: what is trained next, for any timing, failures, losses, drops and restarts."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dianet_ray.protocol.ladder import EXHAUSTIVE, Rung, entering
from dianet_ray.protocol.schedule import MAX_ATTEMPTS, Done, DrawWave, Schedule, Train, Wait
from tests.support.schedules import GAMES, RANDOMS, Chance, Game, Play, decisions


def trained(events):
    return [event[1:] for event in events if event[0] == "train"]


@settings(max_examples=60)
@given(GAMES, st.integers(1, 9), st.integers(1, 40), RANDOMS)
def test_decisions_do_not_depend_on_timing_workers_losses_and_restarts(game, few, many, rng):
    alone = Play(game, n_workers=1).run()
    hurried = Play(game, n_workers=few, rng=rng, p_lose=0.1).run()
    killed = Play(game, n_workers=many, rng=rng, p_lose=0.1, p_die=0.03).run()
    expected = decisions(alone, game)
    assert decisions(hurried, game) == expected
    assert decisions(killed, game) == expected
    assert "running" not in {state for _, _, _, state, _ in expected[0]}


@settings(max_examples=40)
@given(GAMES, st.integers(1, 9), RANDOMS)
def test_a_restart_after_every_training_decides_the_same_and_repeats_nothing(game, n, rng):
    game = replace(game, n_configs=min(game.n_configs, 6))
    play = Play(game, n_workers=n, rng=rng)
    while (schedule := play.run_one()) is None:
        pass
    assert decisions(schedule, game) == decisions(Play(game, n_workers=1).run(), game)


@given(GAMES, st.integers(1, 40), RANDOMS)
def test_what_made_a_decision_is_recorded_whatever_else_is(game, n_workers, rng):
    play = Play(game, n_workers=n_workers, rng=rng)
    states, _ = decisions(play.run(), game)
    needed = {(number, rung, fold) for number, rung, _, _, n in states for fold in range(n)}
    assert needed <= set(play.records)


@given(GAMES, RANDOMS)
def test_one_worker_trains_nothing_that_no_decision_reads(game, rng):
    game = replace(game, ladder=(*game.ladder[-2:],), n_folds=game.n_folds[-2:])
    play = Play(game, n_workers=1, rng=rng)
    states, _ = decisions(play.run(), game)
    needed = {(number, rung, fold) for number, rung, _, _, n in states for fold in range(n)}
    assert set(play.records) == needed


@given(GAMES, st.integers(1, 9), RANDOMS)
def test_a_wave_is_drawn_only_when_the_wave_before_the_last_has_closed(game, n_workers, rng):
    play = Play(game, n_workers=n_workers, rng=rng)
    schedule = play.run()
    done = set()
    for event in play.events:
        if event[0] == "train":
            done.add(event[1:])
            continue
        closed = range(min(schedule.n_drawn, max(0, event[1] - 1) * game.wave_size))
        entries = [schedule.decisions.entry(number, 0) for number in closed]
        assert {(r.number, 0, fold) for r in entries for fold in range(r.n_decided)} <= done


@given(GAMES, st.integers(1, 9), RANDOMS)
def test_the_promoted_were_among_the_best_and_the_best_are_promoted_while_there_are_places(
    game, n, rng
):
    decisions = Play(game, n_workers=n, rng=rng).run().decisions
    for rung, rule in enumerate(game.ladder[:-1]):
        below = {entry.number: entry for entry in decisions.entries(rung) if entry.is_in}
        above = {entry.number: entry for entry in decisions.entries(rung + 1) if entry.is_in}
        if rule.keeps_first:  # outside the quota, and in no place
            is_complete = 0 in below and below[0].state == "complete"
            assert (above.pop(0, None) is not None) == is_complete
        failed = {number for number, entry in above.items() if not entry.is_alive}
        uncounted = failed | ({0} if rule.keeps_first else set())
        best = sorted(
            (n for n, entry in below.items() if entry.state == "complete" and n not in uncounted),
            key=lambda number: (-decisions.total(number, rung), number),
        )

        def quota(last, rule=rule, below=below, n_waves=-(-decisions.n_drawn // game.wave_size)):
            n_entered = sum(entry.wave <= last for entry in below.values())
            return rule.quota(n_entered, is_last_wave=last >= n_waves - 1)

        assert set(above) <= {n for n, entry in below.items() if entry.state == "complete"}
        for number in set(above) - failed:
            wave = above[number].wave
            better = best[: best.index(number)]
            assert sum(below[other].wave <= wave for other in better) < quota(wave)
        places = rule.places(len(below), is_last_wave=True)
        n_alive = len(above) - len(failed)
        assert n_alive <= places
        assert set(best[: quota(10**9)]) <= set(above) or n_alive == places


@given(GAMES, RANDOMS)
def test_the_first_two_waves_drop_nobody_and_the_dropped_are_not_promoted(game, rng):
    schedule = Play(game, n_workers=3, rng=rng).run()
    for number, rung, wave, state, _ in decisions(schedule, game)[0]:
        if state == "dropped":
            assert wave >= 2
            assert game.ladder[rung].drop != "none"
            assert (
                rung == len(game.ladder) - 1 or schedule.decisions.entry(number, rung + 1) is None
            )


@given(GAMES, st.integers(1, 9), RANDOMS)
def test_one_rung_trains_everything_once(game, n_workers, rng):
    game = replace(game, ladder=EXHAUSTIVE, n_folds=(4,), bad=0.0, n_in_space=10**6)
    play = Play(game, n_workers=n_workers, rng=rng)
    schedule = play.run()
    everything = [(n, 0, f) for n in range(game.n_configs) for f in range(4)]
    assert sorted(trained(play.events)) == everything
    best = max(range(game.n_configs), key=lambda n: (Chance(game.seed).score(n, 0, 4), -n))
    assert schedule.decisions.best() == best


@given(GAMES, st.integers(1, 9), st.integers(0, 5), RANDOMS)
def test_never_more_trainings_than_the_bound_said_before_the_last_wave(game, n, last, rng):
    game = replace(game, bad=0.0, n_in_space=10**6)
    schedule, busy, bound = game.schedule(), [], None
    n_trained = [0] * len(game.ladder)
    while True:
        action = schedule.take() if len(busy) < n else Wait()
        if isinstance(action, DrawWave) and action.wave == last + 1:
            schedule.end_drawing()
        elif isinstance(action, DrawWave):
            bound = schedule.most_trainings(action.n)
            schedule.drawn(action, action.n)
        elif isinstance(action, Train):
            busy.append(action)
            n_trained[action.rung] += 1
        elif busy:
            schedule.finished(*busy.pop(rng.randrange(len(busy))).key, "ok")
        else:
            break
    if len(game.ladder) <= 2:  # above, a later wave may take a promotion back
        assert all(x <= most for x, most in zip(n_trained, bound, strict=True))


@given(GAMES, st.integers(1, 9), RANDOMS)
def test_the_bound_is_never_less_than_what_is_trained_and_ends_there(game, n, rng):
    game = replace(game, bad=0.0, ladder=game.ladder[-2:], n_folds=game.n_folds[-2:])
    schedule, busy, bounds, n_trained = game.schedule(), [], [], 0
    while True:
        action = schedule.take() if len(busy) < n else Wait()
        bounds.append(sum(schedule.most_trainings()))
        if isinstance(action, DrawWave):
            schedule.drawn(action, min(action.n, max(0, game.n_in_space - schedule.n_drawn)))
        elif isinstance(action, Train):
            busy.append(action)
            n_trained += 1
        elif busy:
            schedule.finished(*busy.pop(rng.randrange(len(busy))).key, "ok")
        else:
            break
    assert min(bounds) >= n_trained == bounds[-1]


def test_a_promoted_configuration_that_fails_gives_its_place_back():
    """Known scores: 2 is best, then 0; 2 fails in LOSO, so 0 is promoted in its place."""

    class Known(Chance):
        def score(self, number, rung, n_folds):
            return [0.5, 0.1, 0.9, 0.2][number]

    schedule = Schedule(
        (Rung(2, keep=0.25), Rung()), n_folds=(2, 3), n_configs=4, wave_size=4, comparison=Known()
    )
    order = []
    while not isinstance(action := schedule.take(), Done):
        if isinstance(action, DrawWave):
            schedule.drawn(action, action.n)
            continue
        order.append(action.key)
        schedule.finished(*action.key, "failed" if action.key == (2, 1, 1) else "ok")
    assert [key for key in order if key[1]] == [
        (2, 1, 0),
        (2, 1, 1),
        *((0, 1, f) for f in range(3)),
    ]
    assert schedule.decisions.best() == 0


class Rising(Chance):
    """Every configuration beats those before."""

    def score(self, number, rung, n_folds):
        return number / 10


def promoted(ladder, comparison, *, n_configs, wave_size):
    """Train all that is asked for, and number the configurations that take the second rung."""
    schedule = Schedule(
        ladder, n_folds=(2, 1), n_configs=n_configs, wave_size=wave_size, comparison=comparison
    )
    while not isinstance(action := schedule.take(), Done):
        if isinstance(action, DrawWave):
            schedule.drawn(action, action.n)
        else:
            schedule.finished(*action.key, "ok")
    return [entry.number for entry in schedule.decisions.entries(1)]


def test_at_most_twice_the_quota_are_promoted_though_later_ones_score_more():
    """From n = 4 on the quota is 1."""
    ladder = (Rung(2, keep=0.25), Rung())
    assert promoted(ladder, Rising(), n_configs=7, wave_size=1) == [3, 4]


def test_the_first_configuration_takes_the_last_rung_beside_the_quota():
    ladder = (Rung(2, keep=0.25, keeps_first=True), Rung())
    assert promoted(ladder, Rising(), n_configs=4, wave_size=4) == [0, 3]
    assert entering(ladder, 4, 4) == [4, 2]


def test_nobody_has_to_reach_the_first_configuration_where_it_takes_no_place():
    """It is the best of all; of the others one in four is promoted, so the best of four counts."""

    class Falling(Chance):
        def __init__(self):
            super().__init__()
            self.rivals = set()

        def score(self, number, rung, n_folds):
            return 1 - number / 100

        def is_behind(self, number, rung, n_folds, rival):
            self.rivals.add(rival)
            return False

    comparison = Falling()
    ladder = (Rung(2, keep=0.25, drop="bootstrap", keeps_first=True), Rung())
    assert promoted(ladder, comparison, n_configs=12, wave_size=4)[:2] == [0, 1]
    assert comparison.rivals == {1}


def test_ready_work_goes_up_the_ladder_first_then_fold_by_fold_across_the_wave():
    game = Game(EXHAUSTIVE, (2,), n_configs=4, wave_size=2, seed=0, bad=0.0)
    play = Play(game, n_workers=1)
    play.run()
    wave_0, wave_1 = [(0, 0), (1, 0), (0, 1), (1, 1)], [(2, 0), (3, 0), (2, 1), (3, 1)]
    assert [(number, fold) for number, _, fold in trained(play.events)] == wave_0 + wave_1
    ladder = Game((Rung(2, keep=0.5), Rung()), (2, 2), n_configs=6, wave_size=2, seed=0, bad=0.0)
    play = Play(ladder, n_workers=1)
    play.run()
    rungs = [rung for _, rung, _ in trained(play.events)]
    assert rungs[:6] == [0, 0, 0, 0, 1, 1]


def test_work_that_a_drop_may_make_surplus_is_for_workers_that_would_idle():
    game = Game(
        (Rung(3, keep=0.25, drop="bootstrap"), Rung()), (3, 5), n_configs=3, wave_size=1, seed=0
    )
    schedule, handed_out = game.schedule(), []
    while not isinstance(action := schedule.take(), Wait):
        if isinstance(action, DrawWave):
            schedule.drawn(action, action.n)
        elif action.key[0] < 2:
            schedule.finished(*action.key, "ok")
        else:
            handed_out.append(action.key[2])
    assert handed_out == [0, 1, 2]
    assert schedule.most_trainings(0)[0] == 9


def test_no_worker_idles_while_a_second_wave_has_work():
    schedule = Game(EXHAUSTIVE, (1,), n_configs=4, wave_size=2, seed=0).schedule()
    actions = []
    while not isinstance(action := schedule.take(), Wait):
        if isinstance(action, DrawWave):
            schedule.drawn(action, action.n)
        actions.append(action)
    assert [a.key[0] for a in actions if isinstance(a, Train)] == [0, 1, 2, 3]


def test_a_failed_fold_cancels_later_folds_and_earlier_ones_decide_first():
    schedule = Game(EXHAUSTIVE, (5,), n_configs=1, wave_size=1, seed=0).schedule()
    schedule.drawn(schedule.take(), 1)
    first, second = schedule.take(), schedule.take()
    schedule.finished(*second.key, "failed")
    assert isinstance(schedule.take(), Wait)
    assert schedule.decisions.entry(0, 0).state == "running"
    schedule.finished(*first.key, "lost")
    assert (schedule.decisions.entry(0, 0).state, schedule.decisions.entry(0, 0).n_decided) == (
        "lost",
        1,
    )
    assert isinstance(schedule.take(), Done)


def test_a_lost_training_is_tried_again_three_times_at_most():
    schedule = Game(EXHAUSTIVE, (1,), n_configs=1, wave_size=1, seed=0).schedule()
    schedule.drawn(schedule.take(), 1)
    attempts = []
    while isinstance(train := schedule.take(), Train):
        attempts.append(train.attempt)
        if not schedule.lost(train):
            schedule.finished(*train.key, "lost")
    assert attempts == list(range(1, MAX_ATTEMPTS + 1))


def test_the_end_of_a_budget_is_the_end_of_a_smaller_study():
    ladder = (Rung(3, keep=0.3, drop="bootstrap"), Rung())
    large = Game(ladder, (3, 4), n_configs=20, wave_size=4, seed=7, bad=0.0)
    small = replace(large, n_configs=12)
    schedule = large.schedule()
    while not isinstance(action := schedule.take(), Done):
        if isinstance(action, Train):
            schedule.finished(*action.key, large.outcome(*action.key))
        elif action.wave < 3:
            schedule.drawn(action, action.n)
        else:
            schedule.end_drawing()
    assert decisions(schedule, large) == decisions(Play(small, n_workers=5).run(), small)


def test_a_training_recorded_twice_is_an_error():
    schedule = Game(EXHAUSTIVE, (2,), n_configs=1, wave_size=1, seed=0).schedule()
    schedule.drawn(schedule.take(), 1)
    schedule.finished(0, 0, 0, "ok")
    with pytest.raises(ValueError, match="recorded twice"):
        schedule.finished(0, 0, 0, "ok")
