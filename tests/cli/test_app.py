"""The command line: true help, one line and status 2 for bad input, JSON alone on stdout."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
import typer

from dianet_ray.artefacts import DRIVER_FOLDER
from dianet_ray.cli.app import app
from dianet_ray.cli.searching import Search
from dianet_ray.datasets.catalogue import DATASETS
from dianet_ray.errors import Stopped, StudyFailed
from dianet_ray.options import SearchOptions
from dianet_ray.prepare.images import load_images
from dianet_ray.search.plan import make_plan
from dianet_ray.search.space_file import load_space, shipped
from dianet_ray.search.study_file import write_study
from dianet_ray.settings import setting_names
from dianet_ray.storage.lock import Lock
from dianet_ray.storage.outputs import JOB_VARIABLE
from dianet_ray.synth.layouts import LAYOUTS
from tests.support.casme2_files import (
    HEADER,
    WORKBOOK,
    Clip,
    clips,
    write_data_set,
    write_workbook,
)
from tests.support.command_line import run
from tests.support.fake_search import fake_plan
from tests.support.images import write_images
from tests.support.play import play


@pytest.fixture
def images(tmp_path):
    return write_images(tmp_path / "images")


@pytest.fixture
def refused(monkeypatch, capsys):
    def check(*words, says):
        status, stdout, stderr = run(monkeypatch, capsys, *words)
        assert (status, stdout) == (2, ""), stderr
        assert stderr.count("\n") == 1, stderr
        assert says in stderr

    return check


def test_every_command_has_help_and_the_contracts_options():
    contract = {
        "demo": {"--out"},
        "doctor": {"--address", "--tracking-uri", "--json"},
        "synth": {
            *("--layout", "--subjects", "--clips", "--image-size", "--frames", "--seed", "--null")
        },
        "validate": {
            *("--annotations", "--sheet", "--frames-dir", "--apex", "--corrections", "--crop"),
            *("--label-conflicts", "--manifest", "--contact-sheet", "--json"),
            *("--merge-subjects", "--skip-broken", "--fill-gaps"),
        },
        "prepare": {
            *(
                "--annotations",
                "--sheet",
                "--frames-dir",
                "--image-size",
                "--coefficients",
                "--apex",
            ),
            *("--corrections", "--crop", "--skip-broken", "--address", "--max-workers"),
            *("--label-conflicts", "--merge-subjects", "--fill-gaps"),
        },
        "search": {
            *("--space", "--set", "--classes", "--configs", "--wave-size", "--objective"),
            *("--strategy", "--seed", "--enqueue", "--threads-per-training", "--max-workers"),
            *("--gpus-per-trial", "--folds-per-trial", "--cpus-per-trial", "--keep-weights"),
            *("--repeats", "--protocol"),
            *("--tracking-uri", "--experiment", "--log-faces", "--dry-run", "--address"),
            "--network",
            *("--ladder", "--keep", "--drop", "--max-trainings", "--max-hours"),
        },
        "status": {"--json"},
        "track": {"--tracking-uri", "--experiment", "--log-faces"},
        "report": {
            *("--json", "--html", "--predictions", "--latex", "--no-faces", "--trust-code"),
            "--compare",
        },
        "collect": {"--study", "--model", "--seeds", "--tracking-uri"},
        "predict": {"--onset", "--apex", "--offset", "--subject", "--json", "--trust-code"},
    }
    commands = typer.main.get_command(app).commands
    found = {
        name: {flag for p in command.params for flag in p.opts if flag.startswith("--")}
        for name, command in commands.items()
    }
    assert found == contract


def parameters():
    """List every argument and option of every command, without typer's own --help."""
    for name, command in typer.main.get_command(app).commands.items():
        for parameter in command.params:
            if parameter.name != "help":
                yield pytest.param(parameter, id=f"{name} {parameter.opts[0]}")


@pytest.mark.parametrize("parameter", list(parameters()))
def test_every_help_is_a_sentence(parameter):
    """A capital and a full stop; a sentence may begin with the name of a choice."""
    assert re.match(r"[A-Z]|[a-z]+: ", parameter.help), parameter.help
    assert parameter.help.endswith("."), parameter.help
    assert "  " not in parameter.help, parameter.help


def test_every_command_says_what_it_does_in_one_line_of_the_list():
    for name, command in typer.main.get_command(app).commands.items():
        first = command.help.split("\n\n")[0]
        assert re.fullmatch(r"[A-Z][^\n]{10,65}\.", first), (name, first)


@pytest.mark.parametrize(
    ("command", "listed"),
    [
        ("synth", ["|".join(LAYOUTS)]),
        ("validate", ["|".join(DATASETS), "annotated|midpoint|spot", "none|face|face-or-centre"]),
        ("prepare", ["|".join(DATASETS), "harmonic|linear", "annotated|midpoint|spot"]),
        ("search", ["uf1|uar|accuracy", "exhaustive|ladder", "none|bootstrap", "N|all", "auto|X"]),
    ],
)
def test_choices_are_listed(monkeypatch, capsys, command, listed):
    status, stdout, _ = run(monkeypatch, capsys, command, "--help")
    assert status == 0
    for choices in listed:
        assert choices in stdout.replace("\n", "")


def test_the_help_of_search_names_every_shipped_space_and_every_setting():
    helps = {one.name: one.help for one in typer.main.get_command(app).commands["search"].params}
    assert f"({', '.join(sorted(shipped()))})" in helps["space"]
    for name in setting_names():
        assert re.search(rf"\b{name}\b", helps["fixed"])


def test_the_module_runs_as_a_script():
    found = subprocess.run(
        [sys.executable, "-m", "dianet_ray", "--help"], capture_output=True, text=True
    )
    assert found.returncode == 0
    assert "search" in found.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["search"], "Missing"),
        (["fly"], "No such command"),
        (["synth", "x", "--clips", "many"], "--clips"),
        (["status", "/nowhere"], "none in /nowhere"),
        (["report", "/nowhere"], "none in /nowhere"),
        (["validate", "casme2", "/nowhere"], "/nowhere"),
        (["prepare", "casme2", "/nowhere", "out"], "/nowhere"),
        (["prepare", "casme2", "/nowhere", "out", "--image-size", "4"], "--image-size: "),
        (["prepare", "casme2", "/nowhere", "out", "--coefficients", "x"], "'x' is not one of"),
        (["search", "/nowhere", "study", "--space", "quick"], "/nowhere"),
        (["search", "/nowhere", "study", "--space", "quick", "--objective", "f1"], "'f1' is not"),
        (["search", "/nowhere", "s", "--space", "quick", "--strategy", "x"], "--strategy"),
        (["search", "/nowhere", "s", "--space", "quick", "--configs", "0"], "--configs: "),
        (["search", "/nowhere", "s", "--space", "quick", "--max-workers", "0"], "got 0"),
        (["search", "/nowhere", "s", "--space", "quick", "--gpus-per-trial", "-1"], "-1"),
        (["validate", "casme", "/nowhere"], "'casme' is not one of 'casme2'"),
        (["validate", "casme2", "/two  blanks"], "/two  blanks"),
        (["synth", "x", "--layout", "casme"], "'casme' is not one of 'casme2'"),
        (["synth", "x", "--seed", "-1"], "got '-1'"),
        (["status", "ftp://there/x"], "must be a path"),
        (["search", "/nowhere", "s", "--space", "quick", "--keep-weights", "0"], "--keep-weights"),
        (["search", "/nowhere", "s", "--space", "quick", "--set", "heads"], "NAME=VALUE"),
        (
            ["search", "/nowhere", "s", "--space", "quick", "--set", "heads=5"],
            "heads must divide",
        ),
        (["collect", "out"], "--study STUDY or --model NAME@champion"),
        (["predict", "/nowhere", "clip"], "/nowhere"),
    ],
)
def test_bad_input_is_one_line_and_status_2(refused, tmp_path, monkeypatch, words, says):
    monkeypatch.chdir(tmp_path)
    refused(*words, says=says)
    assert list(tmp_path.iterdir()) == []


def test_a_relative_study_is_refused_inside_a_submitted_job(refused, images, monkeypatch):
    monkeypatch.setenv(JOB_VARIABLE, "{}")
    refused("search", images, "study", "--space", "quick", says="absolute path")


def test_a_class_with_one_subject_is_refused_by_name(refused, tmp_path):
    images = write_images(tmp_path / "images", lonely="repression")
    refused("search", images, tmp_path / "s", "--space", "quick", says="repression has 1")
    assert not (tmp_path / "s").exists()


def test_a_study_of_other_images_is_refused_with_both_hashes(refused, images, tmp_path):
    write_study(tmp_path / "s", fake_plan(tmp_path / "s").study)
    says = f"another images: it has {'0' * 64}, this command says"
    refused("search", images, tmp_path / "s", "--space", "quick", says=says)


def test_a_second_driver_is_refused(refused, images, tmp_path):
    with Lock(tmp_path / "s" / DRIVER_FOLDER, "the study"):
        says = f"the study {tmp_path / 's'} is in use by process {os.getpid()} on"
        refused("search", images, tmp_path / "s", "--space", "quick", says=says)


def test_a_tracking_server_that_is_not_there_is_refused(refused, images, tmp_path):
    words = ["--space", "quick", "--tracking-uri", "http://127.0.0.1:9"]
    refused("search", images, tmp_path / "s", *words, says="http://127.0.0.1:9")
    assert not (tmp_path / "s").exists()


def test_the_jobs_address_is_refused_with_the_way_out(refused, images, tmp_path):
    words = ["--space", "quick", "--address", "http://127.0.0.1:8265"]
    refused("search", images, tmp_path / "s", *words, says="ray job submit")


def test_a_label_set_that_is_not_there_is_refused(refused, images, tmp_path):
    words = ["--space", "quick", "--classes", "casme2:9"]
    refused("search", images, tmp_path / "s", *words, says="casme2:5")


def test_a_folder_with_other_files_is_no_study(refused, images, tmp_path):
    refused("search", images, images, "--space", "quick", says="holds other files")


@pytest.mark.parametrize(
    ("n_subjects", "options", "says"),
    [
        (4, [], "3 configurations, 3 x 4 folds: 12 trainings"),
        (
            6,
            [],
            "3 configurations, 3 x 3 groups (0.5 of the steps), then 2 x 6 folds: "
            "at most 21 trainings",
        ),
        (6, ["--strategy", "exhaustive"], "3 configurations, 3 x 6 folds: 18 trainings"),
    ],
)
def test_a_dry_run_prints_the_plan_and_writes_nothing(
    monkeypatch, capsys, tmp_path, n_subjects, options, says
):
    images = write_images(tmp_path / "images", n_subjects=n_subjects)
    words = ["search", images, tmp_path / "s", "--space", "quick", "--configs", "3", "--dry-run"]
    status, stdout, _ = run(monkeypatch, capsys, *words, *options)
    assert status == 0
    assert says in stdout
    assert not (tmp_path / "s").exists()


def test_json_goes_to_stdout_alone(monkeypatch, capsys, tmp_path):
    play(fake_plan(tmp_path / "s", n_subjects=3, n_configs=3))
    for command in ("status", "report"):
        status, stdout, stderr = run(monkeypatch, capsys, command, tmp_path / "s", "--json")
        assert (status, stderr) == (0, "")
        assert json.loads(stdout)["study"] == "s"


def test_status_says_what_is_done_and_the_best_so_far(monkeypatch, capsys, tmp_path):
    play(fake_plan(tmp_path / "s", n_subjects=3, n_configs=3))
    _, stdout, _ = run(monkeypatch, capsys, "status", tmp_path / "s")
    assert "not running" in stdout
    assert "9 trainings; configurations: 3 complete" in stdout
    assert "uf1" in stdout


def test_two_workbooks_are_listed_with_the_flag_that_chooses(refused, tmp_path):
    root = write_data_set(tmp_path / "data", clips())
    write_workbook(root / "CASME2-coding-20190701.xlsx", clips())
    refused("validate", "casme2", root, says="--annotations")


def test_two_frame_folders_are_listed_with_the_flag_that_chooses(refused, tmp_path):
    root = write_data_set(tmp_path / "data", clips())
    write_data_set(root, clips(), frames_dir="Cropped", pattern="reg_img{}.jpg")
    refused("validate", "casme2", root, says="--frames-dir")


def test_a_wrong_workbook_is_named_with_its_missing_columns(refused, tmp_path):
    root = write_data_set(tmp_path / "data", clips())
    write_workbook(root / WORKBOOK, clips(), header=["Subject", "Clip", *HEADER[2:]])
    refused("validate", "casme2", root, says="Filename")


def test_onset_after_offset_is_left_out_with_its_reason(monkeypatch, capsys, tmp_path):
    rows = [*clips(), Clip(subject=2, name="EP99_01", onset=30, apex=25, offset=20)]
    root = write_data_set(tmp_path / "data", rows)
    status, stdout, _ = run(monkeypatch, capsys, "validate", "casme2", root)
    assert status == 0
    assert "onset after offset (1)" in stdout
    assert "EP99_01" in stdout


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (StudyFailed("every training failed"), "every training failed"),
        (Stopped("interrupted; resume"), "interrupted; resume"),
        (KeyboardInterrupt(), "interrupted"),
    ],
)
def test_a_search_that_does_not_finish_is_one_line_and_status_1(
    monkeypatch, capsys, images, tmp_path, error, says
):
    def stop(*args):
        raise error

    monkeypatch.setattr(Search, "run", stop)
    words = ["search", images, tmp_path / "s", "--space", "quick"]
    assert run(monkeypatch, capsys, *words) == (1, "", f"dianet-ray: {says}\n")


def test_a_study_whose_first_wave_failed_is_refused_again(monkeypatch, capsys, images, tmp_path):
    plan = make_plan(
        load_images(images), tmp_path / "s", space=load_space("quick"), options=SearchOptions()
    )
    play(plan, lambda work: "failed")
    words = ["search", images, tmp_path / "s", "--space", "quick"]
    status, _, stderr = run(monkeypatch, capsys, *words)
    assert status == 1
    assert "every training of the first wave failed: ValueError: bad; repair" in stderr


def test_a_wrong_address_leaves_nothing_behind(refused, images, tmp_path):
    words = ["--space", "quick", "--address", "127.0.0.1:9"]
    refused("search", images, tmp_path / "s", *words, says="no Ray cluster answers")
    assert [path for path in (tmp_path / "s").rglob("*") if path.is_file()] == []


def test_another_python_is_one_line_and_status_2(monkeypatch, capsys):
    monkeypatch.setattr("sys.version_info", (3, 10, 4, "final", 0))
    status, _, stderr = run(monkeypatch, capsys, "--help")
    assert (status, stderr) == (
        2,
        "dianet-ray: dianet_ray supports Python 3.11 to 3.13: found 3.10.4\n",
    )


@pytest.mark.parametrize("name", ["s3:/bucket/x", "http:/there/x"])
def test_an_output_of_this_machine_is_no_address(refused, name):
    refused("synth", name, says=f"must be a path on this machine, not an address: got {name}")
    refused(
        "demo", "--out", name, says=f"must be a path on this machine, not an address: got {name}"
    )


def test_a_study_that_cannot_be_made_is_one_line(refused, images):
    refused("search", images, "/proc/x/study", "--space", "quick", says="cannot be written: /proc")


def test_what_is_no_text_is_refused_at_the_door(monkeypatch, capsys):
    status, _, said = run(monkeypatch, capsys, "status", "st\udcff")
    assert status == 2
    assert said == "dianet-ray: names and values must be UTF-8: got 'st\\udcff'\n"


@pytest.mark.parametrize(
    "words",
    [
        ("search", "images", "study", "--space", "x: y\n" * 100),
        ("validate", "table", "a" * 300),
        ("collect", "b" * 300, "--study", "nowhere"),
    ],
)
def test_a_path_that_no_file_can_have_is_one_line(monkeypatch, capsys, words):
    status, _, said = run(monkeypatch, capsys, *words)
    assert status == 2
    assert said.count("\n") == 1
    assert len(said) < 300


@pytest.mark.parametrize("folder", ["ledger", "driver"])
def test_a_study_with_a_file_for_a_folder_is_one_line(monkeypatch, capsys, tmp_path, folder):
    study = tmp_path / "study"
    play(fake_plan(study, n_subjects=2, n_configs=1))
    shutil.rmtree(study / folder, ignore_errors=True)
    (study / folder).write_text("")
    status, _, said = run(monkeypatch, capsys, "status", study)
    assert status == 2
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("flag", "path", "says"),
    [
        ("--html", "study.json", "must not overwrite what the command reads"),
        ("--predictions", "ledger/000001.jsonl", "must not lie in"),
        ("--latex", "weights/new.tex", "must not lie in"),
    ],
)
def test_a_report_overwrites_nothing_of_its_study(monkeypatch, capsys, tmp_path, flag, path, says):
    study = tmp_path / "study"
    play(fake_plan(study, n_subjects=2, n_configs=1))
    before = {p: p.read_bytes() for p in study.rglob("*") if p.is_file()}
    status, _, said = run(monkeypatch, capsys, "report", study, flag, study / path)
    assert status == 2
    assert says in said
    assert {p: p.read_bytes() for p in study.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--configs", "1" + "0" * 13),
        ("--gpus-per-trial", "inf"),
        ("--cpus-per-trial", "1e-320"),
        ("--cpus-per-trial", "inf"),
        ("--threads-per-training", "9" * 400),
        ("--experiment", "x" * 5000),
    ],
)
def test_numbers_and_names_without_bounds_are_refused(monkeypatch, capsys, flag, value):
    words = ("search", "nowhere", "study", "--space", "quick", "--dry-run", flag, value)
    status, _, said = run(monkeypatch, capsys, *words)
    assert status == 2
    assert said.startswith(f"dianet-ray: {flag}: ")
    assert len(said) < 200
    assert said.count("\n") == 1
