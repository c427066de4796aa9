"""A worker's part, made without Ray."""

import shutil
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from dianet_ray.artefacts import IMAGES_FOLDER, Recipe
from dianet_ray.datasets.rules import read_manifest
from dianet_ray.imaging.clip_images import clip_images
from dianet_ray.prepare.orders import ClipLeftOut, ClipMade, order_parts
from dianet_ray.prepare.part_files import is_part, read_part
from dianet_ray.prepare.worker import make_part
from tests.support.casme2_files import FRAMES, Clip, write_data_set, write_frame
from tests.support.images import write_images


@pytest.fixture
def root(tmp_path):
    rows = [Clip(subject=1, name=name) for name in ("EP01_01", "EP02_01", "EP03_01")]
    return write_data_set(tmp_path / "data", rows)


def order(root, out, recipe=None):
    """Order the only part of the data set."""
    out.mkdir(exist_ok=True)
    (found,) = order_parts(read_manifest("casme2", root), out, recipe or Recipe(16))
    return found


def frames_of(root, name):
    return sorted((root / FRAMES / "sub01" / name).iterdir())


def test_every_clip_is_made_and_stored_to_the_bit(root, tmp_path):
    asked = order(root, tmp_path / "out")
    outcomes = make_part(asked).clips
    stored = read_part(tmp_path / "out" / asked.name)
    assert [one.clip_id for one in outcomes] == [clip.clip_id for clip in asked.clips]
    for clip, outcome in zip(asked.clips, outcomes, strict=True):
        expected = clip_images(root / clip.frames_name, clip.span, asked.recipe)
        assert (outcome.apex, outcome.is_reused) == (expected.apex, False)
        np.testing.assert_array_equal(stored[clip.clip_id].made.images, expected.images)
        assert bytes.fromhex(outcome.signature) == expected.signature.tobytes()


def test_a_second_time_everything_is_reused_and_the_file_stays(root, tmp_path):
    asked = order(root, tmp_path / "out")
    first = make_part(asked).clips
    before = (tmp_path / "out" / asked.name).stat().st_mtime_ns
    again = make_part(asked).clips
    assert [replace(one, is_reused=True) for one in first] == list(again)
    assert (tmp_path / "out" / asked.name).stat().st_mtime_ns == before


def test_a_data_set_that_was_moved_makes_no_clip_again(root, tmp_path):
    make_part(order(root, tmp_path / "out"))
    moved = root.rename(tmp_path / "elsewhere")
    outcomes = make_part(order(moved, tmp_path / "out")).clips
    assert all(one.is_reused for one in outcomes)


def test_only_the_clip_whose_frames_changed_is_made_again(root, tmp_path):
    asked = order(root, tmp_path / "out")
    make_part(asked)
    write_frame(frames_of(root, "EP02_01")[3], seed=99)
    again = {one.clip_id: one.is_reused for one in make_part(asked).clips}
    assert again == {
        "casme2/sub01/EP01_01": True,
        "casme2/sub01/EP02_01": False,
        "casme2/sub01/EP03_01": True,
    }


def test_unreadable_clips_and_clips_that_break_a_rule_are_told_apart(root, tmp_path):
    frames_of(root, "EP01_01")[2].write_bytes(b"no image")
    first, *others = frames_of(root, "EP03_01")
    for file in others:
        shutil.copy(first, file)
    asked = order(root, tmp_path / "out")
    unreadable, made, still = make_part(asked).clips
    assert isinstance(made, ClipMade)
    assert isinstance(unreadable, ClipLeftOut)
    assert not unreadable.is_rule
    assert unreadable.reason.startswith(f"not a whole image: {FRAMES}/sub01/EP01_01")
    assert isinstance(still, ClipLeftOut)
    assert still.is_rule
    assert still.reason.startswith("no motion: ")
    assert list(read_part(tmp_path / "out" / asked.name)) == [made.clip_id]


def test_a_part_whose_clips_are_all_left_out_has_no_file(root, tmp_path):
    asked = order(root, tmp_path / "out")
    make_part(asked)
    for name in ("EP01_01", "EP02_01", "EP03_01"):
        frames_of(root, name)[2].write_bytes(b"no image")
    assert not any(isinstance(one, ClipMade) for one in make_part(asked).clips)
    assert list((tmp_path / "out").iterdir()) == []


def test_images_of_the_fixture_are_what_prepare_writes(root, tmp_path):
    asked = order(root, tmp_path / "out", Recipe(32))
    make_part(asked)
    (made_up,) = (write_images(tmp_path / "images", size=32) / IMAGES_FOLDER).iterdir()
    assert is_part(made_up.name)
    assert pq.read_schema(made_up) == pq.read_schema(tmp_path / "out" / asked.name)
    whole, unlike = read_part(made_up), read_part(tmp_path / "out" / asked.name)
    for name in ("images", "scales", "signature"):
        shapes = {getattr(clip.made, name).shape for clip in [*whole.values(), *unlike.values()]}
        assert len(shapes) == 1
