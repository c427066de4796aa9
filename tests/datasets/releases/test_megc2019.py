"""The composite of three data sets: its sources, subjects, classes and chosen files."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import openpyxl
import pytest

from dianet_ray.datasets.annotations import ChosenPaths, Rules
from dianet_ray.datasets.catalogue import data_set
from dianet_ray.datasets.corrections import read_corrections
from dianet_ray.datasets.label_sets import COMMONEST, label_set
from dianet_ray.datasets.published import Number, part_numbers, part_text
from dianet_ray.datasets.rules import read_manifest
from dianet_ray.errors import InputError
from tests.support.casme2_files import Clip, write_data_set, write_workbook
from tests.support.problems import look, said_of

CASME2 = [
    Clip(subject=6, name="EP04_01", label="happiness"),
    Clip(subject=6, name="EP02_01", label="repression"),
    Clip(subject=7, name="EP03_01", label="others"),
]
NOT_LISTED = [
    Clip(subject=4, name="EP12_01f", label="disgust"),
    Clip(subject=5, name="EP09_05f", label="surprise"),
]
LISTED_AFTER_ALL = Clip(subject=5, name="EP12_03f", label="repression")
SAMM_TITLES = [
    *("Subject", "Filename", "Inducement Code", "Onset Frame", "Apex Frame", "Offset Frame"),
    *("Duration", "Micro", "Action Units", "Estimated Emotion", "Objective Classes", "Notes"),
]


def write_frames(folder: Path, form, numbers):
    folder.mkdir(parents=True)
    for number in numbers:
        noise = np.random.default_rng(number).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / form.format(number)), noise)


def write_samm(root: Path):
    root.mkdir(parents=True)
    book = openpyxl.Workbook()
    for k in range(13):
        book.active.append([f"banner {k}"])
    book.active.append(SAMM_TITLES)
    for clip, label in (("006_1_2", "Anger"), ("006_1_3", "Other"), ("006_2_1", "Surprise")):
        book.active.append([6, clip, 1, 10, 13, 16, 7, "Micro", "4", label, 1, None])
        write_frames(root / "006" / clip, "006_{:05d}.jpg", range(10, 17))
    book.save(root / "SAMM_Micro_FACS_Codes_v2.xlsx")


def write_smic(root: Path):
    root.mkdir(parents=True)
    book = openpyxl.Workbook()
    book.active.append(["Subject", "Filename", None, "OnsetF", "OffsetF", "Emotion"])
    for k, (clip, label) in enumerate(
        {"s6_ne_01": "negative", "s6_po_01": "positive", "s7_sur_01": "surprise"}.items()
    ):
        first = 1000 * (k + 1)
        book.active.append([int(clip[1]), clip, None, first, first + 7, label])
        folder = root / "HS" / clip[:2] / "micro" / label / clip
        write_frames(folder, "image{:06d}.bmp", range(first, first + 8))
    book.save(root / "SMIC-HS-E_annotation_2019.xlsx")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Write the three parts, once."""
    root = tmp_path_factory.mktemp("megc") / "data"
    write_data_set(root / "casme2", [*CASME2, *NOT_LISTED])
    write_samm(root / "samm")
    write_smic(root / "smic")
    return root


@pytest.fixture
def linked(root, tmp_path):
    """Link the parts into a folder that a test may change."""
    for part in ("casme2", "samm", "smic"):
        (tmp_path / part).symlink_to(root / part)
    return tmp_path


def test_the_parts_are_read_each_by_its_own_loader(root):
    manifest = read_manifest("megc2019", root)
    assert [source.dataset for source in manifest.sources] == ["casme2", "samm", "smic"]
    assert [source.apex for source in manifest.sources] == ["annotated", "annotated", "midpoint"]
    assert len(manifest.rows) == 11
    for row in manifest.rows:
        assert manifest.frames(row).is_dir()
        assert row.frames_path.startswith(row.subject.partition("/")[0] + "/")


def test_equal_numbers_are_different_subjects(root):
    subjects = {row.subject for row in read_manifest("megc2019", root).usable()}
    assert {"casme2/sub06", "samm/006", "smic/s6"} <= subjects
    assert len(subjects) == 5


def test_two_clips_are_left_out_as_the_published_list_does(linked):
    (linked / "casme2").unlink()
    write_data_set(linked / "casme2", [*CASME2, *NOT_LISTED, LISTED_AFTER_ALL])
    rows = {r.clip_id: r for r in read_manifest("megc2019", linked).rows}
    reason = "composite: not in MEGC2019's published list"
    assert rows["casme2/sub04/EP12_01f"].reason == reason
    assert rows["casme2/sub05/EP09_05f"].reason == reason
    assert rows["casme2/sub05/EP12_03f"].state == "used"
    assert {r.state for r in read_manifest("casme2", linked / "casme2").rows} == {"used"}


@pytest.mark.parametrize("corrections", [(), read_corrections("published", ["casme2"])])
def test_no_correction_brings_a_clip_into_the_published_list(root, corrections):
    manifest = read_manifest("megc2019", root, corrections=corrections)
    unlisted = {"casme2/sub04/EP12_01f", "casme2/sub05/EP09_05f"}
    assert {r.clip_id for r in manifest.rows if r.state == "left_out"} == unlisted
    assert not unlisted & manifest.remedies.keys()


# The parts against the published list.


def parts_of(root, apex=None, corrections=()):
    manifest = read_manifest("megc2019", root, rules=Rules(apex), corrections=corrections)
    return {part.dataset: part for part in part_numbers(manifest)}


def test_the_published_list_has_442_clips_of_68_subjects():
    published = data_set("megc2019").published
    clips = {name: sum(part.classes.values()) for name, part in published.items()}
    assert clips == {"casme2": 145, "samm": 133, "smic": 164}
    assert sum(part.subjects for part in published.values()) == 68
    per_class = Counter()
    for part in published.values():
        per_class.update(part.classes)
    assert per_class == {"negative": 250, "positive": 109, "surprise": 83}


def test_a_part_counts_its_clips_subjects_and_classes(root):
    part = parts_of(root)["casme2"]
    assert (part.clips, part.subjects) == (Number(2, 145), Number(1, 24))
    assert part.classes == {
        "negative": Number(1, 88),
        "positive": Number(1, 32),
        "surprise": Number(0, 25),
    }
    assert (part.missing, part.n_unknown) == ((), 143)
    assert part_text(part) == (
        "casme2 2 of 145 clips (negative 1 of 88, positive 1 of 32, surprise 0 of 25), "
        "1 of 24 subjects; 143 more in neither sheet nor folders"
    )


ODD = {
    # A published correction moves this apex; the others have none.
    "casme2/sub05/EP16_04f": replace(CASME2[0], subject=5, name="EP16_04f", apex=16),
    "casme2/sub06/EP05_01": replace(CASME2[0], name="EP05_01", apex="/"),
    "casme2/sub06/EP06_01": replace(CASME2[0], name="EP06_01", folder=False),
    "casme2/sub06/EP07_01": replace(CASME2[0], name="EP07_01", label="others", apex="/"),
}


def test_a_missing_clip_comes_with_its_reason_and_the_flags_that_bring_it_back(linked):
    (linked / "casme2").unlink()
    span = {"onset": 160, "offset": 170}  # around the corrected apex
    odd = [replace(c, apex=170, **span) if "16_04" in k else c for k, c in ODD.items()]
    write_data_set(linked / "casme2", [*CASME2, *NOT_LISTED, *odd])
    missing = {clip.clip: clip.flags for clip in parts_of(linked)["casme2"].missing}
    apex = ("--apex midpoint", "--apex spot")
    assert missing == {
        "casme2/sub05/EP16_04f": ("--corrections published", *apex),
        "casme2/sub06/EP05_01": apex,
        "casme2/sub06/EP06_01": (),  # neither others nor what the list leaves out is missing
    }
    for flags in set(missing.values()):
        for flag in flags:
            name, _, value = flag.removeprefix("--").partition(" ")
            options = {name: value}
            if name == "corrections":
                options[name] = read_corrections(value, ["casme2"])
            back = {clip.clip for clip in parts_of(linked, **options)["casme2"].missing}
            assert back == {clip for clip, flags in missing.items() if flag not in flags}


def test_a_row_that_is_there_twice_is_one_missing_clip(linked):
    (linked / "casme2").unlink()
    write_data_set(linked / "casme2", [*CASME2, CASME2[0]])
    (missing,) = parts_of(linked)["casme2"].missing
    assert missing.reason == "duplicate rows: 2 rows of the sheet"
    assert missing.flags == ()


def test_smic_without_apexes_is_missing_and_a_flag_brings_it_back(root):
    part = parts_of(root, apex="annotated")["smic"]
    assert part.clips == Number(0, 164)
    assert {clip.flags for clip in part.missing} == {("--apex midpoint", "--apex spot")}


def test_the_terminal_says_what_is_missing_of_each_part(root):
    said = said_of(look(root, dataset="megc2019", apex="annotated")[1])
    assert "published list of megc2019: casme2 2 of 145 clips (negative 1 of 88," in said
    assert "missing of smic (3)" in said
    assert "back with --apex midpoint or --apex spot" in said
    assert "each of these would bring back clips that are left out: --apex midpoint (3)" in said
    assert "published list" not in said_of(look(root / "casme2")[1])


def test_smic_takes_the_midpoint_and_says_so(root):
    rows = [r for r in read_manifest("megc2019", root).rows if r.subject.startswith("smic/")]
    assert [(r.onset, r.apex, r.offset) for r in rows] == [
        (1000, 1003, 1007),
        (2000, 2003, 2007),
        (3000, 3003, 3007),
    ]
    assert {(r.state, r.apex_from) for r in rows} == {("corrected", "midpoint")}
    assert {r.reason.partition(",")[0] for r in rows} == {
        "missing apex: the data set annotates none"
    }


def test_spotting_is_asked_for_smics_apexes_only(root):
    rows = read_manifest("megc2019", root, rules=Rules("spot")).usable()
    by_part = {(r.subject.partition("/")[0], r.apex_from, r.apex is None) for r in rows}
    assert by_part == {
        ("casme2", "annotated", False),
        ("samm", "annotated", False),
        ("smic", "spot", True),
    }


def test_annotated_apexes_alone_leave_smic_out(root):
    rows = read_manifest("megc2019", root, rules=Rules("annotated")).rows
    assert {r.state for r in rows if r.subject.startswith("smic/")} == {"left_out"}


def test_labels_become_three_classes_by_part(root):
    chosen = label_set(COMMONEST["megc2019"], "megc2019")
    rows = read_manifest("megc2019", root).usable()
    classes = {row.clip_id: chosen.class_of(row.label, row.subject) for row in rows}
    assert classes == {
        "casme2/sub06/EP04_01": "positive",
        "casme2/sub06/EP02_01": "negative",
        "casme2/sub07/EP03_01": None,
        "samm/006/006_1_2": "negative",
        "samm/006/006_1_3": None,
        "samm/006/006_2_1": "surprise",
        "smic/s6/s6_ne_01": "negative",
        "smic/s6/s6_po_01": "positive",
        "smic/s7/s7_sur_01": "surprise",
    }


@pytest.mark.parametrize("part", ["casme2", "samm", "smic"])
def test_a_part_that_is_not_there_is_one_line(linked, part):
    (linked / part).unlink()
    with pytest.raises(InputError) as refused:
        read_manifest("megc2019", linked)
    assert f"0 for {part} under {linked}: none" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("doubled", ["CASME-II", "CASME2_cropped", "CASME2-RAW"])
def test_a_part_that_is_there_twice_is_one_line_with_both(linked, doubled):
    (linked / doubled).mkdir()
    with pytest.raises(InputError, match="2 for casme2 under") as refused:
        read_manifest("megc2019", linked)
    assert str(linked / doubled) in str(refused.value)
    assert str(linked / "casme2") in str(refused.value)


@pytest.mark.parametrize(
    "names",
    [
        ("CASME II", "SAMM", "SMIC"),
        ("CASME2", "samm_v2", "SMIC_all_raw"),
        ("casmeii", "SAMM", "s"),
    ],
)
def test_folders_are_known_by_how_their_names_start(root, tmp_path, names):
    for part, name in zip(("casme2", "samm", "smic"), names, strict=True):
        (tmp_path / name).symlink_to(root / part)
    if names[2] == "s":
        with pytest.raises(InputError, match="0 for smic under"):
            read_manifest("megc2019", tmp_path)
    else:
        assert len(read_manifest("megc2019", tmp_path).usable()) == 9


def test_a_file_that_is_named_like_a_part_is_none(linked):
    (linked / "casme2.zip").touch()
    (linked / "notes.txt").touch()
    assert len(read_manifest("megc2019", linked).usable()) == 9


def test_a_part_that_cannot_be_read_refuses_all_in_one_line(linked):
    (linked / "samm").unlink()
    (linked / "samm").mkdir()
    with pytest.raises(InputError, match=r"SAMM_.*none found under") as refused:
        read_manifest("megc2019", linked)
    assert "\n" not in str(refused.value)


# What is chosen belongs to the part that it lies in.


@pytest.fixture
def two_sheets(root, tmp_path):
    """CASME II with two workbooks: one lacks the last clip."""
    write_data_set(tmp_path / "casme2", [*CASME2, *NOT_LISTED])
    write_workbook(tmp_path / "casme2" / "CASME2-coding-20190701.xlsx", CASME2[:2])
    for part in ("samm", "smic"):
        (tmp_path / part).symlink_to(root / part)
    return tmp_path


def test_two_sheets_of_a_part_are_one_line(two_sheets):
    with pytest.raises(InputError, match="2 found, choose one with --annotations"):
        read_manifest("megc2019", two_sheets)


@pytest.mark.parametrize("relative", [False, True])
def test_a_sheet_is_given_to_the_part_that_it_lies_in(two_sheets, relative):
    sheet = Path("casme2/CASME2-coding-20190701.xlsx")
    given = sheet if relative else two_sheets / sheet
    manifest = read_manifest("megc2019", two_sheets, chosen=ChosenPaths((given,)))
    assert manifest.sources[0].sheet.path == two_sheets / sheet
    assert len(manifest.usable()) == 8


def test_sheets_and_frames_are_given_per_part(two_sheets):
    manifest = read_manifest(
        "megc2019",
        two_sheets,
        chosen=ChosenPaths(
            sheets=(
                two_sheets / "smic/SMIC-HS-E_annotation_2019.xlsx",
                two_sheets / "casme2/CASME2-coding-20190701.xlsx",
            ),
            frames=(two_sheets / "samm/006", two_sheets / "smic/HS"),
        ),
    )
    roots = [source.frames_root for source in manifest.sources]
    assert roots == [two_sheets / p for p in ("casme2", "samm/006", "smic/HS")]
    assert len(manifest.usable()) == 8


@pytest.mark.parametrize("which", ["outside", "twice"])
def test_a_sheet_of_no_part_or_a_second_one_is_one_line(two_sheets, which):
    sheets = sorted((two_sheets / "casme2").glob("*.xlsx"))
    if which == "outside":
        sheets = [write_workbook(two_sheets / "CASME2-coding-x.xlsx", CASME2)]
    with pytest.raises(InputError, match="at most one sheet and") as refused:
        read_manifest("megc2019", two_sheets, chosen=ChosenPaths(tuple(sheets)))
    assert sheets[-1].name in str(refused.value)


def test_the_hash_of_a_composite_does_not_depend_on_where_it_lies(root, linked):
    assert read_manifest("megc2019", root).hash() == read_manifest("megc2019", linked).hash()


def test_smic_may_lack_its_sheet_in_a_composite_too(linked):
    (linked / "smic").unlink()
    write_smic(linked / "smic")
    before = parts_of(linked)["smic"]
    (linked / "smic" / "SMIC-HS-E_annotation_2019.xlsx").unlink()
    assert parts_of(linked)["smic"] == before
    assert before.clips.found == 3
