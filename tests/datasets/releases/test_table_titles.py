"""The titles and paths of tables that other people wrote."""

import itertools
import unicodedata
from pathlib import Path

import pytest

from dianet_ray.datasets.annotations import Rules
from dianet_ray.datasets.releases.table import COLUMNS
from dianet_ray.datasets.rules import read_manifest
from dianet_ray.datasets.sheets import plain_title
from dianet_ray.errors import InputError
from tests.support.casme2_files import (
    HEADER,
    WORKBOOK,
    Clip,
    clips,
    write_data_set,
    write_frame,
    write_workbook,
)
from tests.support.command_line import run

TITLES = ("clip", "subject", "label", "onset", "apex", "offset")
OTHERS = {
    "clip": [
        *("Filename", "file", "FILE_NAME", "video", "Video Name", "path", "clip path"),
        *("imagename", "Image_Path", "\uff23\uff2c\uff29\uff30", "fold_name", "File Path"),
    ],
    "subject": ["Subject", "sub", "sub_ID", "Subject ID", "participant", "subjectno", "Person"],
    "label": ["Emotion", "Estimated Emotion", "emotion_class", "Label", "estimated-emotion"],
    "onset": ["OnsetFrame", "onset_frame", "Onset Frame", "start", "Start Frame", "OnsetF"],
    "apex": [
        *("ApexFrame", "apex_frame", "Apex Frame", "ApexF", "peak", " Apex ", "ApexF1"),
        *("apex_frame_index", "Apex Frame Idx", "apex_id", "frame_apex", "ApexNum"),
    ],
    "offset": ["OffsetFrame", "offset_frame", "Offset Frame", "end", "EndFrame", "OffsetF"],
}
CASES = [(own, other) for own, others in OTHERS.items() for other in others]


def write(root, titles=TITLES, rows=(("c/a", "p1", "joy", "1", "3", "5"),), name="clips.csv"):
    root.mkdir(exist_ok=True)
    lines = [",".join(line) for line in (titles, *rows)]
    (root / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def write_clip(folder):
    for number in range(1, 6):
        write_frame(folder / f"{number}.jpg", number, shape=(16, 16))


@pytest.mark.parametrize("name", ["CLIPS.CSV", "Labels.Csv"])
def test_a_table_may_end_in_capitals(tmp_path, name):
    write_clip(tmp_path / "c/a")
    (row,) = read_manifest("table", write(tmp_path, name=name)).rows
    assert (row.clip_id, row.state) == ("table/p1/c/a", "used")


@pytest.mark.parametrize("title", ["apex time", "t_apex", "Apex (ms)", "annotated apex"])
def test_a_title_that_speaks_of_an_apex_is_not_passed_over(tmp_path, title):
    """Else `--apex spot` would estimate what is annotated."""
    write_clip(tmp_path / "c/a")
    root = write(tmp_path, renamed("apex", title))
    with pytest.raises(InputError, match="column of apexes is called apex: got") as refused:
        read_manifest("table", root, rules=Rules(apex="spot"))
    assert title in str(refused.value)


def renamed(own, other):
    return [other if title == own else title for title in TITLES]


@pytest.mark.parametrize(("own", "other"), CASES)
def test_the_titles_that_other_lists_use_are_understood(tmp_path, own, other):
    write_clip(tmp_path / "c/a")
    (row,) = read_manifest("table", write(tmp_path, renamed(own, other))).rows
    assert (row.clip_id, row.state) == ("table/p1/c/a", "used")
    assert (row.label, row.onset, row.apex, row.offset) == ("joy", 1, 3, 5)


@pytest.mark.parametrize(("own", "other"), CASES)
def test_two_columns_that_may_be_the_same_are_refused_with_both(tmp_path, own, other):
    root = write(tmp_path, [*TITLES, other], [("c/a", "p1", "joy", "1", "3", "5", "x")])
    with pytest.raises(InputError) as refused:
        read_manifest("table", root)
    said = str(refused.value)
    assert f"only one column may be the {own}: got {own} and {other.strip()} in sheet" in said
    assert str(root / "clips.csv") in said
    assert "\n" not in said


def test_two_foreign_titles_are_refused_too(tmp_path):
    titles = ["video", "Filename", *TITLES[1:]]
    root = write(tmp_path, titles, [("c/a", "c/a", "p1", "joy", "1", "3", "5")])
    with pytest.raises(InputError, match="may be the clip: got video and Filename"):
        read_manifest("table", root)


@pytest.mark.parametrize("title", ["AU", "clip_id", "notes", "frames_path", "reason", "box"])
def test_other_columns_are_ignored(tmp_path, title):
    write_clip(tmp_path / "c/a")
    root = write(tmp_path, [*TITLES, title], [("c/a", "p1", "joy", "1", "3", "5", "4")])
    assert [row.state for row in read_manifest("table", root).rows] == ["used"]


def test_no_two_columns_share_a_title():
    plain = {name: set(map(plain_title, known)) for name, known in COLUMNS.items()}
    for one, other in itertools.combinations(plain, 2):
        assert not plain[one] & plain[other]


def test_our_own_table_is_taken_where_a_foreign_list_lies_beside_it(tmp_path):
    write_clip(tmp_path / "c/a")
    write(tmp_path, ["Filename", "Subject", "Emotion", "Onset", "Apex", "Offset"], name="a.csv")
    manifest = read_manifest("table", write(tmp_path))
    assert manifest.sources[0].sheet.path.name == "clips.csv"


def test_of_two_foreign_lists_none_is_taken_silently(tmp_path):
    for name in ("a.csv", "b.csv"):
        write(tmp_path, renamed("label", "Emotion"), name=name)
    with pytest.raises(InputError, match="2 found, choose one with --annotations"):
        read_manifest("table", tmp_path)


def test_what_validate_writes_beside_the_table_is_not_taken_for_it(monkeypatch, capsys, tmp_path):
    write_clip(tmp_path / "c/a")
    root = write(tmp_path, renamed("label", "Emotion"))
    words = ["validate", "table", root, "--manifest", root / "rows.csv"]
    assert run(monkeypatch, capsys, *words)[0] == 0
    assert run(monkeypatch, capsys, *words)[0] == 0


@pytest.mark.parametrize("missing", ["clip", "subject", "label", "onset", "offset"])
def test_a_missing_column_is_named_with_what_the_clip_is(tmp_path, missing):
    with pytest.raises(InputError) as refused:
        read_manifest("table", write(tmp_path, renamed(missing, "XY")))
    said = str(refused.value)
    assert f"lacks columns {missing}: " in said
    assert "clip is the path below ROOT of a folder of frames or a video" in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("apex", "found"), [("midpoint", ("corrected", 3)), ("spot", ("corrected", None))]
)
def test_no_apex_column_is_needed_where_the_apex_is_estimated(tmp_path, apex, found):
    write_clip(tmp_path / "c/a")
    titles = [title for title in TITLES if title != "apex"]
    root = write(tmp_path, titles, [("c/a", "p1", "joy", "1", "5")])
    (row,) = read_manifest("table", root, rules=Rules(apex=apex)).rows
    assert (row.state, row.apex) == found
    assert row.reason.startswith("missing apex: the data set annotates none")


def test_without_an_apex_column_and_a_rule_every_clip_is_left_out_and_the_flag_is_named(
    monkeypatch, capsys, tmp_path
):
    write_clip(tmp_path / "c/a")
    titles = [title for title in TITLES if title != "apex"]
    root = write(tmp_path, titles, [("c/a", "p1", "joy", "1", "5")])
    status, stdout, stderr = run(monkeypatch, capsys, "validate", "table", root)
    assert status == 2
    assert "left out: missing apex (1): " in stdout
    assert "--apex spot" in stdout
    assert "--apex spot" in stderr


SHAPES = {
    "windows": (r"recordings\anna 01", "recordings/anna 01"),
    "mixed": (r"recordings/day1\anna", "recordings/day1/anna"),
    "windows and dot": (r".\recordings\anna", "recordings/anna"),
    "windows and end": ("recordings\\anna\\", "recordings/anna"),
}


@pytest.mark.parametrize("case", SHAPES)
def test_paths_with_backslashes_are_found(tmp_path, case):
    cell, folder = SHAPES[case]
    write_clip(tmp_path / folder)
    root = write(tmp_path, rows=[(cell, "p1", "joy", "1", "3", "5")])
    (row,) = read_manifest("table", root).rows
    assert (row.state, row.frames_path) == ("used", folder)
    assert row.clip_id == f"table/p1/{folder}"


def test_a_backslash_that_is_part_of_a_name_is_kept(tmp_path):
    write_clip(tmp_path / "a\\b")
    write_clip(tmp_path / "a" / "b")
    root = write(tmp_path, rows=[("a\\b", "p1", "joy", "1", "3", "5")])
    assert read_manifest("table", root).rows[0].frames_path == "a\\b"


@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
@pytest.mark.parametrize("in_table", ["NFC", "NFD"])
@pytest.mark.parametrize("slash", ["/", "\\"])
def test_accents_are_found_however_they_are_composed(tmp_path, on_disk, in_table, slash):
    parts = ["Schüler", "Zoë é"]
    write_clip(tmp_path.joinpath(*(unicodedata.normalize(on_disk, part) for part in parts)))
    cell = slash.join(unicodedata.normalize(in_table, part) for part in parts)
    (row,) = read_manifest(
        "table", write(tmp_path, rows=[(cell, "p1", "joy", "1", "3", "5")])
    ).rows
    assert (row.state, row.clip_id) == ("used", "table/p1/Schüler/Zoë é")


def test_a_video_is_found_too(tmp_path):
    (tmp_path / unicodedata.normalize("NFD", "é.mp4")).touch()
    root = write(tmp_path, rows=[("é.mp4", "p1", "joy", "1", "3", "5")])
    assert read_manifest("table", root).rows[0].reason.startswith("unreadable: the video does")


@pytest.mark.parametrize("cells", [("é", "e\u0301"), ("x\\y", "x/y"), ("x/y", "./x//y/")])
def test_two_spellings_of_one_path_are_one_clip(tmp_path, cells):
    write_clip(tmp_path / "é")
    write_clip(tmp_path / "x/y")
    root = write(tmp_path, rows=[(cell, "p1", "joy", "1", "3", "5") for cell in cells])
    found = read_manifest("table", root).rows
    assert [row.reason for row in found] == ["duplicate rows: 2 rows of the sheet"] * 2


@pytest.mark.parametrize("cell", ["é/lost", "lost é", "clips.csv/é", "é\0"])
def test_a_path_with_an_accent_that_is_not_there_is_left_out(tmp_path, cell):
    root = write(tmp_path, rows=[(cell, "p1", "joy", "1", "3", "5")])
    assert read_manifest("table", root).rows[0].reason.startswith("no frame folder: ")


@pytest.mark.parametrize("title", ["Emotion", "emotion", "Estimated Emotion"])
def test_casme2_may_call_the_label_emotion(tmp_path, title):
    root = write_data_set(tmp_path, clips(3))
    write_workbook(root / WORKBOOK, clips(3), header=[*HEADER[:-1], title])
    assert {row.state for row in read_manifest("casme2", root).rows} == {"used"}


def test_the_published_title_counts_where_a_copy_has_both(tmp_path):
    root = write_data_set(tmp_path, [Clip()])
    header = list(HEADER)
    header[7] = "Emotion"  # the sheets' action units are no emotion
    write_workbook(root / WORKBOOK, [Clip()], header=header)
    assert read_manifest("casme2", root).rows[0].label == "happiness"


def test_every_title_that_is_read_is_in_the_documents():
    text = (Path(__file__).parents[3] / "docs" / "data-sets.md").read_text()
    for name in ("filename", "subject", "label"):
        own, *others = COLUMNS[name]
        assert f"| `{own}` | {', '.join(others)} |" in text
