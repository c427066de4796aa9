"""Layouts: what a file may hold, and how clips are named from it."""

import numpy as np
import pytest

from dianet_ray.errors import InputError
from dianet_ray.synth import layout
from dianet_ray.synth.annotation_table import TableRow
from dianet_ray.synth.filming import Files
from dianet_ray.synth.layout import ByLabel, HasLabel, HasUnit, read_layouts
from dianet_ray.synth.layouts import LAYOUTS
from dianet_ray.synth.naming import name_clips

GOOD = """
annotations: a.csv
columns: [{title: clip, cell: "{name}"}]
labels: {joy: {clips: 2, shows: happiness}}
clips: {name: "c{count}", folder: "{name}", frames: ["{number}.png"]}
onsets: [1, 8]
"""


@pytest.fixture
def read(monkeypatch, tmp_path):
    """Read a layout from its text."""
    monkeypatch.setattr(layout, "FOLDER", tmp_path)
    monkeypatch.setattr(layout, "LAYOUTS", ("mine",))

    def read(text):
        layout.read_layouts.cache_clear()
        (tmp_path / "mine.yaml").write_text(text)
        return layout.read_layouts("mine")

    yield read
    layout.read_layouts.cache_clear()


def test_a_layout_is_read_with_its_defaults(read):
    (found,) = read(GOOD)
    assert (found.sheet, found.longer, found.oddities) == ("", False, ())
    assert (found.emotion("joy"), found.proportions) == ("happiness", {"joy": 2})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GOOD + "colour: grey\n", "unknown key colour"),
        (GOOD.replace("onsets: [1, 8]", "onsets: [1]"), "onsets"),
        (GOOD.replace("clips: 2", "clips: none"), "labels.joy.clips: got 'none'"),
        (GOOD.replace('["{number}.png"]', "[]"), "clips.frames"),
        (GOOD + "oddities: [{name: x, files: burn}]\n", "'burn'"),
    ],
)
def test_a_file_that_breaks_a_rule_is_refused_in_one_line(read, text, says):
    with pytest.raises(InputError) as refused:
        read(text)
    assert "mine.yaml" in str(refused.value)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", LAYOUTS)
def test_clips_of_any_subject_and_labels_have_different_names_and_seeds(name):
    for release in read_layouts(name):
        labels = [label for label in release.labels for _ in range(3)]
        clips = [
            (subject, clip)
            for subject in (1, 2)
            for clip in name_clips(release, np.random.default_rng(subject), subject, labels)
        ]
        assert len({clip.seed_key for _, clip in clips}) == len(clips)
        n_recordings = -(-len(labels) // release.clips.per_recording)
        assert len({clip.files.folder for _, clip in clips}) == 2 * n_recordings


@pytest.mark.parametrize("name", LAYOUTS)
def test_seeds_do_not_depend_on_labels(name):
    for release in read_layouts(name):
        labels = [label for label in release.labels for _ in range(2)]
        keys = [
            [clip.seed_key for clip in name_clips(release, np.random.default_rng(0), 1, given)]
            for given in (labels, labels[::-1])
        ]
        assert keys[0] == keys[1]


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("{subject}", 6),
        ("{subject:03d}", "006"),
        ("{onset-30}", 70),
        ("{length+70}", 91),
        ("{units}", "L4+7"),
        ("AU{units_from_number}", "AU4+7"),
        ("{upper_name}", "CLIP"),
        (ByLabel({"joy": 1}, others=7), 7),
        (HasUnit(7), 1),
        (HasUnit(17), 0),
        (HasLabel("Fear"), 1),
        (HasLabel("Joy"), 0),
        ("/", "/"),
        (0, 0),
        (None, None),
    ],
)
def test_a_cell_holds_what_its_form_says(cell, value):
    row = TableRow(6, "clip", 0, "Anger+Fear", Files("f", "{}"), 100, 110, 120, units="L4+7")
    assert row.value(cell) == value
    assert type(row.value(cell)) is type(value)
