"""SMIC-HS: further micro-expressions of a row, and the release that has no sheet."""

import shutil
from collections import Counter
from dataclasses import dataclass, field

import cv2
import numpy as np
import openpyxl
import pytest

from dianet_ray.datasets.annotations import ChosenPaths, ClipName
from dianet_ray.datasets.corrections import Correction
from dianet_ray.datasets.manifest import UNREADABLE
from dianet_ray.datasets.rules import read_manifest
from dianet_ray.errors import InputError
from dianet_ray.synth.data_set import write_data_set
from dianet_ray.synth.planning import SynthOptions
from tests.support.problems import look, said_of

CLASSES = {"ne": "negative", "po": "positive", "sur": "surprise"}
SHEET = "SMIC-HS-E_annotation_2019.xlsx"


@dataclass
class Row:
    """A row of the sheet; `spans` are its micro-expressions in order."""

    name: str
    spans: list = field(default_factory=list)
    label: str = ""
    subject: int | None = None


def write_sheet(root, rows, titles=("Onset{k}F", "Offset{k}F")):
    root.mkdir(parents=True, exist_ok=True)
    book = openpyxl.Workbook()
    most = max(len(row.spans) for row in rows)
    numbers = ["", *range(2, most + 1)]
    header = [title.format(k=k) for k in numbers for title in titles]
    book.active.append(["Subject", "Filename", None, *header, "TotalVL", "Emotion"])
    for row in rows:
        cells = [cell for span in row.spans for cell in span]
        cells += [None] * (len(header) - len(cells))
        label = row.label or CLASSES[row.name.split("_")[1]]
        subject = row.subject or int(row.name.split("_")[0][1:])
        book.active.append([subject, row.name, None, *cells, 300, label])
    book.save(root / SHEET)


def write_clip(root, name, span, *, above="HS/s{n}/micro/{label}", **more):
    """Write the frames of one folder."""
    subject, code, _ = name.split("_")
    place = above.format(n=int(subject[1:]), label=more.get("label", CLASSES.get(code)))
    folder = root / place / name
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(span[0], span[1] + 1):
        noise = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"image{number:06d}.bmp"), noise)
    return folder


def rows_of(root, **options):
    rows = read_manifest("smic", root, **options).rows
    return {row.clip_id.removeprefix("smic/"): row for row in rows}


def spans_of(rows):
    return {name: (row.onset, row.offset) for name, row in rows.items() if row.reason}


def used(rows):
    return {name: row for name, row in rows.items() if row.state != "left_out"}


def reasons(rows):
    return {name: row.reason for name, row in rows.items() if row.state == "left_out"}


# Further micro-expressions


@pytest.fixture
def cut(tmp_path):
    """Write a recording with three micro-expressions, and another one, as HS cuts them."""
    write_clip(tmp_path, "s3_ne_01", (1000, 1010))
    write_clip(tmp_path, "s3_ne_02", (1030, 1044))
    write_clip(tmp_path, "s3_ne_03", (1100, 1107))
    write_clip(tmp_path, "s4_po_01", (1000, 1010))
    return tmp_path


THREE = Row("s3_ne_01", [(1000, 1010), (1030, 1044), (1100, 1107)])
ONE = Row("s4_po_01", [(1000, 1010)])


def test_each_micro_expression_of_a_row_is_a_clip_with_a_folder_of_its_own(cut):
    write_sheet(cut, [THREE, ONE])
    rows = rows_of(cut)
    assert {name: row.state for name, row in rows.items()} == dict.fromkeys(
        ("s3/s3_ne_01", "s3/s3_ne_02", "s3/s3_ne_03", "s4/s4_po_01"), "corrected"
    )
    assert spans_of(rows)["s3/s3_ne_02"] == (1030, 1044)
    assert spans_of(rows)["s3/s3_ne_03"] == (1100, 1107)
    assert {row.label for name, row in rows.items() if "s3" in name} == {"negative"}
    assert rows["s3/s3_ne_03"].apex == 1103
    said = said_of(look(cut, dataset="smic")[1])
    assert "further micro-expressions of the sheet's rows, each a clip of its own: 2" in said


def test_in_the_long_recordings_all_of_a_row_share_its_folder(tmp_path):
    write_sheet(tmp_path, [THREE, ONE])
    place = {"above": "HS_long/SMIC-HS-E/s{n:02d}"}
    write_clip(tmp_path, "s3_ne_01", (950, 1200), **place)
    write_clip(tmp_path, "s4_po_01", (990, 1020), **place)
    rows = rows_of(tmp_path)
    assert set(used(rows)) == set(rows)
    assert spans_of(rows) == {
        "s3/s3_ne_01": (1000, 1010),
        "s3/s3_ne_01@1030": (1030, 1044),
        "s3/s3_ne_01@1100": (1100, 1107),
        "s4/s4_po_01": (1000, 1010),
    }


def test_a_folder_of_another_subject_is_never_taken(cut):
    shutil.move(cut / "HS/s3/micro/negative/s3_ne_02", cut / "HS/s4/micro/negative/s4_ne_02")
    write_sheet(cut, [THREE, ONE])
    left_out = reasons(rows_of(cut))
    assert left_out == {"s3/s3_ne_01@1030": "no frame folder: none for s3/s3_ne_01@1030"}


@pytest.mark.parametrize(
    ("span", "name", "reason"),
    [
        ((1030, "?"), "s3_ne_01@1030", "no onset or offset: offset '?' is no frame number"),
        ((None, 1044), "s3_ne_01@none", "no onset or offset: onset is empty"),
        (
            ("n/a", "1o44"),
            "s3_ne_01@none",
            "no onset or offset: onset 'n/a' is no frame number, offset '1o44' is no frame number",
        ),
        ((5030, 5044), "s3_ne_01@5030", "no frame folder: none for s3/s3_ne_01@5030"),
        ((1044, 1030), "s3_ne_01@1044", "onset after offset: 1044 > 1030"),
    ],
)
def test_what_is_not_read_is_counted_with_its_reason(cut, span, name, reason):
    write_sheet(cut, [Row("s3_ne_01", [(1000, 1010), span]), ONE])
    assert reasons(rows_of(cut)) == {f"s3/{name}": reason}


@pytest.mark.parametrize(
    "empty",
    [(None, None), (0, 0), ("", " "), ("0", None), ("-", "-"), ("/", None), ("N/A", "nan")],
)
def test_empty_cells_are_no_micro_expression(cut, empty):
    write_sheet(cut, [Row("s3_ne_01", [(1000, 1010), empty]), ONE])
    assert not any("@" in name for name in rows_of(cut))


def test_a_third_without_a_second_is_read(cut):
    write_sheet(cut, [Row("s3_ne_01", [(1000, 1010), (None, None), (1100, 1107)]), ONE])
    assert spans_of(rows_of(cut))["s3/s3_ne_03"] == (1100, 1107)


@pytest.mark.parametrize("shift", [0, 3])
def test_what_has_a_row_of_its_own_too_is_read_once(cut, shift):
    own = Row("s3_ne_02", [(1030, 1044)])
    again = Row("s3_ne_01", [(1000, 1010), (1030 + shift, 1044 + shift)])
    write_sheet(cut, [again, own, ONE])
    rows = rows_of(cut)
    assert set(rows) == {"s3/s3_ne_01", "s3/s3_ne_02", "s3/s3_ne_03", "s4/s4_po_01"}
    assert read_manifest("smic", cut).sources[0].notes[0] == (
        "further micro-expressions that have a row too, read once: 1"
    )


@pytest.mark.parametrize("titles", [("onset {k} F", "OFFSET {k} F"), ("OnsetF{k}", "OffsetF{k}")])
def test_titles_may_be_written_otherwise(cut, titles):
    write_sheet(cut, [THREE, ONE], titles)
    assert len(used(rows_of(cut))) == 4


def test_a_sheet_without_such_columns_is_read_and_folders_stand_for_its_missing_rows(cut):
    """Copies of the sheet lack the columns: then the folders of HS are the further clips."""
    write_sheet(cut, [Row("s3_ne_01", [(1000, 1010)]), ONE])
    rows = rows_of(cut)
    assert set(used(rows)) == {"s3/s3_ne_01", "s3/s3_ne_02", "s3/s3_ne_03", "s4/s4_po_01"}
    assert spans_of(rows)["s3/s3_ne_02"] == (1030, 1044)
    assert rows["s3/s3_ne_02"].reason.endswith(
        "; by its folder: a folder of frames that the sheet does not name"
    )
    said = said_of(look(cut, dataset="smic")[1])
    assert "folders without a row, read by their names and files: 2" in said


def test_a_recording_without_a_row_is_no_clip(tmp_path):
    """Its folder holds more than a micro-expression, so nothing says where that is."""
    write_sheet(tmp_path, [ONE])
    for name in ("s4_po_01", "s4_po_02"):
        write_clip(tmp_path, name, (980, 1040), above="all/s{n}")
    assert reasons(rows_of(tmp_path)) == {
        "s4/s4_po_02": "no row: a folder of frames that the sheet does not name"
    }


def test_merged_cells_of_further_columns_do_not_cost_the_first_clip(cut):
    write_sheet(cut, [Row("s3_ne_01", [(1000, 1010), (None, None)]), ONE])
    book = openpyxl.load_workbook(cut / SHEET)
    book.active.merge_cells("F2:G2")
    book.save(cut / SHEET)
    assert "s3/s3_ne_01" in used(rows_of(cut))


def test_a_further_clip_can_be_corrected_by_its_name(cut):
    write_sheet(cut, [THREE, ONE])
    fix = Correction("smic", ClipName("s3", "s3_ne_02"), "offset", "1044", "1040", "me")
    row = rows_of(cut, corrections=[fix])["s3/s3_ne_02"]
    assert (row.offset, row.state) == (1040, "corrected")


@pytest.mark.parametrize("has_sheet", [True, False])
def test_a_clip_of_a_folder_alone_can_be_corrected_too(cut, has_sheet):
    if has_sheet:
        write_sheet(cut, [Row("s3_ne_01", [(1000, 1010)]), ONE])
    fixes = [
        Correction("smic", ClipName("s3", "s3_ne_02"), column, "", new, "me")
        for column, new in (("onset", "1031"), ("apex", "1033"), ("offset", "1040"))
    ]
    manifest = read_manifest("smic", cut, corrections=fixes)
    (row,) = (row for row in manifest.rows if row.clip_id.endswith("s3_ne_02"))
    assert (row.onset, row.apex, row.offset, row.apex_from) == (1031, 1033, 1040, "correction")
    assert manifest.unused == ()


# Without a sheet


@pytest.mark.parametrize(
    "above", ["HS/s{n}/micro/{label}", "SMIC_all_raw/HS/s{n:02d}/micro/{label}", "{label}", ""]
)
def test_hs_without_a_sheet_is_read_from_its_folders(tmp_path, above):
    for name, span in {"s3_ne_01": (40, 52), "s12_sur_02": (7, 9), "s3_po_01": (90, 99)}.items():
        write_clip(tmp_path, name, span, above=above)
    rows = rows_of(tmp_path)
    assert {name: (r.label, r.onset, r.apex, r.offset) for name, r in rows.items()} == {
        "s3/s3_ne_01": ("negative", 40, 46, 52),
        "s12/s12_sur_02": ("surprise", 7, 8, 9),
        "s3/s3_po_01": ("positive", 90, 94, 99),
    }
    assert {row.state for row in rows.values()} == {"corrected"}
    said = said_of(look(tmp_path, dataset="smic")[1])
    assert f"smic: folders below {tmp_path}" in said
    assert "no sheet: the folders' names say subject and label" in said


def test_folders_that_are_no_clip_are_counted(tmp_path):
    for name in ("s3_neg_01", "S4_Positive_02", "s5_surprise_1", "s3_ne_02"):
        write_clip(tmp_path, name, (40, 52), above="HS/s{n}")
    write_clip(tmp_path, "s3_ne_09", (40, 52), above="HS/s{n}").rename(tmp_path / "HS/s3/take 9")
    found = {name: row.label for name, row in rows_of(tmp_path).items()}
    assert found == {
        "s3/s3_neg_01": "negative",
        "s4/s4_positive_02": "positive",
        "s5/s5_surprise_1": "surprise",
        "s3/s3_ne_02": "negative",
    }
    said = said_of(look(tmp_path, dataset="smic")[1])
    assert "1 folder of frames with names that are no clip's" in said
    assert "HS/s3/take 9" in said


def test_a_folder_alone_is_no_clip_if_its_frames_say_otherwise(tmp_path):
    write_clip(tmp_path, "s3_ne_01", (40, 52))
    (write_clip(tmp_path, "s3_ne_02", (40, 52)) / "image000045.bmp").unlink()
    write_clip(tmp_path, "s3_ne_03", (40, 150))
    write_clip(tmp_path, "s3_ne_04", (1, 0))
    write_clip(tmp_path, "s3_ne_05", (40, 41))
    (tmp_path / "HS/s3/micro/negative/s3_ne_06").touch()
    write_clip(tmp_path, "s4_ne_01", (40, 52), above="HS/s5/micro/{label}")
    left_out = reasons(rows_of(tmp_path))
    assert left_out.pop("s3/s3_ne_06").startswith(UNREADABLE)
    assert left_out == {
        "s3/s3_ne_02": "frames missing: 45 of 40..52",
        "s3/s3_ne_03": "too long: 111 frames are 1.1 s, more than 1 s",
        "s3/s3_ne_04": "no frames: no numbered jpg, png or bmp in s3/s3_ne_04",
        "s3/s3_ne_05": "missing apex: the data set annotates none, and there is no frame between",
        "s4/s4_ne_01": "unclear subject: s4 by its name, s5 by its folder",
    }


@pytest.mark.parametrize("above", ["HS_long/SMIC-HS-E/s{n:02d}", "SMIC-HS-E/s{n}", "HS-long/s{n}"])
def test_the_long_recordings_cannot_be_read_without_their_sheet(tmp_path, above):
    write_clip(tmp_path, "s3_ne_01", (40, 80), above=above)
    reason = "no span: the folder holds a recording, whose onset and offset only a sheet tells"
    assert reasons(rows_of(tmp_path)) == {"s3/s3_ne_01": reason}
    below = tmp_path / above.partition("/s{")[0]
    assert reasons(rows_of(tmp_path, chosen=ChosenPaths(frames=(below,)))) == {
        "s3/s3_ne_01": reason
    }


def test_a_sheet_that_cannot_be_read_is_not_passed_over(cut):
    (cut / "SMIC-HS-E_annotation.xls").touch()
    with pytest.raises(InputError, match=r"save .*SMIC-HS-E_annotation\.xls as \.xlsx"):
        read_manifest("smic", cut)


def test_other_frames_of_the_same_clips_have_to_be_chosen(tmp_path):
    for kind in ("HS", "VIS"):
        write_clip(tmp_path, "s3_ne_01", (40, 52), above=f"{kind}/s{{n}}/micro/{{label}}")
    with pytest.raises(InputError, match="at two places, choose with --frames-dir"):
        read_manifest("smic", tmp_path)
    assert len(rows_of(tmp_path, chosen=ChosenPaths(frames=(tmp_path / "HS",)))) == 1


def test_neither_sheet_nor_frames_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"in folders like .*none found") as refused:
        read_manifest("smic", tmp_path)
    assert "\n" not in str(refused.value)


def test_the_hash_of_folders_follows_their_names_and_not_their_place(tmp_path):
    write_clip(tmp_path / "a", "s3_ne_01", (40, 52))
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    hashes = [read_manifest("smic", tmp_path / place).hash() for place in "ab"]
    assert hashes[0] == hashes[1]
    write_clip(tmp_path / "b", "s3_ne_02", (40, 52))
    assert read_manifest("smic", tmp_path / "b").hash() != hashes[0]


# As `synth` writes them


@pytest.mark.parametrize("layout", ["smic", "smic_hs"])
def test_every_synthetic_clip_is_read_with_and_without_a_sheet(tmp_path, layout):
    size = {"n_subjects": 4, "n_clips": 24, "image_size": 32, "n_frames": 10}
    made = write_data_set(tmp_path / "data", SynthOptions(layout=layout, **size), n_workers=1)
    rows = {k: r for k, r in rows_of(tmp_path / "data").items() if not r.reason.startswith("no n")}
    assert len(rows) == len(used(rows)) == made.n_clips == 24
    assert Counter(row.label for row in rows.values()) == made.classes
    by_name = {name: CLASSES[name.split("_")[1]] for name in rows}
    assert {name: row.label for name, row in rows.items()} == by_name
    assert (made.annotations == ()) == (layout == "smic_hs")
    notes = read_manifest("smic", tmp_path / "data").sources[0].notes
    assert any(note.endswith("each a clip of its own: 1") for note in notes) == (layout == "smic")


def test_the_same_clips_are_read_with_the_sheet_and_without_it(tmp_path):
    size = {"n_subjects": 4, "n_clips": 24, "image_size": 32, "n_frames": 10}
    made = write_data_set(tmp_path / "data", SynthOptions(layout="smic", **size), n_workers=1)
    with_sheet = used(rows_of(tmp_path / "data"))
    made.annotations[0].unlink()
    assert used(rows_of(tmp_path / "data")) == with_sheet
