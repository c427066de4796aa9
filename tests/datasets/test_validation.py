"""What `validate` says of a data set."""

import io
import re
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest
from rich.console import Console

from dianet_ray.artefacts import from_json, to_json, to_plain
from dianet_ray.datasets.annotations import ClipName
from dianet_ray.datasets.corrections import Correction
from dianet_ray.datasets.rules import read_manifest
from dianet_ray.datasets.summary import ClassSetSummary, Lengths, Summary, summarise
from dianet_ray.datasets.terminal import render
from dianet_ray.datasets.validation import Inspected, inspect
from dianet_ray.progress import Progress
from tests.support.casme2_files import FRAMES, Clip, clips, write_data_set, write_frame

GOOD = Clip()


def look(root, *, crop="none", **options):
    manifest = read_manifest("casme2", root, **options)
    quiet = Progress("", 0, unit="", console=Console(file=io.StringIO()))
    found = inspect(manifest, crop=crop, progress=quiet)
    return found, summarise(found, manifest.hash())


def said_of(summary, width=100):
    said = io.StringIO()
    render(summary, Console(file=said, width=width))
    return said.getvalue()


def frame(root, clip, number):
    return root / FRAMES / f"sub{clip.subject:02d}" / clip.name / f"img{number}.jpg"


def every_problem(root, n_good=6):
    """Every kind of problem that one data set can have, three or more of some."""
    odd = [
        *(replace(GOOD, name=f"NOAPEX{k}", apex="/") for k in range(5)),
        replace(GOOD, name="EDGE", apex=10),
        replace(GOOD, name="BACK", onset=20, offset=10, frames=()),
        replace(GOOD, name="LOST", folder=False),
        replace(GOOD, name="LONG", offset=5000, frames=(10, 11)),
        replace(GOOD, name="TEXT", onset="abc", frames=(10,)),
        replace(GOOD, name="NOLABEL", label=None),
        replace(GOOD, name="GAP", frames=(10, 11, 16)),
        replace(GOOD, name="TWICE"),
        replace(GOOD, name="TWICE", onset=11),
        replace(GOOD, name="SIZES"),
        replace(GOOD, name="BROKEN"),
        replace(GOOD, name="TWOFILES"),
        replace(GOOD, name="FILE", frames=()),
        replace(GOOD, name="COPY1", label="Others"),
        replace(GOOD, subject=2, name="COPY2", label="other"),
        replace(GOOD, name="FIXED"),
    ]
    good = [
        replace(c, subject=1 + k, label=("fear", "anger", "sadness")[k % 3])
        for k, c in enumerate(clips(n_good))
    ]
    write_data_set(root, [*good, *odd])
    folder = root / FRAMES / "sub01"
    write_frame(folder / "SIZES" / "img16.jpg", 0, shape=(20, 20))
    (folder / "BROKEN" / "img10.jpg").write_bytes(b"")
    shutil.copy(folder / "TWOFILES" / "img12.jpg", folder / "TWOFILES" / "img012.jpg")
    (folder / "FILE").rmdir()
    (folder / "FILE").touch()
    for file in (folder / "COPY1").iterdir():
        shutil.copy(file, root / FRAMES / "sub02" / "COPY2" / file.name)
    for k in range(4):
        shutil.copytree(folder / "EDGE", root / FRAMES / "sub99" / f"NOROW{k}")
    return root


FIXES = [
    Correction("casme2", ClipName("sub01", "FIXED"), "apex", "", "12", "me"),
    *(
        Correction("casme2", ClipName("sub01", f"GONE{k}"), "apex", "", "12", "me")
        for k in range(5)
    ),
]
KINDS = {
    "left_out": {
        "impossible apex": 1,
        "missing apex": 5,
        "onset after offset": 1,
        "no frame folder": 1,
        "too long": 1,
        "no onset or offset": 1,
        "no label": 1,
        "frames missing": 1,
        "duplicate rows": 2,
        "unreadable": 3,
        "unclear frames": 1,
        "no row": 4,
    },
    "corrected": {"correction": 1},
}


@pytest.fixture(scope="module")
def problems(tmp_path_factory):
    """Look at a data set with every problem, once."""
    root = every_problem(tmp_path_factory.mktemp("problems") / "data")
    return look(root, corrections=FIXES)


def test_every_problem_is_counted_under_its_kind(problems):
    _, summary = problems
    found = {
        state: {kind: len(items) for kind, items in kinds.items()}
        for state, kinds in summary.reasons.items()
    }
    assert found == KINDS


def test_states_add_up_to_the_rows_and_the_folders_without_one(problems):
    found, summary = problems
    assert summary.n_clips == len(found.manifest.rows) == 6 + 21 + 4
    assert sum(summary.states.values()) == summary.n_clips
    assert summary.states == {"used": 8, "corrected": 1, "left_out": 22}
    assert sum(summary.classes.values()) == 9
    assert sum(sum(n.values()) for n in summary.subjects.values()) == 9
    assert sum(summary.frame_sizes.values()) == 9


def test_a_clip_is_listed_once(problems):
    found, summary = problems
    listed = [
        item.clip
        for kinds in summary.reasons.values()
        for items in kinds.values()
        for item in items
    ]
    used = [row.clip_id for row in found.manifest.rows if row.state == "used"]
    assert sorted([*listed, *used]) == sorted(row.clip_id for row in found.manifest.rows)


def test_a_summary_is_the_same_after_it_was_written_and_read(problems):
    _, summary = problems
    assert from_json(Summary, to_json(summary), "the summary") == summary


def test_the_keys_of_the_document_are_those_that_scripts_read(problems):
    document = to_plain(problems[1])
    assert list(document) == [
        *("dataset", "root", "parts", "manifest_hash", "n_clips", "states", "classes"),
        *("class_set", "subjects", "n_frames", "frame_sizes", "phases", "reasons"),
        *("unused_corrections", "duplicates"),
    ]
    assert set(document["parts"][0]) == {
        *("dataset", "annotations", "sheet", "sha256", "frames", "numbering", "n_fitting"),
        *("apex", "unconfirmed"),
    }
    assert set(document["class_set"]) == {"name", "classes", "n_outside"}
    assert set(document["phases"]["whole_clip"]) == {"min", "median", "max"}
    assert set(document["reasons"]["left_out"]["no label"][0]) == {"clip", "detail"}
    assert set(document["duplicates"][0]) == {"clips", "correlation", "across_subjects"}


def test_the_terminal_lists_every_kind_and_some_clips(problems):
    _, summary = problems
    said = said_of(summary)
    for state, kinds in KINDS.items():
        for kind, n_clips in kinds.items():
            assert f"{state.replace('_', ' ')}: {kind} ({n_clips})" in said
            for item in summary.reasons[state][kind][:2]:
                assert item.clip in said
    assert ", and 3 more (--manifest and --json list all)" in said
    assert "the same frames under two names (1): casme2/sub01/COPY1 and" in said
    assert "corrections that changed nothing (5)" in said


def test_every_problem_and_ninety_subjects_fit_on_a_screen(tmp_path):
    root = every_problem(tmp_path / "data", n_good=90)
    found, summary = look(root, corrections=FIXES)
    assert len(summary.subjects) == 90
    assert found.duplicates
    said = said_of(summary)
    assert len(said.splitlines()) < 45


def test_subjects_are_a_range_and_not_a_list(tmp_path):
    rows = [Clip(subject=1 + k // 2, name=f"EP{k:02d}_01") for k in range(9)]
    _, summary = look(write_data_set(tmp_path, rows))
    assert "5 subjects, 1 to 2 clips each" in said_of(summary)


def test_spellings_of_a_label_are_one_row_of_the_table(tmp_path):
    labels = ["Others", "Other", "others", "Happiness", "happiness "]
    rows = [Clip(subject=1 + k % 2, name=f"EP{k}_01", label=x) for k, x in enumerate(labels)]
    _, summary = look(write_data_set(tmp_path, rows))
    table = re.findall(r"[│|] *(\w+) *[│|] *(\d+) *[│|] *(\d+) *[│|]", said_of(summary))
    assert table == [("others", "3", "2"), ("happiness", "2", "2")]


@pytest.mark.parametrize("label", ["[red]joy[/red]", "[/]", ":smile:", "a\\[b"])
def test_labels_and_names_are_no_markup(tmp_path, label):
    rows = [Clip(label=label), Clip(name="[bold]x:smile:", apex="[/]")]
    _, summary = look(write_data_set(tmp_path, [*rows, Clip(subject=2, name="EP02_01")]))
    said = said_of(summary)
    assert label in said
    assert "missing apex (1): casme2/sub01/[bold]x:smile:: [/]" in said


def test_phases_are_lengths_with_both_ends(tmp_path):
    rows = [
        Clip(onset=10, apex=13, offset=16),
        Clip(subject=2, name="EP02_01", onset=1, apex=3, offset=10),
        Clip(subject=3, name="EP03_01", onset=5, apex=10, offset=12),
        Clip(subject=3, name="EP04_01", onset=5, apex="/", offset=80),  # left out: counts nowhere
    ]
    _, summary = look(write_data_set(tmp_path, rows))
    assert summary.phases == {
        "onset_apex": Lengths(min=3, median=4, max=6),
        "apex_offset": Lengths(min=3, median=4, max=8),
        "whole_clip": Lengths(min=7, median=8, max=10),
    }
    assert summary.n_frames == 7 + 10 + 8
    assert "onset to apex 3 to 6, median 4" in said_of(summary)


def test_apexes_to_be_spotted_have_no_phases_yet(tmp_path):
    _, summary = look(write_data_set(tmp_path, [Clip(apex="/")]), apex="spot")
    assert summary.phases == {"whole_clip": Lengths(min=7, median=7, max=7)}
    assert summary.states == {"used": 0, "corrected": 1, "left_out": 0}


def test_a_data_set_without_a_usable_clip_is_summed_up_too(tmp_path):
    _, summary = look(write_data_set(tmp_path, [Clip(apex="/")]))
    assert summary.states == {"used": 0, "corrected": 0, "left_out": 1}
    assert (summary.classes, summary.phases, summary.frame_sizes) == ({}, {}, {})
    assert "frames  0 of unknown size" in said_of(summary)


@pytest.mark.parametrize("number", [10, 11, 13, 14, 16])
def test_key_frames_that_do_not_open_are_found_without_reading_all(tmp_path, number):
    root = write_data_set(tmp_path, [GOOD, *clips(2)])
    frame(root, GOOD, number).write_bytes(b"no image")
    found, summary = look(root)
    (item,) = summary.reasons["left_out"]["unreadable"]
    assert item.clip == "casme2/sub01/EP01_01"
    assert f"img{number}.jpg" in item.detail
    assert str(tmp_path) not in item.detail
    assert len(found.manifest.usable()) == 2


def test_sizes_of_frames_are_counted_by_clips(tmp_path):
    rows = clips(3)
    root = write_data_set(tmp_path, rows)
    for number in range(rows[0].onset, rows[0].offset + 1):
        write_frame(frame(root, rows[0], number), number, shape=(30, 20))
    _, summary = look(root)
    assert summary.frame_sizes == {"48x40": 2, "20x30": 1}
    assert "48x40, 20x30" in said_of(summary)


def test_labels_outside_the_commonest_classes_are_counted(tmp_path):
    labels = ["happiness", "others", "fear", "Sadness"]
    rows = [Clip(subject=k, name=f"EP{k}_01", label=x) for k, x in enumerate(labels, 1)]
    _, summary = look(write_data_set(tmp_path, rows))
    counts = {"happiness": 1, "disgust": 0, "repression": 0, "surprise": 0, "others": 1}
    assert summary.class_set == ClassSetSummary("casme2:5", counts, n_outside=2)
    assert "2 clips have other labels" in said_of(summary)


def test_another_numbering_is_said(tmp_path):
    rows = [replace(c, frames=tuple(range(1, c.offset - c.onset + 2))) for c in clips(4)]
    _, summary = look(write_data_set(tmp_path, rows))
    assert summary.parts[0].numbering == "renumbered"
    assert summary.parts[0].n_fitting == 4
    assert "frame numbers are renumbered" in said_of(summary)


def test_the_hash_of_the_manifest_does_not_depend_on_what_was_seen(tmp_path):
    root = write_data_set(tmp_path, [GOOD, *clips(2)])
    before = read_manifest("casme2", root)
    frame(root, GOOD, 10).write_bytes(b"")
    found, summary = look(root)
    assert summary.manifest_hash == before.hash() != found.manifest.hash()


def test_progress_counts_the_clips_that_are_looked_at(tmp_path):
    manifest = read_manifest("casme2", write_data_set(tmp_path, [*clips(4), Clip(apex="/")]))
    quiet = Progress("x", 4, unit="clips", console=Console(file=io.StringIO()))
    inspect(manifest, crop="none", progress=quiet)
    assert quiet.line().startswith("x: 4/4 clips")


def test_a_found_face_is_in_the_row_and_a_centre_is_marked(tmp_path):
    root = write_data_set(tmp_path, clips(2))
    found, summary = look(root, crop="face-or-centre")
    assert {row.box for row in found.manifest.rows} == {"4 0 40 40"}
    assert {row.state for row in found.manifest.rows} == {"corrected"}
    assert "crop" in summary.reasons["corrected"]
    found, summary = look(root, crop="face")
    assert {row.box for row in found.manifest.rows} == {""}
    assert list(summary.reasons["left_out"]) == ["no face"]


def test_a_corrected_clip_that_needs_the_centre_says_both(tmp_path):
    root = write_data_set(tmp_path, [Clip(apex="/")])
    (row,) = look(root, crop="face-or-centre", apex="midpoint")[0].manifest.rows
    assert row.reason.startswith("missing apex: /, took the midpoint 13; no face found")


def test_nothing_is_written_beside_the_data(tmp_path):
    root = write_data_set(tmp_path, clips(2))
    before = sorted(root.rglob("*"))
    look(root)
    assert sorted(root.rglob("*")) == before


def test_an_empty_look_at_an_empty_manifest_is_possible(tmp_path):
    manifest = replace(read_manifest("casme2", write_data_set(tmp_path, [GOOD])), rows=())
    summary = summarise(Inspected(manifest, {}, ()), "0" * 64)
    assert summary.n_clips == 0
    assert "0 subjects" in said_of(summary)


def test_grey_frames_have_a_signature_and_a_size(tmp_path):
    root = write_data_set(tmp_path, clips(2))
    for file in root.rglob("*.jpg"):
        cv2.imwrite(str(file), cv2.imread(str(file), cv2.IMREAD_GRAYSCALE))
    found, summary = look(root)
    assert summary.frame_sizes == {"48x40": 2}
    assert np.isfinite([one.correlation for one in found.duplicates]).all()
