"""Clips that show the same frames under two names."""

import io
import shutil

import cv2
import numpy as np
import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from dianet_ray.artefacts import to_plain
from dianet_ray.datasets.rules import read_manifest
from dianet_ray.datasets.summary import summarise
from dianet_ray.datasets.terminal import render
from dianet_ray.datasets.validation import inspect
from dianet_ray.imaging import duplicates
from dianet_ray.imaging.duplicates import (
    ALIKE,
    N_FRAMES,
    SIDE,
    find_duplicates,
    signature,
    signature_frames,
    small,
)
from dianet_ray.progress import Progress
from dianet_ray.synth.data_set import write_data_set
from dianet_ray.synth.planning import SynthOptions
from tests.support.casme2_files import FRAMES, WORKBOOK, Clip, clips
from tests.support.casme2_files import write_data_set as write_noise

SIZE = 128  # below about this, compression hides the motion


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """Write clips of three subjects, once."""
    root = tmp_path_factory.mktemp("faces") / "data"
    options = SynthOptions(n_subjects=3, n_clips=12, image_size=SIZE, n_frames=14)
    write_data_set(root, options, n_workers=1)
    return root


@pytest.fixture
def root(faces, tmp_path):
    return shutil.copytree(faces, tmp_path / "data")


def look(root):
    manifest = read_manifest("casme2", root)
    quiet = Progress("", 0, unit="", console=Console(file=io.StringIO()))
    found = inspect(manifest, crop="none", progress=quiet)
    return found, summarise(found, manifest.hash())


def as_it_is(image):
    return image


def smaller(image):
    return cv2.resize(image, (102, 102), interpolation=cv2.INTER_AREA)


def copy(root, subject, *, quality=None, change=as_it_is):
    """Copy the first usable clip to another subject, and return both clip_ids."""
    first = read_manifest("casme2", root).usable()[0]
    book = openpyxl.load_workbook(root / WORKBOOK)
    name = first.clip_id.rpartition("/")[2]
    (cells,) = [
        row
        for row in book.active.iter_rows(min_row=2, values_only=True)
        if (f"casme2/sub{int(row[0]):02d}", row[1]) == (first.subject, name)
    ]
    book.active.append([subject, "EP99_01", *cells[2:]])
    book.save(root / WORKBOOK)
    target = root / FRAMES / f"sub{subject:02d}" / "EP99_01"
    shutil.copytree(root / first.frames_path, target)
    for file in target.iterdir():
        if quality is not None:
            image = change(cv2.imread(str(file)))
            cv2.imwrite(str(file), image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return first.clip_id, f"casme2/sub{subject:02d}/EP99_01"


def test_different_clips_are_not_reported_whatever_their_subjects(faces):
    found, summary = look(faces)
    assert len(found.manifest.usable()) >= 11
    assert summary.duplicates == ()


def test_a_copied_clip_is_found_under_another_subject(root):
    names = copy(root, 9)
    found, summary = look(root)
    (one,) = found.duplicates
    assert (one.first, one.second) == names
    assert one.across_subjects
    assert one.correlation > 0.999
    assert to_plain(summary)["duplicates"] == [
        {"clips": list(names), "correlation": one.correlation, "across_subjects": True}
    ]
    said = io.StringIO()
    render(summary, Console(file=said, width=120))
    assert "check whether they are copies (1): casme2/sub0" in said.getvalue()
    assert (
        "two subjects: if they are copies, one is tested on what the other has taught"
        in said.getvalue()
    )


@pytest.mark.parametrize("change", [as_it_is, smaller])
def test_a_copy_that_was_compressed_again_or_resized_is_found(root, change):
    names = copy(root, 9, quality=80, change=change)
    (one,) = look(root)[0].duplicates
    assert (one.first, one.second) == names
    assert one.correlation >= ALIKE


def test_a_copy_within_a_subject_is_not_called_a_leak(root):
    subject = int(read_manifest("casme2", root).usable()[0].subject[-2:])
    names = copy(root, subject)
    (one,) = look(root)[0].duplicates
    assert {one.first, one.second} == set(names)
    assert not one.across_subjects


def test_two_clips_of_noise_are_not_alike(tmp_path):
    assert look(write_noise(tmp_path, clips(6)))[1].duplicates == ()


def test_clips_in_which_nothing_moves_are_not_alike(tmp_path):
    rows = [Clip(subject=k, name=f"EP0{k}_01") for k in (1, 2, 3)]
    root = write_noise(tmp_path, rows)
    for clip in (root / FRAMES).glob("*/*"):
        files = sorted(clip.iterdir())
        for file in files[1:]:
            shutil.copy(files[0], file)
    assert look(root)[1].duplicates == ()


@pytest.mark.parametrize(
    ("subjects", "across"),
    [
        (["casme2/sub01", "casme2/sub01"], False),
        (["casme2/sub01", "casme2/sub02"], True),
        (["casme2/s1", "smic/s1"], True),
        (["table/g1/anna", "table/g1/bob"], True),  # a subject of a table may hold a slash
    ],
)
def test_subjects_are_compared_by_their_whole_names(subjects, across):
    names = [f"{subject}/{k}" for k, subject in enumerate(subjects)]
    (found,) = find_duplicates(names, subjects, marks(1) * 2)
    assert found.across_subjects is across


@given(st.integers(0, 10_000), st.integers(0, 500))
def test_signature_frames_lie_in_the_clip_in_order_with_both_ends(onset, length):
    chosen = signature_frames(onset, onset + length)
    assert (chosen[0], chosen[-1]) == (onset, onset + length)
    assert list(chosen) == sorted(set(chosen))
    assert len(chosen) == min(N_FRAMES, length + 1)


def smalls(rng, n_frames):
    return list(rng.uniform(0, 255, (n_frames, SIDE, SIDE)).astype(np.float32))


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, N_FRAMES), st.floats(0.2, 3), st.floats(-50, 50))
def test_light_and_contrast_do_not_change_a_signature(seed, n_frames, gain, offset):
    frames = smalls(np.random.default_rng(seed), n_frames)
    plain = signature(frames).astype(float)
    lit = signature([gain * frame + offset for frame in frames]).astype(float)
    assert np.linalg.norm(plain) == pytest.approx(1, abs=2e-3)
    np.testing.assert_allclose(plain, lit, atol=2e-3)


def test_a_face_that_does_not_move_changes_no_signature():
    rng = np.random.default_rng(0)
    face, *moving = smalls(rng, 6)
    plain = signature(moving).astype(float)
    on_a_face = signature([face + frame for frame in moving]).astype(float)
    np.testing.assert_allclose(plain, on_a_face, atol=2e-3)


def test_a_clip_without_motion_has_a_signature_of_zeros():
    (frame,) = smalls(np.random.default_rng(0), 1)
    assert not signature([frame] * N_FRAMES).any()
    assert not signature([frame]).any()


@pytest.mark.parametrize("shape", [(16, 16), (40, 48), (480, 640), (7, 9)])
def test_frames_of_any_size_become_small(shape):
    assert small(np.full((*shape, 3), 90, np.uint8)).shape == (SIDE, SIDE)


def marks(n_clips, seed=0):
    """Signatures of which every seventh repeats one before it, with some noise."""
    rng = np.random.default_rng(seed)
    found = rng.normal(size=(n_clips, 64))
    for k in range(7, n_clips, 7):
        found[k] = found[rng.integers(0, k)] + rng.normal(0, 0.2, 64)
    return list((found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float16))


@pytest.mark.parametrize("n_clips", [1, 2, 5, 6, 23, 60])
def test_every_clip_is_reported_with_its_first_match_whatever_the_block_size(monkeypatch, n_clips):
    names, found = [f"d/s{k}/c" for k in range(n_clips)], marks(n_clips)
    stacked = np.stack(found).astype(np.float32)
    earlier = {
        j: [i for i in range(j) if stacked[i] @ stacked[j] >= ALIKE] for j in range(n_clips)
    }
    plain = [(names[found[0]], names[j]) for j, found in earlier.items() if found]
    assert plain or n_clips < 8
    for block in (1, 5, 512):
        monkeypatch.setattr(duplicates, "_BLOCK", block)
        pairs = [(one.first, one.second) for one in find_duplicates(names, names, found)]
        assert pairs == plain


def test_more_clips_than_a_block_are_all_compared():
    n_clips = duplicates._BLOCK + 40
    found = marks(n_clips)
    found[-1] = found[3]
    named = find_duplicates([f"d/s/{k}" for k in range(n_clips)], ["d/s"] * n_clips, found)
    assert ("d/s/3", f"d/s/{n_clips - 1}") in {(one.first, one.second) for one in named}


def test_without_clips_there_are_no_duplicates():
    assert find_duplicates([], [], []) == []


def test_a_match_of_another_subject_is_reported_before_one_of_the_same_subject():
    angles = np.deg2rad([0, 30, 15])  # the third matches both others
    found = [np.array([np.cos(a), np.sin(a)]).astype(np.float16) for a in angles]
    (one,) = find_duplicates(["a", "b", "c"], ["anna", "bob", "anna"], found)
    assert (one.first, one.second, one.across_subjects) == ("b", "c", True)
