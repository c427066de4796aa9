"""The race: what is trained next, for any timing, failures, losses and restarts."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dianet_ray.protocol.race import MAX_ATTEMPTS, Done, DrawWave, Race, Train, Wait

STUDIES = st.tuples(st.integers(1, 12), st.integers(1, 5), st.integers(1, 6))


def play(race, outcome, *, n_workers=2, rng=None, n_in_space=10**6, stop_after=10**9):
    """Run a race with workers that finish in random order; return what it did, in order."""
    rng = rng or random.Random(0)
    busy, events = [], []
    while len(events) < stop_after:
        while len(busy) < n_workers:
            action = race.take()
            if isinstance(action, DrawWave):
                n = max(0, min(action.n, n_in_space - race.n_drawn))
                race.drawn(action, n)
                events.append(("draw", action.wave, action.first, n))
            elif isinstance(action, Train):
                busy.append(action)
            else:
                break
        if not busy:
            assert isinstance(action, Done)
            break
        train = busy.pop(rng.randrange(len(busy)))
        (fold,) = train.folds
        result = outcome(train.number, fold, train.attempt)
        if result == "lost" and race.lost(train.number, fold):
            events.append(("retry", train.number, fold))
            continue
        race.finished(train.number, fold, result)
        events.append(("train", train.number, fold, result))
    return events


def trained(events):
    return [event[1:3] for event in events if event[0] == "train"]


@given(STUDIES, st.integers(1, 9), st.randoms(use_true_random=False))
def test_every_training_of_every_configuration_runs_once(study, n_workers, rng):
    n_configs, wave_size, n_folds = study
    race = Race(n_configs=n_configs, wave_size=wave_size, n_folds=n_folds)
    done = trained(play(race, lambda *_: "ok", n_workers=n_workers, rng=rng))
    assert sorted(done) == [(c, f) for c in range(n_configs) for f in range(n_folds)]


@given(STUDIES, st.integers(1, 9), st.randoms(use_true_random=False), st.integers(0, 99))
def test_it_ends_and_repeats_nothing_whatever_fails_or_is_lost(study, n_workers, rng, seed):
    n_configs, wave_size, n_folds = study

    def outcome(number, fold, attempt):
        return random.Random(f"{seed} {number} {fold} {attempt}").choice(["ok", "failed", "lost"])

    race = Race(n_configs=n_configs, wave_size=wave_size, n_folds=n_folds)
    events = play(race, outcome, n_workers=n_workers, rng=rng)
    done = trained(events)
    assert len(done) == len(set(done))
    bad = {event[1] for event in events if event[0] == "train" and event[3] != "ok"}
    for number in set(range(n_configs)) - bad:
        assert sum(n == number for n, _ in done) == n_folds
    assert isinstance(race.take(), Done)


@given(STUDIES, st.integers(1, 9), st.randoms(use_true_random=False))
def test_a_wave_is_drawn_only_when_the_wave_before_the_last_has_closed(study, n_workers, rng):
    n_configs, wave_size, n_folds = study
    race = Race(n_configs=n_configs, wave_size=wave_size, n_folds=n_folds)
    done = set()
    for event in play(race, lambda *_: "ok", n_workers=n_workers, rng=rng):
        if event[0] == "train":
            done.add(event[1:3])
        else:
            closed = range(max(0, event[1] - 1) * wave_size)
            assert {(c, f) for c in closed for f in range(n_folds)} <= done


@given(STUDIES, st.integers(1, 4), st.randoms(use_true_random=False), st.data())
def test_a_restart_fed_with_the_records_goes_on_where_it_was(study, n_workers, rng, data):
    n_configs, wave_size, n_folds = study
    sizes = {"n_configs": n_configs, "wave_size": wave_size, "n_folds": n_folds}
    stop_after = data.draw(st.integers(0, n_configs * (n_folds + 1)))

    def outcome(number, fold, attempt):
        return "failed" if (number, fold) == (1, 2) else "ok"

    before = play(Race(**sizes), outcome, n_workers=n_workers, rng=rng, stop_after=stop_after)
    # What the killed driver had handed out is forgotten with it, and handed out again.
    fresh = Race(**sizes)
    records = {event[1:3]: event[3] for event in before if event[0] == "train"}
    done = []
    while not isinstance(action := fresh.take(), Done):
        if isinstance(action, DrawWave):
            fresh.drawn(action, action.n)
            for (number, fold), result in records.items():
                if action.first <= number < action.first + action.n:
                    fresh.finished(number, fold, result)
        elif isinstance(action, Train):
            done.append((action.number, *action.folds))
            fresh.finished(action.number, *action.folds, outcome(action.number, *action.folds, 1))
    assert not set(done) & set(records)
    for number in set(range(n_configs)) - {1}:
        assert all((number, f) in done or (number, f) in records for f in range(n_folds))


def test_ready_work_goes_fold_by_fold_across_the_wave_then_to_the_next_wave():
    race = Race(n_configs=4, wave_size=2, n_folds=2)
    order = [e[1:3] for e in play(race, lambda *_: "ok", n_workers=1) if e[0] == "train"]
    wave_0, wave_1 = [(0, 0), (1, 0), (0, 1), (1, 1)], [(2, 0), (3, 0), (2, 1), (3, 1)]
    assert order == wave_0 + wave_1


def test_no_worker_idles_while_a_second_wave_has_work():
    race = Race(n_configs=4, wave_size=2, n_folds=1)
    actions = []
    while not isinstance(action := race.take(), Wait):
        if isinstance(action, DrawWave):
            race.drawn(action, action.n)
        actions.append(action)
    assert [a.number for a in actions if isinstance(a, Train)] == [0, 1, 2, 3]


def test_a_failed_fold_cancels_the_unstarted_trainings_of_its_configuration():
    race = Race(n_configs=1, wave_size=1, n_folds=5)
    events = play(race, lambda n, fold, a: "failed" if fold == 1 else "ok", n_workers=1)
    assert trained(events) == [(0, 0), (0, 1)]


def test_a_lost_training_is_tried_again_three_times_at_most():
    race = Race(n_configs=1, wave_size=1, n_folds=1)
    attempts = []

    def outcome(number, fold, attempt):
        attempts.append(attempt)
        return "lost"

    events = play(race, outcome)
    assert attempts == list(range(1, MAX_ATTEMPTS + 1))
    assert events[-1] == ("train", 0, 0, "lost")


def test_a_space_that_holds_no_more_ends_the_drawing():
    race = Race(n_configs=10, wave_size=2, n_folds=1)
    events = play(race, lambda *_: "ok", n_in_space=3)
    assert sorted(trained(events)) == [(0, 0), (1, 0), (2, 0)]


def test_a_training_recorded_twice_is_an_error():
    race = Race(n_configs=1, wave_size=1, n_folds=2)
    race.drawn(race.take(), 1)
    race.finished(0, 0, "ok")
    with pytest.raises(ValueError, match="recorded twice"):
        race.finished(0, 0, "ok")
