"""Damage through the `validate` command: exit status, one line on stderr."""

import sys

import pytest

from dianet_ray.cli import app
from tests.support.damage import AT, NAME, cropped_beside_raw, cut, lose_columns, no_frames


@pytest.fixture
def command(monkeypatch, capsys):
    """Run `validate` in this process; return status, stdout and stderr."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["dianet-ray", "validate", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            app.main()
        return end.value.code, *capsys.readouterr()

    return run


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lose_columns, "lacks columns"),
        (cropped_beside_raw, "two places"),
        (no_frames, "--frames-dir"),
    ],
)
def test_the_command_refuses_in_one_line_with_status_2(root, command, damage, says):
    damage(root)
    status, stdout, stderr = command("casme2", root)
    assert (status, stdout) == (2, "")
    assert stderr.count("\n") == 1
    assert says in stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["samm"], "looks like casme2"),
        (["casme"], "'casme' is not one of 'casme2', "),
        (["casme2", "--crop", "nose"], "--crop"),
        (["casme2", "--apex", "guess"], "--apex"),
        (["casme2", "--corrections", "gone.csv"], "--corrections"),
        (["casme2", "--frames-dir", "gone"], "--frames-dir"),
        (["casme2", "--annotations", "gone.xlsx"], "--annotations"),
        (["casme2", "--annotations", "a", "--annotations", "b"], "once"),
    ],
)
def test_the_command_refuses_wrong_words_in_one_line_with_status_2(root, command, words, says):
    status, stdout, stderr = command(words[0], root, *words[1:])
    assert (status, stdout) == (2, ""), stderr
    assert stderr.count("\n") == 1, stderr
    assert says in stderr


def test_the_command_names_a_damaged_clip_and_goes_on(root, command):
    cut(0.6, 8)(root)
    status, stdout, stderr = command("casme2", root)
    assert status == 2
    assert f"1 clip cannot be read, for example {NAME}: not a whole image" in stderr
    assert command("casme2", root, "--skip-broken") == (0, stdout, stderr.rpartition("dian")[0])
    assert "3: 2 used, 0 corrected, 1 left out" in stdout
    assert f"left out: unreadable (1): {NAME}: not a whole image: {AT}/img8.jpg" in stdout
