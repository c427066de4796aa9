"""Batches: fair index streams, augmentation that treats a clip's phases alike, pixels."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from dianet_ray.model.batches import (
    N_DRAWS,
    STEPS_AT_ONCE,
    Pixels,
    batch_of,
    index_stream,
    steps,
)
from tests.support.toy import TINY, toy_images

CPU = torch.device("cpu")
PLAIN = TINY.model_copy(update={"shift": 0.0, "flip": False, "erasing": 0.0})


@settings(max_examples=60)
@given(st.integers(1, 20), st.integers(1, 30), st.integers(1, 12), st.integers(0, 2**62))
def test_every_clip_is_drawn_equally_often_give_or_take_one(n_clips, batch_size, n, seed):
    clips = torch.arange(100, 100 + n_clips)
    drawn = torch.cat(list(islice(index_stream(clips, batch_size, seed), n)))
    assert drawn.shape == (batch_size * n,)
    counts = torch.bincount(drawn - 100, minlength=n_clips)
    assert counts.max() - counts.min() <= 1
    again = torch.cat(list(islice(index_stream(clips, batch_size, seed), n)))
    assert torch.equal(drawn, again)


def test_an_index_stream_shuffles_every_epoch_anew():
    clips = torch.arange(50)
    first, second = islice(index_stream(clips, 50, 3), 2)
    assert not torch.equal(first, clips)
    assert not torch.equal(first, second)


BUSY = TINY.model_copy(
    update={"shift": 0.2, "rotation": 30.0, "scale": 0.3, "erasing": 0.5, "mixup": 0.4}
)
"""Everything that augmentation can do."""


def take(members, n_steps, values=TINY):
    return list(islice(steps([values] * len(members), members, n_features=4, device=CPU), n_steps))


def test_a_member_of_a_stack_draws_what_it_draws_alone():
    members = [(torch.arange(9), 5), (torch.arange(3, 20), 6), (torch.arange(2), 7)]
    together = take(members, STEPS_AT_ONCE + 3, BUSY)
    for number, member in enumerate(members):
        for step, alone in zip(together, take([member], STEPS_AT_ONCE + 3, BUSY), strict=True):
            for name in ("clips", "draws", "keep", "own"):
                assert torch.equal(getattr(step, name)[number], getattr(alone, name)[0])


def test_members_with_different_seeds_draw_differently():
    clips = torch.arange(9)
    (step,) = take([(clips, 5), (clips, 6)], 1)
    assert not torch.equal(step.clips[0], step.clips[1])
    assert not torch.equal(step.draws[0], step.draws[1])


def test_dropout_does_not_change_which_clips_are_drawn_nor_how_they_are_augmented():
    members = [(torch.arange(9), 5)]
    (one,) = take(members, 1)
    (other,) = take(members, 1, TINY.model_copy(update={"dropout": 0.0}))
    assert torch.equal(one.clips, other.clips)
    assert torch.equal(one.draws, other.draws)
    assert torch.equal(other.keep, torch.ones_like(other.keep))


def test_dropout_keeps_the_mean():
    values = TINY.model_copy(update={"dropout": 0.25, "batch_size": 500})
    keep = torch.cat([step.keep for step in take([(torch.arange(9), 5)], 8, values)])
    assert keep.unique().tolist() == [0.0, pytest.approx(4 / 3)]
    assert keep.mean().item() == pytest.approx(1, abs=0.02)


def pixels_of(images, phases=(0, 1)):
    return Pixels(images, phases, device=CPU)


def draws_of(**named):
    """Make draws (1, 1, N_DRAWS) that change nothing unless named."""
    names = ("down", "right", "flip", "erase", "height", "width", "top", "left", "turn", "size")
    neutral = dict.fromkeys(names, 0.5) | {"flip": 0.9, "erase": 0.99}
    values = torch.tensor([(neutral | named)[name] for name in names])
    assert len(values) == N_DRAWS
    return values.view(1, 1, -1)


def gather_one(images, values, draws=None):
    """Gather clip 1: (P, H, W, C)."""
    x = pixels_of(images).gather(torch.tensor([[1]]), values, draws)
    return x[0, 0].permute(0, 2, 3, 1).numpy()


def test_without_augmentation_a_batch_holds_the_stored_values():
    images, _ = toy_images(7, size=8)
    clips = torch.tensor([[3, 0], [6, 6], [1, 2]])
    x = pixels_of(images).gather(clips, PLAIN)
    assert x.dtype == torch.float32
    expected = images[clips.numpy()][:, :, :2].transpose(0, 1, 2, 5, 3, 4)
    assert np.array_equal(x.numpy(), expected.astype(np.float32))


def test_only_the_phases_in_use_are_kept():
    images, _ = toy_images(3, size=8)
    x = pixels_of(images, (2,)).gather(torch.tensor([[1]]), PLAIN)
    assert np.array_equal(x[0, 0, 0].permute(1, 2, 0).numpy(), images[1, 2].astype(np.float32))


def test_neutral_draws_leave_a_clip_alone():
    images, _ = toy_images(3, size=8)
    values = TINY.model_copy(update={"shift": 0.3, "flip": True, "erasing": 0.5})
    assert np.array_equal(gather_one(images, values, draws_of()), gather_one(images, PLAIN))


def test_a_flip_mirrors_all_phases():
    images, _ = toy_images(3, size=8)
    values = PLAIN.model_copy(update={"flip": True})
    flipped = gather_one(images, values, draws_of(flip=0.1))
    assert np.array_equal(flipped, images[1, :2, :, ::-1].astype(np.float32))


def test_a_shift_moves_all_phases_and_uncovers_no_motion():
    images, _ = toy_images(3, size=8)
    values = PLAIN.model_copy(update={"shift": 0.25})
    shifted = gather_one(images, values, draws_of(down=0.99, right=0.0))
    expected = np.zeros_like(shifted)
    expected[:, 2:, :-2] = images[1, :2, :-2, 2:]
    assert np.array_equal(shifted, expected)


@given(st.integers(4, 40), st.floats(0, 0.5), st.floats(0, 0.9999))
def test_a_shift_is_at_most_its_share_of_the_image(size, share, draw):
    images = np.zeros((2, 3, size, size, 3), np.float16)
    images[1] = 1
    values = PLAIN.model_copy(update={"shift": share})
    shifted = gather_one(images, values, draws_of(down=draw))
    rows_left = int((shifted[0, :, size // 2, 0] == 1).sum())
    assert rows_left >= size - round(share * size)


@given(st.floats(0, 0.9999), st.floats(0, 0.9999), st.floats(0, 0.9999), st.floats(0, 0.9999))
def test_erasing_removes_the_same_inner_rectangle_from_all_phases(height, width, top, left):
    images = np.ones((2, 3, 20, 20, 3), np.float16)
    values = PLAIN.model_copy(update={"erasing": 0.5})
    draws = draws_of(erase=0.4, height=height, width=width, top=top, left=left)
    gone = gather_one(images, values, draws) == 0
    assert (gone == gone[:1, :, :, :1]).all()
    rows, columns = (
        np.flatnonzero(gone[0, :, :, 0].any(1)),
        np.flatnonzero(gone[0, :, :, 0].any(0)),
    )
    assert gone[0, :, :, 0].sum() == len(rows) * len(columns)
    assert 2 <= len(rows) <= 8
    assert 2 <= len(columns) <= 8


@pytest.mark.parametrize(("turn", "n_quarters"), [(1.0, -1), (0.0, 1)])
def test_a_quarter_of_a_turn_turns_all_phases(turn, n_quarters):
    images, _ = toy_images(3, size=8)
    turned = gather_one(images, PLAIN.model_copy(update={"rotation": 90.0}), draws_of(turn=turn))
    expected = np.rot90(images[1, :2].astype(np.float32), n_quarters, axes=(1, 2))
    np.testing.assert_allclose(turned, expected, atol=1e-4)


@given(st.floats(0, 1), st.floats(0, 1), st.booleans())
def test_rotation_and_size_read_between_pixels_as_the_library_does(turn, size, is_flipped):
    images, _ = toy_images(2, size=9)
    values = PLAIN.model_copy(update={"rotation": 60.0, "scale": 0.5, "flip": True})
    draws = draws_of(turn=turn, size=size, flip=0.1 if is_flipped else 0.9)
    found = gather_one(images, values, draws)
    angle, factor = np.deg2rad(60 * (2 * turn - 1)), 1.5 ** -(2 * size - 1)
    mirror = -1 if is_flipped else 1
    cos, sin = factor * np.cos(angle), factor * np.sin(angle)
    places = torch.tensor([[[mirror * cos, sin, 0], [-mirror * sin, cos, 0]]], dtype=torch.float32)
    grid = functional.affine_grid(places, (1, 3, 9, 9), align_corners=True)
    x = torch.from_numpy(images[1, :2].astype(np.float32)).permute(0, 3, 1, 2)
    expected = functional.grid_sample(x, grid.expand(2, -1, -1, -1), align_corners=True)
    # At the very border rounding decides whether a place is inside.
    np.testing.assert_allclose(
        found[:, 1:-1, 1:-1], expected.permute(0, 2, 3, 1)[:, 1:-1, 1:-1], atol=2e-2
    )


def test_a_stack_augments_each_member_as_it_would_alone():
    images, labels = toy_images(20, size=8)
    members = [(torch.arange(9), 5), (torch.arange(3, 20), 6)]
    tables = {"pixels": pixels_of(images), "labels": torch.from_numpy(labels)}
    together = take(members, 3, BUSY)
    for number, member in enumerate(members):
        for step, alone in zip(together, take([member], 3, BUSY), strict=True):
            mine = batch_of(BUSY, step, **tables).images[number]
            assert torch.equal(mine, batch_of(BUSY, alone, **tables).images[0])


def test_mixup_blends_a_clip_with_the_one_before_it():
    images, labels = toy_images(9, size=8)
    values = PLAIN.model_copy(update={"mixup": 0.4})
    (step,) = take([(torch.arange(9), 5)], 1, values)
    batch = batch_of(values, step, pixels=pixels_of(images), labels=torch.from_numpy(labels))
    x = torch.from_numpy(images[:, :2].astype(np.float32)).permute(0, 1, 4, 2, 3)[step.clips[0]]
    own = step.own[0].view(-1, 1, 1, 1, 1)
    assert own.min() >= 0
    assert own.max() <= 1
    assert own.std() > 0.1
    torch.testing.assert_close(batch.images[0], own * x + (1 - own) * x.roll(1, 0))
    assert torch.equal(batch.own, step.own)


def test_without_mixup_a_clip_is_all_of_its_image():
    (step,) = take([(torch.arange(9), 5)], 1)
    assert torch.equal(step.own, torch.ones_like(step.own))


def test_augmentation_that_is_off_changes_nothing_whatever_is_drawn():
    images, _ = toy_images(3, size=8)
    draws = torch.zeros(1, 1, N_DRAWS)
    assert np.array_equal(gather_one(images, PLAIN, draws), gather_one(images, PLAIN))


def test_statistics_are_those_of_the_given_clips():
    images, _ = toy_images(6, size=8)
    mean, deviation = pixels_of(images).statistics(torch.tensor([0, 4]))
    some = images[[0, 4], :2].astype(np.float64)
    np.testing.assert_allclose(mean, some.mean((0, 2, 3)), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(deviation, some.std((0, 2, 3)), rtol=1e-4)


def test_a_batch_brings_the_labels_of_its_clips():
    images, labels = toy_images(9, size=8)
    plan = take([(torch.arange(9), 5), (torch.arange(4), 6)], 2)
    truth = torch.from_numpy(labels)
    assert len(plan) == 2
    for step in plan:
        batch = batch_of(TINY, step, pixels=pixels_of(images), labels=truth)
        assert torch.equal(batch.labels, truth[step.clips])
        assert batch.images.shape == (2, 6, 2, 3, 8, 8)
        # The streams take their input from it without a copy.
        assert batch.images[0, :, 0].permute(0, 2, 3, 1).stride()[-1] == 1
