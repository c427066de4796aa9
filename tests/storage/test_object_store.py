"""The pipeline gives the same with IMAGES and STUDY in an object store as on a file system."""

import json
import os
import subprocess
import sys

import pytest

from dianet_ray.search.study_file import load_study
from dianet_ray.storage.files import names
from tests.support.play import decisions

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]
SEARCH = ["--space", "quick", "--configs", "2", "--set", "steps=4", "--max-workers", "2"]
SEARCH += ["--repeats", "0"]


def dianet(*words, status=0):
    command = [sys.executable, "-m", "dianet_ray", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == status, done.stdout + done.stderr
    return done


def test_every_command_works_on_an_object_store_as_on_files(s3, tmp_path, monkeypatch):
    data = tmp_path / "data"
    dianet("synth", data, "--subjects", 4, "--clips", 40, "--frames", 10, "--image-size", 64)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    for place in (tmp_path, s3):
        said = dianet("prepare", "casme2", data, place / "images", "--image-size", "32")
        assert f"39 clips, 1 left out: {place / 'images'}" in said.stdout
        dianet("search", place / "images", place / "study", *SEARCH)
    again = dianet("prepare", "casme2", data, s3 / "images", "--image-size", "32")
    assert "complete already" in again.stdout
    there, here = load_study(s3 / "study"), load_study(tmp_path / "study")
    assert decisions(there) == decisions(here)
    assert {k: [p.weights.sha256 for p in t.points] for k, t in there.trainings.items()} == {
        k: [p.weights.sha256 for p in t.points] for k, t in here.trainings.items()
    }
    assert names(s3 / "study") == ["ledger", "study.json", "weights"]
    report = json.loads(dianet("report", s3 / "study", "--json").stdout)
    assert report["n_trainings"] == len(here.trainings)
    dianet("collect", tmp_path / "models", "--study", s3 / "study")
    assert len(list((tmp_path / "models").glob("*.safetensors"))) == len(here.folds)
    assert "not running" in dianet("status", s3 / "study").stdout
    closing = dianet("search", s3 / "images", s3 / "study", *SEARCH).stdout
    assert f"dianet-ray collect study-models --study {s3 / 'study'}" in closing


def test_a_bucket_that_is_not_there_is_one_line(s3_server):
    said = dianet("report", "s3://no-such-bucket/study", status=2).stderr
    assert len(said.splitlines()) == 1, said
    assert "s3://no-such-bucket/study" in said
