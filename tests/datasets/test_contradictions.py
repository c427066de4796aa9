"""Labels of a sheet against what clips and folders are called."""

import csv
import os
import shutil
import subprocess
import sys

import openpyxl
import pytest

from dianet_ray.datasets.annotations import ChosenPaths, ClipName
from dianet_ray.datasets.contradictions import resolve
from dianet_ray.datasets.corrections import Correction
from dianet_ray.datasets.published import Number, part_numbers
from dianet_ray.datasets.rules import read_manifest
from dianet_ray.synth.data_set import write_data_set
from dianet_ray.synth.planning import SynthOptions
from tests.support.casme2_files import write_frame
from tests.support.problems import look, said_of

SMALL = {"n_subjects": 4, "n_clips": 24, "image_size": 32, "n_frames": 10}
COLUMNS = ("clip", "subject", "label", "onset", "apex", "offset")


@pytest.fixture(scope="module")
def layouts(tmp_path_factory):
    """Write each layout once."""
    made = {}

    def write(name):
        if name not in made:
            made[name] = tmp_path_factory.mktemp("layouts") / name
            write_data_set(made[name], SynthOptions(layout=name, **SMALL), n_workers=1)
        return made[name]

    return write


def relabel(root, titles, change):
    """Change labels in a workbook: clip -> label."""
    (path,) = root.glob("*.xlsx")
    book = openpyxl.load_workbook(path)
    header = [cell.value for cell in book.active[1]]
    clip, label = (header.index(title) for title in titles)
    for row in book.active.iter_rows(min_row=2):
        row[label].value = change(row[clip].value, row[label].value)
    book.save(path)


def found(dataset, root, **options):
    contradictions = read_manifest(dataset, root, **options).contradictions
    return {one.clip: (one.label, one.named, one.said) for one in contradictions}


@pytest.mark.parametrize("layout", ["casme2", "mmew", "smic"])
def test_a_release_as_it_should_be_contradicts_nothing(layouts, layout):
    assert read_manifest(layout, layouts(layout)).contradictions == ()


def test_folders_alone_contradict_nothing_either(layouts):
    assert read_manifest("smic", layouts("smic_hs")).contradictions == ()


# What a release writes into its names


def test_smics_clip_names_and_folders_are_compared_with_the_sheet(layouts, tmp_path):
    root = shutil.copytree(layouts("smic"), tmp_path / "data")
    wrong = "s1_sur_01"
    relabel(root, ("Filename", "Emotion"), lambda c, old: "negative" if c == wrong else old)
    assert found("smic", root) == {
        "smic/s1/s1_sur_01": ("negative", "surprise", "surprise by its name and folder")
    }
    said = said_of(look(root, dataset="smic")[1])
    assert "clips' own names contradict (1): smic/s1/s1_sur_01: negative, but" in said
    assert "--label-conflicts leave-out" in said


@pytest.mark.parametrize("flat", [False, True])
def test_mmews_emotion_number_is_compared_with_the_sheet(layouts, tmp_path, flat):
    root = shutil.copytree(layouts("mmew"), tmp_path / "data")
    if flat:  # a nesting without folders of emotions
        for path in list((root / "Micro_Expression").glob("*/*")):
            path.rename(root / "Micro_Expression" / path.name)
    clips = {row.clip_id: row for row in read_manifest("mmew", root).usable()}
    number = {row.label: row.clip_id.split("-")[1] for row in clips.values()}
    assert number["happiness"] == "01"
    (wrong, *_) = (k.rpartition("/")[2] for k, r in clips.items() if r.label == "happiness")
    relabel(root, ("Filename", "Estimated Emotion"), lambda c, old: "fear" if c == wrong else old)
    by = "name" if flat else "name and folder"
    (said,) = found("mmew", root).values()
    assert said == ("fear", "happiness", f"happiness by its {by}")


def test_mmews_others_are_no_contradiction_of_repression(layouts, tmp_path):
    root = shutil.copytree(layouts("mmew"), tmp_path / "data")
    for spelling in ("Others", "other", "repression"):
        relabel(
            root,
            ("Filename", "Estimated Emotion"),
            lambda c, old, new=spelling: new if "-04-" in c else old,
        )
        assert found("mmew", root) == {}


def test_a_folder_against_the_name_is_found_without_a_sheet(layouts, tmp_path):
    root = shutil.copytree(layouts("smic_hs"), tmp_path / "data")
    place = root / "HS/s1/micro"
    (place / "negative/s1_sur_01").parent.mkdir(exist_ok=True)
    (place / "surprise/s1_sur_01").rename(place / "negative/s1_sur_01")
    assert found("smic", root) == {"smic/s1/s1_sur_01": ("surprise", "", "negative by its folder")}


def test_a_corrected_label_is_the_one_that_is_compared(layouts, tmp_path):
    root = shutil.copytree(layouts("smic"), tmp_path / "data")
    relabel(root, ("Filename", "Emotion"), lambda c, old: "negative" if c == "s1_sur_01" else old)
    fix = Correction("smic", ClipName("s1", "s1_sur_01"), "label", "", "surprise", "me")
    assert found("smic", root, corrections=[fix]) == {}
    wrong = Correction("smic", ClipName("s1", "s1_ne_01"), "label", "", "positive", "me")
    assert set(found("smic", root, corrections=[fix, wrong])) == {"smic/s1/s1_ne_01"}


# Folders and names that people chose


def write_table(root, rows):
    """Write a table of clips: path -> label."""
    root.mkdir(exist_ok=True)
    with (root / "clips.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for k, (clip, label) in enumerate(rows.items()):
            writer.writerow((clip, f"p{k}", label, 1, 3, 5))
            for number in range(1, 6):
                write_frame(root / clip / f"{number}.png", 10 * k + number, (16, 16))
    return root


@pytest.mark.parametrize(
    ("form", "by"),
    [
        ("{label}/c{k}", "folder"),
        ("{LABEL}/p{k}/c", "folder"),
        ("p{k}/{label}/c", "folder"),
        ("p{k}/{label}_{k}", "name"),
        ("p{k}/{label}", "name"),
        ("p{k}_{label}{k}", "name"),
        ("clips/{label}/{k}_{label}", "name and folder"),
    ],
)
def test_a_tables_own_folders_and_names_are_compared(tmp_path, form, by):
    labels = ["joy", "fear", "joy", "fear", "anger"]
    paths = [form.format(label=x, LABEL=x.upper(), k=k) for k, x in enumerate(labels)]
    rows = dict(zip(paths, labels, strict=True))
    assert found("table", write_table(tmp_path / "good", rows)) == {}
    rows[paths[2]] = "Fear"
    ((clip, said),) = found("table", write_table(tmp_path / "bad", rows)).items()
    assert clip == f"table/p2/{paths[2]}"
    assert said == ("Fear", "joy", f"joy by its {by}")


@pytest.mark.parametrize(
    ("form", "by"),
    [
        ("{k:02d}_{word}/c{k}", "folder"),
        ("{word} clips/p/c{k}", "folder"),
        ("p{k}_{short}_3", "name"),
        ("clips/{word}/{k}_{short}", "name and folder"),
    ],
)
def test_other_words_for_a_class_are_known(tmp_path, form, by):
    words = {"happiness": "happy", "sadness": "sad", "negative": "neg"}
    labels = ["happiness", "sadness", "negative", "happiness"]
    paths = [form.format(k=k, word=words[x], short=words[x]) for k, x in enumerate(labels)]
    rows = dict(zip(paths, labels, strict=True))
    assert found("table", write_table(tmp_path / "good", rows)) == {}
    rows[paths[0]] = "negative"
    ((_, said),) = found("table", write_table(tmp_path / "bad", rows)).items()
    assert said == ("negative", "happiness", f"happiness by its {by}")


@pytest.mark.parametrize(
    "form", ["s{k}_{short}_01", "{word}/c{k}", "p{k}/{word}_{k}", "{k}_{word}/{short}"]
)
def test_a_sheet_whose_rows_have_slipped_is_contradicted_by_every_name(tmp_path, form):
    short = {"negative": "ne", "positive": "po", "surprise": "sur"}
    named = ["negative", "positive", "surprise"] * 3
    paths = [form.format(k=k, word=x, short=short[x]) for k, x in enumerate(named)]
    rows = dict(zip(paths, named[1:] + named[:1], strict=True))
    assert len(found("table", write_table(tmp_path, rows))) == len(rows)


def test_a_folder_of_a_class_that_the_sheet_does_not_have_contradicts_it(tmp_path):
    rows = {"happiness/a": "happiness", "fear/b": "fear", "SADNESS/c": "fear"}
    ((_, said),) = found("table", write_table(tmp_path, rows)).items()
    assert said == ("fear", "sadness", "sadness by its folder")


@pytest.mark.parametrize(
    "rows",
    [
        # Subjects whose names are spelled like labels, and numbers that happen to be labels.
        {f"{k % 3}/c{k}": str((k + 1 + k // 3) % 3) for k in range(9)},
        {"joy/a": "fear", "ann/b": "joy", "ben/c": "fear", "joy/d": "fear"},
        {"c1": "2", "c2": "1", "c3": "2", "c4": "1"},
        {"others/joy/a": "joy", "others/fear/b": "fear", "others/joy/c": "joy", "d": "others"},
        {"joy_fear_1": "joy", "joy_fear_2": "fear", "x": "joy"},
        # Folders of another, coarser label set, and one folder for all.
        {"positive/a": "happiness", "negative/b": "fear", "negative/c": "disgust"},
        {"surprise/a": "fear", "surprise/b": "surprise", "surprise/c": "disgust"},
    ],
)
def test_names_that_only_look_like_classes_contradict_nothing(tmp_path, rows):
    assert found("table", write_table(tmp_path, rows)) == {}


def test_a_clip_with_several_emotions_agrees_with_any_of_them(tmp_path):
    rows = {"joy/a": "joy+surprise", "joy/b": "joy", "surprise/c": "surprise", "fear/d": "fear"}
    assert found("table", write_table(tmp_path / "a", rows)) == {}
    rows["fear/d"] = "surprise + joy"
    assert found("table", write_table(tmp_path / "b", {**rows, "fear/e": "fear"})).keys() == {
        "table/p3/fear/d"
    }


def test_a_release_that_was_sorted_into_folders_of_classes_is_compared_too(layouts, tmp_path):
    root = shutil.copytree(layouts("casme2"), tmp_path / "data")
    rows = read_manifest("casme2", root).usable()
    for row in rows:
        label = "disgust" if row == rows[0] and row.label != "disgust" else row.label
        label = "surprise" if row == rows[0] and row.label == "disgust" else label
        _, subject, clip = row.clip_id.split("/")
        shutil.move(root / row.frames_path, root / "sorted" / label / subject / clip)
    shutil.rmtree(root / "CASME2_RAW_selected")
    assert found("casme2", root).keys() == {rows[0].clip_id}
    chosen = ChosenPaths(frames=(root / "sorted",))
    assert found("casme2", root, chosen=chosen).keys() == {rows[0].clip_id}


# What becomes of them


@pytest.fixture
def wrong(tmp_path):
    rows = {f"{x}/{k}": x for k, x in enumerate(["joy", "fear", "joy", "fear", "Joy"])}
    rows["joy/2"] = "fear"
    return write_table(tmp_path / "data", rows)


def test_the_sheets_label_is_kept_unless_the_user_says_otherwise(wrong):
    manifest = read_manifest("table", wrong)
    assert resolve(manifest, "sheet") == manifest
    assert {row.state for row in manifest.rows} == {"used"}


def test_contradicted_clips_can_be_left_out(wrong):
    manifest = resolve(read_manifest("table", wrong), "leave-out")
    assert {row.clip_id: row.reason for row in manifest.rows if row.state == "left_out"} == {
        "table/p2/joy/2": "label conflict: fear, but joy by its folder"
    }
    assert manifest.contradictions == ()
    flags = ("--label-conflicts sheet", "--label-conflicts name")
    assert manifest.remedies == {"table/p2/joy/2": flags}


def test_contradicted_clips_can_take_the_label_of_their_names(wrong):
    before = read_manifest("table", wrong)
    manifest = resolve(before, "name")
    (changed,) = (row for row in manifest.rows if row.state == "corrected")
    assert (changed.clip_id, changed.label) == ("table/p2/joy/2", "joy")
    assert changed.reason == "label conflict: fear -> joy, which the clip's name says"
    assert manifest.hash() != before.hash() != resolve(before, "leave-out").hash()


def test_a_name_that_contradicts_itself_gives_no_label(layouts, tmp_path):
    root = shutil.copytree(layouts("smic_hs"), tmp_path / "data")
    place = root / "HS/s1/micro"
    (place / "surprise/s1_sur_01").rename(place / "negative/s1_sur_01")
    (row,) = (
        row
        for row in resolve(read_manifest("smic", root), "name").rows
        if row.clip_id == "smic/s1/s1_sur_01"
    )
    assert (row.state, row.label) == ("left_out", "surprise")


def test_the_published_numbers_say_which_flag_brings_a_label_back(tmp_path):
    options = SynthOptions(layout="megc2019", **SMALL | {"n_subjects": 9, "n_clips": 40})
    write_data_set(tmp_path / "data", options, n_workers=1)
    before = read_manifest("megc2019", tmp_path / "data")
    (wrong, *_) = (r.clip_id for r in before.usable() if r.clip_id.endswith("_sur_01"))
    relabel(
        tmp_path / "data/smic",
        ("Filename", "Emotion"),
        lambda clip, old: "negative" if clip == wrong.rpartition("/")[2] else old,
    )
    after = read_manifest("megc2019", tmp_path / "data")
    parts = {name: part_numbers(m)[2] for name, m in (("before", before), ("after", after))}
    assert parts["before"].missing == ()
    (missing,) = parts["after"].missing
    assert (missing.clip, missing.flags) == (wrong, ("--label-conflicts name",))
    n = parts["before"].classes["surprise"].found
    assert parts["after"].classes["surprise"] == Number(n - 1, 43)
    assert parts["after"].n_unknown == parts["before"].n_unknown
    assert part_numbers(resolve(after, "name"))[2] == parts["before"]
    (missing,) = part_numbers(resolve(after, "leave-out"))[2].missing
    assert missing.flags == ("--label-conflicts sheet", "--label-conflicts name")


def test_validate_takes_the_flag(wrong):
    words = ["validate", "table", str(wrong), "--label-conflicts", "leave-out", "--json"]
    command = [sys.executable, "-m", "dianet_ray", *words]
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert '"label conflict"' in done.stdout
