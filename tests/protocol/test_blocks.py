"""Blocks: what trains as one stack follows from the study, never from time or workers."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dianet_ray.protocol.ladder import Rung
from dianet_ray.protocol.schedule import MAX_ATTEMPTS, DrawWave, Train, Wait
from tests.support.schedules import GAMES, RANDOMS, Game, Play, decisions

SIZES = st.integers(1, 9)
TWO_RUNGS = (Rung(3, keep=0.5, drop="none"), Rung())


def stacked(game, size):
    return replace(game, block=size)


def needed(schedule, play):
    """The trainings that a decision reads, with their blocks."""
    entries = [
        schedule.decisions.entry(number, rung)
        for number in range(schedule.n_drawn)
        for rung in range(len(play.game.ladder))
    ]
    keys = {
        (entry.number, entry.rung, fold)
        for entry in entries
        if entry is not None
        for fold in range(entry.n_decided)
    }
    return {key: play.blocks[key] for key in keys}


@settings(max_examples=150, deadline=None)
@given(GAMES, SIZES)
def test_blocks_decide_what_single_trainings_decide(game, size):
    alone = Play(game).run()
    assert decisions(Play(stacked(game, size)).run(), game) == decisions(alone, game)


@settings(max_examples=150, deadline=None)
@given(GAMES, SIZES)
def test_a_block_is_of_one_rung_and_shape_and_within_its_size(game, size):
    play = Play(stacked(game, size), n_workers=3)
    play.run()
    for (number, _, fold), members in play.blocks.items():
        assert (number, fold) in members
        assert 1 <= len(members) <= size
        assert len(set(members)) == len(members)
        assert len({play.game.shape(number) for number, _ in members}) == 1


@settings(max_examples=100, deadline=None)
@given(GAMES, SIZES, st.integers(1, 6), RANDOMS)
def test_blocks_are_equal_for_any_timing_workers_and_kills(game, size, n_workers, rng):
    """Without failures, whose late discovery may change who was promoted when."""
    game = replace(stacked(game, size), bad=0.0)
    one = Play(game, n_workers=1)
    first = needed(one.run(), one)
    other = Play(game, n_workers=n_workers, rng=rng, p_lose=0.1, p_die=0.2)
    assert needed(other.run(), other) == first


@settings(max_examples=150, deadline=None)
@given(GAMES, SIZES, st.integers(1, 6), RANDOMS)
def test_failures_change_no_block_where_nobody_is_promoted(game, size, n_workers, rng):
    game = replace(stacked(game, size), ladder=game.ladder[-1:], n_folds=game.n_folds[-1:])
    one = Play(game, n_workers=1)
    first = needed(one.run(), one)
    other = Play(game, n_workers=n_workers, rng=rng, p_die=0.2)
    assert needed(other.run(), other) == first


# Found among thousands: in each a configuration leaves a wave while others of it wait for it.
LEAVING = [
    Game(
        (
            Rung(3, keep=0.8),
            Rung(3, keep=0.25, drop="bootstrap", keeps_first=True),
            Rung(drop="bootstrap"),
        ),
        (1, 1, 3),
        n_configs=17,
        wave_size=3,
        seed=207,
        bad=0.2,
        block=1,
    ),
    Game(
        (Rung(3, keep=0.5), Rung(3, keep=0.8, drop="bootstrap"), Rung()),
        (1, 4, 3),
        n_configs=21,
        wave_size=3,
        seed=461,
        bad=0.2,
        block=2,
    ),
    Game(
        (Rung(3, keep=0.5), Rung(drop="bootstrap")),
        (1, 5),
        n_configs=16,
        wave_size=4,
        seed=995,
        bad=0.3,
        block=5,
        n_shapes=1,
    ),
]


@pytest.mark.parametrize("game", LEAVING, ids=lambda game: str(game.seed))
def test_a_configuration_that_loses_its_promotion_keeps_nobody_waiting(game):
    found = decisions(Play(game, n_workers=8, rng=random.Random(game.seed)).run(), game)
    assert found == decisions(Play(replace(game, block=None)).run(), game)


@settings(max_examples=60, deadline=None)
@given(GAMES, SIZES, RANDOMS)
def test_with_failures_kills_change_no_decision_either(game, size, rng):
    game = stacked(game, size)
    killed = Play(game, n_workers=4, rng=rng, p_die=0.2)
    assert decisions(killed.run(), game) == decisions(Play(game).run(), game)


@settings(max_examples=150, deadline=None)
@given(GAMES, SIZES)
def test_a_block_ends_where_a_drop_may_save_something(game, size):
    """So what was dropped has no training beyond the comparison that dropped it."""
    play = Play(replace(stacked(game, size), bad=0.0), n_workers=3)
    schedule = play.run()
    for number in range(schedule.n_drawn):
        entry = schedule.decisions.entry(number, 0)
        if entry.state == "dropped":
            trained = {fold for n, rung, fold in play.records if (n, rung) == (number, 0)}
            assert trained == set(range(entry.n_decided))


def taken(schedule):
    """Take what can be taken now, drawing the waves that are asked for."""
    found = []
    while not isinstance(action := schedule.take(), Wait):
        if isinstance(action, DrawWave):
            schedule.drawn(action, action.n)
        elif isinstance(action, Train):
            found.append(action)
    return found


def test_configurations_of_a_wave_that_share_a_shape_train_together():
    game = Game(TWO_RUNGS, (3, 5), n_configs=4, wave_size=4, seed=0, block=6, n_shapes=1)
    blocks = [train.members for train in taken(game.schedule())]
    assert blocks == [
        ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)),
        ((2, 0), (2, 1), (2, 2), (3, 0), (3, 1), (3, 2)),
    ]


def test_a_block_that_does_not_fit_is_cut_and_so_is_what_follows():
    game = Game(TWO_RUNGS, (3, 5), n_configs=4, wave_size=4, seed=0, block=12, n_shapes=1)
    schedule = game.schedule()
    (whole,) = taken(schedule)
    assert len(whole.members) == 12
    assert schedule.split(whole) == 6
    blocks = taken(schedule)
    assert [len(train.members) for train in blocks] == [6, 6]
    assert schedule.split(blocks[0]) == 3
    smaller = taken(schedule)
    assert [len(train.members) for train in smaller] == [3, 3]
    assert schedule.split(smaller[0]) == 1
    assert schedule.split(blocks[1]) == 1, "a block of before must not raise the size"
    blocks = [smaller[1], *taken(schedule)]
    assert {train.attempt for train in blocks} == {1}
    assert sorted(m for train in blocks for m in train.members) == sorted(whole.members)


def test_a_block_that_cannot_be_one_stack_is_cut_in_two_and_tried_anew():
    game = Game(TWO_RUNGS, (3, 5), n_configs=2, wave_size=2, seed=0, block=6, n_shapes=1)
    schedule = game.schedule()
    (whole,) = taken(schedule)
    schedule.cut(whole)
    halves = taken(schedule)
    assert [train.members for train in halves] == [whole.members[:3], whole.members[3:]]
    schedule.cut(halves[0])
    assert [len(train.members) for train in taken(schedule)] == [2, 1]


def test_a_lost_block_is_tried_again_as_it_was():
    game = Game(TWO_RUNGS, (3, 5), n_configs=2, wave_size=2, seed=0, block=4, n_shapes=1)
    schedule = game.schedule()
    first, second = taken(schedule)
    for attempt in range(2, MAX_ATTEMPTS + 1):
        assert schedule.lost(replace(first, attempt=attempt - 1))
        (again,) = taken(schedule)
        assert (again.members, again.attempt) == (first.members, attempt)
    assert not schedule.lost(again)
    assert second.members == ((1, 1), (1, 2))
