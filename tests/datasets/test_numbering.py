"""What a sheet's frame numbers count: laws of the choice, and what a whole data set shows."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dianet_ray.datasets.numbering import NUMBERINGS, choose_numbering, fits, shift
from dianet_ray.datasets.rules import read_manifest
from tests.support.casme2_files import clips, write_data_set

spans = st.builds(
    lambda onset, length: (onset, onset + length - 1), st.integers(0, 900), st.integers(2, 60)
)
folders = st.builds(
    lambda first, length, gaps: [n for n in range(first, first + length) if n - first not in gaps],
    st.integers(0, 900),
    st.integers(1, 90),
    st.sets(st.integers(1, 89), max_size=2),
)
exact = spans.map(lambda span: (span, list(range(span[0], span[1] + 1))))
any_clip = st.one_of(exact, st.tuples(spans, folders))


@given(st.lists(any_clip, max_size=12))
def test_file_numbers_win_whenever_half_of_the_clips_fit_them(listed):
    n_fitting = sum(fits("file_numbers", *clip) for clip in listed)
    numbering, n_chosen = choose_numbering(listed)
    if 2 * n_fitting >= len(listed):
        assert (numbering, n_chosen) == ("file_numbers", n_fitting)


@given(st.lists(any_clip, max_size=12))
def test_another_numbering_fits_half_of_the_clips_and_more_than_file_numbers_do(listed):
    numbering, n_chosen = choose_numbering(listed)
    assert n_chosen == sum(fits(numbering, *clip) for clip in listed)
    if numbering != "file_numbers":
        assert 2 * n_chosen >= len(listed)
        assert n_chosen > sum(fits("file_numbers", *clip) for clip in listed)


@given(st.lists(any_clip, max_size=12), st.randoms())
def test_the_order_of_the_clips_does_not_matter(listed, random):
    mixed = random.sample(listed, len(listed))
    assert choose_numbering(mixed) == choose_numbering(listed)


@given(st.lists(exact, min_size=1, max_size=12), st.tuples(spans, folders))
def test_one_bad_clip_changes_nothing_for_good_ones(listed, bad):
    assert choose_numbering([*listed, bad])[0] == "file_numbers"


@given(spans, folders, st.sampled_from(NUMBERINGS))
def test_a_fitting_shift_moves_onset_and_offset_onto_files(span, numbers, numbering):
    added = shift(numbering, span, numbers)
    moved = range(span[0] + added, span[1] + added + 1)
    assert fits(numbering, span, numbers) == (
        set(moved) <= set(numbers) and (numbering != "renumbered" or len(moved) == len(numbers))
    )


@given(spans, st.integers(0, 500), st.integers(0, 500))
def test_shifts_find_clips_that_were_moved(span, first, longer):
    onset, offset = span
    length = offset - onset + 1
    renumbered = list(range(first, first + length))
    assert onset + shift("renumbered", span, renumbered) == first
    recording = list(range(first, first + offset + longer))
    assert onset + shift("clip_relative", span, recording) == first + onset - 1
    assert fits("clip_relative", span, recording) == (onset > 0)


def test_nothing_is_moved_in_an_empty_folder():
    for numbering in NUMBERINGS:
        assert shift(numbering, (3, 9), []) == 0
        assert not fits(numbering, (3, 9), [])


def test_a_clip_that_ends_before_it_starts_fits_nothing():
    assert not any(fits(numbering, (9, 3), list(range(1, 30))) for numbering in NUMBERINGS)


def test_no_clips_are_file_numbers():
    assert choose_numbering([]) == ("file_numbers", 0)


# Of whole data sets: n_moved clips of six lie as the other numbering says.


def renumbered(clip):
    return replace(clip, frames=tuple(range(1, clip.offset - clip.onset + 2)))


def clip_relative(clip):
    return replace(clip, frames=tuple(range(300, 300 + clip.offset + 3)))


def read(root, move, n_moved):
    rows = [move(clip) if k < n_moved else clip for k, clip in enumerate(clips(6))]
    return read_manifest("casme2", write_data_set(root, rows))


@pytest.mark.parametrize(
    ("move", "numbering", "frames"),
    [(renumbered, "renumbered", (1, 6, 9)), (clip_relative, "clip_relative", (307, 312, 315))],
)
def test_a_data_set_of_other_numbers_is_found_and_used(tmp_path, move, numbering, frames):
    manifest = read(tmp_path, move, 6)
    (part,) = manifest.sources
    assert (part.numbering, part.n_fitting) == (numbering, 6)
    assert {row.state for row in manifest.rows} == {"used"}
    first = manifest.rows[0]
    assert (first.onset, first.apex, first.offset) == frames


@pytest.mark.parametrize("move", [renumbered, clip_relative])
@pytest.mark.parametrize("n_moved", [1, 2, 3])
def test_a_few_clips_of_other_numbers_are_left_out(tmp_path, move, n_moved):
    manifest = read(tmp_path, move, n_moved)
    assert manifest.sources[0].numbering == "file_numbers"
    left_out = [row for row in manifest.rows if row.state == "left_out"]
    assert len(left_out) == n_moved
    assert {row.reason.partition(":")[0] for row in left_out} == {"frames missing"}


@pytest.mark.parametrize("files", [range(1, 30), range(1, 9), range(2, 30)])
def test_a_folder_that_is_not_its_clip_cannot_be_renumbered(tmp_path, files):
    """Nothing says where frame 1 of a longer folder lies in the recording."""
    rows = [renumbered(clip) for clip in clips(6)]
    rows[0] = replace(rows[0], onset=8, offset=16, frames=tuple(files))
    manifest = read_manifest("casme2", write_data_set(tmp_path, rows))
    assert manifest.sources[0].numbering == "renumbered"
    states = {row.clip_id: row.state for row in manifest.rows}
    assert [name for name, state in states.items() if state != "used"] == ["casme2/sub01/EP00_01"]


def test_the_folder_that_cannot_be_renumbered_says_so(tmp_path):
    rows = [renumbered(clip) for clip in clips(6)]
    rows[0] = replace(rows[0], frames=tuple(range(1, 30)))
    row = read_manifest("casme2", write_data_set(tmp_path, rows)).rows[0]
    assert row.reason == "unclear frames: 29 renumbered files, the clip has 9 frames"
