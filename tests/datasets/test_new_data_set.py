"""Adding a data set takes one module and one YAML file, and touches nothing else."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import dianet_ray

FILES = Path(__file__).parent / "new_data_set"
PACKAGE = Path(dianet_ray.__file__).parent
MODULE, LAYOUT = Path("datasets/releases/invented.py"), Path("synth/layouts/invented.yaml")
MAX_LINES = 60


def contents(package):
    return {
        path.relative_to(package): path.read_bytes()
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """Copy the package and add a data set as a developer would."""
    copy = tmp_path_factory.mktemp("extended") / "dianet_ray"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(FILES / MODULE.name, copy / MODULE)
    shutil.copy(FILES / LAYOUT.name, copy / LAYOUT)
    return copy


def run(package, *words):
    return subprocess.run(
        [sys.executable, "-m", "dianet_ray", *map(str, words)],
        env=os.environ | {"PYTHONPATH": str(package.parent)},
        cwd=package.parent,
        capture_output=True,
        text=True,
    )


def test_nothing_but_the_two_files_differs(extended):
    before, after = contents(PACKAGE), contents(extended)
    assert {path for path in after if after[path] != before.get(path)} == {MODULE, LAYOUT}
    assert before.keys() <= after.keys()


@pytest.mark.parametrize(
    "path", sorted((PACKAGE / "datasets/releases").glob("*.py")), ids=lambda path: path.stem
)
def test_the_published_data_sets_are_modules_of_that_size_too(path):
    n_lines = len(path.read_text().splitlines())
    # The project's own table is a way to read, not a release.
    assert n_lines <= MAX_LINES or path.stem == "table"
    assert len((FILES / MODULE.name).read_text().splitlines()) <= MAX_LINES


def test_the_new_data_set_is_written_and_validated(extended, tmp_path):
    size = ["--subjects", 4, "--clips", 12, "--image-size", 32, "--frames", 10]
    written = run(extended, "synth", tmp_path / "data", "--layout", "invented", *size)
    assert written.returncode == 0, written.stderr
    validated = run(extended, "validate", "invented", tmp_path / "data", "--json")
    assert validated.returncode == 0, validated.stderr
    summary = json.loads(validated.stdout)
    assert summary["states"] == {"used": 11, "corrected": 0, "left_out": 1}
    assert summary["reasons"]["left_out"]["missing apex"][0]["detail"] == "?"
    assert set(summary["subjects"]) == {f"invented/P{k:02d}" for k in (1, 2, 3, 4)}
    assert summary["class_set"]["name"] == "invented:2"
    assert summary["class_set"]["n_outside"] == 0


def test_the_new_names_are_among_the_known_ones(extended, tmp_path):
    for words, message in (
        (["validate", "nowhere", tmp_path], "invented"),
        (["synth", tmp_path / "data", "--layout", "nowhere"], "invented"),
    ):
        refused = run(extended, *words)
        assert refused.returncode == 2
        assert "nowhere" in refused.stderr
        assert message in refused.stderr
