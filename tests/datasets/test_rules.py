"""What becomes of each row of a sheet and each folder of frames."""

import csv
import io
import json
import shutil
from collections import Counter
from dataclasses import replace

import pytest
from rich.console import Console

from dianet_ray.artefacts import MANIFEST_COLUMNS, to_json
from dianet_ray.datasets.annotations import ChosenPaths, Rules
from dianet_ray.datasets.corrections import read_corrections
from dianet_ray.datasets.manifest import UNREADABLE, write_csv
from dianet_ray.datasets.rules import read_manifest
from dianet_ray.datasets.summary import summarise
from dianet_ray.datasets.terminal import render
from dianet_ray.datasets.validation import inspect
from dianet_ray.errors import InputError
from dianet_ray.progress import Progress
from tests.support.casme2_files import FRAMES, Clip, clips, write_data_set

GOOD = Clip()


def only_row(root, **options):
    manifest = read_manifest("casme2", root, **options)
    assert len(manifest.rows) == 1
    return manifest.rows[0]


def test_a_good_clip_is_used_with_its_annotated_apex(tmp_path):
    row = only_row(write_data_set(tmp_path, [GOOD]))
    assert (row.clip_id, row.subject, row.label) == (
        "casme2/sub01/EP01_01",
        "casme2/sub01",
        "happiness",
    )
    assert (row.onset, row.apex, row.offset, row.n_frames) == (10, 13, 16, 7)
    assert (row.state, row.reason, row.apex_from) == ("used", "", "annotated")
    assert row.frames_path == f"{FRAMES}/sub01/EP01_01"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"apex": "/"}, "missing apex: /"),
        ({"apex": None}, "missing apex: empty"),
        ({"apex": 10}, "impossible apex: 10 is not inside 10..16"),
        ({"apex": 16}, "impossible apex: 16 is not inside 10..16"),
        ({"apex": 9}, "impossible apex: 9 is not inside 10..16"),
        ({"apex": 99}, "impossible apex: 99 is not inside 10..16"),
        ({"onset": 16, "offset": 10, "frames": (10, 16)}, "onset after offset: 16 > 10"),
        ({"onset": None, "frames": (10,)}, "no onset or offset: onset is empty"),
        ({"offset": "?", "frames": (10,)}, "no onset or offset: offset '?' is no frame number"),
        ({"onset": 10.5, "frames": (10,)}, "no onset or offset: onset '10.5' is no frame number"),
        ({"label": None}, "no label: the emotion is empty"),
        ({"frames": ()}, "no frames: no numbered jpg, png or bmp in sub01/EP01_01"),
        ({"frames": (10, 11, 14, 16)}, "frames missing: 12-13, 15 of 10..16"),
        ({"frames": (12, 13)}, "frames missing: 10-11, 14-16 of 10..16"),
        (
            {"offset": 1009, "frames": range(10, 30)},
            "frames missing: 30-1009 of 10..1009",
        ),
        (
            {"offset": 10**15, "frames": range(10, 30)},
            f"too long: {10**15 - 9} frames are 5000000000000.0 s, more than 5 s",
        ),
        (
            {"offset": 24, "frames": range(10, 25, 2)},
            "frames missing: 11, 13, 15, 17, 19 and 2 more runs of 10..24",
        ),
    ],
)
def test_a_rule_leaves_a_clip_out_and_says_why(tmp_path, changes, reason):
    row = only_row(write_data_set(tmp_path, [replace(GOOD, **changes)]))
    assert (row.state, row.reason) == ("left_out", reason)


def test_a_row_without_a_folder_is_left_out(tmp_path):
    root = write_data_set(tmp_path, [*clips(), replace(GOOD, name="lost", folder=False)])
    row = read_manifest("casme2", root).rows[2]
    assert (row.state, row.reason) == ("left_out", "no frame folder: none for sub01/lost")
    assert row.frames_path == ""


@pytest.mark.parametrize("apex", ["/", None, 10, 16, 99])
def test_the_midpoint_corrects_a_missing_or_impossible_apex(tmp_path, apex):
    row = only_row(write_data_set(tmp_path, [replace(GOOD, apex=apex)]), rules=Rules("midpoint"))
    assert (row.state, row.apex, row.apex_from) == ("corrected", 13, "midpoint")
    assert row.reason.endswith("took the midpoint 13")


def test_the_midpoint_leaves_an_annotated_apex_alone(tmp_path):
    row = only_row(write_data_set(tmp_path, [replace(GOOD, apex=11)]), rules=Rules("midpoint"))
    assert (row.state, row.apex, row.apex_from) == ("used", 11, "annotated")


def test_two_frames_have_no_midpoint(tmp_path):
    root = write_data_set(tmp_path, [replace(GOOD, apex="/", offset=11)])
    row = only_row(root, rules=Rules("midpoint"))
    assert row.state == "left_out"
    assert "no frame between" in row.reason


def test_a_folder_may_hold_more_frames_than_the_clip(tmp_path):
    row = only_row(write_data_set(tmp_path, [replace(GOOD, frames=tuple(range(1, 30)))]))
    assert (row.state, row.n_frames) == ("used", 7)


def test_two_files_for_a_frame_leave_the_clip_out(tmp_path):
    root = write_data_set(tmp_path, [GOOD])
    folder = root / FRAMES / "sub01" / "EP01_01"
    shutil.copy(folder / "img12.jpg", folder / "reg_img12.jpg")
    row = only_row(root)
    assert row.state == "left_out"
    assert row.reason.startswith("unclear frames: two files for frame 12")
    assert str(tmp_path) not in row.reason


@pytest.mark.parametrize("kind", ["file", "lost link"])
def test_a_clip_folder_that_does_not_open_is_unreadable_and_no_rule(tmp_path, kind):
    root = write_data_set(tmp_path, [GOOD])
    folder = root / FRAMES / "sub01" / "EP01_01"
    shutil.rmtree(folder)
    folder.touch() if kind == "file" else folder.symlink_to(tmp_path / "gone")
    row = only_row(root)
    assert row.state == "left_out"
    assert row.reason.startswith(f"{UNREADABLE}the folder does not open: sub01/EP01_01 (")


def test_a_folder_without_a_row_is_a_row_of_its_own(tmp_path):
    root = write_data_set(tmp_path, clips())
    (root / FRAMES / "sub09" / "EP02_02f").mkdir(parents=True)
    row = read_manifest("casme2", root).rows[-1]
    assert (row.clip_id, row.state) == ("casme2/sub09/EP02_02f", "left_out")
    assert row.reason.startswith("no row: ")


def test_every_row_of_a_clip_that_is_named_twice_is_left_out(tmp_path):
    root = write_data_set(tmp_path, [GOOD, replace(GOOD, onset=11), *clips()])
    rows = [r for r in read_manifest("casme2", root).rows if r.clip_id.endswith("sub01/EP01_01")]
    assert [row.reason for row in rows] == ["duplicate rows: 2 rows of the sheet"] * 2


def summary_of(manifest):
    """What `validate` says of a manifest."""
    with Progress("validate", 1, unit="clips", console=Console(file=io.StringIO())) as progress:
        return summarise(inspect(manifest, crop="none", progress=progress), manifest.hash())


def odd_data_set(root):
    rows = [
        *clips(6),
        replace(GOOD, name="A", apex="/"),
        replace(GOOD, name="B", onset=20, offset=10, frames=()),
        replace(GOOD, name="C", folder=False),
    ]
    write_data_set(root, rows)
    (root / FRAMES / "sub24" / "EP02_07").mkdir(parents=True)
    return root


@pytest.mark.parametrize("apex", ["annotated", "midpoint"])
def test_the_states_add_up_to_the_rows_and_the_folders(tmp_path, apex):
    summary = summary_of(read_manifest("casme2", odd_data_set(tmp_path), rules=Rules(apex)))
    n_corrected = int(apex == "midpoint")
    assert summary.states == {
        "used": 6,
        "corrected": n_corrected,
        "left_out": 4 - n_corrected,
    }
    assert summary.n_clips == sum(summary.states.values()) == 10
    listed = Counter()
    for kinds in summary.reasons.values():
        listed.update({kind: len(found) for kind, found in kinds.items()})
    assert listed == {
        "missing apex": 1,
        "onset after offset": 1,
        "no frame folder": 1,
        "no row": 1,
    }


def test_classes_and_subjects_count_what_is_not_left_out(tmp_path):
    rows = [*clips(4), replace(GOOD, name="A", label="fear"), replace(GOOD, name="B", apex="/")]
    summary = summary_of(read_manifest("casme2", write_data_set(tmp_path, rows)))
    assert summary.classes == {"happiness": 4, "fear": 1}
    assert summary.subjects == {
        "casme2/sub01": {"fear": 1, "happiness": 2},
        "casme2/sub02": {"happiness": 1},
        "casme2/sub03": {"happiness": 1},
    }


def test_the_summary_names_the_sheet_and_is_json(tmp_path):
    manifest = read_manifest("casme2", odd_data_set(tmp_path))
    document = json.loads(to_json(summary_of(manifest)))
    (source,) = document["parts"]
    assert (source["sheet"], source["sha256"]) == ("Sheet1", manifest.sources[0].sheet.sha256)
    assert document["manifest_hash"] == manifest.hash()


def test_the_terminal_lists_every_oddity(tmp_path):
    text = io.StringIO()
    summary = summary_of(read_manifest("casme2", odd_data_set(tmp_path)))
    render(summary, Console(file=text, width=100))
    for words in (
        "6 used",
        "4 left out",
        "missing apex (1)",
        "casme2/sub24/EP02_07",
        "3 subjects",
    ):
        assert words in text.getvalue()


def test_the_csv_has_one_row_per_clip_in_the_declared_columns(tmp_path):
    manifest = read_manifest("casme2", odd_data_set(tmp_path))
    write_csv(manifest.rows, tmp_path / "manifest.csv")
    with (tmp_path / "manifest.csv").open() as file:
        reader = csv.DictReader(file)
        assert tuple(reader.fieldnames) == MANIFEST_COLUMNS
        rows = {row["clip_id"]: row for row in reader}
    assert len(rows) == len(manifest.rows)
    assert rows["casme2/sub01/A"]["apex"] == ""
    assert not list(tmp_path.glob(".*"))


def test_the_hash_does_not_depend_on_the_place_but_on_the_sheet_the_frames_and_the_rule(tmp_path):
    root = odd_data_set(tmp_path / "here")
    shutil.copytree(root, tmp_path / "there")
    here = read_manifest("casme2", root)
    assert here.hash() == read_manifest("casme2", tmp_path / "there").hash()
    assert here.hash() != read_manifest("casme2", root, rules=Rules("midpoint")).hash()
    next((tmp_path / "there" / FRAMES).glob("sub01/EP00_01/*")).unlink()
    assert here.hash() != read_manifest("casme2", tmp_path / "there").hash()


def test_the_hash_does_not_depend_on_the_place_of_frames_outside_but_on_their_folders_name(
    tmp_path,
):
    root = write_data_set(tmp_path / "data", clips())
    odd = root / FRAMES / "sub01" / "EP00_01"
    shutil.copy(odd / "img9.jpg", odd / "reg_img9.jpg")
    hashes = []
    for place in ("here/faces", "there/faces", "here/bodies"):
        shutil.copytree(root / FRAMES, tmp_path / place)
        manifest = read_manifest("casme2", root, chosen=ChosenPaths(frames=(tmp_path / place,)))
        assert manifest.frames(manifest.rows[1]).is_relative_to(tmp_path / place)
        hashes.append(manifest.hash())
    assert hashes[0] == hashes[1] != hashes[2]
    assert read_manifest("casme2", root).hash() not in hashes


def test_a_csv_that_cannot_be_written_is_one_line(tmp_path):
    manifest = read_manifest("casme2", write_data_set(tmp_path / "data", clips()))
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot be written: .*file/m\.csv \(") as error:
        write_csv(manifest.rows, tmp_path / "file" / "m.csv")
    assert "\n" not in str(error.value)


def test_a_missing_root_and_an_unknown_data_set_are_said_in_one_line(tmp_path):
    with pytest.raises(InputError, match=r"must be a folder.*nowhere") as missing:
        read_manifest("casme2", tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"casme9; known: .*\bcasme2\b") as unknown:
        read_manifest("casme9", tmp_path)
    assert "\n" not in f"{missing.value}{unknown.value}"


def test_flags_that_would_bring_a_clip_back_are_named_and_no_others(tmp_path):
    rows = [*clips(2), replace(GOOD, name="A", apex="/"), replace(GOOD, name="B", label=None)]
    root = write_data_set(tmp_path, rows)
    manifest = read_manifest("casme2", root)
    assert manifest.remedies == {"casme2/sub01/A": ("--apex midpoint", "--apex spot")}
    summary = summary_of(manifest)
    assert summary.remedies == {
        "--apex midpoint": ("casme2/sub01/A",),
        "--apex spot": ("casme2/sub01/A",),
    }
    assert read_manifest("casme2", root, rules=Rules(apex="midpoint")).remedies == {}


@pytest.mark.parametrize(("n_missing", "given", "n"), [(1, 0, 1), (2, 1, 2), (3, 0, 5)])
def test_the_least_number_of_frames_to_fill_is_named(tmp_path, n_missing, given, n):
    frames = [number for number in range(10, 41) if not 30 <= number < 30 + n_missing]
    gap = replace(GOOD, name="A", apex=20, offset=40, frames=tuple(frames))
    root = write_data_set(tmp_path, [*clips(2), gap])
    manifest = read_manifest("casme2", root, rules=Rules(fill_gaps=given))
    assert manifest.remedies == {"casme2/sub01/A": (f"--fill-gaps {n}",)}


def test_a_flag_that_would_be_refused_is_not_named(tmp_path):
    """A published correction without an old value fits both rows, and choosing one is refused."""
    twice = replace(GOOD, subject=5, name="EP03_01", apex="/")
    root = write_data_set(tmp_path, [*clips(2), twice, replace(twice, onset=11)])
    with pytest.raises(InputError, match="fits 2 rows"):
        read_manifest("casme2", root, corrections=read_corrections("published", ["casme2"]))
    assert read_manifest("casme2", root).remedies == {}
