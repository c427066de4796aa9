"""The README tells the truth: its links, its tree, its commands and its Makefile verbs exist."""

import re
import subprocess
from pathlib import Path

import pytest
import typer

from dianet_ray.cli.app import app

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_every_module_stands_in_the_tree():
    modules = {
        path.relative_to(ROOT / "dianet_ray").as_posix()
        for path in (ROOT / "dianet_ray").rglob("*.py")
        if path.name != "__init__.py"
    }
    tree = README.split("## The code")[1].split("```")[1]
    for module in modules:
        assert re.search(rf"^\s*{re.escape(Path(module).name)}\s", tree, re.MULTILINE), module
    named = re.findall(r"(\w+\.py)", tree)
    assert set(named) == {Path(module).name for module in modules}


def test_every_command_is_shown():
    for name in typer.main.get_command(app).commands:
        assert f"dianet-ray {name}" in README, name


def test_every_shown_option_exists():
    known = {
        flag
        for c in typer.main.get_command(app).commands.values()
        for p in c.params
        for flag in p.opts
    }
    shown = {
        flag
        for line in README.replace("\\\n", " ").splitlines()
        if line.strip().startswith("dianet-ray ")
        for flag in re.findall(r"(?<=\s)--[a-z-]+", line)
    }
    assert shown
    assert shown <= known


def test_nothing_is_left_to_fill_in():
    assert not re.findall(r"\b[A-Z]{8,}\b", README.replace("MLFLOW_TRACKING_URI", ""))


def test_relative_links_resolve():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


@pytest.mark.parametrize(
    "verb", sorted(set(re.findall(r"(?m)(?:^|`)make ([a-z][a-z-]+)", README)))
)
def test_every_make_verb_exists(verb):
    subprocess.run(["make", "-n", verb], cwd=ROOT, check=True, capture_output=True)
