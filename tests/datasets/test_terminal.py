"""The summary on a terminal."""

import re
from dataclasses import replace

import pytest

from dianet_ray.datasets.summary import DuplicateClips
from tests.support.casme2_files import Clip, clips, write_data_set
from tests.support.problems import FIXES, KINDS, every_problem, look, said_of


@pytest.fixture(scope="module")
def problems(tmp_path_factory):
    """Look at a data set with every problem, once."""
    root = every_problem(tmp_path_factory.mktemp("problems") / "data")
    return look(root, corrections=FIXES)


def test_the_terminal_lists_every_kind_and_some_clips(problems):
    _, summary = problems
    said = said_of(summary)
    for state, kinds in KINDS.items():
        for kind, n_clips in kinds.items():
            assert f"{state.replace('_', ' ')}: {kind} ({n_clips})" in said
            for item in summary.reasons[state][kind][:2]:
                assert item.clip in said
    assert ", and 3 more (--manifest and --json list all)" in said
    assert "move almost alike, check whether they are copies (1): casme2/sub01/COPY1 and" in said
    assert "corrections that changed nothing (5)" in said


def test_only_json_is_said_to_list_what_the_manifest_does_not_hold(problems):
    _, summary = problems
    pair = DuplicateClips(("a", "b"), 0.988, across_subjects=False)
    said = said_of(replace(summary, duplicates=(pair,) * 3))
    assert "a and b (similarity 0.988), and 1 more (--json lists all)" in said
    # There are five.
    assert re.search(
        r"corrections that changed nothing.*\n.*\n.*3 more \(--json lists all\)", said
    )


def test_a_reason_comes_with_advice(problems):
    _, summary = problems
    said = said_of(summary)
    assert "--apex spot" in said
    assert "--apex midpoint" in said
    assert f"looked below {summary.parts[0].frames}" in said


def test_no_apex_rule_is_advised_where_one_was_applied(tmp_path):
    rows = [*clips(3), Clip(name="EP09_01", onset=5, apex="/", offset=6)]
    _, summary = look(write_data_set(tmp_path, rows), apex="spot")
    said = said_of(summary)
    assert "left out: missing apex (1)" in said
    assert "--apex" not in said


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


def test_equal_subjects_are_no_range(tmp_path):
    rows = [Clip(subject=1 + k // 2, name=f"EP{k:02d}_01") for k in range(6)]
    _, summary = look(write_data_set(tmp_path, rows))
    assert "3 subjects, 2 clips each" in said_of(summary)


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


def test_one_clip_is_not_written_as_several(tmp_path):
    rows = [Clip(label="fear"), *clips(3)]
    _, summary = look(write_data_set(tmp_path, rows))
    assert "1 clip has another label" in said_of(summary)
