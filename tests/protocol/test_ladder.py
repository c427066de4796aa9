"""Ladders: places, what is written of them, what a user may ask for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dianet_ray.artefacts import from_json, to_json
from dianet_ray.errors import InputError
from dianet_ray.protocol.ladder import (
    EXHAUSTIVE,
    Rung,
    default_ladder,
    entering,
    parse_keep,
    parse_ladder,
)
from tests.support.studies import CLASSES, make_clips

KEEPS = st.integers(2, 60).map(lambda n: 1 / n)
RUNGS = st.builds(
    Rung, st.integers(2, 9), st.just(0.5), KEEPS, st.sampled_from(["none"]), st.booleans()
)


@given(st.lists(RUNGS, max_size=3), st.sampled_from([Rung(), Rung(drop="bootstrap")]))
def test_a_ladder_reads_back_as_it_is_written(below, last):
    ladder = (*below, last)
    assert tuple(from_json(Rung, to_json(rung), "") for rung in ladder) == ladder


@given(KEEPS, st.integers(1, 300))
def test_places_never_shrink_and_the_last_wave_has_one(keep, n):
    rung = Rung(3, keep=keep)
    assert rung.quota(n, is_last_wave=False) <= rung.quota(n + 1, is_last_wave=False)
    assert rung.quota(n, is_last_wave=True) == max(1, rung.quota(n, is_last_wave=False))
    assert rung.quota(round(1 / keep) * n, is_last_wave=False) == n


@given(st.lists(RUNGS, max_size=3), st.integers(1, 300))
def test_no_more_enter_a_rung_than_the_one_below(below, n):
    counts = entering((*below, Rung()), n, 8)
    assert counts[0] == n
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] >= 1


@given(st.fractions(min_value=0, max_value=1, max_denominator=99).filter(lambda x: 0 < x < 1))
def test_a_share_is_a_number_or_a_fraction(share):
    assert parse_keep(str(share), "") == parse_keep(repr(float(share)), "") == float(share)


@given(st.lists(st.tuples(st.integers(2, 9), st.sampled_from([0.25, 0.5, 1.0])), min_size=1))
def test_a_ladder_is_parsed_as_its_groups_and_shares_then_loso(below):
    *rungs, last = parse_ladder(",".join(f"{n}*{steps}" for n, steps in below))
    assert [(rung.groups, rung.steps) for rung in rungs] == below
    assert last == Rung()


def test_a_rung_partitions_all_clips_and_says_how():
    clips = make_clips(8)
    for rung, n_folds, words in [(Rung(3, keep=0.25), 3, "3 groups"), (Rung(), 8, "loso")]:
        folds = rung.folds(clips, CLASSES, 0)
        assert len(folds) == n_folds
        assert sum(len(fold.test_clips) for fold in folds) == len(clips)
        assert words in str(rung)


def test_a_handful_of_subjects_has_no_rung_below_loso():
    assert default_ladder(4) == EXHAUSTIVE
    assert [rung.groups for rung in default_ladder(26)] == [3, None]
    assert {rung.drop for rung in default_ladder(26, "none")} == {"none"}
    assert {rung.drop for rung in default_ladder(26)} == {"bootstrap"}


@pytest.mark.parametrize("text", ["", "3,", "x", "1", "3*2", "3*0", "3*x", "3;4"])
def test_a_ladder_that_is_none_is_refused_in_one_line(text):
    with pytest.raises(InputError, match="ladder"):
        parse_ladder(text)


@pytest.mark.parametrize("text", ["", "0", "1", "2", "-1/4", "1/0", "x", "nan"])
def test_a_share_outside_0_to_1_is_refused(text):
    with pytest.raises(InputError, match="between 0 and 1"):
        parse_keep(text, "--keep")


@pytest.mark.parametrize(("text", "says"), [("1", "groups"), ("3*0", "steps"), ("3*2", "steps")])
def test_a_rung_that_cannot_be_is_refused_by_its_own_rule(text, says):
    with pytest.raises(InputError, match=says) as error:
        parse_ladder(text)
    assert "takes groups and shares of steps like" not in str(error.value)
