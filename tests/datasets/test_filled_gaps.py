"""`--fill-gaps`: which clips it brings back, how they are named, and what it makes different."""

from dataclasses import replace

import pytest

from dianet_ray.artefacts import Recipe
from dianet_ray.cli import preparing
from dianet_ray.datasets.annotations import ChosenPaths, Rules
from dianet_ray.datasets.contact_sheet import write_contact_sheet
from dianet_ray.datasets.rules import read_manifest
from dianet_ray.options import PrepareOptions
from dianet_ray.prepare.description import request_hash
from dianet_ray.prepare.orders import ClipMade, order_parts
from dianet_ray.prepare.worker import make_part
from tests.support.casme2_files import Clip, clips, write_data_set
from tests.support.command_line import run

GOOD = Clip(onset=10, apex=14, offset=20)


def without(*missing):
    return tuple(number for number in range(10, 21) if number not in missing)


def judged(root, rules, **changes):
    data = write_data_set(root, [replace(GOOD, **changes)])
    (row,) = read_manifest("casme2", data, rules=rules).rows
    return row


@pytest.mark.parametrize(
    ("missing", "listed"),
    [
        ((12,), "12"),
        ((12, 13), "12-13"),
        ((10, 11), "10-11"),
        ((19, 20), "19-20"),
        ((14,), "14"),
        ((12, 13, 16, 17, 20), "12-13, 16-17, 20"),
    ],
)
def test_a_gap_within_the_limit_is_corrected_and_named(tmp_path, missing, listed):
    row = judged(tmp_path, Rules(fill_gaps=2), frames=without(*missing))
    assert (row.state, row.apex_from) == ("corrected", "annotated")
    assert row.reason == f"frames missing: {listed} of 10..20, took the nearest"
    assert (row.onset, row.apex, row.offset) == (10, 14, 20)
    assert row.n_frames == 11 - len(missing)


@pytest.mark.parametrize(
    ("missing", "fill_gaps", "reason"),
    [
        ((12,), 0, "frames missing: 12 of 10..20"),
        ((12, 13), 1, "frames missing: 12-13 of 10..20, more than 1 in a row"),
        ((12, 16, 17, 18), 2, "frames missing: 12, 16-18 of 10..20, more than 2 in a row"),
        (range(10, 20), 9, "frames missing: 10-19 of 10..20, more than 9 in a row"),
        # What is left must move in both phases.
        (range(10, 16), 6, "frames missing: too few are left of 10..14"),
        (range(14, 21), 7, "frames missing: too few are left of 14..20"),
    ],
)
def test_what_is_not_filled_is_left_out(tmp_path, missing, fill_gaps, reason):
    row = judged(tmp_path, Rules(fill_gaps=fill_gaps), frames=without(*missing))
    assert (row.state, row.reason) == ("left_out", reason)


def test_a_short_phase_of_copies_is_left_out(tmp_path):
    row = judged(tmp_path, Rules(fill_gaps=7), apex=11, frames=without(*range(11, 18)))
    assert (row.state, row.reason) == ("left_out", "frames missing: too few are left of 10..11")


def test_a_clip_with_all_its_frames_elsewhere_is_left_out(tmp_path):
    row = judged(tmp_path, Rules(fill_gaps=99), frames=(1, 2, 40))
    assert row.state == "left_out"
    assert row.reason == "frames missing: 10-20 of 10..20, and no other is there"


def test_frames_around_the_clip_stand_in_for_none(tmp_path):
    row = judged(tmp_path, Rules(fill_gaps=9), frames=(9, *range(19, 30)))
    assert row.reason == "frames missing: too few are left of 10..14"


@pytest.mark.parametrize(
    ("apex", "ending"),
    [("midpoint", "missing apex: /, took the midpoint 15"), ("spot", "missing apex: /")],
)
def test_a_missing_apex_is_said_after_the_gap(tmp_path, apex, ending):
    row = judged(tmp_path, Rules(apex, 1), apex="/", frames=without(12))
    assert row.state == "corrected"
    assert row.reason == f"frames missing: 12 of 10..20, took the nearest; {ending}"


def test_an_apex_is_spotted_only_between_two_others(tmp_path):
    row = judged(tmp_path, Rules("spot", 99), apex="/", frames=(10, 20))
    assert row.reason == "frames missing: too few are left of 10..20"


def test_a_clip_without_gaps_is_used_as_before(tmp_path):
    root = write_data_set(tmp_path, clips(3))
    assert read_manifest("casme2", root, rules=Rules(fill_gaps=5)).rows == (
        read_manifest("casme2", root).rows
    )


def renumbered(*missing):
    """Frames 1..11 of a clip that the sheet numbers 10..20."""
    return tuple(number for number in range(1, 12) if number not in missing)


@pytest.mark.parametrize(("missing", "state"), [((4,), "corrected"), ((11,), "left_out")])
def test_renumbered_files_are_filled_where_they_tell_the_end(tmp_path, missing, state):
    rows = [replace(GOOD, name=f"EP0{k}_01", frames=renumbered()) for k in range(3)]
    rows.append(replace(GOOD, name="GAP", frames=renumbered(*missing)))
    manifest = read_manifest("casme2", write_data_set(tmp_path, rows), rules=Rules(fill_gaps=2))
    (row,) = (row for row in manifest.rows if row.clip_id.endswith("GAP"))
    assert (row.state, manifest.sources[0].numbering) == (state, "renumbered")
    if state == "left_out":
        assert row.reason.startswith("unclear frames: 10 renumbered files, the clip has 11")


def test_the_number_is_part_of_the_identity_of_the_images(tmp_path):
    root = write_data_set(tmp_path / "data", [*clips(3), replace(GOOD, frames=without(12))])
    requests, names = set(), set()
    for fill_gaps in (0, 1, 2):
        manifest = read_manifest("casme2", root, rules=Rules(fill_gaps=fill_gaps))
        options = PrepareOptions(recipe=Recipe(16, fill_gaps=fill_gaps))
        requests.add(request_hash(manifest, options))
        names.update(one.name for one in order_parts(manifest, tmp_path, options.recipe))
    assert len(requests) == 3
    assert len(names) == 9  # a part per subject and number


def test_a_worker_fills_what_the_manifest_says(tmp_path):
    root = write_data_set(tmp_path / "data", [replace(GOOD, frames=without(12, 13))])
    manifest = read_manifest("casme2", root, rules=Rules(fill_gaps=2))
    out = tmp_path / "out"
    out.mkdir()
    (order,) = order_parts(manifest, out, Recipe(16, fill_gaps=2))
    (made,) = make_part(order).clips
    assert isinstance(made, ClipMade)
    # A frame that turns up since makes the clip anew.
    (found,) = root.rglob("img11.jpg")
    found.with_name("img12.jpg").write_bytes(found.read_bytes())
    (again,) = make_part(order).clips
    assert not again.is_reused


def test_validate_shows_a_clip_with_a_gap_and_draws_it(monkeypatch, capsys, tmp_path):
    rows = [*clips(3), replace(GOOD, frames=without(10, 14, 20))]
    root = write_data_set(tmp_path / "data", rows)
    status, stdout, _ = run(monkeypatch, capsys, "validate", "casme2", root)
    assert status == 0
    assert "left out: frames missing (1): " in stdout
    assert "--fill-gaps N" in stdout
    words = ["--fill-gaps", "1", "--contact-sheet", tmp_path / "look.png"]
    status, stdout, _ = run(monkeypatch, capsys, "validate", "casme2", root, *words)
    assert status == 0
    assert "corrected: frames missing (1): " in stdout
    manifest = read_manifest("casme2", root, rules=Rules(fill_gaps=1))
    path = tmp_path / "again.png"
    assert write_contact_sheet(manifest, path, crop="none", fill_gaps=1) == 4


@pytest.mark.parametrize("given", ["-1", "1001", "some"])
def test_a_number_that_is_none_is_refused(monkeypatch, capsys, tmp_path, given):
    words = ["validate", "casme2", tmp_path, "--fill-gaps", given]
    status, _, stderr = run(monkeypatch, capsys, *words)
    assert status == 2
    assert "--fill-gaps" in stderr


def test_prepare_reads_the_manifest_with_the_number(tmp_path):
    root = write_data_set(tmp_path, [replace(GOOD, frames=without(12))])
    options = PrepareOptions(recipe=Recipe(fill_gaps=1))
    (row,) = preparing.read("casme2", root, ChosenPaths(), options).rows
    assert row.state == "corrected"
