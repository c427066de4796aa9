"""The document that `validate --json` prints."""

from dataclasses import replace

import pytest

from dianet_ray.artefacts import from_json, to_json, to_plain
from dianet_ray.datasets.rules import read_manifest
from dianet_ray.datasets.summary import ClassSetSummary, Lengths, Summary, summarise
from dianet_ray.datasets.validation import Inspected
from tests.support.casme2_files import Clip, clips, write_data_set
from tests.support.problems import FIXES, GOOD, KINDS, every_problem, frame, look, said_of


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
        *("contradictions", "remedies", "published", "unused_corrections", "duplicates"),
        "overlaps",
    ]
    assert set(document["parts"][0]) == {
        *("dataset", "annotations", "sheet", "sha256", "encoding", "frames", "numbering"),
        *("n_fitting", "apex", "unconfirmed", "notes"),
    }
    assert set(document["class_set"]) == {"name", "classes", "n_outside"}
    assert set(document["phases"]["whole_clip"]) == {"min", "median", "max"}
    assert set(document["reasons"]["left_out"]["no label"][0]) == {"clip", "detail"}
    assert set(document["duplicates"][0]) == {"clips", "correlation", "across_subjects"}


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
    assert "frame numbers are not those of the files" in said_of(summary)


def test_the_hash_of_the_manifest_does_not_depend_on_what_was_seen(tmp_path):
    root = write_data_set(tmp_path, [GOOD, *clips(2)])
    before = read_manifest("casme2", root)
    frame(root, GOOD, 10).write_bytes(b"")
    found, summary = look(root)
    assert summary.manifest_hash == before.hash() != found.manifest.hash()


def test_an_empty_look_at_an_empty_manifest_is_possible(tmp_path):
    manifest = replace(read_manifest("casme2", write_data_set(tmp_path, [GOOD])), rows=())
    summary = summarise(Inspected(manifest, {}, ()), "0" * 64)
    assert summary.n_clips == 0
    assert "0 subjects" in said_of(summary)
