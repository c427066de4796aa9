"""What the loaders read against layouts/*.yaml, the published facts; `synth` takes no part."""

import csv
import fnmatch
import functools
import io
import re
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from dianet_ray.datasets.catalogue import all_data_sets
from dianet_ray.datasets.release import Release
from dianet_ray.datasets.releases import DATASETS, smic, table
from dianet_ray.datasets.rules import read_manifest
from dianet_ray.datasets.summary import summarise
from dianet_ray.datasets.terminal import render
from dianet_ray.datasets.validation import Inspected
from tests.support.layout_facts import FACTS

RELEASES = {one.dataset: one for one in all_data_sets() if isinstance(one, Release)}
SPANS = [(12, 15, 19), (14, 16, 18), (12, 14, 20)]  # onset, apex, offset; two share an onset


@dataclass(frozen=True)
class Invented:
    """A clip: as the sheet and the folders write it, and the names that we expect."""

    cell: int | str
    folder: str
    clip: str
    label: str
    subject: str
    name: str
    label_folder: str = ""


# The sheet's subject, its folder, the clip, the label; then our names of subject and clip.
CLIPS = {
    "casme2": [
        Invented(31, "sub31", "EP31_02f", "happiness", "sub31", "EP31_02f"),
        Invented(3, "sub03", "EP33_04f", "others", "sub03", "EP33_04f"),
        Invented("04", "sub04", "EP35_05", "fear", "sub04", "EP35_05"),
    ],
    "samm": [
        Invented("041", "041", "041_2_3", "Anger", "041", "041_2_3"),
        Invented(6, "006", "006_1_10", "Other", "006", "006_1_10"),
        Invented("006", "006", "006_1_2", "Others", "006", "006_1_2"),
    ],
    "mmew": [
        Invented("S41", "S41", "S41-01-002", "happiness", "S41", "S41-01-002", "happiness"),
        Invented(3, "S03", "S03-04-001", "others", "S03", "S03-04-001", "repression"),
        Invented("042", "S42", "S42-05-004", "fear", "S42", "S42-05-004", "fear"),
    ],
    "smic": [
        Invented(31, "s31", "s31_ne_01", "negative", "s31", "s31_ne_01", "negative"),
        Invented(3, "s3", "s3_sur_02", "surprise", "s3", "s3_sur_02", "surprise"),
        Invented(32, "s32", "s32_po_12", "positive", "s32", "s32_po_12", "positive"),
    ],
    "casme3": [
        Invented("spNO.901", "spNO.901", "b", "disgust", "spNO.901", "b@12"),
        Invented("spNO.901", "spNO.901", "b", "Others", "spNO.901", "b@14"),
        Invented("spNO.9", "spNO.9", "F2", "sad", "spNO.9", "f2@12"),
    ],
    "fourdme": [
        Invented("S91", "S91", "001_01_1", "Positive", "S91", "001_01_1"),
        Invented("S9", "S09", "001_01_1", "Positive+Surprise", "S09", "001_01_1"),
        Invented("S91_2nd", "S91_2nd", "003_01_2", "Others", "S91", "003_01_2"),
    ],
    "table": [
        Invented("p01", "", "clips/p01_smile_01", "happiness", "p01", "clips/p01_smile_01"),
        Invented("p02", "", "clips/p02/brow_03", "anger", "p02", "clips/p02/brow_03"),
        Invented("p03", "", "p03/take 1", "surprise", "p03", "p03/take 1"),
    ],
}


def patterns(facts):
    return [facts["frames"]["pattern"], *facts["frames"]["variants"]]


CASES = [(name, pattern) for name in CLIPS for pattern in patterns(FACTS[name])]


@functools.cache
def picture(suffix, k, *, grey=False):
    noise = np.random.default_rng(k).integers(0, 256, (16, 16) if grey else (16, 16, 3), np.uint8)
    return cv2.imencode(suffix, noise)[1].tobytes()


def cells(facts, clip, span):
    """Write one row by the roles of the columns."""
    onset, apex, offset = span
    roles = {
        "subject": clip.cell,
        "clip": clip.clip,
        "onset": onset,
        "apex": apex,
        "offset": offset,
        "label": clip.label,
    }
    return [roles.get(column["role"], column["example"]) for column in facts["columns"]]


def write_sheet(facts, path, rows):
    titles = [column["title"] for column in facts["columns"]]
    if path.suffix == ".csv":
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([titles, *rows])
    elif path.suffix == ".parquet":
        columns = dict(zip(titles, map(list, zip(*rows, strict=True)), strict=True))
        pq.write_table(pa.table(columns), path)
    else:
        book = openpyxl.Workbook()
        sheet = book.active
        sheet.title = facts["annotations"]["sheet"] or "Sheet1"
        for k in range(facts["annotations"]["header_row"]):
            sheet.append([f"Note {k} of an invented banner"] if k % 5 else [None])
        for row in [titles, *rows]:
            sheet.append(row)
        # A banner's blank rows count: openpyxl must not have swallowed them.
        assert sheet.cell(facts["annotations"]["header_row"] + 1, 1).value == titles[0]
        book.save(path)


def write_video(path, n_frames):
    path.parent.mkdir(parents=True, exist_ok=True)
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 30, (64, 64))
    for k in range(n_frames):
        video.write(np.full((64, 64, 3), 8 * k, np.uint8))
    video.release()


def write_frames(facts, root, pattern, clip, span):
    """Place a clip's frames as the pattern says, with frames around them where a release has."""
    onset, _, offset = span
    raw = facts["frames"]["folder_holds"] == "longer" or "long" in pattern or "-RAW" in pattern
    one_of_several = "{subject}_{clip}" in pattern and facts["dataset"] == "casme3"
    subject, name = clip.folder, clip.clip
    if "HS_long" in pattern:
        subject = f"s{int(clip.cell):02d}"
    if one_of_several:  # "{clip} stands for clip and onset here", and spNO is spNo
        subject, name = subject.replace("NO", "No"), f"{name}_{onset}"
    first, last = (1, offset + 2) if raw and not one_of_several else (onset, offset)
    for number in range(first, last + 1):
        file = root / pattern.format(
            subject=subject, clip=name, label=clip.label_folder, number=number
        )
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(picture(file.suffix, number, grey=facts["frames"]["colour"] == "grey"))


def write_release(facts, root, pattern, sheet_name):
    """Write a data set from the facts alone; return its clips."""
    root.mkdir(exist_ok=True)
    clips = CLIPS[facts["dataset"]]
    if pattern == "{clip}":
        clips = [
            Invented(c.cell, "", c.clip + suffix, c.label, c.subject, c.name + suffix)
            for c, suffix in zip(clips, (".mp4", ".avi", ".AVI"), strict=True)
        ]
    rows = [cells(facts, clip, span) for clip, span in zip(clips, SPANS, strict=True)]
    write_sheet(facts, root / sheet_name, rows)
    for clip, span in zip(clips, SPANS, strict=True):
        if pattern == "{clip}":
            write_video(root / clip.clip, span[2] + 1)
        else:
            write_frames(facts, root, pattern, clip, span)
    return clips


def check(manifest, facts, clips):
    dataset = facts["dataset"]
    assert {row.reason for row in manifest.rows if row.state == "left_out"} == set()
    rows = {row.clip_id: row for row in manifest.rows}
    assert set(rows) == {f"{dataset}/{clip.subject}/{clip.name}" for clip in clips}
    has_apex = "apex" in {column["role"] for column in facts["columns"]}
    for clip, (onset, apex, offset) in zip(clips, SPANS, strict=True):
        row = rows[f"{dataset}/{clip.subject}/{clip.name}"]
        assert (row.subject, row.label) == (f"{dataset}/{clip.subject}", clip.label)
        assert (row.onset, row.offset, row.n_frames) == (onset, offset, offset - onset + 1)
        if has_apex:
            assert (row.apex, row.apex_from, row.state) == (apex, "annotated", "used")
        else:
            middle = (onset + offset) // 2
            assert (row.apex, row.apex_from, row.state) == (middle, "midpoint", "corrected")


@pytest.mark.parametrize(("dataset", "pattern"), CASES, ids=lambda x: x.partition("{number")[0])
def test_a_release_written_from_the_facts_is_read_clip_by_clip(tmp_path, dataset, pattern):
    facts = FACTS[dataset]
    clips = write_release(facts, tmp_path / "data", pattern, facts["annotations"]["names"][0])
    check(read_manifest(dataset, tmp_path / "data"), facts, clips)


NAMES = [
    (name, file)
    for name in CLIPS
    for file in FACTS[name]["annotations"]["names"]
    if not file.endswith(".xls")  # needs another reader; refused in test_damaged
]


@pytest.mark.parametrize(("dataset", "name"), NAMES)
def test_every_published_name_of_a_sheet_is_found(tmp_path, dataset, name):
    facts = FACTS[dataset]
    known = table.SHEET_PATTERNS if dataset == "table" else RELEASES[dataset].sheet_patterns
    assert any(fnmatch.fnmatchcase(name, pattern) for pattern in known)
    clips = write_release(facts, tmp_path / "data", patterns(facts)[0], name)
    check(read_manifest(dataset, tmp_path / "data"), facts, clips)


def expected_place(dataset, path):
    """Read subject and clip off an example path, by the pattern that it follows."""
    for pattern in patterns(FACTS[dataset]):
        form = re.sub(r"\\\{(\w+)(?::\w+)?\\\}", r"{\1}", re.escape(pattern))
        seen: set[str] = set()
        for name, wild in (("subject", "[^/]+?"), ("clip", "[^/]+"), ("label", "[^/]+")):
            while "{" + name + "}" in form:
                group = f"(?P={name})" if name in seen else f"(?P<{name}>{wild})"
                form = form.replace("{" + name + "}", group, 1)
                seen.add(name)
        if match := re.fullmatch(form.replace("{number}", r"\d+"), path):
            clip = match["clip"]
            return match.groupdict().get("subject") or clip.split("-")[0], clip
    raise AssertionError(path)


@pytest.mark.parametrize(
    ("dataset", "path"), [(name, path) for name in RELEASES for path in FACTS[name]["paths"]]
)
def test_every_example_path_is_a_clip_of_the_right_subject(dataset, path):
    release = RELEASES[dataset]
    place = release.place(Path(path).parent)
    subject, clip = expected_place(dataset, path)
    if dataset == "casme3" and "_" in clip:
        clip = "@".join(clip.split("_"))
    assert place == (release.subject(subject), release.filename(clip))
    # Nothing above a clip's folder is a clip: the search for frames would end there.
    assert [p for p in Path(path).parent.parents if release.place(p)] == []


@pytest.mark.parametrize("path", FACTS["table"]["paths"])
def test_a_table_names_clips_wherever_they_lie(tmp_path, path):
    clip = path if path.endswith((".mp4", ".avi")) else str(Path(path).parent)
    (tmp_path / "clips.csv").write_text(
        f"clip,subject,label,onset,apex,offset\n{clip},p1,anger,1,3,5\n"
    )
    if clip == path:
        write_video(tmp_path / clip, 6)
    else:
        (tmp_path / clip).mkdir(parents=True)
        for k in range(1, 6):
            name = re.sub(r"\d+(?=\.)", lambda old, k=k: f"{k:0{len(old[0])}d}", Path(path).name)
            (tmp_path / clip / name).write_bytes(picture(Path(path).suffix, k))
    (row,) = read_manifest("table", tmp_path).rows
    assert (row.state, row.frames_path, row.n_frames) == ("used", clip, 5)


@pytest.mark.parametrize(
    "nesting",
    [
        "HS_long/SMIC-HS-E/s03/s3_ne_01",
        "HS_long/s03/s3_ne_01",
        "SMIC-HS-E/s3/s3_ne_01",
        "SMIC/HS_long/SMIC-HS-E/s03/micro/s3_ne_01",
        "s3_ne_01",
    ],
)
def test_the_long_recordings_of_smic_may_be_nested_otherwise(nesting):
    assert smic.RELEASE.place(Path(nesting)) == ("s3", "s3_ne_01")


@pytest.mark.parametrize("dataset", RELEASES)
def test_fps_apexes_and_columns_are_the_facts(dataset):
    facts, release = FACTS[dataset], RELEASES[dataset]
    assert release.fps == facts["fps"]
    roles = {"filename": "clip"}
    titles = {column["role"]: column["title"] for column in facts["columns"] if column["role"]}
    assert {roles.get(name, name) for name in release.columns} == set(titles)
    for name, known in release.columns.items():
        assert titles[roles.get(name, name)] in known


@pytest.mark.parametrize("dataset", [name for name in RELEASES if RELEASES[name].sheet_name])
def test_of_two_equal_sheets_the_published_one_is_read(tmp_path, dataset):
    facts = FACTS[dataset]
    name = facts["annotations"]["names"][0]
    write_release(facts, tmp_path, patterns(facts)[0], name)
    expected = read_manifest(dataset, tmp_path)
    book = openpyxl.load_workbook(tmp_path / name)
    book.active.title = RELEASES[dataset].sheet_name
    book.copy_worksheet(book.active).title = "Earlier"
    book.move_sheet("Earlier", offset=-1)
    book.save(tmp_path / name)
    found = read_manifest(dataset, tmp_path)
    assert found.rows == expected.rows
    assert found.sources[0].sheet.name == RELEASES[dataset].sheet_name


@pytest.mark.parametrize("dataset", RELEASES)
def test_what_no_source_confirms_is_said_by_validate(tmp_path, dataset):
    facts = FACTS[dataset]
    assert bool(RELEASES[dataset].unconfirmed) == bool(facts["unconfirmed"])
    write_release(facts, tmp_path / "data", patterns(facts)[0], facts["annotations"]["names"][0])
    manifest = read_manifest(dataset, tmp_path / "data")
    summary = summarise(Inspected(manifest, {}, ()), manifest.hash())
    said = io.StringIO()
    render(summary, Console(file=said, width=100))
    assert summary.parts[0].unconfirmed == RELEASES[dataset].unconfirmed
    for sentence in RELEASES[dataset].unconfirmed:
        assert f"unconfirmed for {dataset}: {sentence}" in said.getvalue()


def test_our_own_table_leaves_nothing_unconfirmed(tmp_path):
    facts = FACTS["table"]
    assert facts["unconfirmed"] == []
    write_release(facts, tmp_path / "data", patterns(facts)[0], "clips.csv")
    assert read_manifest("table", tmp_path / "data").sources[0].unconfirmed == ()


def test_every_data_set_has_published_facts_and_its_modules_name():
    assert set(DATASETS) == set(FACTS)
    assert [one.dataset for one in all_data_sets()] == list(DATASETS)
