"""Every command in order, as a user types it, on a tiny data set made by `synth`."""

import csv
import json
import shutil
import subprocess
import sys

import pytest
import torch

from dianet_ray.model.pretrained import imagenet_file, read_weights
from dianet_ray.model.weights import load_weights
from dianet_ray.prepare.images import load_images
from dianet_ray.search.study_file import load_study
from dianet_ray.tracking.store import connect, default_uri
from tests.support.mlflow_tree import dump_tree

# Guards against hanging: the first test waits for the whole fixture, five commands.
pytestmark = [pytest.mark.ray, pytest.mark.timeout(1200)]


def command(*words, status=0, cwd=None):
    found = subprocess.run(
        [sys.executable, "-m", "dianet_ray", *map(str, words)],
        capture_output=True,
        text=True,
        cwd=cwd,
    )
    assert found.returncode == status, found.stdout + found.stderr
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Data, images and a finished study of two configurations."""
    folder = tmp_path_factory.mktemp("pipeline")
    size = ["--subjects", 6, "--clips", 40, "--image-size", 64, "--frames", 12]
    command("synth", folder / "data", *size)
    command("synth", folder / "newcomers", *size, "--seed", 1)
    command("prepare", "casme2", folder / "data", folder / "images", "--image-size", 32)
    search(folder)
    return folder


def search(folder, study="study", *options):
    words = ["--space", "quick", "--configs", 2, "--set", "steps=30", "--wave-size", 2]
    words += ["--repeats", 1, *options]
    # Somewhere else, to see that nothing is written into the working directory.
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    found = command("search", folder / "images", folder / study, *words, cwd=elsewhere)
    assert list(elsewhere.iterdir()) == []
    return found


def test_validate_agrees_with_what_synth_wrote(folder):
    found = command("validate", "casme2", folder / "data", "--json").stdout
    summary = json.loads(found)
    assert summary["n_clips"] == 40
    assert summary["states"] == {"used": 39, "corrected": 0, "left_out": 1}
    with (folder / "images" / "manifest.csv").open() as rows:
        states = [row["state"] for row in csv.DictReader(rows)]
    assert len(states) == 40
    assert states.count("left_out") == 1  # the missing apex


def test_the_first_configuration_and_the_best_other_are_promoted_as_the_report_says(folder):
    document = json.loads(command("report", folder / "study", "--json").stdout)
    n_folds = len(load_study(folder / "study").folds)
    assert document["n_trainings"] == 2 * 3 + 2 * n_folds
    assert document["n_trainings_exhaustive"] == 2 * n_folds
    assert document["n_surplus"] == 0
    rungs = [(r["partition"], r["reached"], r["trainings"]) for r in document["flow"]["rungs"]]
    assert rungs == [("groups-3", 2, 6), ("loso", 2, 2 * n_folds)]
    assert {c["state"] for c in document["configs"]} == {"complete"}
    assert document["champion"]["corrected"] is not None  # it is the best of two
    assert document["seconds"]["startup"] > 0


@pytest.mark.slow
def test_an_exhaustive_study_holds_every_fold_and_the_report_says_so(folder):
    store = ["--tracking-uri", f"sqlite:///{folder / 'exhaustive.db'}"]  # the other names models
    search(folder, "exhaustive", "--strategy", "exhaustive", *store)
    document = json.loads(command("report", folder / "exhaustive", "--json").stdout)
    n_folds = len(load_study(folder / "exhaustive").folds)
    assert document["n_trainings"] == document["n_trainings_exhaustive"] == 2 * n_folds
    assert document["n_surplus"] == 0
    assert document["champion"]["corrected"] is not None
    assert document["seconds"]["startup"] > 0


def test_the_page_and_the_predictions_are_written(folder):
    page, table = folder / "report.html", folder / "predictions.csv"
    command("report", folder / "study", "--html", page, "--predictions", table)
    text = page.read_text()
    assert "<img" in text
    assert "http://" not in text.replace("http://www.w3.org", "")
    command("report", folder / "study", "--html", page, "--no-faces")
    assert len(page.read_text()) < len(text)
    with table.open() as rows:
        assert len(list(csv.DictReader(rows))) == len(load_study(folder / "study").clips)


def test_the_same_command_again_does_nothing_and_track_changes_nothing(folder):
    parts = sorted((folder / "study" / "ledger").iterdir())
    client = connect(default_uri(folder / "study"))
    before = dump_tree(client, "dianet-ray")
    search(folder)
    command("track", folder / "study")
    assert sorted((folder / "study" / "ledger").iterdir()) == parts
    assert dump_tree(client, "dianet-ray") == before


def test_models_collected_by_study_and_by_alias_are_equal_and_known_subjects_get_held_out_ones(
    folder,
):
    uri = default_uri(folder / "study")
    command("collect", folder / "by-study", "--study", folder / "study")
    model = ["--model", "dianet-casme2-5@champion", "--tracking-uri", uri]
    command("collect", folder / "by-alias", *model)
    names = sorted(path.name for path in (folder / "by-study").iterdir())
    assert names == sorted(path.name for path in (folder / "by-alias").iterdir())
    for name in names:
        one, other = folder / "by-study" / name, folder / "by-alias" / name
        assert one.read_bytes() == other.read_bytes()
    n_folds = len(load_study(folder / "study").folds)
    (known,) = predict(folder, first_clip(folder / "data"))
    (fresh,) = predict(folder, first_clip(folder / "newcomers"))
    assert (known["n_models"], fresh["n_models"]) == (1, n_folds)
    assert known["models"] == "held-out only"
    for prediction in (known, fresh):
        assert sum(prediction["probabilities"].values()) == pytest.approx(1, abs=1e-4)
        assert prediction["apex_from"] == "spot"


def test_models_of_all_seeds_predict_together(folder):
    n_folds = len(load_study(folder / "study").folds)
    command("collect", folder / "all-seeds", "--study", folder / "study", "--seeds")
    assert len(list((folder / "all-seeds").glob("*.safetensors"))) == 2 * n_folds
    for data, n_models in (("data", 2), ("newcomers", 2 * n_folds)):
        clip = first_clip(folder / data)
        found = command("predict", folder / "all-seeds", clip, "--json").stdout
        assert json.loads(found)[0]["n_models"] == n_models


def test_a_held_out_prediction_is_the_one_that_the_study_made(folder):
    """With the annotated apex, the model that never saw the subject predicts as in the study."""
    study = load_study(folder / "study")
    with (folder / "images" / "manifest.csv").open() as rows:
        row = next(row for row in csv.DictReader(rows) if row["state"] == "used")
    flags = [word for key in ("onset", "apex", "offset") for word in (f"--{key}", row[key])]
    clip = folder / "data" / row["frames_path"]
    (prediction,) = predict(folder, clip, *flags)
    winner = json.loads(command("report", folder / "study", "--json").stdout)["champion"]
    index = next(i for i, c in enumerate(study.clips) if c.clip_id == row["clip_id"])
    number = winner["number"]
    expected = study.pooled(number, steps=winner["steps"])[index]
    found = [prediction["probabilities"][name] for name in study.classes]
    assert found == pytest.approx(expected.tolist(), abs=1e-4)


def predict(folder, clip, *flags):
    if not (folder / "models").exists():
        command("collect", folder / "models", "--study", folder / "study")
    return json.loads(command("predict", folder / "models", clip, *flags, "--json").stdout)


def first_clip(root):
    return min(path.parent for path in root.rglob("img*.jpg"))


@pytest.mark.slow
def test_a_frame_that_cannot_be_read_is_status_2_unless_it_is_accepted(folder):
    broken = folder / "broken"
    shutil.copytree(folder / "data", broken)
    clip = first_clip(broken)
    min(clip.iterdir()).write_bytes(b"")
    words = ["prepare", "casme2", broken]
    found = command(*words, folder / "refused", "--image-size", 32, status=2)
    assert found.stderr.splitlines()[-1].startswith("dianet-ray: 1 clip cannot be read")
    assert clip.name in (folder / "refused" / "left_out.csv").read_text()
    assert len(load_images(folder / "refused").clip_ids) == 38
    command(*words, folder / "refused", "--image-size", 32, "--skip-broken")


@pytest.mark.slow
def test_a_missing_weights_file_is_trained_again_to_the_same_bytes(folder):
    weights = sorted((folder / "study" / "weights").rglob("*.safetensors"))
    before = weights[0].read_bytes()
    weights[0].unlink()
    found = search(folder)
    assert "1 weights file missing or damaged" in found.stderr
    assert weights[0].read_bytes() == before


@pytest.mark.slow
def test_a_network_of_ones_own_is_searched_collected_and_predicts_when_it_is_trusted(folder):
    store = f"sqlite:///{folder / 'own.db'}"
    words = ["--space", "ststnet", "--configs", 2, "--wave-size", 2, "--strategy", "exhaustive"]
    words += ["--repeats", 0]
    command(
        *("search", folder / "images", folder / "own", *words),
        *("--set", "steps=20", "--tracking-uri", store),
    )
    document = json.loads(command("report", folder / "own", "--json").stdout)
    (first, second) = (dict(config["settings"]["own"]) for config in document["configs"])
    assert first == {"kernels": 1}
    assert second["kernels"] in (1, 2, 4)
    command("collect", folder / "own-model", "--study", folder / "own", "--tracking-uri", store)
    words = ["predict", folder / "own-model", first_clip(folder / "newcomers")]
    refused = command(*words, status=2).stderr
    assert refused.count("\n") == 1
    assert "ststnet.py" in refused
    (found,) = json.loads(command(*words, "--trust-code", "--json").stdout)
    assert sum(found["probabilities"].values()) == pytest.approx(1, abs=1e-4)


@pytest.mark.slow
def test_blocks_of_trainings_score_like_trainings_alone(folder):
    """Real networks in stacks of four; float32 rounds differently in them, not much."""
    store = ["--tracking-uri", f"sqlite:///{folder / 'blocks.db'}"]
    search(folder, "blocks", "--folds-per-trial", 4, *store)
    alone, blocks = (load_study(folder / name) for name in ("study", "blocks"))
    assert {len(training.block) for training in blocks.trainings.values()} >= {4}
    assert [c.settings for c in blocks.configurations] == [
        c.settings for c in alone.configurations
    ]
    for key, training in blocks.trainings.items():
        assert training.outcome == "ok"
        first, other = training.points[0], alone.trainings[key].points[0]
        assert abs(first.probabilities - other.probabilities).max() < 0.05
    before = sorted((folder / "blocks" / "ledger").iterdir())
    search(folder, "blocks", *store)
    assert sorted((folder / "blocks" / "ledger").iterdir()) == before


@pytest.mark.slow
def test_streams_start_from_imagenets_weights_on_the_workers(folder):
    """Frozen stages show that the workers got them: they are those of the package to the bit."""
    store = ["--tracking-uri", f"sqlite:///{folder / 'imagenet.db'}"]
    fixed = {"backbone": "efficientnet_lite0", "width": 32, "pretrained": "imagenet"}
    settings = fixed | {"frozen_stages": 9, "steps": 2, "points": 1}
    words = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    command(
        *("search", folder / "images", folder / "imagenet", "--space", "quick", "--configs", 1),
        *("--repeats", 0),
        *("--strategy", "exhaustive", *words, *store),
    )
    published = read_weights(imagenet_file())
    trained = load_weights(min((folder / "imagenet" / "weights").rglob("*.safetensors")))
    for name, value in published.items():
        if not name.startswith("_fc."):
            assert torch.equal(trained[f"streams.1.{name}"], value), name
