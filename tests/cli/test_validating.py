"""`validate` ends as `prepare` would: the same status for the same data and options."""

import contextlib
import json
from dataclasses import replace

import pytest

from dianet_ray.cli import preparing
from dianet_ray.prepare import driver
from dianet_ray.prepare.images import load_images
from dianet_ray.prepare.worker import make_part
from tests.support.casme2_files import FRAMES, Clip, clips, write_data_set
from tests.support.command_line import run


@pytest.fixture(autouse=True)
def without_ray(monkeypatch):
    """Make the parts in this process, one after the other."""
    monkeypatch.setattr(preparing, "connected", lambda *args, **kwargs: contextlib.nullcontext())
    monkeypatch.setattr(driver, "_nodes", lambda *args: contextlib.nullcontext())
    monkeypatch.setattr(
        driver,
        "make_parts",
        lambda orders, *args: (one for order in orders for one in make_part(order).clips),
    )


@pytest.fixture
def both(monkeypatch, capsys, tmp_path):
    """Return a function that gives status, stdout and stderr of both commands."""

    def call(root, *options):
        validate = run(monkeypatch, capsys, "validate", "casme2", root, *options)
        out = tmp_path / "images"
        return validate, run(monkeypatch, capsys, "prepare", "casme2", root, out, *options)

    return call


def break_frames(root, *names):
    """Break the onset frame, which both commands read."""
    for name in names:
        first = min((root / FRAMES).glob(f"*/{name}/*.jpg"), key=lambda path: int(path.stem[3:]))
        first.write_bytes(b"no image")


def no_apexes(n_good):
    """Six clips, of which some have an apex."""
    return [replace(c, apex=c.apex if k < n_good else "/") for k, c in enumerate(clips(6))]


GAPS = [replace(c, frames=(c.onset, 13, c.offset)) for c in clips(3)]
CASES = {
    "all is well": (clips(6), (), (), 0),
    "half is left out": (no_apexes(3), (), (), 0),
    "more than half is left out": (no_apexes(2), (), (), 0),
    "one clip is left": (no_apexes(1), (), (), 0),
    "nothing is left": (no_apexes(0), (), (), 2),
    "nothing is left without its midpoint": (no_apexes(0), (), ("--apex", "midpoint"), 0),
    "no clip has its frames": ([replace(c, frames=(1,)) for c in clips(3)], (), (), 2),
    "no clip has a face": (clips(3), (), ("--crop", "face"), 2),
    "a frame is broken": (clips(6), ("EP02_01",), (), 2),
    "a frame is broken and skipped": (clips(6), ("EP02_01",), ("--skip-broken",), 0),
    "most frames are broken": (clips(3), ("EP00_01", "EP01_01"), ("--skip-broken",), 0),
    "frames are missing": (GAPS, (), (), 2),
    "frames stand in": (GAPS, (), ("--fill-gaps", "4"), 0),
    "all frames are broken": (clips(2), ("EP00_01", "EP01_01"), ("--skip-broken",), 2),
}


@pytest.mark.parametrize("case", CASES)
def test_both_commands_end_with_the_same_status(both, tmp_path, case):
    rows, broken, options, expected = CASES[case]
    root = write_data_set(tmp_path / "data", rows)
    break_frames(root, *broken)
    validate, prepare = both(root, *options)
    assert (validate[0], prepare[0]) == (expected, expected), (validate, prepare)
    is_made = expected == 0 or case == "a frame is broken"
    assert (tmp_path / "images" / "images.json").exists() == is_made


@pytest.mark.parametrize("case", [name for name, case in CASES.items() if case[3] == 2])
def test_what_both_refuse_is_one_line_after_the_summary(both, tmp_path, case):
    rows, broken, options, _ = CASES[case]
    root = write_data_set(tmp_path / "data", rows)
    break_frames(root, *broken)
    for _, stdout, stderr in both(root, *options):
        last = stderr.splitlines()[-1]
        assert last.startswith("dianet-ray: ")
        assert "sub0" in last
        assert "Traceback" not in stderr + stdout


def test_most_clips_left_out_are_said_by_both(both, tmp_path):
    root = write_data_set(tmp_path / "data", no_apexes(2))
    (root / FRAMES / "sub09" / "EP02_02f").mkdir(parents=True)  # no clip of the sheet
    (_, stdout, _), (_, made, early) = both(root)
    said = "more than half of the sheet's clips are left out: 4 of 6"
    assert f"{said}; missing apex: 4" in stdout
    assert said in made
    assert said in early
    assert load_images(tmp_path / "images").record.n_clips == 2


def test_half_of_the_clips_is_nothing_to_say(both, tmp_path):
    root = write_data_set(tmp_path / "data", no_apexes(3))
    (root / FRAMES / "sub09" / "EP02_02f").mkdir(parents=True)
    assert not any("more than half" in text for found in both(root) for text in found[1:])


def test_clips_that_prepare_finds_broken_count_too(both, tmp_path):
    # Of these 21 frames `validate` reads every fifth.
    rows = [replace(c, offset=c.onset + 20, apex=c.onset + 9) for c in clips(3)]
    root = write_data_set(tmp_path / "data", rows)
    for clip in rows[:2]:
        folder = next((root / FRAMES).glob(f"*/{clip.name}"))
        (folder / f"img{clip.onset + 1}.jpg").write_bytes(b"no image")
    validate, prepare = both(root, "--skip-broken")
    assert (validate[0], prepare[0]) == (0, 0)
    assert "more than half of the sheet's clips are left out: 2 of 3" in prepare[1]


def test_json_stays_alone_on_stdout(monkeypatch, capsys, tmp_path):
    root = write_data_set(tmp_path / "data", no_apexes(0))
    status, stdout, stderr = run(monkeypatch, capsys, "validate", "casme2", root, "--json")
    assert status == 2
    assert json.loads(stdout)["states"] == {"used": 0, "corrected": 0, "left_out": 6}
    assert "missing apex" in stderr


def test_the_reasons_are_written_and_shown_although_no_clip_can_be_drawn(
    monkeypatch, capsys, tmp_path
):
    root = write_data_set(tmp_path / "data", [Clip(apex="/")])
    files = ["--manifest", tmp_path / "rows.csv", "--contact-sheet", tmp_path / "look.png"]
    status, stdout, stderr = run(monkeypatch, capsys, "validate", "casme2", root, *files)
    assert status == 2
    assert "left out: missing apex (1)" in stdout
    assert (tmp_path / "rows.csv").exists()
    assert "a contact sheet needs a usable clip" in stderr


def test_images_with_filled_gaps_are_other_images(monkeypatch, capsys, tmp_path):
    root = write_data_set(tmp_path / "data", clips(3))
    words = ["prepare", "casme2", root, tmp_path / "images"]
    assert run(monkeypatch, capsys, *words)[0] == 0
    status, _, stderr = run(monkeypatch, capsys, *words, "--fill-gaps", "2")
    assert status == 2
    assert "--fill-gaps none, not 2" in stderr
