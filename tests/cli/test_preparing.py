"""What `prepare` says when it is done."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from dianet_ray.artefacts import LEFT_OUT, USED, Duplicate
from dianet_ray.cli import preparing
from dianet_ray.datasets.annotations import ChosenPaths
from dianet_ray.datasets.manifest import Manifest, Row
from dianet_ray.datasets.rules import read_manifest
from dianet_ray.errors import InputError
from dianet_ray.options import PrepareOptions
from dianet_ray.prepare.description import describe
from dianet_ray.prepare.driver import PrepareResult
from dianet_ray.prepare.earlier_run import find_finished
from dianet_ray.prepare.images import write_record
from tests.support.casme2_files import clips, write_data_set, write_frame
from tests.support.tables import GOOD_TABLE

OUT = Path("/data/my images")


@pytest.fixture
def said(tmp_path):
    """Return a function that puts a result into words."""
    manifest = read_manifest("casme2", write_data_set(tmp_path, clips(3)))

    def say(*, n_left_out=0, unreadable=(), n_pairs=0):
        pairs = tuple(Duplicate("a", f"b{k}", 0.96, False) for k in range(n_pairs))
        result = PrepareResult(3, n_left_out, tuple(unreadable), pairs, 0, False)
        return list(preparing.lines(manifest, result, OUT))

    return say


def test_the_next_command_can_be_pasted(said):
    first, last = said()
    assert first.startswith("3 clips, 0 left out")
    assert "dianet-ray search '/data/my images' STUDY --space dianet" in last


def test_reasons_are_said_to_be_in_a_file_only_if_there_are_some(said):
    assert not any("left_out.csv" in line for line in said())
    assert any("left_out.csv" in line for line in said(n_left_out=1))


def test_flags_that_would_bring_clips_back_are_named(said, tmp_path):
    assert not any("bring back" in line for line in said())
    root = write_data_set(tmp_path / "b", [*clips(3), replace(clips(1)[0], name="A", apex="/")])
    manifest = read_manifest("casme2", root)
    result = PrepareResult(3, 1, (), (), 0, False)
    (line,) = (one for one in preparing.lines(manifest, result, OUT) if "bring back" in one)
    assert line.endswith("left out: --apex midpoint (1), --apex spot (1)")


def test_no_search_is_proposed_before_unreadable_clips_are_dealt_with(said):
    assert not any("dianet-ray search" in line for line in said(n_left_out=1, unreadable=["x"]))


def test_of_many_pairs_the_first_few_are_named(said):
    (line,) = (line for line in said(n_pairs=5) if "almost alike" in line)
    assert line.endswith("a and b0, a and b1, a and b2 and 2 more (images.json lists all)")
    (line,) = (line for line in said(n_pairs=3) if "almost alike" in line)
    assert line.endswith("a and b2")


@pytest.mark.parametrize(("codec", "said"), [("utf-8", False), ("utf-16", True)])
def test_an_encoding_that_is_not_utf_8_is_said(tmp_path, codec, said):
    (tmp_path / "clips.csv").write_text(GOOD_TABLE, encoding=codec)
    manifest = read_manifest("table", tmp_path)
    lines = list(preparing.lines(manifest, PrepareResult(0, 2, (), (), 0, False), OUT))
    assert (lines[0] == f"{tmp_path / 'clips.csv'} was read as UTF-16") == said


def test_the_parts_of_a_composite_are_compared_with_the_published_list(tmp_path):
    span = (1, 3, 5, 5)
    rows = (
        Row("casme2/sub01/a", "casme2/sub01", "disgust", *span, "annotated", "", USED, "", ""),
        Row("samm/006/b", "samm/006", "Anger", *span, "", "", LEFT_OUT, "missing apex: /", ""),
    )
    manifest = Manifest("megc2019", tmp_path, (), rows)
    lines = list(preparing.lines(manifest, PrepareResult(1, 1, (), (), 0, False), OUT))
    assert any("megc2019: casme2 1 of 145 clips (negative 1 of 88" in line for line in lines)
    assert any("samm 0 of 133 clips" in line and "132 more in neither" in line for line in lines)
    assert any("validate megc2019 names what is missing" in line for line in lines)
    assert not any("when frames were read" in line for line in lines)
    lines = list(preparing.lines(manifest, PrepareResult(0, 2, (), (), 0, False), OUT))
    assert "of these, 1 clip went when frames were read" in lines


@pytest.fixture
def conflicting(tmp_path):
    """A table whose folders are classes, with one label that is another one's."""
    rows = ["clip,subject,label,onset,apex,offset"]
    for k, (folder, label) in enumerate([("joy", "joy"), ("fear", "fear"), ("joy", "fear")]):
        for number in range(1, 6):
            write_frame(tmp_path / folder / str(k) / f"{number}.png", 10 * k + number)
        rows.append(f"{folder}/{k},p{k},{label},1,3,5")
    (tmp_path / "clips.csv").write_text("\n".join(rows))
    return tmp_path


def read(root, **options):
    return preparing.read("table", root, ChosenPaths(), PrepareOptions(**options))


def test_labels_that_names_contradict_are_named_with_the_flag(conflicting):
    manifest = read(conflicting)
    lines = list(preparing.lines(manifest, PrepareResult(3, 0, (), (), 0, False), OUT))
    (line,) = (line for line in lines if "contradict" in line)
    assert "table/p2/joy/2: fear, but joy by its folder; --label-conflicts leave-out" in line


def test_the_rule_for_label_conflicts_is_obeyed_and_recorded(conflicting):
    assert len(read(conflicting).usable()) == 3
    assert len(read(conflicting, label_conflicts="leave-out").usable()) == 2
    manifest = read(conflicting, label_conflicts="name")
    assert {row.label for row in manifest.usable() if row.subject == "table/p2"} == {"joy"}
    options = PrepareOptions(label_conflicts="name")
    record = describe(manifest, options, rows=manifest.rows, outcomes={}, parts=())
    assert record.label_conflicts == "name"
    (conflicting / "images").mkdir()
    write_record(conflicting / "images", record)
    with pytest.raises(InputError, match=r"made with --label-conflicts name, not leave-out"):
        find_finished(
            read(conflicting, label_conflicts="leave-out"),
            conflicting / "images",
            PrepareOptions(label_conflicts="leave-out"),
        )


def test_clips_that_share_frames_are_named_once(conflicting):
    shutil.copytree(conflicting / "joy/2", conflicting / "joy/3")
    rows = (conflicting / "clips.csv").read_text() + "\njoy/3,p3,joy,2,3,5"
    (conflicting / "clips.csv").write_text(rows)
    manifest = read(conflicting)

    def lines(*pairs):
        result = PrepareResult(4, 0, (), pairs, 0, False)
        return [line for line in preparing.lines(manifest, result, OUT) if "share frames" in line]

    (line,) = lines()
    assert "table/p2/joy/2 and table/p3/joy/3 (4 of 5 frames, in copied files, two sub" in line
    assert lines(Duplicate("table/p3/joy/3", "table/p2/joy/2", 1.0, True)) == []
