"""`report` over several configurations or studies, from their folders."""

from __future__ import annotations

import json

import pytest

from dianet_ray.protocol import leaks
from dianet_ray.protocol.standing import standing_of
from dianet_ray.search.space_file import load_space
from dianet_ray.search.study_file import load_study
from tests.support.command_line import run
from tests.support.fake_search import fake_plan
from tests.support.play import play

VARIANTS = (
    "phases both, fusion cross_attention",
    "phases both, fusion concat",
    "phases onset_apex, fusion none",
    "phases apex_offset, fusion none",
    "phases whole_clip, fusion none",
)


@pytest.fixture
def report(monkeypatch, capsys):
    return lambda *words: run(monkeypatch, capsys, "report", *words)


def search(path, **changes):
    play(fake_plan(path, **{"n_subjects": 5, "n_configs": 5} | changes))
    return path


def test_the_study_of_phases_gives_the_table_of_its_variants(tmp_path, report):
    path = search(tmp_path / "phases", space=load_space("phases"))
    status, text, _ = report(path, "--compare", "0,1,2,3,4", "--json")
    assert status == 0
    found = json.loads(text)
    assert found["comparison"][0]["settings_a"] == VARIANTS[0]
    assert [one["settings_b"] for one in found["comparison"]] == list(VARIANTS[1:])
    assert [one["b"] for one in found["comparison"]] == [f"configuration {k}" for k in range(1, 5)]
    for one in found["comparison"]:
        low, high = one["ci95_b"]["uf1"]
        assert 0 <= low <= one["scores_b"]["uf1"] <= high <= 1
    status, text, _ = report(path, "--compare", "0,1,2,3,4")
    assert status == 0
    for number, settings in enumerate(VARIANTS):
        assert f"configuration {number}: {settings}\n" in text


def test_champions_of_studies_are_compared_from_their_folders(tmp_path, report):
    paths = [search(tmp_path / name, seed=seed) for seed, name in enumerate(("one", "two"))]
    status, text, _ = report(*paths, "--json")
    assert status == 0
    (found,) = json.loads(text)["comparison"]
    champions = [standing_of(load_study(path)).champion().number for path in paths]
    assert [found["a"], found["b"]] == [f"one ({champions[0]})", f"two ({champions[1]})"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("one", "one", "--compare", "0,1"), "--compare is of one study: got 2 studies"),
        (("one", "--compare", "0,1", "--html", "page.html"), "are of one study without --compare"),
        (("one", "other", "--latex", "table.tex"), "are of one study without --compare"),
        (("one", "--compare", "0,9"), "takes complete configurations of one: got '9'"),
        (("one", "other"), "over the same clips: 3 clips of one (15) and other (12) differ"),
    ],
)
def test_what_cannot_be_compared_is_one_line(tmp_path, monkeypatch, report, words, says):
    search(tmp_path / "one")
    search(tmp_path / "other", n_subjects=4)
    monkeypatch.chdir(tmp_path)
    status, text, error = report(*words)
    assert (status, text) == (2, "")
    assert says in error
    assert error.count("\n") == 1
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize("kind", ["trained", "tested"])
def test_a_study_with_a_leak_is_neither_reported_nor_compared(tmp_path, report, kind):
    path = search(tmp_path / "leaky")
    study = load_study(path)
    seen = getattr(leaks.expected(study, 0, 2), kind)
    for segment in (path / "ledger").iterdir():
        segment.write_text(segment.read_text().replace(seen, "0" * 64))
    for words in ((path,), (path, "--json"), (path, "--compare", "0,1"), (path, path)):
        status, text, error = report(*words)
        assert (status, text) == (2, "")
        assert leaks.RULE in error
        assert "in fold 2 of rung 1 of leaky" in error
        assert error.count("\n") == 1
