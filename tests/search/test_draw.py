"""A draw is a pure function of space, seed, wave and the closed waves."""

import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from dianet_ray.search.draw import Past, draw
from dianet_ray.search.space import Constraint, Space
from dianet_ray.search.space_file import load_space
from dianet_ray.settings import Choice, Range, Settings

SAMPLERS = ("tpe", "random")
DIMENSIONS = {
    "heads": Choice((1, 2, 3, 4)),
    "embedding": Choice((32, 48, 64)),
    "learning_rate": Range(1e-4, 1e-2, log=True),
    "steps": Range(100, 400, step=50),
    "fusion": Choice(("cross_attention", "concat")),
    "flip": Choice((True, False)),
}


def toy_space(sampler="tpe", first=(), dimensions=DIMENSIONS, around=None):
    divides = (Constraint("heads", "divides", "embedding"),)
    return Space(sampler, {}, dimensions, divides, first, around)


def run(space, seed, n_waves, size=4, state="complete"):
    """Draw waves as a search does, each outcome a function of the settings alone."""
    history = []
    for wave in range(n_waves):
        settings = draw(space, seed, wave=wave, n=size, history=history)
        history += [Past(s, wave, state, -abs(s.learning_rate - 1e-3)) for s in settings]
    return history


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_draw_repeats_at_any_resume_point_past_the_random_start_up(sampler):
    whole = run(toy_space(sampler), 0, 6)
    for wave in range(6):
        again = draw(toy_space(sampler), 0, wave=wave, n=4, history=whole[: 4 * wave])
        assert again == [past.settings for past in whole[4 * wave : 4 * wave + 4]]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_last_wave_counts_as_running_whatever_it_has_become(sampler):
    whole = run(toy_space(sampler), 0, 4)
    finished = draw(toy_space(sampler), 0, wave=4, n=4, history=whole)
    unfinished = [Past(p.settings, p.wave, "running") if p.wave == 3 else p for p in whole]
    assert draw(toy_space(sampler), 0, wave=4, n=4, history=unfinished) == finished


def test_what_closed_earlier_changes_what_tpe_draws():
    whole = run(toy_space(), 0, 5)
    other = [Past(p.settings, p.wave, p.state, -p.score) for p in whole]
    first, second = (draw(toy_space(), 0, wave=5, n=4, history=h) for h in (whole, other))
    assert first != second


def test_tpe_learns_of_choices_however_the_file_writes_them(tmp_path):
    path = tmp_path / "space.yaml"
    path.write_text(
        "search:\n"
        "  learning_rate: [1e-3, 3e-3, 0.123456789]\n"
        "  heads: ['1', '2', '4']\n"
        "  weight_decay: {low: 1e-5, high: 1, log: true}\n"
        "constraints: [heads divides embedding]\n"
    )
    loaded = load_space(str(path))
    whole = run(loaded, 0, 8)
    other = [Past(p.settings, p.wave, p.state, -p.score) for p in whole]
    first, second = (draw(loaded, 0, wave=8, n=4, history=h) for h in (whole, other))
    assert first != second


def test_waves_and_seeds_draw_differently():
    first = draw(toy_space("random"), 0, wave=0, n=4, history=[])
    assert first != draw(toy_space("random"), 1, wave=0, n=4, history=[])
    history = [Past(s, 0, "running") for s in first]
    assert not set(first) & set(draw(toy_space("random"), 0, wave=1, n=4, history=history))


@pytest.mark.parametrize("sampler", [*SAMPLERS, "grid"])
def test_a_shorter_wave_is_the_beginning_of_a_longer_one(sampler):
    dimensions = {"heads": Choice((1, 2, 4)), "embedding": Choice((32, 64, 96))}
    longer = draw(toy_space(sampler, dimensions=dimensions), 0, wave=0, n=6, history=[])
    assert (
        draw(toy_space(sampler, dimensions=dimensions), 0, wave=0, n=2, history=[]) == longer[:2]
    )


@budget(max_examples=15, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(SAMPLERS), st.integers(1, 9))
def test_drawn_settings_are_new_and_keep_the_constraints(seed, sampler, size):
    history = run(toy_space(sampler), seed, 3, size)
    settings = [past.settings for past in history]
    assert len(settings) == len(set(settings)) == 3 * size
    assert all(s.embedding % s.heads == 0 for s in settings)
    assert all(s.learning_rate == float(f"{s.learning_rate:.6g}") for s in settings)
    assert all(1e-4 <= s.learning_rate <= 1e-2 for s in settings)


def test_first_settings_run_in_order_and_are_not_drawn_again():
    listed = tuple(Settings(heads=h, embedding=32) for h in (4, 1, 2))
    dimensions = {"heads": Choice((1, 2, 4, 8)), "embedding": Choice((32,))}
    enqueued = toy_space("random", listed, dimensions)
    first = draw(enqueued, 0, wave=0, n=2, history=[])
    assert first == list(listed[:2])
    second = draw(enqueued, 0, wave=1, n=2, history=[Past(s, 0, "running") for s in first])
    assert second == [listed[2], Settings(heads=8, embedding=32)]


@pytest.mark.parametrize("sampler", [*SAMPLERS, "grid"])
def test_a_small_space_ends_when_it_holds_no_more(sampler):
    dimensions = {"heads": Choice((1, 2, 3)), "embedding": Choice((32, 64))}
    drawn = draw(toy_space(sampler, dimensions=dimensions), 0, wave=0, n=50, history=[])
    assert len(drawn) == 4  # 3 divides neither
    history = [Past(s, 0, "complete", 0.5) for s in drawn]
    assert draw(toy_space(sampler, dimensions=dimensions), 0, wave=1, n=4, history=history) == []


def n_moved(space, settings):
    centre = space.centre()
    return sum(getattr(settings, name) != value for name, value in centre.items())


@budget(max_examples=10, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 9))
def test_half_of_the_first_two_waves_lies_around_the_centre(seed, size):
    """Everything else is what the sampler draws without a centre."""
    around = toy_space(around={"heads": 2, "learning_rate": 1e-3, "steps": 300})
    history = run(around, seed, 2, size)
    for wave in range(2):
        past = history[: size * wave]
        drawn = [one.settings for one in history if one.wave == wave]
        sampled = draw(toy_space(), seed, wave=wave, n=size, history=past)
        n_sampled = size // 2
        assert set(sampled[:n_sampled]) <= set(drawn)
        near = [settings for settings in drawn if settings not in sampled[:n_sampled]]
        assert len(near) == size - n_sampled
        assert all(settings.embedding % settings.heads == 0 for settings in near)


def test_draws_around_the_centre_move_few_settings():
    around = toy_space(around={"steps": 200})
    near = [
        draw(around, seed, wave=wave, n=1, history=[])[0] for seed in range(40) for wave in (0, 1)
    ]
    moved = [n_moved(around, settings) for settings in near]
    # Of six settings 1.3 move, and of those that move some choices stay as they are.
    assert 0.6 < sum(moved) / len(moved) < 1.6
    drawn = [draw(toy_space(), seed, wave=0, n=1, history=[])[0] for seed in range(40)]
    assert sum(n_moved(around, settings) for settings in drawn) / len(drawn) > 3


def test_later_waves_know_no_centre():
    history = run(toy_space(), 0, 2)
    around, without = (toy_space(around=given) for given in ({}, None))
    draws = [draw(space, 0, wave=2, n=4, history=history) for space in (around, without)]
    assert draws[0] == draws[1]


def test_a_central_value_outside_what_is_searched_always_moves():
    dimensions = {"heads": Choice((2, 8)), "learning_rate": Range(1e-5, 1e-4)}
    space = toy_space(dimensions=dimensions, around={})
    drawn = draw(space, 0, wave=0, n=20, history=[])
    assert {one.heads for one in drawn} == {2, 8}
    assert all(1e-5 <= one.learning_rate <= 1e-4 for one in drawn)


def test_a_space_of_first_settings_alone_holds_no_others():
    first = (Settings(), Settings(heads=2))
    assert draw(toy_space(first=first, dimensions={}), 0, wave=0, n=9, history=[]) == list(first)


def test_a_space_with_everything_fixed_holds_one_configuration():
    fixed = Space("tpe", {"heads": 2}, {}, (), ())
    assert draw(fixed, 0, wave=0, n=9, history=[]) == [Settings(heads=2)]


def test_a_configuration_that_failed_ranks_last_for_tpe():
    """With FAIL, TPE would ignore it and keep drawing there."""
    dimensions = {"learning_rate": Range(1e-4, 1.0, log=True)}
    history = []
    for wave in range(10):
        drawn = draw(toy_space(dimensions=dimensions), 3, wave=wave, n=8, history=history)
        history += [
            Past(s, wave, "failed")
            if s.learning_rate > 1e-2
            else Past(s, wave, "complete", -abs(s.learning_rate - 1e-3))
            for s in drawn
        ]
    late = [past for past in history if past.wave >= 4]
    assert sum(past.state == "failed" for past in late) < len(late) / 3
